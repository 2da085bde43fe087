//! TLS of a listener: what a handshake needs, read from files that may change while streams go on.
//! `outward` has TLS towards others.

pub mod client_certificate;
pub mod files;
pub mod handshakes;
pub(crate) mod outward;
pub mod watch;

use crate::{
    clock::unix_millis,
    cursor::UnixMillis,
    stats::{CertificateReload, Stats},
};
use files::{Files, Material, Unreadable};
use handshakes::Handshakes;
use parking_lot::RwLock;
use relay_config::{ClientAuth, Http, TlsVersion};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// Why a certificate, its key or the authorities of clients cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(
        "the private key {key} does not belong to the certificate {certificate}; write both anew, as a pair"
    )]
    Mismatch { certificate: String, key: String },
    #[error(
        "the private key {path} cannot be used ({why}); RSA of 2048 bits or more, ECDSA on P-256 or P-384, and Ed25519 can"
    )]
    Key { path: String, why: String },
    #[error("the certificate {path} ended in the past, and the one in use has not; get a new one")]
    Expired { path: String },
    #[error("the authorities in {path} cannot be used: {why}")]
    Authorities { path: String, why: String },
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

/// What became of reading the files again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reloaded {
    Changed,
    Same,
}

/// What handshakes are made with now.
struct Current {
    config: Arc<ServerConfig>,
    files: Files,
    expires: UnixMillis,
}

pub struct ServerTls {
    settings: relay_config::Tls,
    protocols: Vec<Vec<u8>>,
    current: RwLock<Current>,
    pub handshakes: Arc<Handshakes>,
    stats: Arc<Stats>,
}

impl ServerTls {
    /// Reads the files. `open_files` is how many the process may have open.
    pub fn new(
        settings: &relay_config::Tls,
        http: &Http,
        open_files: Option<u64>,
        stats: Arc<Stats>,
    ) -> Result<ServerTls, TlsError> {
        let protocols = protocols(http);
        let current = load(settings, &protocols, Files::read(settings)?)?;
        let tls = ServerTls {
            settings: settings.clone(),
            protocols,
            handshakes: Handshakes::new(at_once(settings.max_handshakes, open_files)),
            current: RwLock::new(current),
            stats,
        };
        tls.tell();
        Ok(tls)
    }

    pub fn settings(&self) -> &relay_config::Tls {
        &self.settings
    }

    /// What the next handshake is made with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.read().config.clone()
    }

    /// Reads the files again. New handshakes use what they hold; connections that are open go on.
    /// What is broken changes nothing.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let reloaded = self.replace();
        match reloaded {
            Ok(Reloaded::Same) => {}
            Ok(Reloaded::Changed) => {
                self.stats.reloads.of(CertificateReload::Loaded).add(1);
                self.tell();
            }
            Err(_) => self.stats.reloads.of(CertificateReload::Failed).add(1),
        }
        reloaded
    }

    fn replace(&self) -> Result<Reloaded, TlsError> {
        let mut files = Files::read(&self.settings)?;
        if files == self.current.read().files {
            return Ok(Reloaded::Same);
        }
        let mut next = load(&self.settings, &self.protocols, files);
        if let Err(TlsError::Mismatch { .. }) = next {
            // somebody may have been writing the pair: the second file was new, the first was not
            files = Files::read(&self.settings)?;
            next = load(&self.settings, &self.protocols, files);
        }
        let next = next?;
        let mut current = self.current.write();
        let now = unix_millis();
        if next.expires <= now && current.expires > now {
            let path = self.settings.certificate.clone();
            return Err(TlsError::Expired { path });
        }
        *current = next;
        Ok(Reloaded::Changed)
    }

    fn tell(&self) {
        let expires = self.current.read().expires;
        self.stats.certificate_expires.set(expires);
        let left = expires.saturating_sub(unix_millis()) / 86_400_000;
        let certificate = self.settings.certificate.as_str();
        if left == 0 {
            tracing::warn!(
                event = "tls.loaded",
                certificate,
                "the certificate ends within a day, or has ended: clients refuse it then"
            );
        } else {
            tracing::info!(
                event = "tls.loaded",
                certificate,
                days_left = left,
                "new connections get this certificate"
            );
        }
    }
}

/// As ALPN calls what is spoken, the best first (RFC 7301).
fn protocols(http: &Http) -> Vec<Vec<u8>> {
    let spoken = [(http.http2, "h2"), (http.http1, "http/1.1")];
    let spoken = spoken.into_iter().filter(|(on, _)| *on);
    spoken.map(|(_, name)| name.as_bytes().to_vec()).collect()
}

/// How many connections may be without a first request: as configured, but never so many that
/// nobody else finds a file descriptor.
fn at_once(configured: usize, open_files: Option<u64>) -> usize {
    let share = open_files.map_or(usize::MAX, |files| {
        usize::try_from(files / 4).unwrap_or(usize::MAX)
    });
    configured.min(share).max(1)
}

fn load(
    settings: &relay_config::Tls,
    protocols: &[Vec<u8>],
    files: Files,
) -> Result<Current, TlsError> {
    let material = Material::of(settings, &files)?;
    let expires = material.expires;
    let mut config = server_config(settings, material)?;
    config.alpn_protocols = protocols.to_vec();
    // each ticket is a write and a few hundred bytes at the client, which comes back with one
    config.send_tls13_tickets = 1;
    config.ticketer = ring::Ticketer::new().map_err(library)?;
    Ok(Current {
        config: Arc::new(config),
        files,
        expires,
    })
}

fn server_config(
    settings: &relay_config::Tls,
    material: Material,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(settings.min_version))
        .map_err(library)?;
    let builder = match settings.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        asked => builder.with_client_cert_verifier(verifier(settings, asked, &material, provider)?),
    };
    builder
        .with_single_cert(material.chain, material.key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
                certificate: settings.certificate.clone(),
                key: settings.key.clone(),
            },
            error => TlsError::Key {
                path: settings.key.clone(),
                why: error.to_string(),
            },
        })
}

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match oldest {
        TlsVersion::Tls12 => &BOTH,
        TlsVersion::Tls13 => &BOTH[..1],
    }
}

fn verifier(
    settings: &relay_config::Tls,
    asked: ClientAuth,
    material: &Material,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let unusable = |why: String| TlsError::Authorities {
        path: settings.client_ca.clone().unwrap_or_default(),
        why,
    };
    let mut roots = RootCertStore::empty();
    for authority in &material.authorities {
        let added = roots.add(authority.clone());
        added.map_err(|error| unusable(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match asked {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        _ => builder,
    };
    builder.build().map_err(|error| unusable(error.to_string()))
}

fn library(error: rustls::Error) -> TlsError {
    TlsError::Library(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_never_take_all_files() {
        assert_eq!(at_once(1000, Some(20_000)), 1000);
        assert_eq!(at_once(1000, Some(1024)), 256);
        assert_eq!(at_once(1000, Some(3)), 1);
        assert_eq!(at_once(1000, None), 1000);
    }

    #[test]
    fn only_what_is_spoken_is_offered() {
        let offered = |http1, http2| {
            protocols(&Http {
                http1,
                http2,
                ..Http::default()
            })
        };
        assert_eq!(offered(true, true), [&b"h2"[..], b"http/1.1"]);
        assert_eq!(offered(true, false), [b"http/1.1"]);
        assert_eq!(offered(false, true), [b"h2"]);
    }
}
