//! Where a stream's bytes go: a socket that the shard owns, or a body that hyper carries.

use super::{
    inbox::{Command, Inbox},
    open::CloseReason,
    parting::{self, Parting},
};
use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use rustix::{
    io::Errno,
    net::{SendFlags, send},
};
use std::{
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    All,
    /// So many bytes, perhaps none; the rest has to wait until there is room.
    Part(usize),
    /// The peer is gone.
    Dead(CloseReason),
}

/// How a body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// As a body should, after what waits.
    Whole,
    /// In the middle: the client must not take it for whole.
    Cut,
}

/// The error of a body that was cut.
#[derive(Debug, thiserror::Error)]
#[error("the stream was cut")]
pub struct Cut;

pub enum Sink {
    Socket(OwnedFd),
    Body(Arc<Pipe>),
}

impl Sink {
    /// Never blocks.
    pub fn send(&self, bytes: &[u8]) -> Sent {
        match self {
            Sink::Socket(socket) => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                match rustix::io::retry_on_intr(|| send(socket, bytes, flags)) {
                    Ok(n) if n == bytes.len() => Sent::All,
                    Ok(n) => Sent::Part(n),
                    Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Sent::Part(0),
                    Err(error) => Sent::Dead(parting::reason(error)),
                }
            }
            Sink::Body(pipe) => pipe.send(bytes),
        }
    }

    /// No more bytes will come.
    pub fn finish(&self, how: Finish) {
        if let Sink::Body(pipe) = self {
            let mut state = pipe.state.lock();
            state.finished = Some(how);
            if how == Finish::Cut {
                state.waiting = BytesMut::new(); // whoever reads too slowly may never ask for them
            }
            drop(state);
            pipe.reader.wake();
        }
    }
}

/// Bytes that a [`Body`] holds for its connection at most.
const PIPE_CAPACITY: usize = 16 * 1024;

/// A bounded pipe from a shard to hyper.
pub struct Pipe {
    state: Mutex<PipeState>,
    reader: AtomicWaker,
    inbox: Arc<Inbox>,
    /// Why its connection ended.
    parting: Arc<Parting>,
    /// The stream's token in its shard; told once the shard knows it.
    token: Mutex<Option<u64>>,
}

#[derive(Default)]
struct PipeState {
    waiting: BytesMut,
    /// The shard has more and wants to hear of room.
    full: bool,
    finished: Option<Finish>,
    gone: bool,
}

impl Pipe {
    /// To the shard of `inbox`, on a connection that says by `parting` why it ended.
    pub fn new(inbox: Arc<Inbox>, parting: Arc<Parting>) -> (Arc<Pipe>, Body) {
        let pipe = Arc::new(Pipe {
            state: Mutex::default(),
            reader: AtomicWaker::new(),
            inbox,
            parting,
            token: Mutex::default(),
        });
        (pipe.clone(), Body { pipe })
    }

    /// Which stream the pipe belongs to.
    pub fn belongs_to(&self, token: u64) {
        *self.token.lock() = Some(token);
    }

    fn send(&self, bytes: &[u8]) -> Sent {
        let mut state = self.state.lock();
        if state.gone {
            return Sent::Dead(self.parting.reason());
        }
        let n = bytes
            .len()
            .min(PIPE_CAPACITY.saturating_sub(state.waiting.len()));
        state.waiting.extend_from_slice(&bytes[..n]);
        state.full = n < bytes.len();
        let sent = if state.full { Sent::Part(n) } else { Sent::All };
        drop(state);
        self.reader.wake();
        sent
    }

    fn tell(&self, command: impl FnOnce(u64) -> Command) {
        if let Some(token) = *self.token.lock() {
            self.inbox.send(command(token));
        }
    }
}

/// The reading end: an HTTP body.
pub struct Body {
    pipe: Arc<Pipe>,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.pipe.reader.register(cx.waker());
        let mut state = self.pipe.state.lock();
        if state.waiting.is_empty() {
            return match state.finished {
                None => Poll::Pending,
                Some(Finish::Whole) => Poll::Ready(None),
                Some(Finish::Cut) => Poll::Ready(Some(Err(Cut))),
            };
        }
        let bytes = state.waiting.split().freeze();
        let was_full = std::mem::take(&mut state.full);
        drop(state);
        if was_full {
            self.pipe.tell(Command::Writable);
        }
        Poll::Ready(Some(Ok(http_body::Frame::data(bytes))))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.gone = true;
        let finished = state.finished.is_some();
        drop(state);
        if !finished {
            let reason = self.pipe.parting.reason();
            self.pipe.tell(|token| Command::Gone(token, reason));
        }
    }
}
