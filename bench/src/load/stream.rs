//! One subscriber: its socket, how far its response has come, and its account.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::http::{Body, Head, HttpError};
use super::sse::{Event, Parser};
use super::tally::Tally;

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the server answered {0}, not an event stream")]
    NotAStream(u16),
    #[error("the stream ended")]
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Closed,
    Connecting,
    Head,
    Live,
}

/// Whether a stream reads what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Attentive,
    /// Takes the response's head and then never reads again, with as small a receive buffer as the
    /// kernel allows.
    Stopped,
}

/// Bytes of the receive buffer of a stopped reader.
const STOPPED_BUFFER: usize = 4096;

pub struct Stream {
    pub channel: u32,
    pub reader: Reader,
    pub stage: Stage,
    pub tally: Tally,
    /// Failed attempts to open it, one after another.
    pub failures: u8,
    socket: Option<OwnedFd>,
    head: Vec<u8>,
    body: Body,
    parser: Parser,
}

impl Stream {
    #[must_use]
    pub fn new(channel: u32, reader: Reader) -> Self {
        Self {
            channel,
            reader,
            stage: Stage::Closed,
            tally: Tally::default(),
            failures: 0,
            socket: None,
            head: Vec::new(),
            body: Body::Ended,
            parser: Parser::default(),
        }
    }

    #[must_use]
    pub fn socket(&self) -> Option<&OwnedFd> {
        self.socket.as_ref()
    }

    /// Starts to connect.
    pub fn connect(&mut self, address: SocketAddr) -> io::Result<()> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        // A reset instead of TIME_WAIT: 60,000 connections in a few minutes would use up the ports.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        if self.reader == Reader::Stopped {
            sockopt::set_socket_recv_buffer_size(&socket, STOPPED_BUFFER)?;
        }
        match net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        self.socket = Some(socket);
        self.stage = Stage::Connecting;
        Ok(())
    }

    /// Once connected: asks for the stream, after the last event seen if there is one.
    pub fn subscribe(&mut self, host: SocketAddr, target: &str) -> io::Result<()> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        sockopt::socket_error(socket)??;
        let mut request =
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n")
                .into_bytes();
        if !self.parser.last_id().is_empty() {
            request.extend_from_slice(b"Last-Event-ID: ");
            request.extend_from_slice(self.parser.last_id());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        // A fresh socket's buffer holds far more than one request.
        if net::send(socket, &request, SendFlags::NOSIGNAL)? < request.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.stage = Stage::Head;
        Ok(())
    }

    /// Reads once; `None`: nothing there.
    pub fn read(&self, buffer: &mut [u8]) -> Result<Option<usize>, StreamError> {
        let socket = self.socket.as_ref().ok_or(StreamError::Ended)?;
        match net::recv(socket, buffer, RecvFlags::empty()) {
            Ok((_, 0)) => Err(StreamError::Ended),
            Ok((_, read)) => Ok(Some(read)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(StreamError::Socket(error.into())),
        }
    }

    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(&mut Tally, Event<'_>),
    ) -> Result<(), StreamError> {
        if self.stage != Stage::Head {
            return self.feed_body(bytes, &mut on_event);
        }
        self.head.extend_from_slice(bytes);
        let Some(head) = Head::parse(&self.head)? else {
            return Ok(());
        };
        if head.status != 200 || !head.event_stream {
            return Err(StreamError::NotAStream(head.status));
        }
        self.stage = Stage::Live;
        self.body = Body::new(head.framing);
        let unread = std::mem::take(&mut self.head);
        self.feed_body(&unread[head.length..], &mut on_event)
    }

    fn feed_body(
        &mut self,
        bytes: &[u8],
        on_event: &mut impl FnMut(&mut Tally, Event<'_>),
    ) -> Result<(), StreamError> {
        let Self {
            body,
            parser,
            tally,
            ..
        } = self;
        body.feed(bytes, |piece| {
            parser.feed(piece, &mut |event| on_event(tally, event))
        })?;
        if self.body.ended() {
            Err(StreamError::Ended)
        } else {
            Ok(())
        }
    }

    /// Drops the connection; what it has seen, and the last id, stay.
    pub fn cut(&mut self) {
        self.socket = None;
        self.stage = Stage::Closed;
        self.head.clear();
        self.parser.reconnect();
    }
}
