//! The floor: what delivering an event costs when a server does nothing else.
//!
//! One thread, one epoll, one prepared frame per event, one `send` per stream and event. It reads
//! just enough HTTP to be driven by the same generator as a real server; it has no limits, no
//! resume, no heartbeat. With [`Writes::Batched`] a stream gets all that waits for it in one `send`.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use crate::poller::{Interest, Poller, Ready};

/// How many events one `send` may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// One `send` per stream and event.
    Single,
    /// All that waits for a stream in one `send`.
    Batched,
}

const LISTENER: u64 = u64::MAX;
const BACKLOG: i32 = 4096;
const READ_BUFFER: usize = 64 * 1024;
/// A request larger than this closes its connection.
const MAX_REQUEST: usize = 1024 * 1024;
/// A stream further behind than this is closed.
const MAX_BEHIND: usize = 64 * 1024 * 1024;

const SUBSCRIBED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    cache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n";
const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// Serves on 127.0.0.1 until the process is killed.
pub fn serve(port: u16, writes: Writes) -> io::Result<()> {
    Floor::bind(port, writes)?.run()
}

struct Floor {
    poller: Poller,
    listener: OwnedFd,
    writes: Writes,
    /// Indexed by file descriptor.
    connections: Vec<Connection>,
    names: HashMap<Vec<u8>, usize>,
    channels: Vec<Channel>,
    dirty: Vec<usize>,
    scratch: Vec<u8>,
}

enum Connection {
    None,
    Request(Box<Request>),
    Stream { channel: u32, place: u32 },
}

struct Request {
    socket: OwnedFd,
    unread: Vec<u8>,
}

#[derive(Default)]
struct Channel {
    streams: Vec<Stream>,
    published: u64,
    /// Chunk-framed bytes that some stream has not got yet; `base` is the offset of the first.
    log: Vec<u8>,
    base: u64,
    /// Where each frame in `log` ends.
    ends: Vec<u64>,
    blocked: usize,
    dirty: bool,
}

struct Stream {
    socket: OwnedFd,
    cursor: u64,
    blocked: bool,
}

