//! The feeds of a shard, and which channel goes to which.

use crate::{
    channel::{ChannelName, Selector},
    cursor::{Place, Places},
    event_log::Entry,
    hub::feed::{ByteLog, FeedKey},
    partition::PartitionSet,
    traces::{Delivering, Visit},
};
use relay_config::Overflow;
use slab::Slab;
use std::{collections::HashMap, time::Instant};

/// A feed and the streams that receive it.
pub struct Feed {
    pub key: FeedKey,
    /// Tells it from one that had its index before.
    pub number: u64,
    /// Partitions of its channels.
    pub partitions: PartitionSet,
    pub attachment: Attachment,
    /// What is before it is not the feed's; a stream reads that from the event log.
    pub log: ByteLog,
    pub overflow: Overflow,
    /// Streams whose cursor is in the byte log.
    pub members: Vec<u32>,
    /// Streams that use the feed, the replaying ones included.
    pub users: usize,
    pub round: Round,
    /// The event that was considered last.
    considered: Option<Place>,
    /// Events that the filter rejected.
    pub filtered: u64,
    /// Bytes that the process's account of waiting bytes has of this feed.
    pub accounted: usize,
    /// Events on their way that are traced.
    pub traced: Vec<Delivering>,
    /// All channels have ended; a member that has everything is closed.
    pub finished: Finished,
}

/// Whether the event log delivers what the feed wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attachment {
    /// It has not answered yet; streams wait.
    Pending,
    Attached,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finished {
    No,
    Yes,
}

/// One visit to every member. What comes while it goes on is sent to those still to be visited at
/// once, and to the others by a round of its own: so that nobody waits forever behind those that are
/// visited first, however fast events come.
#[derive(Clone, Copy, Default, Debug)]
pub struct Round {
    /// The feed stands in the queue of feeds to be served.
    queued: bool,
    /// Next member to be visited.
    next: usize,
    /// When the oldest event was appended for which the round began.
    pub oldest: Option<Instant>,
    /// Something came for members that were visited already.
    again: bool,
    oldest_again: Option<Instant>,
}

impl Round {
    /// An event was appended to the feed.
    pub fn appended(&mut self, at: Instant) {
        let oldest = if self.next > 0 {
            &mut self.oldest_again
        } else {
            &mut self.oldest
        };
        oldest.get_or_insert(at);
    }

    /// Every member is to be visited; true when the feed has to be queued for it.
    pub fn request(&mut self) -> bool {
        self.again |= self.next > 0;
        !std::mem::replace(&mut self.queued, true)
    }

    pub fn is_queued(&self) -> bool {
        self.queued
    }

    /// How far the visit to all members is.
    pub fn visit_now(&self) -> Visit {
        match self.next {
            0 => Visit::ToCome,
            _ => Visit::UnderWay,
        }
    }

    /// The member to be visited now.
    pub fn visit(&mut self, members: &[u32]) -> Option<u32> {
        let member = members.get(self.next).copied()?;
        self.next += 1;
        Some(member)
    }

    pub fn is_over(&self, members: &[u32]) -> bool {
        self.next >= members.len()
    }

    /// Another member stands at this index now: it must not be skipped. Those that are visited
    /// again cost no call.
    pub fn moved(&mut self, position: usize) {
        self.next = self.next.min(position);
    }

    /// All were visited; true when another round is due.
    pub fn finish(&mut self) -> bool {
        let again = self.again;
        *self = Round {
            queued: again,
            oldest: self.oldest_again,
            ..Round::default()
        };
        again
    }
}

#[derive(Default)]
pub struct Feeds {
    feeds: Slab<Feed>,
    /// Feeds that there ever were.
    count: u64,
    by_key: HashMap<FeedKey, u32>,
    by_channel: HashMap<ChannelName, Vec<u32>>,
    with_patterns: Vec<u32>,
    /// How many feeds name a selector.
    selected: HashMap<Selector, usize>,
}

