//! Requests that the relay makes by itself: to those who publish keys, and to an application that
//! knows its users.

use reqwest::{Client, ClientBuilder, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{path::Path, sync::Arc, time::Duration};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot read certificate authorities from {path}: {why}")]
    Authorities { path: String, why: String },
    #[error("cannot set up the client: {0}")]
    Client(String),
}

/// A client that follows no redirects, and whose requests take at most this long in all. With
/// `authorities` it trusts those, else those of the system.
pub fn client(authorities: Option<&Path>, timeout: Duration) -> Result<Client, ClientError> {
    let built = builder(authorities)?.timeout(timeout).build();
    built.map_err(|error| ClientError::Client(error.to_string()))
}

/// The same for answers that never end: it bounds the time of a connection and nothing else.
pub fn streaming(authorities: Option<&Path>, connect: Duration) -> Result<Client, ClientError> {
    let built = builder(authorities)?.connect_timeout(connect).build();
    built.map_err(|error| ClientError::Client(error.to_string()))
}

fn builder(authorities: Option<&Path>) -> Result<ClientBuilder, ClientError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Client(error.to_string()))?;
    let tls = builder
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
    Ok(Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("sse-relay/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none()))
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let failed = |why: String| ClientError::Authorities {
        path: path.display().to_string(),
        why,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(error.to_string()))?;
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(failed("it has none".to_owned())),
        _ => Ok(roots),
    }
}
