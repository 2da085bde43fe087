//! Bytes to frames. What a server may make us keep is bounded: a head by [`MAX_HEAD`] and
//! [`MAX_HEADERS`], a body by what its reader takes; a longer body is read over, and its frame says so.

use super::frame::{Body, Frame, Headers, Request, Word, read_head};
use bytes::{Buf, BytesMut};
use memchr::memchr;
use std::io;
use tokio_util::codec::{Decoder, Encoder};

/// The longest first line with all headers.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// The most headers of a frame.
pub(super) const MAX_HEADERS: usize = 256;

/// What is not STOMP. The connection cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("what the server says is not STOMP: {0}")]
    NotStomp(&'static str),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads frames of a server, and writes those of a client.
#[derive(Debug)]
pub(super) struct Codec {
    max_body: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Of the head, so many bytes were looked at, and hold no empty line.
    Head {
        seen: usize,
    },
    Body(Head, Rest),
}

#[derive(Debug)]
struct Head {
    word: Word,
    headers: Headers,
}

/// What of a body is still to come.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// So many bytes, and a zero.
    Counted(usize),
    /// Until a zero, of which the bytes so far have none.
    UntilZero {
        seen: usize,
    },
    /// The same two, of a body that is too long: what comes is not kept.
    OverCounted {
        left: u64,
        length: u64,
    },
    OverUntilZero {
        length: u64,
    },
}

impl Codec {
    /// Bodies of at most so many bytes are kept.
    pub(super) fn new(max_body: usize) -> Codec {
        Codec {
            max_body,
            state: State::Head { seen: 0 },
        }
    }

    fn body(&self, head: &Head) -> Result<Rest, FrameError> {
        let Some(length) = head.headers.get("content-length") else {
            return Ok(Rest::UntilZero { seen: 0 });
        };
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length: Option<u64> = length.parse().ok().filter(|_| digits);
        let length = length.ok_or(FrameError::NotStomp("a content-length that is no number"))?;
        match usize::try_from(length) {
            Ok(length) if length <= self.max_body => Ok(Rest::Counted(length)),
            _ => Ok(Rest::OverCounted {
                left: length,
                length,
            }),
        }
    }
}

impl Decoder for Codec {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        loop {
            match std::mem::replace(&mut self.state, State::Head { seen: 0 }) {
                State::Head { seen } => match read_to_body(bytes, seen)? {
                    Looked::Whole(head) => {
                        let rest = self.body(&head)?;
                        self.state = State::Body(head, rest);
                    }
                    Looked::NotYet { seen } => {
                        self.state = State::Head { seen };
                        return Ok(None);
                    }
                },
                State::Body(head, rest) => match take_body(bytes, rest, self.max_body)? {
                    Taken::Whole(body) => {
                        let Head { word, headers } = head;
                        return Ok(Some(Frame {
                            word,
                            headers,
                            body,
                        }));
                    }
                    Taken::NotYet(rest) => {
                        self.state = State::Body(head, rest);
                        return Ok(None);
                    }
                },
            }
        }
    }
}

impl Encoder<&Request> for Codec {
    type Error = io::Error;

    fn encode(&mut self, request: &Request, out: &mut BytesMut) -> io::Result<()> {
        request.write(out);
        Ok(())
    }
}

/// A heart-beat.
#[derive(Debug)]
pub(super) struct Beat;

impl Encoder<Beat> for Codec {
    type Error = io::Error;

    fn encode(&mut self, _: Beat, out: &mut BytesMut) -> io::Result<()> {
        out.extend_from_slice(b"\n");
        Ok(())
    }
}

enum Looked {
    Whole(Head),
    NotYet { seen: usize },
}

/// Reads over line ends between frames, which are heart-beats, and a head up to its empty line.
fn read_to_body(bytes: &mut BytesMut, mut seen: usize) -> Result<Looked, FrameError> {
    if seen == 0 {
        let beats = bytes.iter().take_while(|byte| b"\r\n".contains(byte));
        bytes.advance(beats.count());
    }
    // from the line in which the last look ended
    while let Some(found) = memchr(b'\n', &bytes[seen..]) {
        let line = &bytes[seen..seen + found];
        if seen + found > MAX_HEAD {
            break;
        }
        if matches!(line, b"" | b"\r") {
            let head = bytes.split_to(seen);
            bytes.advance(found + 1);
            return parse(&head).map(Looked::Whole);
        }
        seen += found + 1;
    }
    if bytes.len() > MAX_HEAD {
        return Err(FrameError::NotStomp("headers of more than 64 KiB"));
    }
    Ok(Looked::NotYet { seen })
}

