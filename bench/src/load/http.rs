//! As much of HTTP/1.1 responses as a client of event streams needs, fed in pieces of any size.

use memchr::memmem;

/// What is wrong with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("the response's head is malformed or larger than {MAX_HEAD} bytes")]
    Head,
    #[error("the response's chunked framing is malformed")]
    Chunk,
}

/// A larger response head is refused.
pub const MAX_HEAD: usize = 16 * 1024;
/// A line of chunk framing (size and extensions, or a trailer) may not be longer.
const MAX_CHUNK_LINE: u32 = 1024;

/// How the body ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub framing: Framing,
    pub event_stream: bool,
    /// The server closes the connection behind it.
    pub closes: bool,
    /// Bytes of the head, the empty line included.
    pub length: usize,
}

impl Head {
    /// `None`: not whole yet.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, HttpError> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > MAX_HEAD {
                Err(HttpError::Head)
            } else {
                Ok(None)
            };
        };
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| HttpError::Head)?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(status).ok_or(HttpError::Head)?;
        let mut framing = Framing::UntilClose;
        let mut event_stream = false;
        let mut closes = false;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(HttpError::Head)?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("transfer-encoding") {
                framing = Framing::Chunked;
            } else if name.eq_ignore_ascii_case("content-length") && framing != Framing::Chunked {
                framing = Framing::Length(value.parse().map_err(|_| HttpError::Head)?);
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("content-type") {
                event_stream = value.to_ascii_lowercase().starts_with("text/event-stream");
            }
        }
        if matches!(status, 204 | 304) {
            framing = Framing::Length(0);
        }
        Ok(Some(Self {
            status,
            framing,
            event_stream,
            closes,
            length: end + 4,
        }))
    }
}

fn status(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()
}

/// Takes a body out of its framing.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    Length(usize),
    UntilClose,
    Chunked(Chunk),
    Ended,
}

/// Where in the chunked framing the next byte falls (RFC 9112 section 7.1).
#[derive(Debug, Clone, Copy)]
pub enum Chunk {
    Size {
        value: usize,
        line: u32,
        extension: bool,
    },
    Data {
        left: usize,
    },
    DataEnd {
        seen_cr: bool,
    },
    Trailer {
        line: u32,
    },
}

const NEXT_CHUNK: Body = Body::Chunked(Chunk::Size {
    value: 0,
    line: 0,
    extension: false,
});

impl Body {
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Body::Ended,
            Framing::Length(left) => Body::Length(left),
            Framing::UntilClose => Body::UntilClose,
            Framing::Chunked => NEXT_CHUNK,
        }
    }

    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self, Body::Ended)
    }

    /// Passes the body's bytes to `sink`; returns how many bytes belonged to this response.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, HttpError> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self {
                Body::Ended => break,
                Body::UntilClose => {
                    sink(rest);
                    at = bytes.len();
                }
                Body::Length(left) | Body::Chunked(Chunk::Data { left }) => {
                    let taken = rest.len().min(*left);
                    sink(&rest[..taken]);
                    at += taken;
                    *left -= taken;
                    if *left == 0 {
                        *self = match self {
                            Body::Length(_) => Body::Ended,
                            _ => Body::Chunked(Chunk::DataEnd { seen_cr: false }),
                        };
                    }
                }
                Body::Chunked(framing) => {
                    if let (Chunk::DataEnd { seen_cr: false }, Some((left, length))) =
                        (*framing, next_data(rest))
                    {
                        *framing = Chunk::Data { left };
                        at += length;
                        continue;
                    }
                    *self = framing.byte(rest[0])?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }
}

/// The usual case in one go: the end of a chunk, then the plain size of another that is not empty.
/// Its size, and the bytes read; `None`: go byte by byte.
fn next_data(bytes: &[u8]) -> Option<(usize, usize)> {
    let line = bytes.strip_prefix(b"\r\n")?;
    let mut value = 0;
    for (digits, &byte) in line.iter().enumerate().take(8) {
        value = match byte {
            b'0'..=b'9' => value << 4 | usize::from(byte - b'0'),
            b'a'..=b'f' => value << 4 | usize::from(byte - b'a' + 10),
            b'\r' if value > 0 && line.get(digits + 1) == Some(&b'\n') => {
                return Some((value, 2 + digits + 2));
            }
            _ => return None,
        };
    }
    None
}

