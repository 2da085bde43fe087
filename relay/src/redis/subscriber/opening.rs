//! A connection that is subscribed, up to the server's first word.

use crate::redis::{
    ConnectError,
    connect::{CLIENT_NAME, Connector},
    dial::{Wire, dial},
    error::{from_server, told},
    login::Login,
};
use ::redis::{RedisError, Value, ValueCodec};
use futures_util::StreamExt;
use relay_config::RedisAddress;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio_util::codec::FramedRead;

pub(in crate::redis) type Frames = FramedRead<ReadHalf<Box<dyn Wire>>, ValueCodec>;
pub(in crate::redis) type Sink = WriteHalf<Box<dyn Wire>>;

/// `HELLO 3` with user and name. The caller bounds the time.
pub(in crate::redis) async fn hello(
    address: &RedisAddress,
    connector: &Connector,
) -> Result<(Frames, Sink, Login), ConnectError> {
    let login = connector.login().await?;
    let wire = dial(address, connector.tls.as_ref()).await?;
    let (reader, mut sink) = tokio::io::split(wire);
    let mut frames = FramedRead::new(reader, ValueCodec::default());
    let mut hello = vec!["HELLO", "3"];
    if let Some(password) = &login.password {
        let username = login.username.as_deref().unwrap_or("default");
        hello.extend(["AUTH", username, password]);
    }
    hello.extend(["SETNAME", CLIENT_NAME]);
    send(&mut sink, &hello).await?;
    match frames.next().await {
        Some(Ok(Value::ServerError(error))) => {
            return Err(told(from_server(error.code(), error.details())));
        }
        Some(Ok(Value::Map(fields))) => accept(&fields)?,
        Some(Ok(_)) => return Err(ConnectError::Protocol("HELLO is not understood".into())),
        Some(Err(error)) => return Err(ended(&error)),
        None => return Err(ConnectError::Closed),
    }
    Ok((frames, sink, login))
}

/// A replica would subscribe too, but hears of nothing when it is cut off from its primary.
fn accept(fields: &[(Value, Value)]) -> Result<(), ConnectError> {
    let is = |value: &Value, text: &str| match value {
        Value::BulkString(bytes) => bytes == text.as_bytes(),
        Value::SimpleString(simple) => simple == text,
        _ => false,
    };
    let role = fields.iter().find(|(name, _)| is(name, "role"));
    match role {
        Some((_, role)) if is(role, "master") => Ok(()),
        _ => Err(ConnectError::NotPrimary),
    }
}

pub(in crate::redis) async fn send(sink: &mut Sink, words: &[&str]) -> Result<(), ConnectError> {
    let mut command = ::redis::Cmd::new();
    command.arg(words);
    let written = sink.write_all(&command.get_packed_command()).await;
    written.map_err(|_| ConnectError::Closed)?;
    sink.flush().await.map_err(|_| ConnectError::Closed)
}

/// Bytes that are no Redis, or a connection that is gone.
pub(in crate::redis) fn ended(error: &RedisError) -> ConnectError {
    if error.is_io_error() {
        return ConnectError::Closed;
    }
    ConnectError::Protocol(error.to_string().into())
}
