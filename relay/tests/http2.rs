//! HTTP/2 without TLS (prior knowledge), frame by frame: what its limits are, and that who abuses it
//! hurts nobody else (RFC 9113).

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with the tests of delivery")]
#[path = "delivery/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the tests of delivery")]
#[path = "delivery/relay.rs"]
mod relay;

use client::{Request, Subscriber, Version};
use relay::{Event, PATIENCE, Publisher, Relay};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The error of a reset or a farewell.
    fn error(&self) -> u32 {
        let from = if self.kind == GO_AWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[from..from + 4].try_into().unwrap())
    }
}

/// A connection whose frames are written by hand.
struct Raw(TcpStream);

impl Raw {
    async fn connect(relay: &Relay) -> Raw {
        let socket = TcpStream::connect(relay.public).await.unwrap();
        let mut raw = Raw(socket);
        raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.write(&frame(SETTINGS, 0, 0, &[])).await;
        raw
    }

    /// The relay may have closed the connection already.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// `None` at the end.
    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        let reading = async {
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            Some(Frame {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7FFF_FFFF,
                payload,
            })
        };
        timeout(PATIENCE, reading).await.expect("in time")
    }

    /// The next frame that is what is looked for; `None` at the end.
    async fn find(&mut self, is: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            if is(&frame) {
                return Some(frame);
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A length as HPACK writes it, with seven bits in the first byte (RFC 7541, 5.1).
fn length(n: usize) -> Vec<u8> {
    if n < 127 {
        return vec![n as u8];
    }
    let (mut bytes, mut rest) = (vec![127], n - 127);
    while rest >= 128 {
        bytes.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

fn field(name: &str, value: &str) -> Vec<u8> {
    let (names, values) = (length(name.len()), length(value.len()));
    [&[0], &names[..], name.as_bytes(), &values, value.as_bytes()].concat()
}

/// GET over http, from HPACK's static table.
fn get(path: &str) -> Vec<u8> {
    [
        &[0x82, 0x86],
        &field(":path", path)[..],
        &field(":authority", "localhost"),
    ]
    .concat()
}

fn open(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &get(path))
}

const EVENTS: &str = "/v1/events?channel=news";

/// Somebody well behaved still gets what is published.
async fn others_are_served(relay: &Relay, stream: &mut Subscriber, data: &str) {
    let mut publisher = Publisher::new(relay).await;
    publisher.publish("news", Event::new(data)).await;
    assert_eq!(stream.data(1).await, [data]);
}

async fn well_behaved(relay: &Relay) -> Subscriber {
    let request = Request::new("channel=news").version(Version::Http2);
    Subscriber::open(relay.public, &request).await
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_the_others_go_on() {
    let relay = Relay::start("http: {maxConcurrentStreams: 3}").await;
    let mut raw = Raw::connect(&relay).await;
    for stream in [1, 3, 5, 7] {
        raw.write(&open(stream, EVENTS)).await;
    }
    let reset = raw.find(|frame| frame.kind == RESET).await.unwrap();
    assert_eq!((reset.stream, reset.error()), (7, REFUSED_STREAM));
    relay.wait_for_streams(3).await;
    let mut publisher = Publisher::new(&relay).await;
    publisher.publish("news", Event::new("for all three")).await;
    let mut told = Vec::new();
    while told.len() < 3 {
        let data = raw
            .find(|frame| {
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                frame.kind == DATA && text.contains("for all three")
            })
            .await
            .unwrap();
        told.push(data.stream);
    }
    told.sort_unstable();
    assert_eq!(told, [1, 3, 5]);
}

#[tokio::test]
async fn a_list_of_headers_that_is_too_large_opens_nothing() {
    let relay = Relay::start("").await;
    let mut well = well_behaved(&relay).await;
    let mut raw = Raw::connect(&relay).await;
    let large = "x".repeat(4000);
    let begin = [get(EVENTS), field("x-a", &large), field("x-b", &large)].concat();
    let rest = [
        field("x-c", &large),
        field("x-d", &large),
        field("x-e", &large),
    ]
    .concat();
    raw.write(&frame(HEADERS, END_STREAM, 1, &begin)).await;
    raw.write(&frame(CONTINUATION, END_HEADERS, 1, &rest)).await;
    let answer = raw
        .find(|frame| [HEADERS, RESET, GO_AWAY].contains(&frame.kind))
        .await;
    if let Some(answer) = answer.filter(|frame| frame.kind == HEADERS) {
        // a name of the static table, and 431 in plain or in Huffman's code
        let refused = [&b"431"[..], &[0x69, 0x90, 0xFF]];
        let payload = &answer.payload;
        let is = |code: &[u8]| payload.windows(code.len()).any(|part| part == code);
        assert!(refused.into_iter().any(is), "{payload:02x?}");
    }
    assert_eq!(relay.status("/streams").await, 1);
    others_are_served(&relay, &mut well, "still here").await;
}

#[tokio::test]
async fn who_resets_streams_as_fast_as_he_opens_them_is_told_to_calm_down() {
    let relay = Relay::start("").await;
    let mut well = well_behaved(&relay).await;
    let mut raw = Raw::connect(&relay).await;
    let cancel = 8_u32.to_be_bytes();
    let mut bytes = Vec::new();
    for n in 0..5000 {
        bytes.extend(open(2 * n + 1, EVENTS));
        bytes.extend(frame(RESET, 0, 2 * n + 1, &cancel));
    }
    raw.write(&bytes).await;
    if let Some(farewell) = raw.find(|frame| frame.kind == GO_AWAY).await {
        assert_eq!(farewell.error(), ENHANCE_YOUR_CALM);
    }
    relay.wait_for_streams(1).await;
    others_are_served(&relay, &mut well, "still here").await;
}

#[tokio::test]
async fn pings_are_answered_and_a_flood_of_them_hurts_nobody() {
    let relay = Relay::start("").await;
    let mut well = well_behaved(&relay).await;
    let mut raw = Raw::connect(&relay).await;
    raw.write(&frame(PING, 0, 0, b"12345678")).await;
    let pong = raw.find(|frame| frame.kind == PING).await.unwrap();
    assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"12345678"[..]));
    // nobody reads the answers: their number is bounded, or the connection ends
    let flood = frame(PING, 0, 0, b"abcdefgh").repeat(10_000);
    let before = relay.sample("process_resident_memory_bytes").await;
    let _ = timeout(std::time::Duration::from_secs(2), raw.write(&flood)).await;
    others_are_served(&relay, &mut well, "still here").await;
    let after = relay.sample("process_resident_memory_bytes").await;
    assert!(after < before + (16 << 20), "{before} {after}");
}
