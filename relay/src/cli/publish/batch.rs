//! Standard input as lines of events, sent in batches.

use super::{
    Ids,
    delivery::{Delivery, Note},
    new_key,
};
use crate::cli::client::{Failure, ProblemBody};
use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use reqwest::StatusCode;
use serde::Deserialize;
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    time::timeout,
};

/// Most lines of one request.
const MAX_LINES: usize = 500;
/// A batch is sent once it has so many bytes.
const FULL: usize = 512 * 1024;
/// Longest line; the relay's own limit is far lower.
const MAX_LINE: usize = 16 * 1024 * 1024;
/// How long a batch waits for more lines, so that a slow pipe is passed on without delay.
const LINGER: Duration = Duration::from_millis(20);

/// Non-empty lines with their numbers, from 1. [`Lines::next`] can be cancelled without loss.
pub(super) struct Lines<R> {
    input: R,
    buffer: BytesMut,
    /// Bytes of the buffer that are known to have no line end.
    searched: usize,
    /// Lines taken so far, empty ones included.
    number: u64,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(input: R) -> Lines<R> {
        Lines {
            input,
            buffer: BytesMut::new(),
            searched: 0,
            number: 0,
            ended: false,
        }
    }

    async fn next(&mut self) -> Result<Option<(u64, Bytes)>, Failure> {
        loop {
            while let Some(line) = self.buffered_line() {
                self.number += 1;
                if !line.trim_ascii().is_empty() {
                    return Ok(Some((self.number, line)));
                }
            }
            if self.ended {
                return Ok(None);
            }
            if self.buffer.len() > MAX_LINE {
                return Err(Failure::InputTooLarge {
                    what: "a line",
                    max: MAX_LINE,
                });
            }
            let read = self.input.read_buf(&mut self.buffer).await;
            self.ended = read.map_err(Failure::Input)? == 0;
        }
    }

    fn buffered_line(&mut self) -> Option<Bytes> {
        if let Some(end) = memchr(b'\n', &self.buffer[self.searched..]) {
            let line = self.buffer.split_to(self.searched + end);
            self.buffer.advance(1);
            self.searched = 0;
            return Some(line.freeze());
        }
        self.searched = self.buffer.len();
        if !self.ended || self.buffer.is_empty() {
            return None;
        }
        self.searched = 0;
        Some(self.buffer.split().freeze())
    }

    /// At least one line, and what else comes at once; `None` at the end of input.
    async fn batch(&mut self) -> Result<Option<Batch>, Failure> {
        let Some(first) = self.next().await? else {
            return Ok(None);
        };
        let mut batch = Batch::default();
        batch.add(first);
        while batch.numbers.len() < MAX_LINES && batch.body.len() < FULL {
            match timeout(LINGER, self.next()).await {
                Ok(Ok(Some(line))) => batch.add(line),
                // What came before a failure is published; the failure comes again.
                Ok(Ok(None) | Err(_)) | Err(_) => break,
            }
        }
        Ok(Some(batch))
    }
}

#[derive(Default)]
struct Batch {
    /// The number in the input of each of its lines.
    numbers: Vec<u64>,
    body: BytesMut,
}

impl Batch {
    fn add(&mut self, (number, line): (u64, Bytes)) {
        self.numbers.push(number);
        self.body.extend_from_slice(&line);
        self.body.extend_from_slice(b"\n");
    }

    /// The number in the input of a line that the relay counts from 1.
    fn number(&self, line: usize) -> u64 {
        let index = line.checked_sub(1);
        let number = index.and_then(|index| self.numbers.get(index));
        number.copied().unwrap_or(line as u64)
    }
}

/// The relay's answer to a batch.
#[derive(Deserialize)]
struct Answer {
    results: Vec<LineResult>,
}

#[derive(Deserialize)]
struct LineResult {
    line: usize,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Id(String),
    Error(ProblemBody),
}

/// Publishes all lines, prints the ids, and tells which lines failed. A line that failed does not
/// keep the others back; a batch that failed as a whole ends it.
pub(super) async fn publish_lines<R, W, T>(
    mut lines: Lines<R>,
    mut delivery: Delivery<T>,
    mut ids: Ids<W>,
) -> Result<(), Failure>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    T: FnMut(Note),
{
    let (mut failed, mut total) = (0, 0);
    while let Some(batch) = lines.batch().await? {
        let answer = match publish_batch(&batch, &mut delivery).await {
            Ok(answer) => answer,
            Err(failure) => {
                let (first, last) = (batch.number(1), batch.number(batch.numbers.len()));
                delivery.tell(Note::BatchFailed { first, last });
                return Err(failure);
            }
        };
        for LineResult { line, outcome } in answer.results {
            total += 1;
            match outcome {
                Outcome::Id(id) => ids.print(&id).await?,
                Outcome::Error(problem) => {
                    failed += 1;
                    delivery.tell(Note::LineFailed {
                        line: batch.number(line),
                        why: problem.to_string(),
                    });
                }
            }
        }
    }
    if failed > 0 {
        return Err(Failure::Lines { failed, total });
    }
    Ok(())
}

async fn publish_batch<T: FnMut(Note)>(
    batch: &Batch,
    delivery: &mut Delivery<T>,
) -> Result<Answer, Failure> {
    let body = Bytes::copy_from_slice(&batch.body);
    let answer = delivery
        .send("application/x-ndjson", body, &new_key())
        .await?;
    let understood = delivery.understand::<Answer>(&answer);
    if answer.status.is_success() {
        return understood;
    }
    match understood {
        // Every line was refused for itself.
        Ok(lines) if answer.status == StatusCode::BAD_REQUEST => Ok(lines),
        _ => Err(delivery.refused(&answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(lines: &mut Lines<impl AsyncRead + Unpin>) -> Vec<(u64, Bytes)> {
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn empty_lines_count_but_are_not_sent() {
        let mut lines = Lines::new(&b"a\n\n \r\nb\r\nc"[..]);
        let wanted = [(1, "a"), (4, "b\r"), (5, "c")];
        let wanted = wanted.map(|(number, text)| (number, Bytes::from(text)));
        assert_eq!(all(&mut lines).await, wanted);
        assert_eq!(all(&mut Lines::new(&b""[..])).await, []);
    }

    #[tokio::test]
    async fn batches_are_bounded_and_remember_their_lines() {
        let input = "x\n".repeat(MAX_LINES + 3);
        let mut lines = Lines::new(input.as_bytes());
        let first = lines.batch().await.unwrap().unwrap();
        assert_eq!((first.numbers.len(), first.number(2)), (MAX_LINES, 2));
        let second = lines.batch().await.unwrap().unwrap();
        assert_eq!(
            (&second.body[..], second.number(1)),
            (&b"x\nx\nx\n"[..], 501)
        );
        assert!(lines.batch().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_bounded() {
        let mut lines = Lines::new(tokio::io::repeat(b'x'));
        assert!(matches!(
            lines.next().await,
            Err(Failure::InputTooLarge { .. })
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_pipe_is_passed_on_without_waiting_for_a_full_batch() {
        use tokio::io::AsyncWriteExt;
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut lines = Lines::new(reader);
        writer.write_all(b"a\nb\nhalf").await.unwrap();
        let batch = lines.batch().await.unwrap().unwrap();
        assert_eq!(&batch.body[..], b"a\nb\n");
        writer.write_all(b" c\n").await.unwrap();
        let batch = lines.batch().await.unwrap().unwrap();
        assert_eq!((&batch.body[..], batch.number(1)), (&b"half c\n"[..], 3));
    }
}
