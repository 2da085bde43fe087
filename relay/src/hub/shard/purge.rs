//! Streams for which something waits that was purged.

use super::{
    Connection, Shard,
    stream::{Backlog, ComingPage, Stream, Then},
};
use crate::{event_log::Purge, hub::open::CloseReason};
use std::collections::HashSet;

/// What becomes of a stream that may be owed what was purged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owed {
    Nothing,
    /// The page that it reads.
    Page,
    /// Bytes that its socket did not take.
    Bytes,
}

impl Shard {
    /// Nothing that was purged is sent any more: pages that are on their way are read again, and a
    /// stream whose socket has not taken what waits for it is closed. Its client comes back with the
    /// id of the last event that it has, and the log tells it what is gone.
    pub(super) fn purged(&mut self, purge: &Purge) {
        let concerned: HashSet<u32> = self
            .feeds
            .iter()
            .filter(|(_, feed)| feed.partitions.contains(purge.partition))
            .filter(|(_, feed)| {
                self.concerned_by(&purge.whose, &feed.key.selectors)
                    .is_some()
            })
            .map(|(index, _)| index)
            .collect();
        let streams = self.slots.iter().filter_map(|(index, slot)| {
            let Connection::Stream(stream) = &slot.connection else {
                return None;
            };
            concerned
                .contains(&stream.feed)
                .then(|| (index as u32, self.owed(stream)))
        });
        let streams: Vec<(u32, Owed)> = streams.collect();
        for (index, owed) in streams {
            match owed {
                Owed::Nothing => {}
                Owed::Page => {
                    let backlog = self.stream_mut(index).and_then(|it| it.backlog.as_mut());
                    if let Some(backlog) = backlog {
                        backlog.page = ComingPage::Stale;
                    }
                }
                Owed::Bytes => self.close(index, CloseReason::Purged),
            }
        }
    }

    /// What a socket takes that is not full is under way, and not held up.
    fn owed(&self, stream: &Stream) -> Owed {
        let backlog = stream.backlog.as_deref();
        let waits = backlog.is_some_and(|backlog| !backlog.waiting().is_empty())
            || (stream.has_joined() && stream.cursor != self.feeds.get(stream.feed).log.end());
        match backlog.map(|backlog: &Backlog| backlog.then) {
            Some(Then::Wait) => Owed::Page,
            Some(Then::Hold) => Owed::Nothing,
            _ if waits && stream.flow.is_blocked() => Owed::Bytes,
            _ => Owed::Nothing,
        }
    }
}
