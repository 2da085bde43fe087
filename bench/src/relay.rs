//! The relay as it is measured: with credentials and limits, as it would be run. Neither may be turned
//! off to be fast.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::load::generator::Publishing;
use crate::load::subscribers::{ATTRIBUTE, Credentials, Subscribers, Wire};
use crate::scenario::{Subjects, Variant};

const PUBLISHER: &str = "publishing-token-of-the-benchmark";
const READER: &str = "reading-token-of-the-benchmark";
const SECRET: &str = "secret-of-the-benchmark-that-signs-its-tokens";

/// How a relay is asked.
#[must_use]
pub fn subscribers(variant: &Variant) -> Subscribers {
    Subscribers {
        wire: variant.wire,
        credentials: match variant.subjects {
            Subjects::One => Credentials::Token(READER.to_owned()),
            Subjects::Each => Credentials::Subjects {
                secret: SECRET.to_owned(),
            },
        },
        filters: variant.filters,
        shared_channels: variant.shared_channels,
        own_channels: variant.own_channels,
    }
}

/// Where the relay takes publishes without TLS while streams come with it.
fn plain_socket() -> PathBuf {
    // names of sockets have about a hundred bytes
    std::env::temp_dir().join(format!("relay-bench-{}.sock", std::process::id()))
}

/// How a relay is published to. Only filters need the attribute, and the floor pays for no header.
#[must_use]
pub fn publishing(variant: &Variant) -> Publishing {
    let attribute = if variant.filters > 0 { ATTRIBUTE } else { "" };
    Publishing {
        headers: format!("Authorization: Bearer {PUBLISHER}\r\n{attribute}"),
        unix: (variant.wire == Wire::Tls).then(plain_socket),
        ..Publishing::default()
    }
}

/// Writes the configuration, and the files that it names, into a folder; gives its path.
pub fn write_configuration(folder: &Path, variant: &Variant) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let secret = folder.join("secret");
    fs::write(&secret, SECRET)?;
    let mut config = configuration(&secret, variant);
    if variant.wire == Wire::Tls {
        config["tls"] = certificate(folder)?;
        config["unixSockets"] = json!([{"path": plain_socket(), "mode": "600"}]);
    }
    let path = folder.join("relay.yaml");
    fs::write(&path, config.to_string())?; // JSON is YAML
    Ok(path)
}

fn configuration(secret: &Path, variant: &Variant) -> Value {
    // so high that nothing is refused; they are counted all the same
    let limit = json!({"streams": 1_000_000, "opensPerSecond": 1_000_000, "publishesPerSecond": 10_000_000});
    let mut config = json!({
        "auth": {
            "tokens": [
                {"name": "publisher", "sha256": hash(PUBLISHER), "publish": ["**"]},
                {"name": "reader", "sha256": hash(READER), "subscribe": ["**"], "subject": "reader"},
            ],
            "jwt": [{"name": "bench", "keys": [{"secretFile": secret}], "grant": {"subscribe": ["**"]}}],
        },
        "limits": {"total": limit, "perSubject": limit, "perAddress": limit},
    });
    if let Some(threads) = variant.threads {
        config["http"] = json!({"threads": threads});
    }
    if let Some(events) = variant.history {
        config["retention"] = json!({"events": events});
    }
    config
}

fn hash(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn certificate(folder: &Path) -> io::Result<Value> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    Ok(json!({"certificate": certificate, "key": key}))
}
