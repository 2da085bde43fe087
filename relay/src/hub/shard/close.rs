//! The end of a stream: what it is told, what is counted, what is logged.

use super::{
    Connection, Shard,
    feeds::Attachment,
    stream::{Backlog, Stream, Then},
};
use crate::{
    frame::{Framing, LAST_CHUNK},
    hub::{
        clients::Got,
        open::{CloseReason, Life, StreamInfo},
        sink::{Finish, Sink},
    },
    stats::DropReason,
};
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

impl Shard {
    /// Ends a stream that has a whole frame behind it with a proper end of its body: for a drain with
    /// a new reconnection time before it. One that is in the middle of a frame is cut.
    pub(super) fn finish(&mut self, index: u32, reason: CloseReason) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        // one that waits for history is at a frame's edge
        let busy = |backlog: &Backlog| backlog.then != Then::Wait || !backlog.waiting().is_empty();
        if stream.flow.is_blocked() || stream.backlog.as_deref().is_some_and(busy) {
            return self.close(index, reason);
        }
        let key = &self.feeds.get(stream.feed).key;
        let framing = key.framing;
        let mut bytes = Vec::new();
        if let Some(farewell) = key.farewell(reason, self.retry()) {
            bytes.extend_from_slice(farewell.bytes(framing));
        }
        if framing == Framing::Chunked {
            bytes.extend_from_slice(LAST_CHUNK);
        }
        self.set_backlog(index, Backlog::new(bytes, 0, Then::Close(reason)));
        self.pump(index);
    }

    /// Ends a stream at once.
    pub(super) fn close(&mut self, index: u32, reason: CloseReason) {
        if self.stream(index).is_none() {
            return;
        }
        let (delivered, filtered, waiting) = self.account(index);
        self.forget_held(self.token_of(index));
        self.stop_reading(self.token_of(index));
        self.clear_backlog(index);
        self.leave(index);
        let Connection::Stream(stream) = self.slots.remove(index as usize).connection else {
            return;
        };
        self.by_number.remove(&stream.info.number);
        if let Some(voice) = &stream.info.voice {
            voice.dialect.census.closed();
        }
        (self.edge.watch)(&stream.info, Life::Closed);
        stream.sink.finish(match reason {
            CloseReason::Ended
            | CloseReason::Draining
            | CloseReason::Expired
            | CloseReason::MaxAge => Finish::Whole,
            reason if reason.is_ordered() && !stream.flow.is_blocked() => Finish::Whole,
            _ => Finish::Cut,
        });
        self.count_out();
        if matches!(stream.sink, Sink::Body(_)) {
            self.shared.hub.carried.fetch_sub(1, Ordering::Relaxed);
        }
        self.shared.hub.stats.closed.of(reason).add(1);
        self.shared
            .hub
            .stats
            .dropped
            .of(DropReason::Closed)
            .add(waiting);
        if let Some(client) = &stream.info.client {
            let got = Got {
                delivered,
                filtered,
                dropped: stream.counts.dropped,
            };
            self.shared.hub.clients.ended(client, got, self.now);
        }
        self.log_closed(&stream, reason, delivered, filtered);
        self.release_feed(stream.feed);
        self.shared.hub.closed.notify_waiters();
    }

    /// A connection or stream that the shard owns from now on.
    pub(super) fn count_in(&self) {
        let load = self.shared.hub.load(self.index);
        load.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection or stream that the shard has no more.
    pub(super) fn count_out(&self) {
        let load = self.shared.hub.load(self.index);
        load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Events delivered and filtered so far, and those that wait.
    pub(super) fn account(&self, index: u32) -> (u64, u64, u64) {
        self.stream(index).map_or((0, 0, 0), |stream| {
            let feed = self.feeds.get(stream.feed);
            let waiting_before = stream.backlog.as_ref().map_or(0, |backlog| backlog.frames);
            if !stream.has_joined() {
                let counts = stream.counts;
                return (counts.delivered(), counts.filtered(), waiting_before);
            }
            let had = feed.log.frames_at(stream.cursor);
            let counts = stream.counts.in_feed(had, feed.filtered);
            (
                counts.delivered(),
                counts.filtered(),
                waiting_before + feed.log.frames_at(feed.log.end()) - had,
            )
        })
    }

    /// Lets go of a feed without users. A feed that others use has perhaps bytes that only this one needed.
    fn release_feed(&mut self, index: u32) {
        let feed = self.feeds.get_mut(index);
        feed.users -= 1;
        if feed.users > 0 {
            if !feed.log.is_empty() {
                self.mark_dirty(index);
            }
            return;
        }
        let (accounted, number) = (feed.accounted, feed.number);
        self.account_bytes(0, accounted);
        self.forget_feed(number);
        let feed = self.feeds.get(index);
        if feed.attachment == Attachment::Attached {
            self.shared.log.detach(&feed.key.selectors);
        } // else whoever is told that it is attached sees to it
        if feed.key.voice.is_some() {
            self.shared.hub.voices.fetch_sub(1, Ordering::Relaxed);
        }
        let unwanted = self.feeds.remove(index);
        self.shared.hub.want_no_more(unwanted.iter(), self.index);
    }

    pub(super) fn log_opened(&mut self, info: &StreamInfo) {
        if !self.log_budget.allows(self.now) {
            return;
        }
        tracing::info!(
            event = "events.connected",
            connection = %info.id(),
            client = info.client.as_deref(),
            remote = info.remote.map(tracing::field::display),
            transport = info.transport.as_str(),
            channels = info.asked().count(),
            "stream opened"
        );
    }

    fn log_closed(&mut self, stream: &Stream, reason: CloseReason, delivered: u64, filtered: u64) {
        if !self.log_budget.allows(self.now) {
            return;
        }
        tracing::info!(
            event = "events.disconnected",
            connection = %stream.info.id(),
            client = stream.info.client.as_deref(),
            reason = reason.as_str(),
            duration_seconds = (self.now - stream.opened).as_secs_f64(),
            delivered,
            filtered,
            dropped = stream.counts.dropped,
            "stream closed"
        );
    }
}

/// Lines about connections that are logged one by one within a second; in a storm the rest is counted.
const LINES_PER_SECOND: u32 = 100;

/// Keeps a reconnect storm from being a storm of log lines.
#[derive(Default)]
pub struct LogBudget {
    second: Option<Instant>,
    used: u32,
    suppressed: u64,
}

impl LogBudget {
    /// Whether one more line may be written now.
    pub fn allows(&mut self, now: Instant) -> bool {
        if self
            .second
            .is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1))
        {
            self.flush();
            (self.second, self.used) = (Some(now), 0);
        }
        self.used += 1;
        let allowed = self.used <= LINES_PER_SECOND;
        self.suppressed += u64::from(!allowed);
        allowed
    }

    /// Says how many lines were left out, if any.
    pub fn flush(&mut self) {
        let suppressed = std::mem::take(&mut self.suppressed);
        if suppressed > 0 {
            tracing::info!(
                event = "events.suppressed",
                lines = suppressed,
                "more streams opened or closed than are logged one by one"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_logged_by_its_first_lines_and_a_count() {
        let (mut budget, now) = (LogBudget::default(), Instant::now());
        let allowed = (0..1000).filter(|_| budget.allows(now)).count();
        assert_eq!(
            (allowed, budget.suppressed),
            (LINES_PER_SECOND as usize, 900)
        );
        assert!(budget.allows(now + Duration::from_secs(1)));
        assert_eq!(budget.suppressed, 0);
    }
}
