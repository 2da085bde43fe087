//! Encrypted connections: the relay's certificate, and those of its clients.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::timespan::Timespan;

/// TLS on `listen`. The files are PEM; they are read again when they change, and with SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// File with the relay's certificate, and those of the authorities between it and the root.
    #[schemars(example = &"/etc/sse-relay/tls/tls.crt")]
    pub certificate: String,
    /// File with the certificate's private key.
    #[schemars(example = &"/etc/sse-relay/tls/tls.key")]
    pub key: String,
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Whether clients show a certificate of their own.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// File with the certificates of the authorities whose clients are believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<String>,
    /// Time in which a handshake must be done.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: Timespan,
    /// Number of connections that may be without a first request at once. Past it, the oldest of
    /// them gives way. Never more than a quarter of the files that the process may open.
    #[serde(default = "max_handshakes")]
    pub max_handshakes: usize,
}

fn handshake_timeout() -> Timespan {
    Timespan::from_secs(10)
}

fn max_handshakes() -> usize {
    1_000
}

impl Tls {
    /// With these files, and all else as by default.
    #[must_use]
    pub fn new(certificate: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            min_version: TlsVersion::default(),
            client_auth: ClientAuth::default(),
            client_ca: None,
            handshake_timeout: handshake_timeout(),
            max_handshakes: max_handshakes(),
        }
    }
}

/// Whether clients show a certificate of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They may; a wrong one is refused.
    Optional,
    /// Nobody connects without one.
    Required,
}

/// A version of TLS: `1.2` or `1.3`, with or without quotes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl TlsVersion {
    /// As the configuration writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }

    fn named<E: de::Error>(name: &str) -> Result<Self, E> {
        match name {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(E::custom(format!(
                "`{name}` is not a version of TLS that is spoken; write 1.2 or 1.3"
            ))),
        }
    }
}

impl Serialize for TlsVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VersionVisitor)
    }
}

/// YAML takes `1.3` for a number.
struct VersionVisitor;

impl de::Visitor<'_> for VersionVisitor {
    type Value = TlsVersion;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version of TLS: 1.2 or 1.3")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TlsVersion, E> {
        TlsVersion::named(text)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<TlsVersion, E> {
        TlsVersion::named(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<TlsVersion, E> {
        TlsVersion::named(&number.to_string())
    }
}

impl JsonSchema for TlsVersion {
    fn schema_name() -> Cow<'static, str> {
        "TlsVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "enum": ["1.2", "1.3", 1.2, 1.3],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_or_a_text() {
        for (text, version) in [
            ("1.2", TlsVersion::Tls12),
            ("\"1.2\"", TlsVersion::Tls12),
            ("1.3", TlsVersion::Tls13),
        ] {
            assert_eq!(serde_json::from_str::<TlsVersion>(text).unwrap(), version);
        }
        for text in ["1.1", "1", "\"TLSv1.3\"", "\"\"", "1.30001"] {
            let error = serde_json::from_str::<TlsVersion>(text).unwrap_err();
            assert!(error.to_string().contains("write 1.2 or 1.3"), "{error}");
        }
    }
}
