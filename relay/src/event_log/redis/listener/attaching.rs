//! Who needs channels waits until they are subscribed to; from the head that is read then, their events
//! come.

use super::{
    Listener, Request,
    seats::{Asked, Taken, Use},
};
use crate::{
    channel::{ChannelName, ChannelPattern, Selector},
    cursor::{EventId, Place},
    event::Ending,
    event_log::redis::{
        keys::{channel_named, literal_start},
        store::{Head, Kept, StoreError},
    },
};
use std::{collections::HashSet, sync::Arc, time::Instant};
use tokio::sync::oneshot;

/// Names that are listed at once.
const NAMES: usize = 1000;

/// Somebody who waits for channels to be subscribed to.
pub(super) struct Waiting {
    channels: Vec<ChannelName>,
    patterns: Vec<ChannelPattern>,
    /// Subscriptions to be confirmed, and patterns to be listed.
    left: usize,
    joined: oneshot::Sender<Place>,
}

impl Listener {
    pub(super) fn request(&mut self, request: Request) {
        let number = self.numbers;
        self.numbers += 1;
        let mut waiting = Waiting {
            channels: Vec::new(),
            patterns: Vec::new(),
            left: 0,
            joined: request.joined,
        };
        for selector in request.selectors {
            match selector {
                Selector::Channel(name) => waiting.channels.push(name),
                Selector::Pattern(pattern) => waiting.patterns.push(pattern),
            }
        }
        waiting.left = 1 + waiting.patterns.len();
        let patterns = waiting.patterns.iter().cloned();
        self.unlisted
            .extend(patterns.map(|pattern| (number, pattern)));
        let channels = waiting.channels.clone();
        self.waiting.insert(number, waiting);
        self.place_for(number, &channels);
        self.one_placed(number);
    }

    /// Subscribes to channels that somebody waits for.
    fn place_for(&mut self, number: u64, channels: &[ChannelName]) {
        let mut wanted: Vec<Arc<str>> = Vec::new();
        for channel in channels {
            let place: Arc<str> = self.keys.events(channel.as_str()).into();
            let asked = self.seats.ask(&place, number);
            if asked == Asked::Ready {
                continue;
            }
            if let Some(waiting) = self.waiting.get_mut(&number) {
                waiting.left += 1;
            }
            if asked == Asked::WaitsForNew {
                wanted.push(place);
            }
        }
        if !wanted.is_empty() {
            self.ears.want(wanted);
        }
    }

    /// One thing fewer that somebody waits for.
    pub(super) fn one_placed(&mut self, number: u64) {
        if let Some(waiting) = self.waiting.get_mut(&number) {
            waiting.left -= 1;
            if waiting.left == 0 {
                self.ready.push(number);
            }
        }
    }

    /// Finds the channels of patterns that were asked for.
    pub(super) async fn list_patterns(&mut self) {
        while let Some((number, pattern)) = self.unlisted.pop() {
            match self.list(&pattern).await {
                Ok(channels) => {
                    if let Some(waiting) = self.waiting.get_mut(&number) {
                        waiting.channels.extend(channels.iter().cloned());
                    }
                    self.place_for(number, &channels);
                    self.one_placed(number);
                }
                Err(_) => {
                    self.unlisted.push((number, pattern));
                    self.patience = Instant::now() + super::RETRY;
                    return;
                }
            }
        }
    }

    async fn list(&self, pattern: &ChannelPattern) -> Result<Vec<ChannelName>, StoreError> {
        let start = literal_start(pattern.as_str());
        let (mut channels, mut after) = (Vec::new(), None);
        loop {
            let names = self.log.store.names(start, after.as_deref(), NAMES).await?;
            let full = names.len() == NAMES;
            after = names.last().cloned();
            let matching = names.iter().filter_map(|name| channel_named(name));
            channels.extend(matching.filter(|name| name.is_in(pattern)));
            if !full {
                return Ok(channels);
            }
        }
    }

    /// Everybody whose channels are subscribed to joins at the head of this moment: what comes after it
    /// comes as a message.
    pub(super) async fn complete(&mut self) {
        let ready: Vec<u64> = std::mem::take(&mut self.ready);
        let channels: HashSet<ChannelName> = ready
            .iter()
            .filter_map(|number| self.waiting.get(number))
            .flat_map(|waiting| waiting.channels.iter().cloned())
            .collect();
        let channels: Vec<ChannelName> = channels.into_iter().collect();
        let epoch = self.log.view.lock().epoch();
        match self.log.store.head_and_kept(&channels).await {
            Ok((Some(head), kept)) if Some(head.epoch) == epoch => {
                self.join(ready, channels.into_iter().zip(kept), &head);
            }
            outcome => {
                if outcome.is_ok() {
                    self.fall_behind(); // of another epoch, which must begin here first
                }
                self.ready = ready;
                self.patience = Instant::now() + super::RETRY;
            }
        }
    }

    /// These requests join at a head; until then, what it has of their channels is theirs to read.
    fn join(
        &mut self,
        ready: Vec<u64>,
        channels: impl Iterator<Item = (ChannelName, Option<Kept>)>,
        head: &Head,
    ) {
        let partition = self.log.store.partition();
        tracing::debug!(
            event = "log.joined",
            partition = partition.get(),
            at = head.last.get(),
            requests = ready.len()
        );
        for (channel, kept) in channels {
            let ending = kept.map_or(Ending::Continues, |kept| kept.ending);
            self.attach(channel, ending, head.last);
        }
        let mut view = self.log.view.lock();
        for number in ready {
            let Some(waiting) = self.waiting.remove(&number) else {
                continue;
            };
            for pattern in &waiting.patterns {
                view.pattern_is_ready(pattern, head.last);
            }
            let joined = Place {
                partition,
                epoch: head.epoch,
                id: head.last,
            };
            let _ = waiting.joined.send(joined); // who asked may be gone
        }
    }

    fn attach(&mut self, channel: ChannelName, ending: Ending, head: EventId) {
        let place: Arc<str> = self.keys.events(channel.as_str()).into();
        let taken = self.seats.take(&place, Use::Events(channel.clone()));
        if taken == Taken::New {
            self.ears.want([place]);
        }
        if matches!(taken, Taken::New | Taken::Unconfirmed) {
            self.fall_behind(); // it was interrupted since
        }
        let mut view = self.log.view.lock();
        if view.is_attached(&channel) {
            return;
        }
        if view.is_ready_by_pattern(&channel) {
            // it has begun just now, and streams of the pattern get it from its start
            let delivered = view.head();
            view.attach(channel, delivered, Ending::Continues);
            drop(view);
            self.fall_behind();
        } else {
            view.attach(channel, head, ending);
        }
    }
}
