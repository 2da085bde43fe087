//! Subscribers and a publisher that allocate nothing once they are connected.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Everything that is waited for comes within this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

const SUBSCRIBE: &[u8] =
    b"GET /v1/events?channel=cost&filter.kind=a HTTP/1.1\r\nHost: localhost\r\n\
    Authorization: Bearer reader-secret\r\n\r\n";
const PUBLISH: &[u8] = b"POST /v1/channels/cost/events HTTP/1.1\r\nHost: localhost\r\n\
    Authorization: Bearer backend-secret\r\nContent-Type: application/json\r\nContent-Length: 51\r\n\r\n\
    {\"data\":\"0123456789abcd\",\"attributes\":{\"kind\":\"a\"}}";

pub struct Client {
    address: SocketAddr,
    publisher: TcpStream,
    streams: Vec<TcpStream>,
    buffer: Box<[u8; 4096]>,
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("it listens");
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&socket, Some(PATIENCE)).expect("a time over zero");
    }
    socket
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client {
            address,
            publisher: connect(address),
            streams: Vec::new(),
            buffer: Box::new([0; 4096]),
        }
    }

    /// Room for so many streams.
    pub fn reserve(&mut self, streams: usize) {
        self.streams.reserve(streams);
    }

    /// Opens more streams, each with its first block.
    pub fn open(&mut self, more: usize) {
        for _ in 0..more {
            let mut socket = connect(self.address);
            socket.write_all(SUBSCRIBE).expect("it reads");
            // the head, and a first block that tells the cursor
            read_until(
                &mut socket,
                &mut self.buffer[..],
                b"HTTP/1.1 200 ",
                b"\n\n\r\n",
            );
            self.streams.push(socket);
        }
    }

    /// Publishes one event after another, each of which all streams have before the next.
    pub fn publish(&mut self, events: usize) {
        for _ in 0..events {
            self.publisher.write_all(PUBLISH).expect("it reads");
            read_until(
                &mut self.publisher,
                &mut self.buffer[..],
                b"HTTP/1.1 201 ",
                b"}",
            );
            for socket in &mut self.streams {
                read_until(socket, &mut self.buffer[..], b"", b"0123456789abcd\n\n\r\n");
            }
        }
    }
}

/// Reads what begins and ends like that. A heartbeat may come before and behind it.
fn read_until(socket: &mut TcpStream, buffer: &mut [u8], start: &[u8], end: &[u8]) {
    let mut n = 0;
    while !buffer[..n].windows(end.len()).any(|part| part == end) {
        let more = socket.read(&mut buffer[n..]).expect("it writes");
        let so_far = &buffer[..n + more];
        assert!(more > 0, "it ended: {}", String::from_utf8_lossy(so_far));
        n += more;
    }
    let text = String::from_utf8_lossy(&buffer[..n]);
    assert!(buffer[..n].starts_with(start), "{text}");
}