impl Floor {
    fn bind(port: u16, writes: Writes) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        net::bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        net::listen(&listener, BACKLOG)?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, Interest::Read)?;
        Ok(Self {
            poller,
            listener,
            writes,
            connections: Vec::new(),
            names: HashMap::new(),
            channels: Vec::new(),
            dirty: Vec::new(),
            scratch: vec![0; READ_BUFFER],
        })
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            let ready = self.poller.wait(None)?;
            for index in 0..ready {
                let ready = self.poller.ready(index);
                if ready.token == LISTENER {
                    self.accept()?;
                } else {
                    self.serve_connection(ready)?;
                }
            }
            for channel in std::mem::take(&mut self.dirty) {
                self.channels[channel].dirty = false;
                self.flush(channel);
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN | Errno::CONNABORTED | Errno::MFILE | Errno::NFILE) => {
                    return Ok(());
                }
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            let slot = slot(&socket);
            self.poller.add(&socket, slot as u64, Interest::Read)?;
            if self.connections.len() <= slot {
                self.connections.resize_with(slot + 1, || Connection::None);
            }
            let request = Request {
                socket,
                unread: Vec::new(),
            };
            self.connections[slot] = Connection::Request(Box::new(request));
        }
    }

    fn serve_connection(&mut self, ready: Ready) -> io::Result<()> {
        let slot = ready.token as usize;
        match std::mem::replace(&mut self.connections[slot], Connection::None) {
            Connection::None => {}
            Connection::Request(request) => self.read_requests(slot, request)?,
            Connection::Stream { channel, place } => {
                self.connections[slot] = Connection::Stream { channel, place };
                let (channel, place) = (channel as usize, place as usize);
                if ready.hung_up {
                    self.close_stream(channel, place);
                } else if ready.writable {
                    self.unblock(channel, place)?;
                }
            }
        }
        Ok(())
    }

    /// Reads once, answers every whole request, and keeps the connection unless it ended.
    fn read_requests(&mut self, slot: usize, mut request: Box<Request>) -> io::Result<()> {
        match net::recv(
            &request.socket,
            self.scratch.as_mut_slice(),
            net::RecvFlags::empty(),
        ) {
            Ok((_, 0)) => return Ok(()),
            Ok((_, read)) => request.unread.extend_from_slice(&self.scratch[..read]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return Ok(()),
        }
        let mut done = 0;
        while let Some(parsed) = ParsedRequest::parse(&request.unread[done..]) {
            let mut answer = NOT_FOUND;
            match parsed.target {
                Target::Subscribe(name) => {
                    let name = name.to_vec();
                    return self.open_stream(slot, request.socket, name);
                }
                Target::Publish(name) => {
                    answer = CREATED;
                    let channel = channel_index(&mut self.names, &mut self.channels, name);
                    self.channels[channel].append(parsed.body);
                    self.mark_dirty(channel);
                }
                Target::Unknown => {}
            }
            done += parsed.length;
            // An answer of a few dozen bytes always fits; if not, the peer reads none: let it go.
            if net::send(&request.socket, answer, SendFlags::NOSIGNAL) != Ok(answer.len()) {
                return Ok(());
            }
            if self.writes == Writes::Single {
                for channel in std::mem::take(&mut self.dirty) {
                    self.channels[channel].dirty = false;
                    self.flush(channel);
                }
            }
        }
        request.unread.drain(..done);
        if request.unread.len() <= MAX_REQUEST {
            self.connections[slot] = Connection::Request(request);
        }
        Ok(())
    }

    fn mark_dirty(&mut self, channel: usize) {
        if !std::mem::replace(&mut self.channels[channel].dirty, true) {
            self.dirty.push(channel);
        }
    }

    fn open_stream(&mut self, slot: usize, socket: OwnedFd, name: Vec<u8>) -> io::Result<()> {
        if net::send(&socket, SUBSCRIBED, SendFlags::NOSIGNAL) != Ok(SUBSCRIBED.len()) {
            return Ok(());
        }
        self.poller.modify(&socket, slot as u64, Interest::HangUp)?;
        let index = channel_index(&mut self.names, &mut self.channels, &name);
        let channel = &mut self.channels[index];
        let place = channel.streams.len() as u32;
        channel.streams.push(Stream {
            socket,
            cursor: channel.end(),
            blocked: false,
        });
        self.connections[slot] = Connection::Stream {
            channel: index as u32,
            place,
        };
        Ok(())
    }

    fn close_stream(&mut self, channel: usize, place: usize) {
        let streams = &mut self.channels[channel].streams;
        let closed = streams.swap_remove(place);
        if let Some(moved) = streams.get(place) {
            self.connections[slot(&moved.socket)] = Connection::Stream {
                channel: channel as u32,
                place: place as u32,
            };
        }
        self.channels[channel].blocked -= usize::from(closed.blocked);
        self.connections[slot(&closed.socket)] = Connection::None;
    }

    /// Gives every stream of the channel what waits for it.
    fn flush(&mut self, channel: usize) {
        let mut place = 0;
        while place < self.channels[channel].streams.len() {
            if self.channels[channel].streams[place].blocked || self.send(channel, place) {
                place += 1;
            } else {
                self.close_stream(channel, place);
            }
        }
        let channel = &mut self.channels[channel];
        if channel.blocked == 0 {
            channel.forget_sent();
        }
    }

    /// Sends until the stream has everything or takes no more; `false`: the stream is lost.
    fn send(&mut self, channel: usize, place: usize) -> bool {
        let Channel {
            streams,
            log,
            base,
            ends,
            blocked,
            ..
        } = &mut self.channels[channel];
        let stream = &mut streams[place];
        let end = *base + log.len() as u64;
        let mut frame = match self.writes {
            Writes::Batched => 0,
            Writes::Single => ends.partition_point(|&end| end <= stream.cursor),
        };
        while stream.cursor < end {
            let until = match self.writes {
                Writes::Batched => end,
                Writes::Single => ends[frame],
            };
            let waiting = &log[(stream.cursor - *base) as usize..(until - *base) as usize];
            match net::send(&stream.socket, waiting, SendFlags::NOSIGNAL) {
                Ok(sent) => stream.cursor += sent as u64,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {}
                Err(_) => return false,
            }
            if stream.cursor < until {
                *blocked += usize::from(!std::mem::replace(&mut stream.blocked, true));
                let token = slot(&stream.socket) as u64;
                let watched = self.poller.modify(&stream.socket, token, Interest::Write);
                return watched.is_ok() && ((end - stream.cursor) as usize) < MAX_BEHIND;
            }
            frame += 1;
        }
        true
    }

    fn unblock(&mut self, channel: usize, place: usize) -> io::Result<()> {
        let owner = &mut self.channels[channel];
        owner.blocked -= usize::from(std::mem::take(&mut owner.streams[place].blocked));
        if !self.send(channel, place) {
            self.close_stream(channel, place);
            return Ok(());
        }
        let stream = &self.channels[channel].streams[place];
        if !stream.blocked {
            let token = slot(&stream.socket) as u64;
            self.poller
                .modify(&stream.socket, token, Interest::HangUp)?;
        }
        Ok(())
    }
}

