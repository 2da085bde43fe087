//! A stream on a connection that is no plain socket: what the shard has for it is written as it comes,
//! without hyper and its buffers, so that a quiet stream is small.

use super::{Io, Load, linger};
use crate::hub::{
    inbox::{Command, Inbox},
    open::Opening,
    parting::Parting,
    shard::stream_head,
    sink::{Body, Pipe},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes that a subscriber may send after its request before it is taken for something else.
const MAX_CHATTER: usize = 64 * 1024;

/// Writes the answer and the stream, until either side ends it. `load` counts as long as the
/// connection is there.
pub async fn carry(
    mut io: impl Io,
    inbox: Arc<Inbox>,
    parting: Arc<Parting>,
    opening: Box<Opening>,
    load: Load,
) {
    let (pipe, mut body) = Pipe::new(inbox.clone(), parting);
    let mut head = Some(stream_head(&opening));
    inbox.send(Command::Carry(pipe, opening));
    loop {
        let bytes = match next(&mut io, &mut body).await {
            Next::Bytes(bytes) => bytes,
            Next::Over => break linger(io).await,
            Next::Gone => break,
        };
        let bytes = match head.take() {
            // one record, one packet
            Some(head) => Bytes::from([&head[..], &bytes].concat()),
            None => bytes,
        };
        if io.write_all(&bytes).await.is_err() || io.flush().await.is_err() {
            break;
        }
    }
    drop(load);
}

enum Next {
    Bytes(Bytes),
    /// All is said.
    Over,
    /// The client is, or the stream was cut.
    Gone,
}

async fn next(io: &mut impl Io, body: &mut Body) -> Next {
    let (mut chatter, mut buffer) = (0, [0; 256]);
    loop {
        tokio::select! {
            frame = body.frame() => return match frame {
                Some(Ok(frame)) => frame.into_data().map_or(Next::Gone, Next::Bytes),
                Some(Err(_)) => Next::Gone,
                None => Next::Over,
            },
            read = io.read(&mut buffer) => match read {
                Ok(n) if n > 0 && chatter < MAX_CHATTER => chatter += n,
                _ => return Next::Gone,
            },
        }
    }
}
