//! Encoded bytes ready for the wire (WHATWG HTML, "Server-sent events", 9.2.5).
//!
//! Lines end with LF, each field has one space after its colon, and fields come as `id`, `event`,
//! `data`, `retry`: the dialect that every client we met reads correctly.

use crate::{
    cursor::Places,
    event::{Ending, Event},
    label::labels,
};
use bytes::{Buf, Bytes};
use memchr::memchr_iter;
use serde::Serialize;

/// One or more blocks, framed as one chunk of HTTP/1.1's chunked coding (RFC 9112, 7.1). The same
/// memory serves streams whose framing is somebody else's, without the chunk's head and tail.
#[derive(Clone, Debug)]
pub struct Frame {
    chunk: Bytes,
    /// Length of the chunk's head.
    head: u8,
}

/// How a stream's bytes are delimited on its connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Framing {
    /// Chunked by us: a plain HTTP/1.1 socket that a shard owns.
    Chunked,
    /// By whoever carries it: HTTP/2, or a connection that ends with the stream.
    Bare,
}

/// The last chunk: the body is complete.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Frame {
    pub fn bytes(&self, framing: Framing) -> &[u8] {
        match framing {
            Framing::Chunked => &self.chunk,
            Framing::Bare => &self.chunk[usize::from(self.head)..self.chunk.len() - 2],
        }
    }

    /// An event of a channel; the one that ends its channel is followed by the control event `end`
    /// in the same frame, so that no stream sees one without the other. `id` is the text of the cursor
    /// after it.
    pub fn event(id: &[u8], channel: &str, event: &Event) -> Frame {
        let mut block = Block::with_capacity(event.size() + 64 + id.len());
        block.field("id", id);
        block.event(event);
        if event.ending == Ending::Ends {
            block.field("id", id);
            block.control("end", &EndData { channel });
        }
        block.framed()
    }

    /// An event for one stream alone: without an id, since it cannot be resumed.
    pub fn direct(event: &Event) -> Frame {
        let mut block = Block::with_capacity(event.size() + 32);
        block.event(event);
        block.framed()
    }

    /// The blocks of a frame, to be made into one again by [`Frame::from_text`].
    pub fn into_text(self) -> String {
        let blocks = self.bytes(Framing::Bare).to_vec();
        String::from_utf8(blocks).expect("a frame is made of texts")
    }

    /// Of blocks that [`Frame::into_text`] gave.
    pub fn from_text(blocks: &str) -> Frame {
        let mut block = Block::with_capacity(blocks.len());
        block.0.extend_from_slice(blocks.as_bytes());
        block.framed()
    }

    /// Only the end of a channel, for a stream whose filter rejects the event that ends it.
    pub fn end(id: &[u8], channel: &str) -> Frame {
        let mut block = Block::with_capacity(64);
        block.field("id", id);
        block.control("end", &EndData { channel });
        block.framed()
    }

    /// The first block of a stream: its reconnection time in milliseconds and its cursor. It has no
    /// data, so it dispatches nothing, but a client that drops now already resumes exactly.
    pub fn opening(cursor: Option<&str>, retry: u32) -> Frame {
        let mut block = Block::with_capacity(64);
        if let Some(cursor) = cursor {
            block.field("id", cursor.as_bytes());
        }
        block.field("retry", retry.to_string().as_bytes());
        block.end();
        block.framed()
    }

    /// A heartbeat that no handler sees: a comment, and the current cursor where there is one.
    pub fn heartbeat_comment(cursor: Option<&str>) -> Frame {
        let mut block = Block::with_capacity(32);
        block.0.extend_from_slice(b":\n");
        if let Some(cursor) = cursor {
            block.field("id", cursor.as_bytes());
        }
        block.end();
        block.framed()
    }

    /// A control event; `cursor`, when given, becomes the client's last event id.
    pub fn control(cursor: Option<&str>, kind: &'static str, data: &impl Serialize) -> Frame {
        let mut block = Block::with_capacity(128);
        if let Some(cursor) = cursor {
            block.field("id", cursor.as_bytes());
        }
        block.control(kind, data);
        block.framed()
    }

    /// The last words to a stream that somebody ends: why, and the reconnection time in milliseconds.
    pub fn dismissal(reason: &'static str, retry: u32) -> Frame {
        let mut block = Block::with_capacity(64);
        block.field("retry", retry.to_string().as_bytes());
        block.control("end", &DismissalData { reason });
        block.framed()
    }

    /// A new reconnection time, in milliseconds, for a stream that is about to close.
    pub fn retry(milliseconds: u32) -> Frame {
        Frame::opening(None, milliseconds)
    }
}

#[derive(Serialize)]
struct EndData<'a> {
    channel: &'a str,
}

/// Data of the control event `end` where somebody ends the stream.
#[derive(Serialize)]
struct DismissalData {
    reason: &'static str,
}

/// Data of the control event `connected`.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ConnectedData<'a> {
    /// The stream's id, as `/v1/connections` lists it.
    pub connection: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'a str>,
    pub time: String,
    pub channels: Vec<String>,
}

/// Data of the control event `heartbeat`.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatData {
    pub time: String,
    /// A client that has heard nothing for longer than this may take the stream for dead.
    pub interval_seconds: f64,
}

/// Data of the control event `degraded`.
#[derive(Serialize, Debug)]
pub struct DegradedData {
    /// Whether it is so, or over.
    pub degraded: bool,
    pub time: String,
}

/// Data of the control event `expiring`.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ExpiringData {
    /// How long the grant still holds.
    pub in_seconds: f64,
}