impl Channel {
    fn end(&self) -> u64 {
        self.base + self.log.len() as u64
    }

    fn append(&mut self, body: &[u8]) {
        self.published += 1;
        let id = self.published.to_string();
        let length = "id: \ndata: \n\n".len() + id.len() + body.len();
        write!(self.log, "{length:x}\r\nid: {id}\ndata: ").expect("a Vec takes any write");
        self.log.extend_from_slice(body);
        self.log.extend_from_slice(b"\n\n\r\n");
        self.ends.push(self.end());
    }

    fn forget_sent(&mut self) {
        self.base = self.end();
        self.log.clear();
        self.ends.clear();
    }
}

fn slot(socket: &OwnedFd) -> usize {
    socket.as_raw_fd() as usize
}

fn channel_index(
    names: &mut HashMap<Vec<u8>, usize>,
    channels: &mut Vec<Channel>,
    name: &[u8],
) -> usize {
    if let Some(&index) = names.get(name) {
        return index;
    }
    channels.push(Channel::default());
    names.insert(name.to_vec(), channels.len() - 1);
    channels.len() - 1
}

enum Target<'a> {
    Subscribe(&'a [u8]),
    Publish(&'a [u8]),
    Unknown,
}

struct ParsedRequest<'a> {
    target: Target<'a>,
    body: &'a [u8],
    /// Bytes of head and body together.
    length: usize,
}

impl<'a> ParsedRequest<'a> {
    /// `None`: not whole yet.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let head_length = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
        let head = &bytes[..head_length];
        let mut lines = head.split(|&byte| byte == b'\n');
        let request_line = lines.next().unwrap_or_default();
        let body_length = lines.find_map(content_length).unwrap_or(0);
        let body = bytes.get(head_length..head_length.checked_add(body_length)?)?;
        let target = target(request_line).unwrap_or(Target::Unknown);
        Some(Self {
            target,
            body,
            length: head_length + body_length,
        })
    }
}

fn content_length(line: &[u8]) -> Option<usize> {
    let colon = memchr::memchr(b':', line)?;
    if !line[..colon].eq_ignore_ascii_case(b"content-length") {
        return None;
    }
    std::str::from_utf8(&line[colon + 1..])
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn target(request_line: &[u8]) -> Option<Target<'_>> {
    let mut words = request_line.split(|&byte| byte == b' ');
    let (method, target) = (words.next()?, words.next()?);
    if method == b"GET" {
        let start = memchr::memmem::find(target, b"channel=")? + "channel=".len();
        let name = target[start..].split(|&byte| byte == b'&').next()?;
        return Some(Target::Subscribe(name));
    }
    let name = target
        .strip_prefix(b"/v1/channels/")?
        .strip_suffix(b"/events")?;
    (method == b"POST").then_some(Target::Publish(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_pieces_is_not_parsed_before_its_last_byte() {
        let request = b"POST /v1/channels/a/events HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
        for cut in 0..request.len() {
            assert!(ParsedRequest::parse(&request[..cut]).is_none(), "{cut}");
        }
        let parsed = ParsedRequest::parse(request).unwrap();
        assert!(matches!(parsed.target, Target::Publish(b"a")));
        assert_eq!((parsed.body, parsed.length), (&b"hi"[..], request.len()));
    }

    #[test]
    fn a_subscription_names_its_channel_in_the_query() {
        let parsed = ParsedRequest::parse(b"GET /x?channel=a&y=1 HTTP/1.1\r\n\r\n").unwrap();
        assert!(matches!(parsed.target, Target::Subscribe(b"a")));
    }

    #[test]
    fn a_frame_is_one_chunk_with_one_event() {
        let mut channel = Channel::default();
        channel.append(b"hello");
        assert_eq!(channel.log, b"13\r\nid: 1\ndata: hello\n\n\r\n");
        assert_eq!(channel.ends, [channel.end()]);
    }
}
