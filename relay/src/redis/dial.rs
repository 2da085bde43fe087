//! The way to a server: a socket.

use super::ConnectError;
use relay_config::RedisAddress;
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// What a server is spoken to through.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Opens a connection. The caller bounds the time.
pub(super) async fn dial(address: &RedisAddress) -> Result<Box<dyn Wire>, ConnectError> {
    let opened = match address {
        RedisAddress::Tcp(server) => tcp(&server.host, server.port).await,
        RedisAddress::Unix(path) => UnixStream::connect(path).await.map(|s| Box::new(s) as _),
    };
    opened.map_err(|error| ConnectError::Unreachable {
        address: address.to_string().into(),
        error: Arc::new(error),
    })
}

async fn tcp(host: &str, port: u16) -> io::Result<Box<dyn Wire>> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}
