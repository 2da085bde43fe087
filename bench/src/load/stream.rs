//! One subscriber: its socket, how far its response has come, and its account.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::http::{Body, Head, HttpError};
use super::sse::{Event, Parser};
use super::subscribers::Wire;
use super::tally::Tally;
use super::wire::Wrapping;

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
    wrapping: Wrapping,
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
            wrapping: Wrapping::Plain,
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
    pub fn subscribe(
        &mut self,
        host: SocketAddr,
        target: &str,
        wire: Wire,
        authorization: Option<&str>,
    ) -> io::Result<()> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        sockopt::socket_error(socket)??;
        let mut headers = vec![("Accept", "text/event-stream")];
        let last_id = String::from_utf8_lossy(self.parser.last_id());
        if !last_id.is_empty() {
            headers.push(("Last-Event-ID", &last_id));
        }
        headers.extend(authorization.map(|value| ("Authorization", value)));
        self.wrapping = Wrapping::new(wire);
        self.wrapping
            .request(socket, &host.to_string(), target, &headers)?;
        self.stage = Stage::Head;
        Ok(())
    }

    /// Reads once and takes what came; false: nothing was there.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        mut on_event: impl FnMut(&mut Tally, Event<'_>),
    ) -> Result<bool, StreamError> {
        let socket = self.socket.take().ok_or(StreamError::Ended)?;
        let mut wrapping = std::mem::replace(&mut self.wrapping, Wrapping::Plain);
        let mut fed = Ok(());
        let read = wrapping.read(&socket, buffer, |bytes| {
            if fed.is_ok() {
                fed = self.feed(bytes, &mut on_event);
            }
        });
        (self.socket, self.wrapping) = (Some(socket), wrapping);
        fed?;
        match read {
            Ok(()) => Ok(true),
            Err(error) if waits(&error) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(StreamError::Ended),
            Err(error) => Err(StreamError::Socket(error)),
        }
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        on_event: &mut impl FnMut(&mut Tally, Event<'_>),
    ) -> Result<(), StreamError> {
        if self.stage != Stage::Head {
            return self.feed_body(bytes, on_event);
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
        self.feed_body(&unread[head.length..], on_event)
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

fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
