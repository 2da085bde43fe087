//! The feeds of a shard, and which channel goes to which.

use crate::{
    channel::{ChannelName, Selector},
    cursor::EventId,
    hub::feed::{ByteLog, FeedKey},
};
use relay_config::Overflow;
use slab::Slab;
use std::{collections::HashMap, time::Instant};

/// A feed and the streams that receive it.
pub struct Feed {
    pub key: FeedKey,
    pub log: ByteLog,
    /// Events up to here are not the feed's; a stream reads them from the event log.
    pub since: EventId,
    pub overflow: Overflow,
    /// Streams whose cursor is in the byte log.
    pub members: Vec<u32>,
    /// Streams that use the feed, the replaying ones included.
    pub users: usize,
    /// Next member to be served in this round.
    pub next: usize,
    /// Stands in the queue of feeds to be served.
    pub queued: bool,
    pub round: Round,
    /// Newest event that was considered.
    considered: EventId,
    /// Events that the filter rejected.
    pub filtered: u64,
    /// Bytes that the process's account of waiting bytes has of this feed.
    pub accounted: usize,
    /// All channels have ended; a member that has everything is closed.
    pub finished: Finished,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finished {
    No,
    Yes,
}

/// Frames that were appended since the members were last served.
#[derive(Clone, Copy, Debug)]
pub enum Round {
    Idle,
    Serving {
        from: u64,
        frames: u64,
        oldest: Instant,
    },
}

#[derive(Default)]
pub struct Feeds {
    feeds: Slab<Feed>,
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
    pub fn add(&mut self, key: FeedKey, overflow: Overflow) -> (u32, Vec<Selector>) {
        let feed = Feed {
            key: key.clone(),
            log: ByteLog::default(),
            since: EventId::ZERO,
            overflow,
            members: Vec::new(),
            users: 0,
            next: 0,
            queued: false,
            round: Round::Idle,
            considered: EventId::ZERO,
            filtered: 0,
            accounted: 0,
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

    /// Feeds that may concern a channel; one that names it and matches it stands there twice.
    pub fn of(&self, channel: &ChannelName, out: &mut Vec<u32>) {
        out.clear();
        out.extend(self.by_channel.get(channel).into_iter().flatten());
        out.extend(self.with_patterns.iter().filter(|index| {
            let selectors = &self.feeds[**index as usize].key.selectors;
            selectors.iter().any(
                |selector| matches!(selector, Selector::Pattern(p) if p.matches(channel.as_str())),
            )
        }));
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Feed)> {
        self.feeds.iter().map(|(index, feed)| (index as u32, feed))
    }
}

impl Feed {
    /// Whether an event is new to the feed. Asked in order of ids, perhaps twice for one event.
    pub fn considers(&mut self, id: EventId) -> bool {
        let new = id > self.since && id > self.considered;
        self.considered = self.considered.max(id);
        new
    }
}
