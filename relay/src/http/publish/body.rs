//! Reading a body within its limit.

use crate::http::problem::{Kind, Problem};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, header};
use http_body::Frame;
use http_body_util::BodyExt;
use std::time::Duration;

/// What is read and thrown away of a body that is too large, so that its sender gets to read the
/// answer: most clients look for one only when they have sent everything.
const DISCARD_BYTES: usize = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// What a body may take.
pub struct Bounds {
    pub bytes: usize,
    /// Time without a byte after which its sender is taken for gone.
    pub silence: Duration,
    /// Time for all of it: who sends a byte now and then holds a connection no longer.
    pub time: Duration,
}

/// What is reserved for a body before any of it came.
const RESERVED: usize = 64 << 10;

/// What a body is read from.
pub trait Content: http_body::Body<Data = Bytes> + Send + Unpin {}

impl<B: http_body::Body<Data = Bytes> + Send + Unpin> Content for B {}

/// The whole body, or why it is refused.
pub async fn read<B: Content>(
    mut body: B,
    headers: &HeaderMap,
    bounds: Bounds,
) -> Result<Bytes, Problem> {
    let mut first = None;
    if announced(headers).is_some_and(|length| (1..=bounds.bytes).contains(&length)) {
        // most bodies come whole with their head: that takes no timer and no copy
        let frame = body.frame().now_or_never().flatten();
        first = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) if body.is_end_stream() => return whole(data, bounds.bytes),
            Some(Ok(Ok(data))) => Some(data),
            Some(Err(_)) => return Err(incomplete()),
            Some(Ok(Err(_))) | None => None,
        };
    }
    let time = bounds.time;
    let reading = tokio::time::timeout(time, read_at_leisure(body, first, headers, bounds));
    reading.await.unwrap_or_else(|_| Err(incomplete()))
}

fn whole(data: Bytes, max: usize) -> Result<Bytes, Problem> {
    match data.len() <= max {
        true => Ok(data),
        false => Err(too_large(max)), // longer than it said
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// What came of it `first`, and the rest.
async fn read_at_leisure(
    mut body: impl Content,
    first: Option<Bytes>,
    headers: &HeaderMap,
    bounds: Bounds,
) -> Result<Bytes, Problem> {
    let max = bounds.bytes;
    let announced = announced(headers);
    let waits = headers.get(header::EXPECT).is_some();
    if announced.is_some_and(|length| length > max) {
        if !waits {
            discard(&mut body).await;
        }
        return Err(too_large(max));
    }
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(RESERVED));
    bytes.extend_from_slice(&first.unwrap_or_default());
    loop {
        let frame = match tokio::time::timeout(bounds.silence, body.frame()).await {
            Ok(None) => return Ok(bytes.freeze()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) | Err(_) => return Err(incomplete()),
        };
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if bytes.len() + data.len() > max {
            discard(&mut body).await;
            return Err(too_large(max));
        }
        bytes.extend_from_slice(data);
    }
}

fn incomplete() -> Problem {
    Problem::new(
        Kind::IncompleteBody,
        "the body ended, or stopped coming, before it was as long as the request said; send it whole",
    )
}

async fn discard(body: &mut impl Content) {
    let mut left = DISCARD_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            if read >= left {
                return;
            }
            left -= read;
        }
    };
    // past the time the connection is simply given up
    let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
}

fn too_large(max: usize) -> Problem {
    Problem::new(
        Kind::BodyTooLarge,
        format!("a body may have {max} bytes; send less, or several batches"),
    )
}

/// A body as text.
pub fn text(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let detail = format!(
            "byte {} is not UTF-8; event streams carry UTF-8 text only",
            error.valid_up_to() + 1
        );
        Problem::new(Kind::InvalidEncoding, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http::HeaderValue;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    const BOUNDS: Bounds = Bounds {
        bytes: 8,
        silence: Duration::from_secs(1),
        time: Duration::from_secs(1),
    };

    fn announcing(length: usize) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(length))])
    }

    fn pieces(pieces: &'static [&'static str]) -> impl Content {
        let frame = |piece: &&'static str| {
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes())))
        };
        StreamBody::new(stream::iter(pieces.iter().map(frame)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_came_whole_is_taken_as_it_stands() {
        let came = Bytes::from_static(b"whole");
        let read = read(Full::new(came.clone()), &announcing(5), BOUNDS).await;
        assert_eq!(read.unwrap().as_ptr(), came.as_ptr());
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_body_in_pieces_none_is_lost_and_none_is_too_much() {
        let joined = read(pieces(&["ab", "", "cd"]), &announcing(4), BOUNDS).await;
        assert_eq!(joined.unwrap(), "abcd");
        for headers in [announcing(4), announcing(9), HeaderMap::new()] {
            let refused = read(pieces(&["abcdef", "ghi"]), &headers, BOUNDS).await;
            assert_eq!(refused.unwrap_err().kind, Kind::BodyTooLarge);
        }
        let longer_than_it_said = Full::new(Bytes::from_static(b"123456789"));
        let refused = read(longer_than_it_said, &announcing(1), BOUNDS).await;
        assert_eq!(refused.unwrap_err().kind, Kind::BodyTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_is_incomplete() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let refused = read(silent, &announcing(4), BOUNDS).await;
        assert_eq!(refused.unwrap_err().kind, Kind::IncompleteBody);
    }
}
