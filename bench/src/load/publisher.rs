//! One publishing connection: HTTP keep-alive or commands of Redis, one request in flight.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, sockopt};

use super::http::{Body, Head, HttpError};

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the server closed the publishing connection")]
    Ended,
}

/// A publish that the schedule wants.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    pub channel: u32,
    /// Nanoseconds of the run's clock.
    pub at: u64,
}

/// The server's word on the publish in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub number: u32,
    pub status: u16,
    /// The connection ends with it.
    pub closes: bool,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a server is told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    #[default]
    Http,
    /// The command PUBLISH of Redis.
    Redis,
}

pub struct Publisher {
    address: SocketAddr,
    unix: Option<PathBuf>,
    protocol: Protocol,
    socket: OwnedFd,
    /// Publishes that wait for the one in flight.
    pub waiting: VecDeque<Due>,
    in_flight: Option<u32>,
    out: Vec<u8>,
    written: usize,
    unread: Vec<u8>,
    /// After the head of an answer: the head, and the rest of its body.
    answering: Option<(Head, Body)>,
    pub reconnects: u32,
}

impl Publisher {
    /// By the Unix socket, if there is one, else by the address.
    pub fn connect(
        address: SocketAddr,
        unix: Option<&Path>,
        protocol: Protocol,
    ) -> io::Result<Self> {
        Ok(Self {
            address,
            unix: unix.map(Path::to_owned),
            protocol,
            socket: connect(address, unix)?,
            waiting: VecDeque::new(),
            in_flight: None,
            out: Vec::new(),
            written: 0,
            unread: Vec::new(),
            answering: None,
            reconnects: 0,
        })
    }

    /// A new connection in place of one that failed; returns the publish whose outcome is unknown.
    pub fn reconnect(&mut self) -> io::Result<Option<u32>> {
        let waiting = std::mem::take(&mut self.waiting);
        let reconnects = self.reconnects + 1;
        let lost = self.in_flight;
        *self = Self {
            waiting,
            reconnects,
            ..Self::connect(self.address, self.unix.as_deref(), self.protocol)?
        };
        Ok(lost)
    }

    /// A new connection in place of one that the server closes after each answer.
    pub fn renew(&mut self) -> io::Result<()> {
        self.socket = connect(self.address, self.unix.as_deref())?;
        self.unread.clear();
        Ok(())
    }

    #[must_use]
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    #[must_use]
    pub fn idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// Whether part of the request still waits for room in the socket.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.written < self.out.len()
    }

    /// Sends the request for publish `number` that `write` renders.
    pub fn start(&mut self, number: u32, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        debug_assert!(self.idle());
        self.in_flight = Some(number);
        self.out.clear();
        self.written = 0;
        write(&mut self.out);
        self.flush()
    }

    pub fn flush(&mut self) -> io::Result<()> {
        while self.blocked() {
            match net::send(&self.socket, &self.out[self.written..], SendFlags::NOSIGNAL) {
                Ok(sent) => self.written += sent,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads once; an answer that has come whole ends the publish in flight.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<Answer>, PublishError> {
        match net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(PublishError::Ended),
            Ok((read, _)) => self.unread.extend_from_slice(&buffer[..read]),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(PublishError::Socket(error.into())),
        }
        if self.protocol == Protocol::Redis {
            return Ok(self.told_by_redis());
        }
        if self.answering.is_none() {
            let Some(head) = Head::parse(&self.unread)? else {
                return Ok(None);
            };
            self.unread.drain(..head.length);
            self.answering = Some((head, Body::new(head.framing)));
        }
        let Some((head, body)) = &mut self.answering else {
            return Ok(None);
        };
        let used = body.feed(&self.unread, |_| {})?;
        self.unread.drain(..used);
        if !body.ended() {
            return Ok(None);
        }
        let answer = self.in_flight.map(|number| Answer {
            number,
            status: head.status,
            closes: head.closes,
        });
        self.answering = None;
        self.in_flight = None;
        Ok(answer)
    }
}

impl Publisher {
    /// A number is how many subscribers of Redis there were; an error begins with a minus sign.
    fn told_by_redis(&mut self) -> Option<Answer> {
        if !self.unread.ends_with(b"\r\n") {
            return None;
        }
        let status = if self.unread.starts_with(b":") {
            200
        } else {
            500
        };
        self.unread.clear();
        self.in_flight.take().map(|number| Answer {
            number,
            status,
            closes: false,
        })
    }
}

fn connect(address: SocketAddr, unix: Option<&Path>) -> io::Result<OwnedFd> {
    if let Some(path) = unix {
        let stream = UnixStream::connect(path)?;
        stream.set_nonblocking(true)?;
        return Ok(stream.into());
    }
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    Ok(stream.into())
}