impl Chunk {
    /// The state after one byte of framing.
    fn byte(self, byte: u8) -> Result<Body, HttpError> {
        let chunked = |chunk| Ok(Body::Chunked(chunk));
        match self {
            Chunk::Size {
                line: MAX_CHUNK_LINE,
                ..
            }
            | Chunk::Trailer {
                line: MAX_CHUNK_LINE,
            } => Err(HttpError::Chunk),
            Chunk::Size { line: 0, .. } if !byte.is_ascii_hexdigit() => Err(HttpError::Chunk),
            Chunk::Size {
                value: 0,
                line: 1..,
                ..
            } if byte == b'\n' => chunked(Chunk::Trailer { line: 0 }),
            Chunk::Size { value, .. } if byte == b'\n' => chunked(Chunk::Data { left: value }),
            Chunk::Size {
                value,
                line,
                extension,
            } => {
                let digit = char::from(byte).to_digit(16).filter(|_| !extension);
                let Some(digit) = digit else {
                    let extends = extension || matches!(byte, b'\r' | b';' | b' ' | b'\t');
                    let next = Chunk::Size {
                        value,
                        line: line + 1,
                        extension: true,
                    };
                    return if extends {
                        chunked(next)
                    } else {
                        Err(HttpError::Chunk)
                    };
                };
                let value = value.checked_mul(16).ok_or(HttpError::Chunk)? + digit as usize;
                chunked(Chunk::Size {
                    value,
                    line: line + 1,
                    extension,
                })
            }
            Chunk::Data { .. } => Err(HttpError::Chunk),
            Chunk::DataEnd { seen_cr: false } if byte == b'\r' => {
                chunked(Chunk::DataEnd { seen_cr: true })
            }
            Chunk::DataEnd { seen_cr: true } if byte == b'\n' => Ok(NEXT_CHUNK),
            Chunk::DataEnd { .. } => Err(HttpError::Chunk),
            Chunk::Trailer { line: 0 } if byte == b'\n' => Ok(Body::Ended),
            Chunk::Trailer { .. } if byte == b'\n' => chunked(Chunk::Trailer { line: 0 }),
            Chunk::Trailer { line } => chunked(Chunk::Trailer {
                line: line + u32::from(byte != b'\r'),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_status_framing_and_type() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=utf-8\r\n\
            Transfer-Encoding: chunked\r\n\r\nrest";
        let expected = Head {
            status: 200,
            framing: Framing::Chunked,
            event_stream: true,
            closes: false,
            length: head.len() - 4,
        };
        assert_eq!(Head::parse(head), Ok(Some(expected)));
        assert_eq!(Head::parse(&head[..40]), Ok(None));
        assert_eq!(Head::parse(b"SMTP\r\n\r\n"), Err(HttpError::Head));
    }

    #[test]
    fn a_chunked_body_is_the_same_in_whatever_pieces_it_comes() {
        let wire = b"5;x=y\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nA: b\r\n\r\nnext";
        for piece in 1..wire.len() {
            let mut body = Body::new(Framing::Chunked);
            let (mut text, mut used) = (Vec::new(), 0);
            for bytes in wire.chunks(piece) {
                used += body.feed(bytes, |b| text.extend_from_slice(b)).unwrap();
            }
            assert_eq!(text, b"hello world", "pieces of {piece}");
            assert!(body.ended());
            assert_eq!(&wire[used..], b"next");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for wire in [
            &b"x\r\n"[..],
            b"\r\n",
            b"1\r\nabc",
            b"fffffffffffffffff\r\n",
            b"1-\r\n",
        ] {
            let mut body = Body::new(Framing::Chunked);
            assert_eq!(body.feed(wire, |_| {}), Err(HttpError::Chunk), "{wire:?}");
        }
    }
}
