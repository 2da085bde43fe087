//! Streams that wait to begin: for the log to answer, or for this replica to be as far as their
//! client. They are open, with heartbeats, and cost no retry of their own.

use super::{
    Shard,
    attach::{FirstBytes, response_head},
    poller::Token,
    stream::{Backlog, Then},
};
use crate::{event_log::resume::Verdict, frame::Frame, hub::open::Opening};
use std::{collections::HashMap, sync::atomic::Ordering};

/// What a stream waits for. Nothing of it is forever: the log answers, or is away for as long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Its feed, by its number, is attached to the log.
    Attached(u64),
    /// The shard is as far as its client, or the log knows nothing of what the client knows.
    CaughtUp,
}

/// Streams that wait, by what they wait for.
#[derive(Default)]
pub struct Held {
    openings: HashMap<Token, Opening>,
    by_feed: HashMap<u64, Vec<Token>>,
    ahead: Vec<Token>,
}

impl Shard {
    /// The stream gets its first bytes, so that its client knows that it is there, and waits.
    pub(super) fn hold(&mut self, index: u32, opening: Opening, until: Until) {
        let token = self.token_of(index);
        let Some(stream) = self.stream(index) else {
            return;
        };
        let mut bytes = Vec::with_capacity(512);
        response_head(&mut bytes, &stream.sink, &opening);
        let key = &self.feeds.get(stream.feed).key;
        if key.voice.is_none() {
            bytes.extend_from_slice(Frame::retry(self.retry()).bytes(key.framing));
        }
        match until {
            Until::Attached(feed) => self.held.by_feed.entry(feed).or_default().push(token),
            Until::CaughtUp => self.held.ahead.push(token),
        }
        self.held.openings.insert(token, opening);
        self.shared.hub.waiting.fetch_add(1, Ordering::Relaxed);
        self.set_backlog(index, Backlog::new(bytes, 0, Then::Hold));
        self.pump(index);
        self.remind(index);
    }

    /// The log has answered for a feed: its streams begin.
    pub(super) fn begin_attached(&mut self, feed: u64) {
        let waited = self.held.by_feed.remove(&feed).unwrap_or_default();
        self.begin_those_that_may(waited);
    }

    /// Streams begin whose clients are not ahead any more.
    pub(super) fn begin_caught_up(&mut self) {
        if !self.held.ahead.is_empty() {
            let ahead = std::mem::take(&mut self.held.ahead);
            self.begin_those_that_may(ahead);
        }
    }

    fn begin_those_that_may(&mut self, waited: Vec<Token>) {
        for token in waited {
            let Some(opening) = self.held.openings.get(&token) else {
                continue; // it left
            };
            let stream = self.slot_of(token).and_then(|index| self.stream(index));
            let joined = stream.map(|stream| {
                let feed = self.feeds.get(stream.feed);
                feed.standing(&self.through)
            });
            if joined.is_some_and(|joined| self.is_ahead(opening, &joined)) {
                self.held.ahead.push(token);
            } else {
                self.release(token);
            }
        }
    }

    fn release(&mut self, token: Token) {
        let Some(opening) = self.held.openings.remove(&token) else {
            return;
        };
        self.shared.hub.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some(index) = self.slot_of(token) {
            self.begin(index, &opening, FirstBytes::Sent);
        }
    }

    /// A stream that closes may be one that waits.
    pub(super) fn forget_held(&mut self, token: Token) {
        if !self.held.openings.is_empty() && self.held.openings.remove(&token).is_some() {
            self.shared.hub.waiting.fetch_sub(1, Ordering::Relaxed);
            // it was open, and is counted as closed
            self.shared.hub.stats.opened.of(Verdict::Waiting).add(1);
        }
    }

    /// Nobody wants a feed any more.
    pub(super) fn forget_feed(&mut self, number: u64) {
        self.held.by_feed.remove(&number);
    }
}
