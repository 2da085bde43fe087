//! Credentials and certificates towards the archive's PostgreSQL.

use super::Reference;
use super::server::{credentials, password, tls};
use crate::crd::SseRelaySpec;

/// Where they are in the folder of files.
pub const FOLDER: &str = "archive";

pub(super) fn references(spec: &SseRelaySpec, found: &mut Vec<Reference>) {
    let Some(archive) = &spec.archive else { return };
    if let Some(named) = &archive.postgres.credentials {
        let path = "archive.postgres.credentials";
        credentials(path, named, password(FOLDER), found);
    }
    if let Some(named) = &archive.postgres.tls {
        tls("archive.postgres.tls", named, FOLDER, found);
    }
}