fn parse(head: &[u8]) -> Result<Head, FrameError> {
    if memchr(0, head).is_some() {
        return Err(FrameError::NotStomp("a zero among headers"));
    }
    let mut lines = head
        .strip_suffix(b"\n")
        .unwrap_or(head)
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if lines.clone().count() > MAX_HEADERS + 1 {
        return Err(FrameError::NotStomp("more than 256 headers"));
    }
    let word = lines.next().unwrap_or_default();
    let (word, headers) =
        read_head(word, lines).ok_or(FrameError::NotStomp("a frame that no server sends"))?;
    Ok(Head { word, headers })
}

enum Taken {
    Whole(Body),
    NotYet(Rest),
}

fn take_body(bytes: &mut BytesMut, rest: Rest, max: usize) -> Result<Taken, FrameError> {
    match rest {
        Rest::Counted(length) => {
            if bytes.len() <= length {
                bytes.reserve(length + 1 - bytes.len());
                return Ok(Taken::NotYet(rest));
            }
            let body = bytes.split_to(length).freeze();
            end(bytes)?;
            Ok(Taken::Whole(Body::Whole(body)))
        }
        Rest::UntilZero { seen } => match memchr(0, &bytes[seen..]) {
            Some(found) if seen + found <= max => {
                let body = bytes.split_to(seen + found).freeze();
                end(bytes)?;
                Ok(Taken::Whole(Body::Whole(body)))
            }
            None if bytes.len() <= max => Ok(Taken::NotYet(Rest::UntilZero { seen: bytes.len() })),
            _ => read_over(bytes, 0),
        },
        Rest::OverUntilZero { length } => read_over(bytes, length),
        Rest::OverCounted { left, length } => {
            let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            bytes.advance(here);
            let left = left - here as u64;
            if left > 0 || bytes.is_empty() {
                return Ok(Taken::NotYet(Rest::OverCounted { left, length }));
            }
            end(bytes)?;
            Ok(Taken::Whole(Body::TooLong(length)))
        }
    }
}

/// The rest of a body that ends with a zero, and of which so much was read over.
fn read_over(bytes: &mut BytesMut, before: u64) -> Result<Taken, FrameError> {
    let found = memchr(0, bytes);
    let length = before + found.unwrap_or(bytes.len()) as u64;
    bytes.advance(found.unwrap_or(bytes.len()));
    if found.is_none() {
        return Ok(Taken::NotYet(Rest::OverUntilZero { length }));
    }
    end(bytes)?;
    Ok(Taken::Whole(Body::TooLong(length)))
}

