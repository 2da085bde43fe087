//! Keys of Secrets and ConfigMaps that a resource names, and what each is for.

pub mod archive;
pub mod auth;
pub mod redis;
pub mod server;
pub mod tls;

use std::fmt;

use crate::crd::{KeyKind, SecretKey, SseRelaySpec};

/// Where pods see the files of [`Purpose::File`].
pub const DIRECTORY: &str = "/run/secrets/sse-relay";

/// A key of a Secret or ConfigMap in the relay's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What holds it.
    pub kind: KeyKind,
    /// The name of that.
    pub name: String,
    /// The key within.
    pub key: String,
}

impl Key {
    /// A key of a Secret.
    #[must_use]
    pub fn of_secret(name: &str, key: &str) -> Self {
        Self {
            kind: KeyKind::Secret,
            name: name.to_owned(),
            key: key.to_owned(),
        }
    }
}

impl From<&SecretKey> for Key {
    fn from(from: &SecretKey) -> Self {
        Self::of_secret(&from.name, &from.key)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        })
    }
}

/// One mention of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The field of the spec that names it.
    pub path: String,
    /// What it names.
    pub key: Key,
    /// What for.
    pub purpose: Purpose,
}

/// What a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A token, of which the relay gets the hash.
    Token,
    /// A text that becomes part of the configuration.
    Text,
    /// A file of this name in [`DIRECTORY`], which the relay reads itself.
    File(String),
}

/// Every key that `spec` names, in the order of the spec.
#[must_use]
pub fn references(spec: &SseRelaySpec) -> Vec<Reference> {
    let mut found = Vec::new();
    let tokens = spec.auth.iter().flat_map(|auth| &auth.tokens);
    found.extend(tokens.enumerate().map(|(index, token)| Reference {
        path: format!("auth.tokens[{index}].secret"),
        key: Key::from(&token.secret),
        purpose: Purpose::Token,
    }));
    auth::references(spec, &mut found);
    redis::references(spec, &mut found);
    archive::references(spec, &mut found);
    tls::references(spec, &mut found);
    found
}

/// The path at which pods see the file.
#[must_use]
pub fn path_in_pod(file: &str) -> String {
    format!("{DIRECTORY}/{file}")
}
