//! TLS towards servers that this process is a client of.

use relay_config::ClientTls;
use rustls::{
    CertificateError, ClientConfig, Error, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{io, sync::Arc};

/// The files of a section of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Pem {
    /// What the section is called, for who reads an error.
    pub section: Arc<str>,
    /// The authorities to trust instead of the system's.
    pub ca: Option<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
}

impl Pem {
    /// Those of such a section.
    pub(crate) fn of(section: &str, tls: &ClientTls) -> Pem {
        Pem {
            section: section.into(),
            ca: tls.ca.clone(),
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
        }
    }
}

/// Reads the files. To be done for each connection: then renewed certificates count without a restart.
///
/// # Errors
/// Which file cannot be used, and why.
pub(crate) async fn read(pem: Pem) -> Result<ClientConfig, String> {
    let read = tokio::task::spawn_blocking(move || configuration(&pem));
    read.await.expect("reading files does not panic")
}

fn configuration(pem: &Pem) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS needs")
        .with_root_certificates(authorities(pem)?);
    let (Some(certificate), Some(key)) = (&pem.certificate, &pem.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate).map_err(pem.unusable("certificate", certificate))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| pem.unusable("key", key)(error.to_string()))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| pem.unusable("certificate", certificate)(error.to_string()))
}

impl Pem {
    fn unusable(&self, field: &str, path: &str) -> impl Fn(String) -> String {
        let file = format!("{path}, which `{}.{field}` names", self.section);
        move |why| format!("{file}, cannot be used: {why}")
    }
}

fn authorities(pem: &Pem) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(ca) = &pem.ca else {
        // What of the system's store cannot be read is simply not trusted.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let unusable = pem.unusable("ca", ca);
    for certificate in certificates(ca).map_err(&unusable)? {
        store
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    Ok(store)
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| error.to_string())?;
    match certificates.is_empty() {
        true => Err("it holds no certificate".to_owned()),
        false => Ok(certificates),
    }
}

/// What failed of a handshake with a server of this name, and what to change.
pub(crate) fn explained(section: &str, name: &str, error: &io::Error) -> String {
    let source = error.get_ref().and_then(|error| error.downcast_ref());
    let remedy = match source {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => {
            return format!(
                "the server's certificate is not for `{name}`: set `{section}.serverName` to a \
                 name that it carries ({error})"
            );
        }
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => format!("set `{section}.ca` to the authority that signed the server's certificate"),
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "renew the server's certificate, or set this machine's clock".to_owned(),
        Some(Error::InvalidMessage(_)) => "does the server speak TLS on this port?".to_owned(),
        Some(Error::AlertReceived(_)) => {
            format!("the server refuses: does it want `{section}.certificate` and `key`?")
        }
        _ => "is this a port for TLS, and is the certificate right?".to_owned(),
    };
    format!("{error}; {remedy}")
}