impl Feeds {
    pub fn find(&self, key: &FeedKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Adds a feed; the selectors that the shard did not want before.
    pub fn add(
        &mut self,
        key: FeedKey,
        partitions: PartitionSet,
        overflow: Overflow,
    ) -> (u32, Vec<Selector>) {
        self.count += 1;
        let feed = Feed {
            key: key.clone(),
            number: self.count,
            partitions,
            attachment: Attachment::Pending,
            log: ByteLog::default(),
            overflow,
            members: Vec::new(),
            users: 0,
            round: Round::default(),
            considered: None,
            filtered: 0,
            accounted: 0,
            traced: Vec::new(),
            finished: Finished::No,
        };
        let index = self.feeds.insert(feed) as u32;
        let mut wanted = Vec::new();
        for selector in key.selectors.iter() {
            let count = self.selected.entry(selector.clone()).or_default();
            *count += 1;
            if *count == 1 {
                wanted.push(selector.clone());
            }
            if let Selector::Channel(name) = selector {
                self.by_channel.entry(name.clone()).or_default().push(index);
            }
        }
        if key
            .selectors
            .iter()
            .any(|selector| matches!(selector, Selector::Pattern(_)))
        {
            self.with_patterns.push(index);
        }
        self.by_key.insert(key, index);
        (index, wanted)
    }

    /// Removes a feed without users; the selectors that the shard does not want any more.
    pub fn remove(&mut self, index: u32) -> Vec<Selector> {
        let feed = self.feeds.remove(index as usize);
        self.by_key.remove(&feed.key);
        self.with_patterns.retain(|other| *other != index);
        let mut unwanted = Vec::new();
        for selector in feed.key.selectors.iter() {
            if let Some(count) = self.selected.get_mut(selector) {
                *count -= 1;
                if *count == 0 {
                    self.selected.remove(selector);
                    unwanted.push(selector.clone());
                }
            }
            if let Selector::Channel(name) = selector
                && let Some(feeds) = self.by_channel.get_mut(name)
            {
                feeds.retain(|other| *other != index);
                if feeds.is_empty() {
                    self.by_channel.remove(name);
                }
            }
        }
        unwanted
    }

    pub fn get(&self, index: u32) -> &Feed {
        &self.feeds[index as usize]
    }

    pub fn get_mut(&mut self, index: u32) -> &mut Feed {
        &mut self.feeds[index as usize]
    }

    pub fn contains(&self, index: u32) -> bool {
        self.feeds.contains(index as usize)
    }

    /// The feed at an index, unless another one has it by now.
    pub fn same(&mut self, index: u32, number: u64) -> Option<&mut Feed> {
        let feed = self.feeds.get_mut(index as usize);
        feed.filter(|feed| feed.number == number)
    }

    /// Feeds that may concern a channel; one that names it and matches it stands there twice.
    pub fn of(&self, channel: &ChannelName, out: &mut Vec<u32>) {
        out.clear();
        out.extend(self.by_channel.get(channel).into_iter().flatten());
        out.extend(self.with_patterns.iter().filter(|index| {
            let selectors = &self.feeds[**index as usize].key.selectors;
            selectors
                .iter()
                .any(|selector| matches!(selector, Selector::Pattern(p) if channel.is_in(p)))
        }));
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Feed)> {
        self.feeds.iter().map(|(index, feed)| (index as u32, feed))
    }
}

impl Feed {
    /// Whether its streams want an event of one of its channels.
    pub fn accepts(&self, entry: &Entry) -> bool {
        self.key.accepts(entry)
    }

    /// Whether an event is new to the feed. Asked in order of ids, perhaps twice for one event.
    pub fn considers(&mut self, at: Place) -> bool {
        let before = self.log.before().in_partition(at.partition);
        let comes_after = before.is_none_or(|before| before.epoch != at.epoch || before.id < at.id);
        let new = self.attachment == Attachment::Attached && comes_after;
        new && self.considered.replace(at) != Some(at)
    }

    /// The cursor of a stream that has everything, given up to where all events have reached the
    /// feeds that want them.
    pub fn standing(&self, through: &Places) -> Places {
        let mut at = self.log.before().clone();
        for place in through.iter() {
            if self.partitions.contains(place.partition) {
                at.advance(place);
            }
        }
        at
    }

    /// Whether an event's own place is the cursor of its streams.
    pub fn is_of_one_partition(&self) -> bool {
        self.partitions.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_visits_everybody_however_fast_events_come() {
        let members: Vec<u32> = (0..10).collect();
        let mut round = Round::default();
        assert!(round.request());
        let mut visited = Vec::new();
        while let Some(member) = round.visit(&members) {
            visited.push(member);
            round.appended(Instant::now());
            assert!(!round.request(), "it is queued already");
        }
        assert_eq!(visited, members, "each once");
        assert!(round.finish(), "for those that were visited before");
        while round.visit(&members).is_some() {}
        assert!(!round.finish() && !round.is_queued());
        assert!(round.request());
    }

    #[test]
    fn who_is_moved_into_the_visited_part_is_not_skipped() {
        let mut members: Vec<u32> = (0..4).collect();
        let mut round = Round::default();
        round.request();
        round.visit(&members);
        round.visit(&members);
        members.swap_remove(0);
        round.moved(0);
        let mut rest = Vec::new();
        while let Some(member) = round.visit(&members) {
            rest.push(member);
        }
        assert!(rest.contains(&3) && rest.contains(&2));
    }
}
