//! Routes and sources: what stands in the resource is what the relay reads.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Unread;

/// Each of `from`, as the relay reads it; what it would not read, with its place in `field`.
pub(super) fn read<'a, T: DeserializeOwned>(
    field: &str,
    from: impl Iterator<Item = &'a Map<String, Value>>,
    unread: &mut Unread,
) -> Vec<T> {
    let mut read = Vec::new();
    for (index, fields) in from.enumerate() {
        match serde_json::from_value(Value::Object(fields.clone())) {
            Ok(one) => read.push(one),
            Err(error) => unread
                .0
                .push((format!("{field}[{index}]"), error.to_string())),
        }
    }
    read
}
