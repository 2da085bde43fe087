//! Reads an event stream (WHATWG HTML, "Server-sent events", 9.2.5 and 9.2.6): bytes in, events out.
//!
//! Pure and incremental: bytes may come in pieces of any size, cut anywhere, also inside CRLF, a
//! byte order mark or a character.

use memchr::{memchr, memchr2};
use std::mem;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a stream says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    Event {
        /// `message` when the stream names no type.
        kind: String,
        /// Its lines joined by LF.
        data: String,
        /// The last id that the stream gave, in this block or before; empty for none.
        last_event_id: String,
    },
    /// A new reconnection time, in milliseconds. It counts as soon as its line is complete.
    Retry(u64),
}

/// Why a stream cannot be read on. The parser that said so is of no further use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    #[error("the stream has a line of more than {max} bytes")]
    LineTooLong { max: usize },
    #[error("the stream has an event of more than {max} bytes")]
    EventTooLong { max: usize },
}

/// The state of one stream.
#[derive(Debug)]
pub struct Parser {
    max: usize,
    /// The current line, without its end.
    line: Vec<u8>,
    /// The last byte was CR: an LF that comes now belongs to it.
    after_cr: bool,
    /// No line was complete yet, so a byte order mark may still come.
    at_start: bool,
    kind: String,
    /// Each data line with an LF after it.
    data: String,
    /// The id as of the current block, which counts when the block is complete.
    id: String,
    last_event_id: String,
}

impl Default for Parser {
    fn default() -> Self {
        Parser::new()
    }
}

impl Parser {
    /// Longest line, and most bytes of one event, unless [`Parser::with_max`] says otherwise.
    pub const DEFAULT_MAX: usize = 16 * 1024 * 1024;

    /// For a first connection.
    pub fn new() -> Parser {
        Parser::resuming(String::new())
    }

    /// For a connection after another one: an id stays the last one until the stream gives the
    /// next, as in browsers.
    pub fn resuming(last_event_id: String) -> Parser {
        Parser {
            max: Parser::DEFAULT_MAX,
            line: Vec::new(),
            after_cr: false,
            at_start: true,
            kind: String::new(),
            data: String::new(),
            id: last_event_id.clone(),
            last_event_id,
        }
    }

    /// Bounds a line, and an event's type, data and id together, to `max` bytes each.
    pub fn with_max(self, max: usize) -> Parser {
        Parser { max, ..self }
    }

    /// The id to resume after: that of the last complete block with an id, whether or not the block
    /// had data. Empty for none.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Reads on, and appends to `out` what became complete. The end of a stream needs no call: an
    /// unfinished block is discarded, its id included.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Item>) -> Result<(), ParseError> {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if mem::take(&mut self.after_cr) && *first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = memchr2(b'\r', b'\n', rest);
            self.extend_line(&rest[..end.unwrap_or(rest.len())])?;
            let Some(end) = end else { break };
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.line_ended(out)?;
        }
        Ok(())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        if self.line.len() + bytes.len() > self.max {
            return Err(ParseError::LineTooLong { max: self.max });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn line_ended(&mut self, out: &mut Vec<Item>) -> Result<(), ParseError> {
        let mut buffer = mem::take(&mut self.line);
        let mut line = buffer.as_slice();
        if mem::take(&mut self.at_start) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            out.extend(self.block_ended());
        } else {
            let (name, value) = split_field(line);
            self.field(name, value, out);
        }
        buffer.clear();
        self.line = buffer;
        if self.kind.len() + self.data.len() + self.id.len() > self.max {
            return Err(ParseError::EventTooLong { max: self.max });
        }
        Ok(())
    }

    /// A line end is ASCII, so decoding line by line is decoding the whole stream.
    fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<Item>) {
        match name {
            b"event" => self.kind = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                self.data.push_str(&String::from_utf8_lossy(value));
                self.data.push('\n');
            }
            b"id" if !value.contains(&0) => self.id = String::from_utf8_lossy(value).into_owned(),
            b"retry" => out.extend(milliseconds(value).map(Item::Retry)),
            // A comment has an empty name; other names are for the future.
            _ => {}
        }
    }

    fn block_ended(&mut self) -> Option<Item> {
        self.last_event_id.clone_from(&self.id);
        let kind = mem::take(&mut self.kind);
        let mut data = mem::take(&mut self.data);
        data.pop()?;
        Some(Item::Event {
            kind: if kind.is_empty() {
                "message".to_owned()
            } else {
                kind
            },
            data,
            last_event_id: self.last_event_id.clone(),
        })
    }
}

