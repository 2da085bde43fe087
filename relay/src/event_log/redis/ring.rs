//! The latest entries that one partition's tail has had, for clients that come back. Pure.

use crate::{cursor::EventId, event_log::Entry};
use std::{collections::VecDeque, sync::Arc};

/// What an entry takes beside its event.
const OVERHEAD: usize = 200;

/// Entries in order of ids, bounded in bytes.
#[derive(Debug)]
pub struct Ring {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    max_bytes: usize,
    /// All that was delivered after this is here.
    from: EventId,
}

impl Ring {
    pub fn new(max_bytes: usize) -> Ring {
        Ring {
            entries: VecDeque::new(),
            bytes: 0,
            max_bytes,
            from: EventId::ZERO,
        }
    }

    /// All that was delivered after this is here.
    pub fn from(&self) -> EventId {
        self.from
    }

    pub fn push(&mut self, entry: Arc<Entry>) {
        if self.entries.back().is_some_and(|last| entry.id < last.id) {
            return self.clear(entry.id.max(self.newest())); // out of order: who reads must ask the log
        }
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
        while self.bytes > self.max_bytes {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= weight(&oldest);
            self.from = oldest.id;
        }
    }

    fn newest(&self) -> EventId {
        self.entries.back().map_or(self.from, |entry| entry.id)
    }

    /// Forgets everything; from here on it is complete again.
    pub fn clear(&mut self, from: EventId) {
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.from = from;
    }

    /// Entries after an id, which is not before [`Ring::from`].
    pub fn after(&self, id: EventId) -> impl Iterator<Item = &Arc<Entry>> {
        let start = self.entries.partition_point(|entry| entry.id <= id);
        self.entries.range(start..)
    }
}

fn weight(entry: &Entry) -> usize {
    entry.event.size() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channel::ChannelName,
        cursor::{Partition, Predecessor},
        event::Event,
    };

    fn id(value: u64) -> EventId {
        EventId::new(value).unwrap()
    }

    fn entry(value: u64) -> Arc<Entry> {
        Arc::new(Entry {
            partition: Partition::ONLY,
            channel: ChannelName::parse("c").unwrap(),
            id: id(value),
            predecessor: Predecessor::Known(EventId::ZERO),
            event: Event::text(&"x".repeat(100)),
        })
    }

    fn after(ring: &Ring, from: u64) -> Vec<u64> {
        ring.after(id(from)).map(|entry| entry.id.get()).collect()
    }

    #[test]
    fn it_has_the_latest_and_says_from_where_on_it_is_complete() {
        let mut ring = Ring::new(1000);
        (1..=3).for_each(|value| ring.push(entry(value)));
        assert_eq!((after(&ring, 1), ring.from()), (vec![2, 3], id(0)));
        (4..=9).for_each(|value| ring.push(entry(value)));
        assert_eq!(
            (after(&ring, ring.from().get()), ring.from()),
            (vec![7, 8, 9], id(6))
        );
    }

    #[test]
    fn what_comes_late_makes_it_forget() {
        let mut ring = Ring::new(1000);
        ring.push(entry(5));
        ring.push(entry(3));
        assert_eq!((after(&ring, 0), ring.from()), (vec![], id(5)));
    }

    #[test]
    fn one_entry_may_be_too_large() {
        let mut ring = Ring::new(10);
        ring.push(entry(5));
        assert_eq!((after(&ring, 0), ring.from()), (vec![], id(5)));
    }
}
