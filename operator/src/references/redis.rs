//! Credentials and certificates towards Redis.

use super::{Key, Purpose, Reference};
use crate::crd::{RedisCredentials, SseRelaySpec};

/// The password of the relay's user.
pub const PASSWORD: &str = "redis/password";
/// The password of its user at the Sentinels.
pub const SENTINEL_PASSWORD: &str = "redis/sentinel-password";
/// Certificate authorities.
pub const CA: &str = "redis/ca.crt";
/// The relay's own certificate.
pub const CERTIFICATE: &str = "redis/tls.crt";
/// Its key.
pub const KEY: &str = "redis/tls.key";

pub(super) fn references(spec: &SseRelaySpec, found: &mut Vec<Reference>) {
    let Some(external) = spec
        .redis
        .as_ref()
        .and_then(|redis| redis.external.as_ref())
    else {
        return;
    };
    if let Some(named) = &external.credentials {
        credentials("redis.external.credentials", named, PASSWORD, found);
    }
    let sentinel = external.sentinel.as_ref();
    if let Some(named) = sentinel.and_then(|sentinel| sentinel.credentials.as_ref()) {
        let path = "redis.external.sentinel.credentials";
        credentials(path, named, SENTINEL_PASSWORD, found);
    }
    let Some(tls) = &external.tls else { return };
    let mut file = |path: &str, key: Key, name: &str| {
        found.push(Reference {
            path: format!("redis.external.tls.{path}"),
            key,
            purpose: Purpose::File(name.to_owned()),
        });
    };
    if let Some(ca) = &tls.ca {
        let key = Key {
            kind: ca.kind,
            name: ca.name.clone(),
            key: ca.key.clone(),
        };
        file("ca", key, CA);
    }
    if let Some(secret) = &tls.certificate_secret {
        file(
            "certificateSecret",
            Key::of_secret(secret, "tls.crt"),
            CERTIFICATE,
        );
        file("certificateSecret", Key::of_secret(secret, "tls.key"), KEY);
    }
}

fn credentials(path: &str, named: &RedisCredentials, file: &str, found: &mut Vec<Reference>) {
    found.push(Reference {
        path: format!("{path}.passwordKey"),
        key: Key::of_secret(&named.name, &named.password_key),
        purpose: Purpose::File(file.to_owned()),
    });
    if let Some(key) = &named.username_key {
        found.push(Reference {
            path: format!("{path}.usernameKey"),
            key: Key::of_secret(&named.name, key),
            purpose: Purpose::Text,
        });
    }
}
