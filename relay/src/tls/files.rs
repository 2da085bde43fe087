//! The files of a certificate, its key, and the authorities of clients.

use crate::cursor::UnixMillis;
use relay_config::Tls;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{fmt, fs::File, io::Read};
use subtle::ConstantTimeEq;
use x509_cert::{Certificate, der::Decode};

/// Most bytes of one file: a chain of many certificates, and a wrong file does not fill the memory.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a file is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("cannot read {path}: {why}")]
    File { path: String, why: String },
    #[error("{path} has more than {MAX_BYTES} bytes; it is no file of certificates")]
    TooLarge { path: String },
    #[error("{path} has no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate { path: String },
    #[error("{path} has a certificate that cannot be read: {why}")]
    Certificate { path: String, why: String },
    #[error(
        "{path} has no private key in PEM, or only one with a password; write it without one (openssl pkey)"
    )]
    NoKey { path: String },
}

/// What the files hold, as it is.
#[derive(Clone)]
pub struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

impl PartialEq for Files {
    fn eq(&self, other: &Files) -> bool {
        self.certificate == other.certificate
            && self.authorities == other.authorities
            && bool::from(self.key.ct_eq(&other.key))
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files") // one of them is a secret
    }
}

impl Files {
    pub fn read(settings: &Tls) -> Result<Files, Unreadable> {
        Ok(Files {
            certificate: read(&settings.certificate)?,
            key: read(&settings.key)?,
            authorities: settings.client_ca.as_deref().map(read).transpose()?,
        })
    }
}

fn read(path: &str) -> Result<Vec<u8>, Unreadable> {
    let unreadable = |error: std::io::Error| Unreadable::File {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    if read.map_err(unreadable)? as u64 > MAX_BYTES {
        let path = path.to_owned();
        return Err(Unreadable::TooLarge { path });
    }
    Ok(bytes)
}

/// What the files mean.
pub struct Material {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub authorities: Vec<CertificateDer<'static>>,
    /// When the first certificate of the chain ends, which is the relay's own.
    pub expires: UnixMillis,
}

impl Material {
    pub fn of(settings: &Tls, files: &Files) -> Result<Material, Unreadable> {
        let chain = certificates(&settings.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| Unreadable::NoKey {
            path: settings.key.clone(),
        })?;
        let authorities = match (&settings.client_ca, &files.authorities) {
            (Some(path), Some(bytes)) => certificates(path, bytes)?,
            _ => Vec::new(),
        };
        let expires = expiry(&settings.certificate, &chain)?;
        Ok(Material {
            chain,
            key,
            authorities,
            expires,
        })
    }
}

/// At least one.
pub fn certificates(path: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unreadable> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| Unreadable::Certificate {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    if all.is_empty() {
        let path = path.to_owned();
        return Err(Unreadable::NoCertificate { path });
    }
    Ok(all)
}

fn expiry(path: &str, chain: &[CertificateDer<'_>]) -> Result<UnixMillis, Unreadable> {
    let first = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let certificate = Certificate::from_der(first).map_err(|error| Unreadable::Certificate {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    let ends = certificate.tbs_certificate().validity().not_after;
    Ok(u64::try_from(ends.to_unix_duration().as_millis()).unwrap_or(u64::MAX))
}
