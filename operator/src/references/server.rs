//! Credentials and certificates towards a server of others: as the resource names them, and as files in
//! the pods.

use super::{Key, Purpose, Reference};
use crate::crd::{Authorities, ServerCredentials, ServerTls};

/// The password, in a server's folder.
#[must_use]
pub fn password(folder: &str) -> String {
    format!("{folder}/password")
}

/// Certificate authorities, in a server's folder.
#[must_use]
pub fn ca(folder: &str) -> String {
    format!("{folder}/ca.crt")
}

/// The relay's own certificate, in a server's folder.
#[must_use]
pub fn certificate(folder: &str) -> String {
    format!("{folder}/tls.crt")
}

/// The key of [`certificate`].
#[must_use]
pub fn key(folder: &str) -> String {
    format!("{folder}/tls.key")
}

impl From<&Authorities> for Key {
    fn from(from: &Authorities) -> Self {
        Self {
            kind: from.kind,
            name: from.name.clone(),
            key: from.key.clone(),
        }
    }
}

/// The keys of `named`, which stands at `path`; the password becomes the file `file`.
pub(super) fn credentials(
    path: &str,
    named: &ServerCredentials,
    file: String,
    found: &mut Vec<Reference>,
) {
    found.push(Reference {
        path: format!("{path}.passwordKey"),
        key: Key::of_secret(&named.name, &named.password_key),
        purpose: Purpose::File(file),
    });
    if let Some(key) = &named.username_key {
        found.push(Reference {
            path: format!("{path}.usernameKey"),
            key: Key::of_secret(&named.name, key),
            purpose: Purpose::Text,
        });
    }
}

/// The keys of `tls`, which stands at `path`; they become files in `folder`.
pub(super) fn tls(path: &str, tls: &ServerTls, folder: &str, found: &mut Vec<Reference>) {
    let mut file = |field: &str, key: Key, name: String| {
        found.push(Reference {
            path: format!("{path}.{field}"),
            key,
            purpose: Purpose::File(name),
        });
    };
    if let Some(authorities) = &tls.ca {
        file("ca", Key::from(authorities), ca(folder));
    }
    if let Some(secret) = &tls.certificate_secret {
        let of = |key| Key::of_secret(secret, key);
        file("certificateSecret", of("tls.crt"), certificate(folder));
        file("certificateSecret", of("tls.key"), key(folder));
    }
}
