//! The way to a server: a socket, with TLS if so configured.

use super::{ConnectError, tls};
use relay_config::{RedisAddress, RedisServer, RedisTls};
use rustix::net::sockopt::set_tcp_user_timeout;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// A connection whose bytes nobody acknowledges for so long is dead.
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server is spoken to through.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Opens a connection. The caller bounds the time.
pub(super) async fn dial(
    address: &RedisAddress,
    tls: Option<&RedisTls>,
) -> Result<Box<dyn Wire>, ConnectError> {
    let unreachable = |error: io::Error| ConnectError::Unreachable {
        address: address.to_string().into(),
        error: Arc::new(error),
    };
    match address {
        RedisAddress::Unix(path) => {
            let socket = UnixStream::connect(path).await.map_err(unreachable)?;
            Ok(Box::new(socket))
        }
        RedisAddress::Tcp(server) => {
            let socket = tcp(server).await.map_err(unreachable)?;
            match tls {
                None => Ok(Box::new(socket)),
                Some(tls) => Ok(Box::new(tls::handshake(socket, &server.host, tls).await?)),
            }
        }
    }
}

async fn tcp(server: &RedisServer) -> io::Result<TcpStream> {
    let socket = TcpStream::connect((server.host.as_str(), server.port)).await?;
    socket.set_nodelay(true)?;
    let millis = u32::try_from(USER_TIMEOUT.as_millis()).expect("seconds");
    set_tcp_user_timeout(&socket, millis)?;
    Ok(socket)
}