/// Why events are missing from a stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The log no longer has them.
    Trimmed,
    /// The log itself may have lost them.
    Epoch,
    /// The client came back with an id that this log never gave out.
    UnknownId,
    /// The stream could not take them in time, and its policy drops the oldest.
    Overflow,
    /// Somebody who may has purged the channel.
    Purged,
}

labels!(GapReason {
    Trimmed => "trimmed",
    Epoch => "epoch",
    UnknownId => "unknown-id",
    Overflow => "overflow",
    Purged => "purged",
});

/// Data of the control event `gap`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GapData {
    pub reason: GapReason,
    /// Whether something is missing for certain, or nobody can tell any more.
    pub certain: bool,
    /// What is missing came after these places; `null` when nobody can tell.
    pub after: Places,
    /// And not after these.
    pub until: Places,
    /// Channels concerned, the first few by name; empty when it may be any channel of the stream.
    pub channels: Vec<String>,
}

/// Blocks, after room for the chunk's head: how long it is says only the end.
struct Block(Vec<u8>);

/// The longest head of a chunk: sixteen digits and a line end.
const MAX_CHUNK_HEAD: usize = 18;

impl Block {
    fn with_capacity(capacity: usize) -> Block {
        let mut bytes = Vec::with_capacity(MAX_CHUNK_HEAD + capacity + 2);
        bytes.resize(MAX_CHUNK_HEAD, 0);
        Block(bytes)
    }

    /// The chunk, in the same memory.
    fn framed(self) -> Frame {
        let mut bytes = self.0;
        let mut left = bytes.len() - MAX_CHUNK_HEAD;
        let mut start = MAX_CHUNK_HEAD - 2;
        bytes[start..MAX_CHUNK_HEAD].copy_from_slice(b"\r\n");
        loop {
            start -= 1;
            bytes[start] = b"0123456789abcdef"[left % 16];
            left /= 16;
            if left == 0 {
                break;
            }
        }
        bytes.extend_from_slice(b"\r\n");
        let mut chunk = Bytes::from(bytes);
        chunk.advance(start);
        Frame {
            chunk,
            head: (MAX_CHUNK_HEAD - start) as u8,
        }
    }

    /// `value` holds no line end: ids, legal types and numbers are the callers' only values.
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    fn data(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            self.field("data", &bytes[start..end]);
            start = end + 1;
        }
        self.field("data", &bytes[start..]);
    }

    fn event(&mut self, event: &Event) {
        if let Some(data) = &event.data {
            if !event.kind.is_default() {
                self.field("event", event.kind.as_str().as_bytes());
            }
            self.data(data.as_str());
        }
        if let Some(retry) = event.retry {
            self.field("retry", retry.to_string().as_bytes());
        }
        self.end();
    }

    fn control(&mut self, kind: &str, data: &impl Serialize) {
        self.field("event", kind.as_bytes());
        let json =
            serde_json::to_string(data).expect("control data are plain structs with string keys");
        self.data(&json);
        self.end();
    }

    fn end(&mut self) {
        self.0.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cursor::{Epoch, EventId, Partition, Place},
        event::{Data, EventType},
    };

    fn id() -> [u8; Place::LEN] {
        Place {
            partition: Partition::ONLY,
            epoch: Epoch::from_random(7),
            id: EventId::new(9).unwrap(),
        }
        .text()
    }

    fn text(frame: &Frame) -> String {
        String::from_utf8(frame.bytes(Framing::Bare).to_vec()).unwrap()
    }

    #[test]
    fn an_event_is_id_type_data_lines_and_retry() {
        let event = Event {
            kind: EventType::parse("tick").unwrap(),
            data: Some(Data::text("a\r\nb\n")),
            retry: Some(250),
            ..Event::default()
        };
        assert_eq!(
            text(&Frame::event(&id(), "c", &event)),
            "id: 0----6--------8\nevent: tick\ndata: a\ndata: b\ndata: \nretry: 250\n\n"
        );
        assert_eq!(
            text(&Frame::event(&id(), "c", &Event::text(""))),
            "id: 0----6--------8\ndata: \n\n"
        );
    }

    #[test]
    fn the_last_event_of_a_channel_brings_its_end() {
        let last = Event {
            ending: Ending::Ends,
            ..Event::text("bye")
        };
        assert_eq!(
            text(&Frame::event(&id(), "a\"b", &last)),
            "id: 0----6--------8\ndata: bye\n\nid: 0----6--------8\nevent: end\ndata: {\"channel\":\"a\\\"b\"}\n\n"
        );
        let bare = Event { data: None, ..last };
        assert!(text(&Frame::event(&id(), "c", &bare)).starts_with("id: 0----6--------8\n\nid:"));
    }

    #[test]
    fn a_chunk_says_its_length_in_bytes() {
        let frame = Frame::event(&id(), "c", &Event::text("é"));
        assert_eq!(
            frame.bytes(Framing::Chunked),
            b"1e\r\nid: 0----6--------8\ndata: \xc3\xa9\n\n\r\n"
        );
    }

    #[test]
    fn openings_and_heartbeats_carry_the_cursor_and_no_data() {
        assert_eq!(
            text(&Frame::opening(Some("x"), 3000)),
            "id: x\nretry: 3000\n\n"
        );
        assert_eq!(text(&Frame::heartbeat_comment(Some("x"))), ":\nid: x\n\n");
        assert_eq!(text(&Frame::heartbeat_comment(None)), ":\n\n");
    }

    #[test]
    fn a_gap_has_one_name_on_the_wire_and_in_metrics() {
        use crate::label::Label;
        for reason in GapReason::ALL {
            assert_eq!(serde_json::json!(reason), reason.label());
        }
    }
}