/// Of a field's value exactly one space is removed; a line without a colon is a name.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr(b':', line) else {
        return (line, b"");
    };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}

/// ASCII digits only, at least one. What no integer holds is the largest there is.
fn milliseconds(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cursor::{Epoch, EventId, Partition, Place},
        event::{Attributes, Data, Ending, Event, EventType},
        frame::{Frame, Framing},
    };
    use proptest::prelude::*;

    /// Items, and the last event id, when the input comes in pieces of `size` bytes.
    fn parse(input: &[u8], size: usize) -> (Vec<Item>, String) {
        let (mut parser, mut out) = (Parser::new(), Vec::new());
        for piece in input.chunks(size) {
            parser.push(piece, &mut out).unwrap();
        }
        (out, parser.last_event_id().to_owned())
    }

    fn event(kind: &str, data: &str, last_event_id: &str) -> Item {
        Item::Event {
            kind: kind.to_owned(),
            data: data.to_owned(),
            last_event_id: last_event_id.to_owned(),
        }
    }

    /// A plain message without an id.
    fn message(data: &str) -> Item {
        event("message", data, "")
    }

    /// The rows of `wire-formats.md` 6.2 that concern the parser, by their numbers.
    #[test]
    fn streams_are_read_as_the_standard_says() {
        let long_comment = ":x".repeat(1024);
        let comments = format!(
            "data:1\r:\0\n:\r\ndata:2\n{long_comment}\rdata:3\n:data:fail\r{long_comment}\ndata:4\n\n"
        );
        let rows: Vec<(u32, &[u8], Vec<Item>, &str)> = vec![
            (1, b"data:1\n\n", vec![message("1")], ""),
            (2, b"data: 1\n\n", vec![message("1")], ""),
            (2, b"data:  1\n\n", vec![message(" 1")], ""),
            (2, b"data:\t1\n\n", vec![message("\t1")], ""),
            (
                3,
                b"data:\n\ndata\ndata\n\ndata:test",
                vec![message(""), message("\n")],
                "",
            ),
            (
                3,
                b"data:\n\ndata\ndata\n\ndata:test\n\n",
                vec![message(""), message("\n"), message("test")],
                "",
            ),
            (4, comments.as_bytes(), vec![message("1\n2\n3\n4")], ""),
            (5, b"data:a\r\n\r\n", vec![message("a")], ""),
            (5, b"data:a\r\r", vec![message("a")], ""),
            (5, b"data:a\r\n\n", vec![message("a")], ""),
            (
                5,
                b"data:a\n\r\ndata:b\r\n\r",
                vec![message("a"), message("b")],
                "",
            ),
            (
                6,
                b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n",
                vec![message("1"), message("3")],
                "",
            ),
            (
                7,
                b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\ndata:3\n\n",
                vec![message("2"), message("3")],
                "",
            ),
            (
                8,
                b"retry:1000\ndata:test1\n\nid:test\ndata:test2",
                vec![Item::Retry(1000), message("test1")],
                "",
            ),
            (
                8,
                b"data:test1\n\nid:test\ndata:test2\n",
                vec![message("test1")],
                "",
            ),
            (
                9,
                b"event:test\ndata:x\n\ndata:x\n\n",
                vec![event("test", "x", ""), message("x")],
                "",
            ),
            (10, b"event: \ndata:data\n\n", vec![message("data")], ""),
            (11, b"event:only\n\ndata:x\n\n", vec![message("x")], ""),
            (11, b"id:7\n\n", vec![], "7"),
            (11, b"retry:5\n\n", vec![Item::Retry(5)], ""),
            (
                12,
                b"id:1\ndata:a\n\ndata:b\n\n",
                vec![event("message", "a", "1"), event("message", "b", "1")],
                "1",
            ),
            (
                12,
                b"id:1\ndata:a\n\nid:2\ndata:b\n\n",
                vec![event("message", "a", "1"), event("message", "b", "2")],
                "2",
            ),
            (
                12,
                b"id:1\ndata:a\n\nid\ndata:b\n\n",
                vec![event("message", "a", "1"), message("b")],
                "",
            ),
            (12, b"id:1\n\nid:\n\n", vec![], ""),
            (
                13,
                b"id:\xe2\x80\xa6\ndata:x\n\n",
                vec![event("message", "x", "\u{2026}")],
                "\u{2026}",
            ),
            (14, b"id:a\0b\ndata:x\n\n", vec![message("x")], ""),
            (
                14,
                b"id:1\n\nid:a\0b\ndata:x\n\n",
                vec![event("message", "x", "1")],
                "1",
            ),
            (15, b"data:\0\n\n", vec![message("\0")], ""),
            (16, b"retry:02000\n", vec![Item::Retry(2000)], ""),
            (16, b"retry:1000x\n", vec![], ""),
            (16, b"retry: 3000\n", vec![Item::Retry(3000)], ""),
            (
                16,
                b"retry:-1\nretry:1.5\nretry: True\nretry:\nretry\nretry:  1\n\n",
                vec![],
                "",
            ),
            (
                16,
                b"retry:99999999999999999999999\n",
                vec![Item::Retry(u64::MAX)],
                "",
            ),
            (
                17,
                b"data\0:x\n data:x\nData:x\njustext:x\n:x\ndatax\n\n",
                vec![],
                "",
            ),
            (
                18,
                b"data:ok\xe2\x80\xa6\n\n",
                vec![message("ok\u{2026}")],
                "",
            ),
            (20, b"data:\xff\n\n", vec![message("\u{fffd}")], ""),
            (
                20,
                b"data:\xf0\x9f\ndata:a\xe2\x80b\n\n",
                vec![message("\u{fffd}\na\u{fffd}b")],
                "",
            ),
            (
                23,
                b"retry:2\ndata:opened\n\n",
                vec![Item::Retry(2), message("opened")],
                "",
            ),
            (0, b"\xef\xbbdata:x\n\n", vec![], ""),
            (0, b"\xef\xbb\xbf\ndata:x\n\n", vec![message("x")], ""),
            (0, b"\n\n\r\r\n", vec![], ""),
        ];
        for (row, input, items, last_event_id) in rows {
            for size in [input.len(), 1, 2, 3, 7] {
                let (got, id) = parse(input, size);
                let shown = String::from_utf8_lossy(input);
                assert_eq!(got, items, "row {row} in pieces of {size}: {shown:?}");
                assert_eq!(
                    id, last_event_id,
                    "row {row} in pieces of {size}: {shown:?}"
                );
            }
        }
    }

    #[test]
    fn an_id_from_before_stays_until_the_stream_gives_another() {
        let (mut parser, mut out) = (Parser::resuming("7".to_owned()), Vec::new());
        parser.push(b"data:a\n\nid:8\n", &mut out).unwrap();
        assert_eq!(
            (&out[..], parser.last_event_id()),
            (&[event("message", "a", "7")][..], "7")
        );
        parser.push(b"\n", &mut out).unwrap();
        assert_eq!(parser.last_event_id(), "8");
    }

    #[test]
    fn lines_and_events_are_bounded() {
        let fed = |input: &[u8]| Parser::new().with_max(10).push(input, &mut Vec::new());
        assert_eq!(fed(b"data:12345\n\n"), Ok(()));
        assert_eq!(
            fed(b"data:123456"),
            Err(ParseError::LineTooLong { max: 10 })
        );
        assert_eq!(
            fed(b":1234567890"),
            Err(ParseError::LineTooLong { max: 10 })
        );
        assert_eq!(fed(b"data:1234\ndata:1234\n\n"), Ok(()));
        assert_eq!(
            fed(b"data:1234\ndata:12345\n"),
            Err(ParseError::EventTooLong { max: 10 })
        );
        assert_eq!(fed(&b":1234\ndata:1234\n\n".repeat(100)), Ok(()));
    }

    /// Any text, with what breaks parsers more often than chance would have it.
    fn hostile_text() -> impl Strategy<Value = String> {
        let pieces = proptest::sample::select(vec![
            "\n",
            "\r",
            "\r\n",
            "\0",
            ":",
            " ",
            "\u{feff}",
            "\u{2028}",
            "\u{85}",
            "é",
            "😀",
            "data: x",
            "event: gap",
            "id: 0",
            "retry: 1",
            "\n\n",
            "\ndata:",
            "a",
        ]);
        let composed = proptest::collection::vec(pieces, 0..8).prop_map(|parts| parts.concat());
        prop_oneof![composed, any::<String>()]
    }

    fn legal_event() -> impl Strategy<Value = Event> {
        let kind =
            hostile_text().prop_filter_map("a legal type", |text| EventType::parse(&text).ok());
        (kind, hostile_text(), any::<Option<u32>>()).prop_map(|(kind, data, retry)| Event {
            kind,
            data: Some(Data::text(&data)),
            retry,
            ..Event::default()
        })
    }

    fn legal_place() -> impl Strategy<Value = Place> {
        (0..8u8, any::<u32>(), 0..1u64 << 53).prop_map(|(partition, epoch, id)| Place {
            partition: Partition::new(partition).unwrap(),
            epoch: Epoch::from_random(epoch),
            id: EventId::new(id).unwrap(),
        })
    }

    /// What a stream of just this event must say.
    fn expected(place: Place, event: &Event) -> Vec<Item> {
        let retry = event.retry.map(|retry| Item::Retry(retry.into()));
        let said = event.data.as_ref().map(|data| Item::Event {
            kind: event.kind.as_str().to_owned(),
            data: data.as_str().to_owned(),
            last_event_id: place.to_string(),
        });
        retry.into_iter().chain(said).collect()
    }

    proptest! {
        #[test]
        fn an_encoded_event_is_read_back_exactly(
            place in legal_place(), event in legal_event(), size in 1..40usize,
        ) {
            let frame = Frame::event(&place.text(), "c", &event);
            let (items, id) = parse(frame.bytes(Framing::Bare), size);
            prop_assert_eq!(items, expected(place, &event));
            prop_assert_eq!(id, place.to_string());
        }

        #[test]
        fn a_last_event_is_read_back_with_the_end_of_its_channel(
            place in legal_place(), event in legal_event(), channel in hostile_text(), bare: bool,
        ) {
            let data = event.data.clone().filter(|_| !bare);
            let event = Event { ending: Ending::Ends, data, ..event };
            let mut wanted = expected(place, &event);
            wanted.push(Item::Event {
                kind: "end".to_owned(),
                data: serde_json::json!({ "channel": channel }).to_string(),
                last_event_id: place.to_string(),
            });
            let frame = Frame::event(&place.text(), &channel, &event);
            prop_assert_eq!(parse(frame.bytes(Framing::Bare), 5).0, wanted);
        }

        #[test]
        fn text_of_a_publisher_never_becomes_a_field(
            place in legal_place(), kind in hostile_text(), data in hostile_text(),
            attribute in hostile_text(),
        ) {
            let plain = Event {
                kind: EventType::parse(&kind).unwrap_or_default(),
                ..Event::text(&data)
            };
            let attributes = Attributes::new([("kind".to_owned(), attribute)]).unwrap_or_default();
            let event = Event { attributes, ..plain.clone() };
            let frame = Frame::event(&place.text(), "c", &event);
            prop_assert_eq!(parse(frame.bytes(Framing::Bare), 64).0, expected(place, &plain));
        }

        #[test]
        fn how_bytes_are_cut_makes_no_difference(bytes: Vec<u8>, text in hostile_text(), size in 1..9usize) {
            let input = [bytes.as_slice(), text.as_bytes()].concat();
            prop_assert_eq!(parse(&input, size), parse(&input, input.len().max(1)));
        }
    }
}