/// The zero after a body.
fn end(bytes: &mut BytesMut) -> Result<(), FrameError> {
    match bytes.first() {
        Some(0) => {
            bytes.advance(1);
            Ok(())
        }
        _ => Err(FrameError::NotStomp("no zero after a body")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1_000;

    /// All frames of bytes that come in pieces, and what ended the reading.
    fn read(pieces: &[&[u8]]) -> (Vec<Frame>, Option<String>) {
        let mut codec = Codec::new(MAX);
        let mut bytes = BytesMut::new();
        let mut frames = Vec::new();
        for piece in pieces {
            bytes.extend_from_slice(piece);
            loop {
                match codec.decode(&mut bytes) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error.to_string())),
                }
            }
            // nothing beyond the bounds is kept
            assert!(bytes.len() <= MAX_HEAD.max(MAX + 1), "{}", bytes.len());
        }
        (frames, None)
    }

    fn bodies(frames: &[Frame]) -> Vec<String> {
        let text = |frame: &Frame| match &frame.body {
            Body::Whole(body) => String::from_utf8_lossy(body).into_owned(),
            Body::TooLong(length) => format!("too long: {length}"),
        };
        frames.iter().map(text).collect()
    }

    #[test]
    fn frames_are_read_with_counted_and_uncounted_bodies_and_beats_in_between() {
        let text = b"\n\r\nMESSAGE\r\na:1\r\n\r\nbody\0\n\n\nMESSAGE\ncontent-length:3\n\na\0b\0RECEIPT\nreceipt-id:7\n\n\0\n";
        let (frames, error) = read(&[text]);
        assert_eq!(error, None);
        assert_eq!(bodies(&frames), ["body", "a\0b", ""]);
        assert_eq!(frames[0].headers.get("a"), Some("1"));
        assert_eq!(frames[2].word, Word::Receipt);
        assert_eq!(frames[2].headers.get("receipt-id"), Some("7"));
    }

    #[test]
    fn a_body_that_is_too_long_is_read_over_and_the_next_frame_is_whole() {
        let long = "x".repeat(MAX + 1);
        let counted = format!("MESSAGE\ncontent-length:{}\n\n{long}\0", long.len());
        let uncounted = format!("MESSAGE\nack:9\n\n{long}\0");
        let next = "MESSAGE\n\nnext\0";
        for text in [counted, uncounted] {
            let text = format!("{text}{next}");
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(97).collect();
            for pieces in [pieces, vec![text.as_bytes()]] {
                let (frames, error) = read(&pieces);
                assert_eq!(error, None);
                assert_eq!(bodies(&frames), ["too long: 1001", "next"]);
            }
        }
        let just = format!("MESSAGE\n\n{}\0", &long[1..]);
        assert_eq!(bodies(&read(&[just.as_bytes()]).0), [&long[1..]]);
    }

    #[test]
    fn a_length_of_any_size_takes_no_memory() {
        let (frames, error) = read(&[b"MESSAGE\ncontent-length:18446744073709551615\n\nabc"]);
        assert_eq!((frames.len(), error), (0, None));
    }

    #[test]
    fn what_is_not_stomp_is_told() {
        let many = format!("MESSAGE\n{}\n", "a:1\n".repeat(MAX_HEADERS + 1));
        let endless = format!("MESSAGE\na:{}", "x".repeat(MAX_HEAD));
        let late = format!("{endless}\n\n\0");
        let cases: [(&[u8], &str); 11] = [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no server sends"),
            (b"SEND\n\n\0", "no server sends"),
            (b"message\n\n\0", "no server sends"),
            (b"MESSAGE\n\0\n\n", "zero among headers"),
            (b"MESSAGE\ncontent-length:x\n\n\0", "no number"),
            (b"MESSAGE\ncontent-length:-1\n\n\0", "no number"),
            (b"MESSAGE\ncontent-length:+1\n\na\0", "no number"),
            (b"MESSAGE\ncontent-length:1\n\nab\0", "no zero after"),
            (many.as_bytes(), "more than 256 headers"),
            (endless.as_bytes(), "more than 64 KiB"),
            (late.as_bytes(), "more than 64 KiB"),
        ];
        for (text, expected) in cases {
            let (frames, error) = read(&[text]);
            let error = error.unwrap_or_default();
            assert!(error.contains(expected), "{error} for {expected}");
            assert!(frames.is_empty());
        }
    }

    #[test]
    fn a_faulty_header_does_not_end_the_reading() {
        let (frames, error) = read(&[b"MESSAGE\nack:1\nx:\\q\n\na\0MESSAGE\n\nb\0"]);
        assert_eq!(error, None);
        assert!(frames[0].headers.fault().is_some());
        assert_eq!(frames[0].headers.get("ack"), Some("1"));
        assert_eq!(bodies(&frames), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_in_any_pieces_end_in_frames_or_an_error(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(b"MESSAGE\n".to_vec()),
                    Just(b"ERROR\r\n".to_vec()),
                    Just(b"content-length:4\n".to_vec()),
                    Just(b"content-length:4000\n".to_vec()),
                    Just(b"\n".to_vec()),
                    Just(b"\r\n".to_vec()),
                    Just(b"\0".to_vec()),
                    Just(b"\\c:\\\n".to_vec()),
                    prop::collection::vec(any::<u8>(), 0..40),
                ],
                0..40,
            ),
            size in 1_usize..50,
        ) {
            let text = parts.concat();
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            // how it is cut changes nothing
            prop_assert_eq!(read(&pieces), read(&[&text]));
        }

        #[test]
        fn messages_come_as_they_were_sent(
            messages in prop::collection::vec(("[^\\x00]{0,40}", prop::collection::vec(any::<u8>(), 0..200)), 0..8),
            size in 1_usize..300,
        ) {
            let mut bytes = BytesMut::new();
            for (value, body) in &messages {
                bytes.extend_from_slice(b"MESSAGE\nvalue:");
                super::super::escape::escape(value, &mut bytes);
                bytes.extend_from_slice(format!("\ncontent-length:{}\n\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
                bytes.extend_from_slice(b"\0\n");
            }
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let (frames, error) = read(&pieces);
            prop_assert_eq!(error, None);
            prop_assert_eq!(frames.len(), messages.len());
            for (frame, (value, body)) in frames.iter().zip(&messages) {
                prop_assert_eq!(frame.headers.get("value"), Some(value.as_str()));
                prop_assert_eq!(&frame.body, &Body::Whole(body.clone().into()));
            }
        }
    }
}
