//! The way to a broker: a socket, with TLS if so configured.

use super::Wire;
use crate::{
    source::{Fault, FaultReason},
    tls::outward::{self, Pem},
};
use relay_config::{BrokerAddress, BrokerTls};
use rustix::net::sockopt::set_tcp_user_timeout;
use rustls::pki_types::ServerName;
use std::{io, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A connection whose bytes nobody acknowledges for so long is dead.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens a connection. The caller bounds the time.
pub(in crate::source) async fn dial(address: &BrokerAddress) -> Result<Box<dyn Wire>, Fault> {
    let socket = tcp(address).await.map_err(|error| {
        let text = format!("{address} cannot be reached: {error}");
        Fault::new(FaultReason::Unreachable, text)
    })?;
    match &address.tls {
        None => Ok(Box::new(socket)),
        Some(tls) => Ok(Box::new(handshake(socket, &address.host, tls).await?)),
    }
}

async fn tcp(address: &BrokerAddress) -> io::Result<TcpStream> {
    let socket = TcpStream::connect((address.host.as_str(), address.port)).await?;
    socket.set_nodelay(true)?;
    let millis = u32::try_from(USER_TIMEOUT.as_millis()).expect("seconds");
    set_tcp_user_timeout(&socket, millis)?;
    Ok(socket)
}

async fn handshake(
    socket: TcpStream,
    host: &str,
    tls: &BrokerTls,
) -> Result<TlsStream<TcpStream>, Fault> {
    let fault = |text: String| Fault::new(FaultReason::Tls, text);
    let name = tls.server_name.as_deref().unwrap_or(host).to_owned();
    let expected = ServerName::try_from(name.clone())
        .map_err(|_| fault(format!("`{name}` is no name of a server")))?;
    let config = outward::read(Pem::of("broker.tls", tls))
        .await
        .map_err(fault)?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(expected, socket).await;
    stream.map_err(|error| fault(outward::explained("broker.tls", &name, &error)))
}
