//! Subscribers that read a stream byte by byte, as it comes.

use super::relay::PATIENCE;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sse_relay::sse_parser::{Item, Parser};
use std::{collections::VecDeque, net::SocketAddr};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

/// What a stream may come over.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// As its protocol ends a body.
    Whole,
    Cut,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    pub kind: String,
    pub data: String,
    pub id: String,
}

/// What to subscribe to.
#[derive(Clone, Debug)]
pub struct Request {
    pub query: String,
    pub version: Version,
    pub headers: Vec<(&'static str, String)>,
}

impl Request {
    pub fn new(query: impl Into<String>) -> Request {
        Request {
            query: query.into(),
            version: Version::Http11,
            headers: Vec::new(),
        }
    }

    pub fn version(mut self, version: Version) -> Request {
        self.version = version;
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((name, value.into()));
        self
    }
}

enum Wire {
    Socket {
        socket: TcpStream,
        chunks: Option<Chunks>,
    },
    Body {
        body: hyper::body::Incoming,
        _connection: Connection,
    },
}

/// The task that drives an HTTP/2 connection; it ends with its stream.
struct Connection(tokio::task::JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub struct Subscriber {
    wire: Wire,
    pub status: u16,
    /// Lower case; empty for HTTP/2.
    pub head: String,
    parser: Parser,
    events: VecDeque<Received>,
    pub retry: Option<u64>,
    pub end: Option<End>,
}

impl Subscriber {
    pub async fn open(to: SocketAddr, request: &Request) -> Subscriber {
        let socket = TcpStream::connect(to).await.unwrap();
        Subscriber::on(socket, to, request).await
    }

    /// With a receive buffer so small that it fills soon.
    pub async fn open_narrow(to: SocketAddr, request: &Request) -> Subscriber {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Subscriber::on(socket.connect(to).await.unwrap(), to, request).await
    }

    pub async fn on(socket: TcpStream, to: SocketAddr, request: &Request) -> Subscriber {
        timeout(PATIENCE, async {
            match request.version {
                Version::Http2 => Subscriber::http2(socket, to, request).await,
                _ => Subscriber::http1(socket, to, request).await,
            }
        })
        .await
        .expect("an answer in time")
    }

    fn new(wire: Wire, status: u16, head: String) -> Subscriber {
        Subscriber {
            wire,
            status,
            head,
            parser: Parser::new(),
            events: VecDeque::new(),
            retry: None,
            end: None,
        }
    }

    async fn http1(mut socket: TcpStream, to: SocketAddr, request: &Request) -> Subscriber {
        let version = if request.version == Version::Http10 {
            "1.0"
        } else {
            "1.1"
        };
        let mut text = format!(
            "GET /v1/events?{} HTTP/{version}\r\nHost: {to}\r\n",
            request.query
        );
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        socket.write_all(text.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            let n = socket.read_buf(&mut bytes).await.unwrap();
            assert_ne!(n, 0, "a head: {}", String::from_utf8_lossy(&bytes));
        };
        let head = String::from_utf8(bytes[..end].to_vec())
            .unwrap()
            .to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let chunks = head
            .contains("transfer-encoding: chunked")
            .then(Chunks::default);
        let mut subscriber = Subscriber::new(Wire::Socket { socket, chunks }, status, head);
        subscriber.take(&bytes[end + 4..]);
        subscriber
    }

    async fn http2<S: Io>(socket: S, to: SocketAddr, request: &Request) -> Subscriber {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
        let task = tokio::spawn(async {
            let _ = connection.await;
        });
        let mut get = hyper::Request::get(format!("http://{to}/v1/events?{}", request.query));
        for (name, value) in &request.headers {
            get = get.header(*name, value);
        }
        let response = sender
            .send_request(get.body(Empty::<Bytes>::new()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        Subscriber::new(
            Wire::Body {
                body: response.into_body(),
                _connection: Connection(task),
            },
            status,
            String::new(),
        )
    }

    /// Over whatever connection there is, HTTP/1.1 too by a client that knows more than this one.
    #[allow(dead_code, reason = "not every file of tests needs it")]
    pub async fn over<S: Io>(io: S, to: SocketAddr, request: &Request) -> Subscriber {
        if request.version == Version::Http2 {
            return timeout(PATIENCE, Subscriber::http2(io, to, request))
                .await
                .expect("an answer in time");
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        let task = tokio::spawn(async {
            let _ = connection.await;
        });
        let mut get = hyper::Request::get(format!("/v1/events?{}", request.query));
        get = get.header("Host", to.to_string());
        for (name, value) in &request.headers {
            get = get.header(*name, value);
        }
        let asked = sender.send_request(get.body(Empty::<Bytes>::new()).unwrap());
        let response = timeout(PATIENCE, asked).await.expect("in time").unwrap();
        let status = response.status().as_u16();
        let wire = Wire::Body {
            body: response.into_body(),
            _connection: Connection(task),
        };
        Subscriber::new(wire, status, String::new())
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut items = Vec::new();
        match &mut self.wire {
            Wire::Socket {
                chunks: Some(chunks),
                ..
            } => {
                let (payload, over) = chunks.push(bytes);
                self.parser.push(&payload, &mut items).unwrap();
                if over {
                    self.end = Some(End::Whole);
                }
            }
            _ => self.parser.push(bytes, &mut items).unwrap(),
        }
        for item in items {
            match item {
                Item::Retry(retry) => self.retry = Some(retry),
                Item::Event {
                    kind,
                    data,
                    last_event_id,
                } => self.events.push_back(Received {
                    kind,
                    data,
                    id: last_event_id,
                }),
            }
        }
    }

    /// Reads once more; false at the end.
    pub async fn read(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        let mut buffer = vec![0; 64 * 1024];
        let read = match &mut self.wire {
            Wire::Socket { socket, chunks } => match socket.read(&mut buffer).await {
                Ok(0) if chunks.is_none() => Err(End::Whole),
                Ok(0) | Err(_) => Err(End::Cut),
                Ok(n) => Ok(Bytes::copy_from_slice(&buffer[..n])),
            },
            Wire::Body { body, .. } => match body.frame().await {
                None => Err(End::Whole),
                Some(Err(_)) => Err(End::Cut),
                Some(Ok(frame)) => Ok(frame.into_data().unwrap_or_default()),
            },
        };
        match read {
            Ok(bytes) => self.take(&bytes),
            Err(end) => self.end = Some(end),
        }
        true
    }

    /// The next event, control events included; `None` at the end.
    pub async fn next(&mut self) -> Option<Received> {
        timeout(PATIENCE, async {
            loop {
                if let Some(event) = self.events.pop_front() {
                    return Some(event);
                }
                if !self.read().await {
                    return None;
                }
            }
        })
        .await
        .expect("an event in time")
    }

    /// Data of the next `count` events.
    pub async fn data(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::new();
        while data.len() < count {
            data.push(self.next().await.expect("the stream goes on").data);
        }
        data
    }

    /// Data of the next events, up to one with this.
    pub async fn rest_until(&mut self, last: &str) -> Vec<String> {
        let mut data = Vec::new();
        while data.last().is_none_or(|data| data != last) {
            data.push(self.next().await.expect("the stream goes on").data);
        }
        data
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<Received> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await {
            rest.push(event);
        }
        rest
    }

    /// Events that were read already.
    pub fn take_events(&mut self) -> Vec<Received> {
        self.events.drain(..).collect()
    }

    /// Reads until the stream's cursor is at least this.
    pub async fn reach(&mut self, id: &str) {
        timeout(PATIENCE, async {
            while self.last_id() < id {
                assert!(self.read().await, "the stream goes on");
            }
        })
        .await
        .expect("a cursor in time");
    }

    pub fn last_id(&self) -> &str {
        self.parser.last_event_id()
    }

    /// The socket, after what was read.
    pub fn into_socket(self) -> TcpStream {
        match self.wire {
            Wire::Socket { socket, .. } => socket,
            Wire::Body { .. } => panic!("a socket of its own"),
        }
    }

    pub fn socket(&mut self) -> &mut TcpStream {
        match &mut self.wire {
            Wire::Socket { socket, .. } => socket,
            Wire::Body { .. } => panic!("a socket of its own"),
        }
    }
}

/// Undoes HTTP/1.1's chunked coding, strictly.
#[derive(Default)]
pub struct Chunks {
    line: Vec<u8>,
    left: usize,
    state: ChunkState,
}

#[derive(Default, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Data,
    Tail,
    Trailer,
    Over,
}

impl Chunks {
    pub fn push(&mut self, mut bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut payload = Vec::new();
        while let Some(first) = bytes.first().copied() {
            if self.state == ChunkState::Data {
                let n = self.left.min(bytes.len());
                payload.extend_from_slice(&bytes[..n]);
                bytes = &bytes[n..];
                self.left -= n;
                if self.left == 0 {
                    self.state = ChunkState::Tail;
                }
                continue;
            }
            bytes = &bytes[1..];
            assert!(
                self.state != ChunkState::Over,
                "nothing after the last chunk"
            );
            self.line.push(first);
            if self.line.ends_with(b"\r\n") {
                self.line_ended();
            }
        }
        (payload, self.state == ChunkState::Over)
    }

    fn line_ended(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
        self.state = match self.state {
            ChunkState::Size => {
                self.left = usize::from_str_radix(text, 16).expect("a chunk's size");
                if self.left == 0 {
                    ChunkState::Trailer
                } else {
                    ChunkState::Data
                }
            }
            ChunkState::Tail if text.is_empty() => ChunkState::Size,
            ChunkState::Trailer if text.is_empty() => ChunkState::Over,
            _ => panic!("not a chunk: {text:?}"),
        };
    }
}
