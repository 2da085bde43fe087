//! Requests that say two lengths, `Content-Length` and `Transfer-Encoding`: what a proxy in front took for
//! the one and the relay for the other would be a request that nobody sent (RFC 9112, 6.1).
//!
//! Hyper takes such a request as chunked, ends the connection with its answer, and does not tell its
//! service, so the head is kept as it came until the service is asked. A head that came while another
//! request was still answered (pipelined) is not known: hyper's way holds for it.

use super::head::{self, Parsed};
use http::{HeaderMap, header};
use parking_lot::Mutex;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What came of the next request of a connection, while its head is awaited.
#[derive(Clone)]
pub struct Heads(Arc<Mutex<Record>>);

struct Record {
    /// `None` from a request until its answer.
    bytes: Option<Vec<u8>>,
    max: usize,
}

impl Heads {
    /// Of a connection that began with these bytes. `max` bounds a head.
    pub fn new(bytes: &[u8], max: usize) -> Heads {
        let heads = Heads(Arc::new(Mutex::new(Record {
            bytes: Some(Vec::new()),
            max,
        })));
        heads.came(bytes);
        heads
    }

    fn came(&self, more: &[u8]) {
        let Record { bytes, max } = &mut *self.0.lock();
        if let Some(bytes) = bytes {
            let room = max.saturating_sub(bytes.len());
            bytes.extend_from_slice(&more[..more.len().min(room)]);
        }
    }

    /// Whether the request that was just read says two lengths. Nothing is kept of it from here on.
    pub fn says_two_lengths(&self, headers: &HeaderMap) -> bool {
        let mut record = self.0.lock();
        let Some(bytes) = record.bytes.take() else {
            return false;
        };
        if !headers.contains_key(header::TRANSFER_ENCODING) {
            return false;
        }
        let Parsed::Request { request, .. } = head::parse(&bytes, record.max) else {
            return false;
        };
        let has = |name: header::HeaderName| {
            let mut headers = request.headers.iter();
            headers.any(|header| header.name.eq_ignore_ascii_case(name.as_str()))
        };
        has(header::TRANSFER_ENCODING) && has(header::CONTENT_LENGTH)
    }

    /// A request was answered: what comes now is the next one.
    pub fn answered(&self) {
        self.0.lock().bytes = Some(Vec::new());
    }
}

/// A socket whose reads are noted.
pub struct Noted<T> {
    io: T,
    heads: Heads,
}

impl<T> Noted<T> {
    pub fn new(io: T, heads: Heads) -> Noted<T> {
        Noted { io, heads }
    }

    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.heads.came(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::TRANSFER_ENCODING, "chunked".parse().unwrap());
        headers
    }

    const BOTH: &[u8] =
        b"POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    const ONE: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

    #[test]
    fn two_lengths_are_seen_however_the_head_came_and_whichever_request_it_is_of() {
        let heads = Heads::new(&BOTH[..7], 1024);
        heads.came(&BOTH[7..]);
        assert!(heads.says_two_lengths(&chunked()));
        for (bytes, both) in [(ONE, false), (BOTH, true), (ONE, false)] {
            heads.answered();
            heads.came(bytes);
            assert_eq!(heads.says_two_lengths(&chunked()), both);
            heads.came(BOTH); // of a body, or pipelined
            assert!(!heads.says_two_lengths(&chunked()));
        }
    }

    #[test]
    fn what_is_kept_of_a_head_is_bounded() {
        let heads = Heads::new(&[b'x'; 100], 64);
        heads.came(&[b'x'; 100]);
        assert_eq!(heads.0.lock().bytes.as_ref().unwrap().len(), 64);
    }
}
