//! Certificates of the relay and authorities of its clients, headers and authorities of a collector, and
//! what else the resource wants as a file.

use super::{Key, Purpose, Reference};
use crate::crd::SseRelaySpec;

/// The relay's certificate.
pub const CERTIFICATE: &str = "tls/tls.crt";
/// Its key.
pub const KEY: &str = "tls/tls.key";
/// Authorities of its clients.
pub const CLIENT_CA: &str = "tls/ca.crt";
/// Headers for the collector of spans.
pub const TRACES_HEADERS: &str = "traces/headers";
/// Authorities of the collector.
pub const TRACES_CA: &str = "traces/ca.crt";

pub(super) fn references(spec: &SseRelaySpec, found: &mut Vec<Reference>) {
    let mut file = |path: &str, key: Key, name: &str| {
        found.push(Reference {
            path: path.to_owned(),
            key,
            purpose: Purpose::File(name.to_owned()),
        });
    };
    if let Some(tls) = &spec.tls {
        let secret = |key| Key::of_secret(&tls.secret_name, key);
        file("tls.secretName", secret("tls.crt"), CERTIFICATE);
        file("tls.secretName", secret("tls.key"), KEY);
        if let Some(ca) = &tls.client_ca {
            file("tls.clientCa", Key::from(ca), CLIENT_CA);
        }
    }
    for (index, one) in spec.files.iter().enumerate() {
        let path = format!("files[{index}].secret");
        file(
            &path,
            Key::from(&one.secret),
            &format!("files/{}", one.name),
        );
    }
    let Some(traces) = &spec.traces else { return };
    if let Some(headers) = &traces.headers {
        file("traces.headers", Key::from(headers), TRACES_HEADERS);
    }
    if let Some(ca) = &traces.ca {
        file("traces.ca", Key::from(ca), TRACES_CA);
    }
}
