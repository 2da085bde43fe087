//! One channel's history.

use crate::{
    cursor::{EventId, Predecessor, UnixMillis},
    event::Ending,
    event_log::{Entry, Retention, gap::Known},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Bytes that an entry takes beside what its event counts for.
const ENTRY_OVERHEAD: usize = 160;

/// What an entry counts for against the limits in bytes.
pub fn weight(entry: &Entry) -> usize {
    entry.event.size() + ENTRY_OVERHEAD
}

/// A duration on the log's clock; forever, if it is longer than that.
pub fn millis(duration: Duration) -> UnixMillis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub struct History {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// Id of the newest event, also when the event itself is gone.
    pub last: EventId,
    pub ending: Ending,
    /// Everything up to here was purged; zero if nothing ever was.
    pub purged: EventId,
    pub retention: Retention,
    rate: Rate,
}

impl History {
    pub fn new(last: EventId, ending: Ending, retention: Retention) -> History {
        History {
            entries: VecDeque::new(),
            bytes: 0,
            last,
            ending,
            purged: EventId::ZERO,
            retention,
            rate: Rate::default(),
        }
    }

    pub fn push(&mut self, entry: Arc<Entry>, now: UnixMillis) {
        self.last = entry.id;
        self.ending = entry.event.ending;
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
        self.rate.count(now);
    }

    /// Drops the oldest event; its weight.
    pub fn pop(&mut self) -> Option<usize> {
        let entry = self.entries.pop_front()?;
        let weight = weight(&entry);
        self.bytes -= weight;
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        Some(weight)
    }

    /// Whether the oldest event is past one of the channel's limits.
    pub fn over(&self, now: UnixMillis) -> bool {
        let age = millis(self.retention.age);
        self.entries.len() > self.retention.events
            || self.bytes > self.retention.bytes
            || self
                .first()
                .is_some_and(|id| id.unix_millis().saturating_add(age) < now)
    }

    pub fn first(&self) -> Option<EventId> {
        self.entries.front().map(|entry| entry.id)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter()
    }

    /// The entries after an id.
    pub fn after(&self, id: EventId) -> impl Iterator<Item = &Arc<Entry>> {
        let start = self.entries.partition_point(|entry| entry.id <= id);
        self.entries.range(start..)
    }

    /// What the gap rule needs to know about a reader that stands after `id`.
    pub fn known_after(&self, id: EventId) -> Known {
        match self.after(id).next() {
            Some(entry) => Known::Next(entry.predecessor),
            None => Known::Last(self.last),
        }
    }

    pub fn predecessor(&self) -> Predecessor {
        Predecessor::Known(self.last)
    }

    /// Events a second.
    pub fn rate(&self, now: UnixMillis) -> f64 {
        self.rate.at(now)
    }
}

/// An exponentially decaying average, with a memory of ten seconds.
#[derive(Default)]
struct Rate {
    per_second: f64,
    at: UnixMillis,
}

const MEMORY_SECONDS: f64 = 10.0;

impl Rate {
    fn at(&self, now: UnixMillis) -> f64 {
        let seconds = now.saturating_sub(self.at) as f64 / 1000.0;
        self.per_second * (-seconds / MEMORY_SECONDS).exp()
    }

    fn count(&mut self, now: UnixMillis) {
        self.per_second = self.at(now) + 1.0 / MEMORY_SECONDS;
        self.at = now.max(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_nears_what_comes_and_decays_when_nothing_does() {
        let mut rate = Rate::default();
        for tick in 0..200 {
            rate.count(tick * 250);
        }
        assert!(
            (3.5..4.5).contains(&rate.at(199 * 250)),
            "{}",
            rate.at(199 * 250)
        );
        assert!(rate.at(199 * 250 + 60_000) < 0.02);
    }
}
