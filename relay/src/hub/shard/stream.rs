//! One open stream, as its shard keeps it.

use crate::{
    cursor::EventId,
    event_log::Gaps,
    hub::{
        open::{CloseReason, StreamInfo},
        sink::Sink,
    },
};
use relay_config::HeartbeatAs;
use std::{sync::Arc, time::Instant};

/// A cursor into a feed, and a socket. Small, because there are many; what only some need is boxed.
pub struct Stream {
    pub sink: Sink,
    /// Which feed it receives.
    pub feed: u32,
    /// Its index among the feed's members; `NOT_JOINED` while it still replays.
    pub position: u32,
    /// Absolute offset into the feed's bytes.
    pub cursor: u64,
    pub flow: Flow,
    pub heartbeat: HeartbeatAs,
    /// Private bytes that come before the feed's.
    pub backlog: Option<Box<Backlog>>,
    /// Whether the next page of history tells what the log has trimmed.
    pub gaps: Gaps,
    pub counts: Counts,
    pub opened: Instant,
    pub info: Arc<StreamInfo>,
}

pub const NOT_JOINED: u32 = u32::MAX;

/// Whether the socket takes bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    Open,
    /// The last write was short; the shard hears when there is room.
    Blocked,
}

/// Bytes for this stream alone: its head, history, gaps; then what follows.
pub struct Backlog {
    pub bytes: Vec<u8>,
    pub sent: usize,
    /// Frames in `bytes`, counted as delivered when all are sent.
    pub frames: u64,
    pub then: Then,
}

/// What a stream does when its backlog is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// It goes on with its feed.
    Feed,
    /// It reads more history, after this id.
    Read(EventId),
    /// It waits for history that is being read.
    Wait,
    Close(CloseReason),
}

impl Backlog {
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }
}

/// What a stream got and did not get.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    /// Frames from backlogs.
    pub replayed: u64,
    /// Frames that the feed had when the stream joined it, and those that it skipped since.
    pub joined_at: u64,
    /// Events that the feed's filter had rejected when the stream joined.
    pub filtered_before: u64,
    /// Rejected while replaying.
    pub filtered: u64,
    pub dropped: u64,
}
