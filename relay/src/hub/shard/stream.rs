//! One open stream, as its shard keeps it.

use crate::{
    cursor::{Places, UnixMillis},
    event_log::{Condition, Standings},
    hub::{
        feed::Keyed,
        open::{CloseReason, Notices, StreamInfo},
        sink::Sink,
    },
    limits::Permit,
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
    /// How long nothing came, where a route wants to know.
    pub idle: Idle,
    /// Private bytes that come before the feed's.
    pub backlog: Option<Box<Backlog>>,
    pub notices: Notices,
    /// What it was told last of how the log is.
    pub told: Condition,
    pub counts: Counts,
    pub opened: Instant,
    /// When the grant that allows it ends.
    pub expires: Option<UnixMillis>,
    pub info: Arc<StreamInfo>,
    /// Given back with the stream.
    pub _permit: Option<Arc<Permit>>,
}

impl Stream {
    /// Whether it has its last bytes already.
    pub fn is_closing(&self) -> bool {
        let then = self.backlog.as_ref().map(|backlog| backlog.then);
        matches!(then, Some(Then::Close(_)))
    }

    /// Whether its cursor is in its feed.
    pub fn has_joined(&self) -> bool {
        self.position != NOT_JOINED
    }

    /// Whether something for this stream alone may be sent now: it has whole frames, and nothing of
    /// its backlog waits. `end` is the end of its feed.
    pub fn is_at_rest(&self, end: u64) -> bool {
        self.flow == Flow::Open
            && match &self.backlog {
                None => !self.has_joined() || self.cursor == end,
                Some(backlog) => backlog.then == Then::Wait && backlog.waiting().is_empty(),
            }
    }
}

/// For how many looks nothing came of a stream's feed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Idle {
    /// The stream's cursor at the last look: its last bits, which tell that it has moved.
    pub cursor: u32,
    pub looks: u8,
}

pub const NOT_JOINED: u32 = u32::MAX;

/// Whether the socket takes bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    Open,
    /// The last write was short; the shard hears when there is room. Nothing was taken since then.
    Blocked(Instant),
}

impl Flow {
    pub fn is_blocked(self) -> bool {
        matches!(self, Flow::Blocked(_))
    }

    /// After a short write of so many bytes.
    #[must_use]
    pub fn short(self, taken: usize, now: Instant) -> Flow {
        match self {
            Flow::Blocked(since) if taken == 0 => Flow::Blocked(since),
            _ => Flow::Blocked(now),
        }
    }
}

/// Bytes for this stream alone: its head, history, gaps; then what follows.
pub struct Backlog {
    pub bytes: Vec<u8>,
    pub sent: usize,
    /// Frames in `bytes`, counted as delivered when all are sent.
    pub frames: u64,
    pub then: Then,
    /// Where it reads on, or what it is reading; empty but for [`Then::Read`] and [`Then::Wait`].
    pub from: Standings,
    /// How often that could not be read.
    pub failures: u32,
    /// Whether the page that is being read may be used.
    pub page: ComingPage,
    pub tail: Tail,
}

/// What the end of a backlog's bytes is, for a stream that stays slow.
#[derive(Clone, Debug, Default)]
pub enum Tail {
    #[default]
    Fixed,
    /// Whole frames from an offset on: where each ends, and its key. Newer ones may still replace them.
    Frames {
        from: usize,
        ends: Vec<(usize, Option<Arc<str>>)>,
    },
    /// A gap event from an offset on, and what it begins after. It may still become wider.
    Gap { from: usize, after: Places },
    /// All that comes before these bytes are sent is dropped. A gap that begins after these places tells it then.
    Dropping { after: Places },
}

/// Whether a page that is being read may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ComingPage {
    Good,
    /// It may have events that were purged since it was asked for.
    Stale,
}

/// What a stream does when its backlog is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// It goes on with its feed.
    Feed,
    /// It reads more history.
    Read,
    /// It waits for history that is being read.
    Wait,
    /// It waits for the log, to begin.
    Hold,
    Close(CloseReason),
}

