//! Keys of issuers, and certificate authorities of an application that knows the users.

use super::{Key, Purpose, Reference};
use crate::crd::SseRelaySpec;

/// Certificate authorities of the application.
pub const FORWARD_CA: &str = "forward/ca.crt";

/// The file of an issuer's secret.
#[must_use]
pub fn jwt_secret(issuer: usize, key: usize) -> String {
    format!("jwt/{issuer}-{key}")
}

pub(super) fn references(spec: &SseRelaySpec, found: &mut Vec<Reference>) {
    let Some(auth) = &spec.auth else { return };
    for (issuer, jwt) in auth.jwt.iter().enumerate() {
        for (number, key) in jwt.keys.iter().enumerate() {
            if let Some(secret) = &key.secret {
                found.push(Reference {
                    path: format!("auth.jwt[{issuer}].keys[{number}].secret"),
                    key: Key::from(secret),
                    purpose: Purpose::File(jwt_secret(issuer, number)),
                });
            }
        }
    }
    if let Some(ca) = auth
        .forward
        .as_ref()
        .and_then(|forward| forward.ca.as_ref())
    {
        found.push(Reference {
            path: "auth.forward.ca".to_owned(),
            key: Key::from(ca),
            purpose: Purpose::File(FORWARD_CA.to_owned()),
        });
    }
}
