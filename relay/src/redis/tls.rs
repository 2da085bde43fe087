//! TLS towards Redis.

use super::ConnectError;
use relay_config::RedisTls;
use rustls::{
    CertificateError, ClientConfig, Error, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{io, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Files are read for each connection: renewed certificates count without a restart.
pub(super) async fn handshake(
    socket: TcpStream,
    host: &str,
    tls: &RedisTls,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let name = tls.server_name.as_deref().unwrap_or(host).to_owned();
    let expected = ServerName::try_from(name.clone())
        .map_err(|_| ConnectError::Tls(format!("`{name}` is no name of a server").into()))?;
    let files = tls.clone();
    let config = tokio::task::spawn_blocking(move || configuration(&files));
    let config = config.await.expect("reading files does not panic")?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(expected, socket).await;
    stream.map_err(|error| ConnectError::Tls(explained(&name, &error).into()))
}

fn configuration(tls: &RedisTls) -> Result<ClientConfig, ConnectError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS needs")
        .with_root_certificates(authorities(tls.ca.as_deref())?);
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("redis.tls.certificate", certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| bad_file("redis.tls.key", key, &error.to_string()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| bad_file("redis.tls.certificate", certificate, &error.to_string()))
}

fn authorities(ca: Option<&str>) -> Result<RootCertStore, ConnectError> {
    let mut store = RootCertStore::empty();
    let Some(ca) = ca else {
        // What of the system's store cannot be read is simply not trusted.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    for certificate in certificates("redis.tls.ca", ca)? {
        store
            .add(certificate)
            .map_err(|error| bad_file("redis.tls.ca", ca, &error.to_string()))?;
    }
    Ok(store)
}

fn certificates(field: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| bad_file(field, path, &error.to_string()))?;
    if certificates.is_empty() {
        return Err(bad_file(field, path, "it holds no certificate"));
    }
    Ok(certificates)
}

fn bad_file(field: &str, path: &str, error: &str) -> ConnectError {
    ConnectError::Tls(format!("{path}, which `{field}` names, cannot be used: {error}").into())
}

/// What failed, and what to change.
fn explained(name: &str, error: &io::Error) -> String {
    let source = error.get_ref().and_then(|error| error.downcast_ref());
    let remedy = match source {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => {
            return format!(
                "the server's certificate is not for `{name}`: set `redis.tls.serverName` to a \
                 name that it carries ({error})"
            );
        }
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "set `redis.tls.ca` to the authority that signed the server's certificate",
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "renew the server's certificate, or set this machine's clock",
        Some(Error::InvalidMessage(_)) => "does the server speak TLS on this port?",
        Some(Error::AlertReceived(_)) => {
            "the server refuses: does it want `redis.tls.certificate` and `key`?"
        }
        _ => "is this a port for TLS, and is the certificate right?",
    };
    format!("{error}; {remedy}")
}