impl Backlog {
    pub fn new(bytes: Vec<u8>, frames: u64, then: Then) -> Backlog {
        Backlog {
            bytes,
            sent: 0,
            frames,
            then,
            from: Standings::new(),
            failures: 0,
            page: ComingPage::Good,
            tail: Tail::Fixed,
        }
    }

    /// Bytes before more history.
    pub fn read(bytes: Vec<u8>, frames: u64, from: Standings) -> Backlog {
        Backlog {
            from,
            ..Backlog::new(bytes, frames, Then::Read)
        }
    }

    /// For history that is being read.
    pub fn wait(from: Standings, failures: u32) -> Backlog {
        Backlog {
            from,
            failures,
            ..Backlog::new(Vec::new(), 0, Then::Wait)
        }
    }

    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// What is not sent, as bytes that must go out as they are and whole frames that may be replaced.
    pub fn unsent(&self) -> (&[u8], Vec<Keyed<'_>>) {
        let Tail::Frames { from, ends } = &self.tail else {
            return (self.waiting(), Vec::new());
        };
        let (mut start, mut frames, mut begins) = (*from, Vec::new(), None);
        for (end, key) in ends {
            if start >= self.sent {
                begins.get_or_insert(start);
                frames.push((&self.bytes[start..*end], key.as_ref()));
            }
            start = *end;
        }
        let fixed = begins.unwrap_or(self.bytes.len());
        (&self.bytes[self.sent..fixed], frames)
    }

    /// What the gap begins after that is told behind the backlog, if everything is dropped meanwhile.
    pub fn dropping(&self) -> Option<&Places> {
        match &self.tail {
            Tail::Dropping { after } => Some(after),
            _ => None,
        }
    }

    /// What is not sent before a gap event of which nothing was sent, and what that gap begins after;
    /// `None` when the end of the backlog is something else.
    pub fn unsent_gap(&self) -> Option<(&[u8], Places)> {
        match &self.tail {
            Tail::Gap { from, after } if self.sent <= *from => {
                Some((&self.bytes[self.sent..*from], after.clone()))
            }
            _ => None,
        }
    }
}

/// What a stream got and did not get. While its cursor is in a feed, the feed counts for it: two of the
/// numbers then are differences to the feed's, which wrap.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    /// Frames that it got.
    delivered: u64,
    /// Events that its filter rejected.
    filtered: u64,
    pub dropped: u64,
}

impl Counts {
    /// It has joined a feed that has come to so many frames and rejected events.
    pub fn join(&mut self, frames: u64, filtered: u64) {
        self.delivered = self.delivered.wrapping_sub(frames);
        self.filtered = self.filtered.wrapping_sub(filtered);
    }

    /// It leaves its feed, of which it had so many frames.
    pub fn leave(&mut self, frames: u64, filtered: u64) {
        *self = self.in_feed(frames, filtered);
    }

    /// What it got, of which so many frames and rejected events are the feed's.
    #[must_use]
    pub fn in_feed(&self, frames: u64, filtered: u64) -> Counts {
        Counts {
            delivered: self.delivered.wrapping_add(frames),
            filtered: self.filtered.wrapping_add(filtered),
            dropped: self.dropped,
        }
    }

    /// It got frames of its own.
    pub fn replayed(&mut self, frames: u64) {
        self.delivered = self.delivered.wrapping_add(frames);
    }

    pub fn rejected(&mut self, events: u64) {
        self.filtered = self.filtered.wrapping_add(events);
    }

    /// It passes frames of its feed that it does not get from there.
    pub fn pass(&mut self, frames: u64) {
        self.delivered = self.delivered.wrapping_sub(frames);
    }

    /// For a stream that is in no feed.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// For a stream that is in no feed.
    pub fn filtered(&self) -> u64 {
        self.filtered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_in_and_after_a_feed_adds_up() {
        let mut counts = Counts::default();
        counts.replayed(3);
        counts.rejected(1);
        counts.join(100, 50);
        counts.pass(2);
        let within = counts.in_feed(107, 54);
        assert_eq!((within.delivered(), within.filtered()), (8, 5));
        counts.leave(107, 54);
        counts.replayed(1);
        assert_eq!((counts.delivered(), counts.filtered()), (9, 5));
    }
}
