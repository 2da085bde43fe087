//! Reading a body within its limit.

use crate::http::problem::{Kind, Problem};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
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

/// The whole body, or why it is refused.
pub async fn read(body: Body, headers: &HeaderMap, bounds: Bounds) -> Result<Bytes, Problem> {
    let time = bounds.time;
    let reading = tokio::time::timeout(time, read_at_leisure(body, headers, bounds));
    reading.await.unwrap_or_else(|_| Err(incomplete()))
}

async fn read_at_leisure(
    mut body: Body,
    headers: &HeaderMap,
    bounds: Bounds,
) -> Result<Bytes, Problem> {
    let max = bounds.bytes;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let waits = headers.get(header::EXPECT).is_some();
    if announced.is_some_and(|length| length > max) {
        if !waits {
            discard(&mut body).await;
        }
        return Err(too_large(max));
    }
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(RESERVED));
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

async fn discard(body: &mut Body) {
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
