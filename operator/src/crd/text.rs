//! Texts with a meaning that the schema shows by a pattern and [`crate::validate`] reads.

use std::borrow::Cow;

use relay_config::{ByteSize, ByteSizeError, Timespan, TimespanError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// A length of time as Kubernetes writes it: `15s`, `1h30m`, `250ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub String);

/// A number of bytes as Kubernetes writes quantities: `64Mi`, `500k`, `1048576`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Bytes(pub String);

impl Span {
    /// What it means, or why it means nothing.
    pub fn read(&self) -> Result<Timespan, TimespanError> {
        self.0.parse()
    }
}

impl Bytes {
    /// What it means, or why it means nothing.
    pub fn read(&self) -> Result<ByteSize, ByteSizeError> {
        self.0.parse()
    }
}

impl<'de> Deserialize<'de> for Bytes {
    /// A number is as good as a text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            other => Err(de::Error::custom(format!(
                "{other} is not a number of bytes; write for example 64Mi"
            ))),
        }
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Six digits: more would overflow the durations of CEL.
        json_schema!({
            "type": "string",
            "maxLength": 28,
            "pattern": "^([0-9]{1,6}(ms|s|m|h)){1,4}$",
        })
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 20,
            "pattern": "^[0-9]+(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_bytes_may_be_a_number_or_a_text() {
        for (json, text) in [("1048576", "1048576"), ("\"64Mi\"", "64Mi")] {
            assert_eq!(
                serde_json::from_str::<Bytes>(json).unwrap(),
                Bytes(text.into())
            );
        }
        assert!(serde_json::from_str::<Bytes>("true").is_err());
    }
}
