//! TLS towards PostgreSQL.

use super::ConnectError;
use relay_config::PostgresTls;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Files are read for each connection: renewed certificates count without a restart.
pub(super) async fn connector(
    files: &PostgresTls,
    section: &Arc<str>,
) -> Result<MakeRustlsConnect, ConnectError> {
    let (files, section) = (files.clone(), section.clone());
    let config = tokio::task::spawn_blocking(move || configuration(&files, &section));
    let config = config.await.expect("reading files does not panic");
    let config = config.map_err(ConnectError::Tls)?;
    Ok(MakeRustlsConnect::new(config))
}

fn configuration(tls: &PostgresTls, section: &str) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS needs")
        .with_root_certificates(authorities(tls.ca.as_deref(), section)?);
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let bad = |field: &str, path: &str, error: &dyn std::fmt::Display| {
        format!("{path}, which `{section}.tls.{field}` names, cannot be used: {error}")
    };
    let chain = certificates(certificate).map_err(|why| bad("certificate", certificate, &why))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|why| bad("key", key, &why))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|why| bad("certificate", certificate, &why))
}

fn authorities(ca: Option<&str>, section: &str) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(ca) = ca else {
        // What of the system's store cannot be read is simply not trusted.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let bad = |why: &dyn std::fmt::Display| {
        format!("{ca}, which `{section}.tls.ca` names, cannot be used: {why}")
    };
    for certificate in certificates(ca).map_err(|why| bad(&why))? {
        store.add(certificate).map_err(|why| bad(&why))?;
    }
    Ok(store)
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("it holds no certificate".into());
    }
    Ok(certificates)
}
