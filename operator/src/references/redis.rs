//! Credentials and certificates towards Redis.

use super::Reference;
use super::server::{credentials, password, tls};
use crate::crd::SseRelaySpec;

/// Where they are in the folder of files.
pub const FOLDER: &str = "redis";
/// The password of the relay's user at the Sentinels.
pub const SENTINEL_PASSWORD: &str = "redis/sentinel-password";

pub(super) fn references(spec: &SseRelaySpec, found: &mut Vec<Reference>) {
    let external = spec.redis.as_ref();
    let Some(external) = external.and_then(|redis| redis.external.as_ref()) else {
        return;
    };
    if let Some(named) = &external.credentials {
        let path = "redis.external.credentials";
        credentials(path, named, password(FOLDER), found);
    }
    let sentinel = external.sentinel.as_ref();
    if let Some(named) = sentinel.and_then(|sentinel| sentinel.credentials.as_ref()) {
        let path = "redis.external.sentinel.credentials";
        credentials(path, named, SENTINEL_PASSWORD.to_owned(), found);
    }
    if let Some(named) = &external.tls {
        tls("redis.external.tls", named, FOLDER, found);
    }
}
