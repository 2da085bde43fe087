//! Who the relay is to a server of others, as the relay reads it.

use std::collections::BTreeMap;

use crate::crd::{ServerCredentials, ServerTls};
use crate::references::server::{ca, certificate, key};
use crate::references::{Key, path_in_pod};

/// The user's name: as it is written, or as the Secret has it.
pub(super) fn username(named: &ServerCredentials, texts: &BTreeMap<Key, String>) -> Option<String> {
    let by_key = named.username_key.as_ref();
    let by_key = by_key.and_then(|key| texts.get(&Key::of_secret(&named.name, key)));
    named.username.as_ref().or(by_key).cloned()
}

/// The files of a [`ServerTls`], as pods see them.
pub(super) struct Files {
    pub ca: Option<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
}

/// Those of `tls` in the server's `folder`.
pub(super) fn files(tls: &ServerTls, folder: &str) -> Files {
    let own = tls.certificate_secret.is_some();
    Files {
        ca: tls.ca.is_some().then(|| path_in_pod(&ca(folder))),
        certificate: own.then(|| path_in_pod(&certificate(folder))),
        key: own.then(|| path_in_pod(&key(folder))),
    }
}
