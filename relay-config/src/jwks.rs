//! Where the keys of an issuer of signed tokens are published (JWKS, RFC 7517).

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timespan::Timespan;

/// Where an issuer's keys are published: exactly one of `file` and `url`. Keys that are not RSA,
/// P-256, P-384 or Ed25519 are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Jwks {
    /// File with the set; it is read anew when it has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Address of the set: https, or http on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https://id.example.com/.well-known/jwks.json")]
    pub url: Option<String>,
    /// How often the address is asked.
    pub refresh: Timespan,
    /// How long it is not asked again because of a token with an unknown key.
    pub cooldown: Timespan,
    /// How long an answer may take, in all.
    pub timeout: Timespan,
    /// File with the certificate authorities (PEM) that are trusted for the address, instead of the
    /// system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// File with a bearer token to show there; a cluster's API server asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Default for Jwks {
    fn default() -> Self {
        Self {
            file: None,
            url: None,
            refresh: Timespan::from_secs(300),
            cooldown: Timespan::from_secs(30),
            timeout: Timespan::from_secs(5),
            ca_file: None,
            token_file: None,
        }
    }
}
