//! As much of HTTP/2 (RFC 9113) as one event stream on one connection needs.
//!
//! The response is given on as the text of HTTP/1.1 that it means, so that all else is the same.

use std::io;

/// The only stream.
const STREAM: u32 = 1;
/// So many bytes may come before the server has to be told that there is room again.
const WINDOW: u32 = 0x3fff_ffff;
/// Room is told of again when so much of it was used.
const RENEW: u32 = WINDOW / 2;
const HEADER: usize = 9;
/// A larger frame is a fault of the server: it was not told that it may send one.
const MAX_FRAME: usize = 16 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// `:status: 200` of HPACK's static table (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

/// What has come of a connection.
#[derive(Default)]
pub struct Client {
    partial: Vec<u8>,
    used: u32,
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The connection's preface, settings with a large window, and the one request.
#[must_use]
pub fn request(host: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE
    let window = [&[0, 4][..], &WINDOW.to_be_bytes()].concat();
    frame(&mut out, SETTINGS, 0, 0, &window);
    frame(&mut out, WINDOW_UPDATE, 0, 0, &RENEW.to_be_bytes());
    // :method GET and :scheme http of the static table, then literals that nobody remembers
    let mut block = vec![0x82, 0x86];
    let pseudo = [(":authority", host), (":path", target)];
    for (name, value) in pseudo.iter().chain(headers) {
        block.push(0);
        string(&mut block, &name.to_ascii_lowercase());
        string(&mut block, value);
    }
    frame(&mut out, HEADERS, END_HEADERS | END_STREAM, STREAM, &block);
    out
}

/// A text as HPACK has it, not compressed (RFC 7541, 5.1 and 5.2).
fn string(out: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        out.push(length as u8);
    } else {
        out.push(127);
        length -= 127;
        while length >= 128 {
            out.push((length % 128) as u8 | 128);
            length /= 128;
        }
        out.push(length as u8);
    }
    out.extend_from_slice(text.as_bytes());
}

impl Client {
    /// Takes bytes in pieces of any size; `answer` is what must be sent, `take` gets the response.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        answer: &mut Vec<u8>,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.partial.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.partial);
        let mut rest = &unread[..];
        while let Some((header, after)) = rest.split_at_checked(HEADER) {
            let length =
                usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
            if length > MAX_FRAME {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            rest = after;
            self.frame(header[3], header[4], payload, answer, &mut take)?;
        }
        self.partial = rest.to_vec();
        Ok(())
    }

    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        payload: &[u8],
        answer: &mut Vec<u8>,
        take: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        match kind {
            // nothing here asks for padding, so a server that pads is a fault to look at
            DATA | HEADERS if flags & PADDED != 0 => return Err(io::ErrorKind::InvalidData.into()),
            HEADERS => {
                let status = if payload.contains(&STATUS_200) {
                    "200"
                } else {
                    "500"
                };
                take(
                    format!("HTTP/1.1 {status} -\r\ncontent-type: text/event-stream\r\n\r\n")
                        .as_bytes(),
                );
            }
            DATA => {
                take(payload);
                self.used += payload.len() as u32;
                if self.used > RENEW {
                    for stream in [0, STREAM] {
                        frame(answer, WINDOW_UPDATE, 0, stream, &self.used.to_be_bytes());
                    }
                    self.used = 0;
                }
            }
            SETTINGS if flags & ACK == 0 => frame(answer, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(answer, PING, ACK, 0, payload),
            RST_STREAM | GOAWAY => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_in_pieces_of_any_size_is_the_text_that_it_means() {
        let mut wire = Vec::new();
        frame(&mut wire, SETTINGS, 0, 0, &[]);
        frame(&mut wire, HEADERS, END_HEADERS, STREAM, &[STATUS_200]);
        frame(&mut wire, DATA, 0, STREAM, b"data: a\n\n");
        frame(&mut wire, PING, 0, 0, b"12345678");
        for piece in 1..wire.len() {
            let (mut client, mut answer, mut text) = (Client::default(), Vec::new(), Vec::new());
            for bytes in wire.chunks(piece) {
                client
                    .feed(bytes, &mut answer, |bytes| text.extend_from_slice(bytes))
                    .unwrap();
            }
            let text = String::from_utf8(text).unwrap();
            assert!(
                text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\ndata: a\n\n"),
                "{text}"
            );
            let mut expected = Vec::new();
            frame(&mut expected, SETTINGS, ACK, 0, &[]);
            frame(&mut expected, PING, ACK, 0, b"12345678");
            assert_eq!(answer, expected);
        }
    }

    #[test]
    fn the_end_of_the_stream_and_of_the_connection_are_seen() {
        for (kind, flags) in [(DATA, END_STREAM), (RST_STREAM, 0), (GOAWAY, 0)] {
            let mut wire = Vec::new();
            frame(&mut wire, kind, flags, STREAM, b"");
            let fed = Client::default().feed(&wire, &mut Vec::new(), |_| {});
            assert!(fed.is_err(), "{kind}");
        }
    }

    #[test]
    fn long_values_have_long_lengths() {
        let mut out = Vec::new();
        string(&mut out, &"x".repeat(300));
        assert_eq!(out[..3], [127, 173, 1]);
    }
}
