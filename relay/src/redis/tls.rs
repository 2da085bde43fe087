//! TLS towards Redis.

use super::ConnectError;
use crate::tls::outward::{self, Pem};
use relay_config::RedisTls;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What the section is called.
const SECTION: &str = "redis.tls";

pub(super) async fn handshake(
    socket: TcpStream,
    host: &str,
    tls: &RedisTls,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let failed = |text: String| ConnectError::Tls(text.into());
    let name = tls.server_name.as_deref().unwrap_or(host).to_owned();
    let expected = ServerName::try_from(name.clone())
        .map_err(|_| failed(format!("`{name}` is no name of a server")))?;
    let config = outward::read(Pem::of(SECTION, tls)).await.map_err(failed)?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(expected, socket).await;
    stream.map_err(|error| failed(outward::explained(SECTION, &name, &error)))
}
