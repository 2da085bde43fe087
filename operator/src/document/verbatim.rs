//! Routes and sources: what stands in the resource is what the relay reads.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Unread;
use crate::crd::{File, Source};
use crate::references::path_in_pod;

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

/// What sources name that no pod has: variables, and files that are not among `files`.
pub(super) fn missing(sources: &[Source], files: &[File], unread: &mut Unread) {
    for (index, source) in sources.iter().enumerate() {
        for (name, value) in &source.0 {
            let path = format!("sources[{index}].{name}");
            look(&path, value, files, unread);
        }
    }
}

fn look(path: &str, value: &Value, files: &[File], unread: &mut Unread) {
    let said = match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                look(&format!("{path}.{name}"), value, files, unread);
            }
            return;
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                look(&format!("{path}[{index}]"), value, files, unread);
            }
            return;
        }
        _ if path.ends_with("Variable") || path.ends_with(".variable") => {
            "pods have no variables of yours; name a Secret in spec.files, and its file here"
                .to_owned()
        }
        Value::String(text) => match text.strip_prefix(&path_in_pod("files/")) {
            Some(name) if !files.iter().any(|file| file.name == name) => {
                format!("there is no `{name}` in spec.files; add it there, with its Secret")
            }
            _ => return,
        },
        _ => return,
    };
    unread.0.push((path.to_owned(), said));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_source_names_nothing_that_pods_do_not_have() {
        let source = json!({ "name": "a", "redisStream": {
            "redis": { "urlVariable": "REDIS_URL", "credentials": { "passwordFile": "/run/secrets/sse-relay/files/other" },
                "tls": { "ca": "/run/secrets/sse-relay/files/ca" } } } });
        let files = json!([{ "name": "ca", "secret": { "name": "s", "key": "k" } }]);
        let mut unread = Unread::default();
        let files: Vec<File> = serde_json::from_value(files).unwrap();
        missing(
            &[serde_json::from_value(source).unwrap()],
            &files,
            &mut unread,
        );
        let mut paths: Vec<&str> = unread.0.iter().map(|(path, _)| path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "sources[0].redisStream.redis.credentials.passwordFile",
                "sources[0].redisStream.redis.urlVariable"
            ]
        );
    }
}
