//! What this process knows of one partition, and what of it the tail has had. Pure.
//!
//! A message is delivered if what was before it in its channel was; otherwise nothing is, until what
//! lies between was read. So everything that attached channels have up to [`View::head`] was delivered,
//! as long as no message is lost while its connection lives; a look at the index finds those
//! ([`View::verified`]).

use super::{
    entry::{Message, Undecodable},
    ring::Ring,
    shared_reads::{Version, may_keep},
    store::{Head, MAX_ENDED_EPOCHS},
};
use crate::{
    channel::{ChannelName, ChannelPattern, Selector},
    cursor::{Epoch, EventId, Partition, Place, Predecessor},
    event::Ending,
    event_log::{Completeness, Entry, Read, Retention, Standing, merge::Part},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// A channel or pattern stays attached so long after its last subscription, since many come back.
pub const LINGER: Duration = Duration::from_secs(30);
/// Channels that are known to have ended and are not attached any more, at most.
const MAX_ENDED: usize = 10_000;

/// A channel that this process receives.
#[derive(Debug)]
struct Attached {
    /// Everything of it up to here was delivered, or is to be read by who needs it.
    last: EventId,
    /// From here on its events are in the ring.
    since: EventId,
    ending: Ending,
}

/// Who needs a channel or a pattern.
#[derive(Clone, Copy, Debug)]
struct Need {
    users: usize,
    /// When the last user left.
    left: Option<Instant>,
    /// From where on a pattern's events are in the ring; `None` before its channels are attached.
    since: Option<EventId>,
}

impl Need {
    const NEW: Need = Need {
        users: 0,
        left: None,
        since: None,
    };

    fn is_over(&self, now: Instant) -> bool {
        self.users == 0
            && self
                .left
                .is_none_or(|left| now.duration_since(left) >= LINGER)
    }
}

/// What a message means.
#[derive(Debug)]
pub enum Verdict {
    /// The publishes that it brings, in order.
    Deliver(Vec<Vec<Arc<Entry>>>),
    /// Nothing new, or of no interest.
    Ignore,
    /// Something before it was missed: the partition is to be read.
    Missed,
    /// It is of another epoch.
    OtherEpoch,
}

/// One partition, as this process knows it.
#[derive(Debug)]
pub struct View {
    partition: Partition,
    epoch: Option<Epoch>,
    head: EventId,
    verified: EventId,
    /// The highest id of an event of this epoch that was acknowledged or delivered; the canary's do
    /// not count, since nobody misses them.
    seen: EventId,
    /// The highest id that is known to exist.
    known: EventId,
    /// What was acknowledged in epochs that did not begin here yet.
    ahead: Vec<(Epoch, EventId)>,
    attached: HashMap<ChannelName, Attached>,
    channels: HashMap<ChannelName, Need>,
    patterns: HashMap<ChannelPattern, Need>,
    /// Channels that ended, with their last ids.
    ended: HashMap<ChannelName, EventId>,
    /// How many purges were heard of.
    purges: u64,
    ring: Ring,
}

impl View {
    pub fn new(partition: Partition, ring: Ring) -> View {
        View {
            partition,
            epoch: None,
            head: EventId::ZERO,
            verified: EventId::ZERO,
            seen: EventId::ZERO,
            known: EventId::ZERO,
            ahead: Vec::new(),
            attached: HashMap::new(),
            channels: HashMap::new(),
            patterns: HashMap::new(),
            ended: HashMap::new(),
            purges: 0,
            ring,
        }
    }

    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// What pieces of history must be of to be told to anybody, once the epoch is known.
    pub fn version(&self) -> Option<Version> {
        let purges = self.purges;
        self.epoch.map(|epoch| Version { epoch, purges })
    }

    /// Everything up to here was delivered.
    pub fn head(&self) -> EventId {
        self.head
    }

    /// The index has confirmed that everything up to here was delivered.
    pub fn verified(&self) -> EventId {
        self.verified
    }

    /// The head as a place, once the epoch is known.
    pub fn place(&self) -> Option<Place> {
        self.epoch.map(|epoch| Place {
            partition: self.partition,
            epoch,
            id: self.head,
        })
    }

    pub fn seen(&self) -> EventId {
        self.seen
    }

    /// Whether everything up to a head was delivered.
    pub fn has_reached(&self, head: &Head) -> bool {
        self.epoch == Some(head.epoch) && self.head >= head.last
    }

    /// The highest id that is known to exist: before it a first attempt may be, after it none.
    pub fn known(&self) -> EventId {
        self.known
    }

    /// An append was answered.
    pub fn acknowledged(&mut self, epoch: Epoch, id: EventId) {
        if self.epoch == Some(epoch) {
            self.seen = self.seen.max(id);
            self.known = self.known.max(id);
        } else if let Some((_, last)) = self.ahead.iter_mut().find(|(of, _)| *of == epoch) {
            *last = (*last).max(id);
        } else {
            if self.ahead.len() >= MAX_ENDED_EPOCHS {
                self.ahead.remove(0);
            }
            self.ahead.push((epoch, id));
        }
    }

    /// What was acknowledged in an epoch that did not begin here.
    pub fn acknowledged_in(&self, epoch: Epoch) -> Option<EventId> {
        let of = self.ahead.iter().find(|(of, _)| *of == epoch)?;
        Some(of.1)
    }

    /// Epochs that did not begin here and in which something was acknowledged, with the highest id.
    pub fn acknowledged_ahead(&self) -> &[(Epoch, EventId)] {
        &self.ahead
    }

    /// Of these nothing is waited for any more.
    pub fn forget_ahead(&mut self, epoch: Epoch) {
        self.ahead.retain(|(of, _)| *of != epoch);
    }

    /// An epoch begins at this id: all up to it was delivered.
    pub fn begin(&mut self, epoch: Epoch, at: EventId) {
        self.epoch = Some(epoch);
        self.head = at;
        self.verified = at;
        let ahead = self.ahead.iter().position(|(of, _)| *of == epoch);
        self.seen = ahead.map_or(EventId::ZERO, |index| self.ahead.swap_remove(index).1);
        self.known = at.max(self.seen);
        self.ring.clear(at);
        self.purges = 0; // another log counts anew
        for channel in self.attached.values_mut() {
            channel.last = at;
            channel.since = at;
        }
        for pattern in self.patterns.values_mut() {
            pattern.since = pattern.since.map(|_| at);
        }
        // it may be another log altogether
        self.ended.clear();
    }

    /// Decides about a message of a channel.
    pub fn judge(
        &self,
        channel: &ChannelName,
        message: &Message<'_>,
    ) -> Result<Verdict, Undecodable> {
        if self.epoch != Some(message.epoch) {
            return Ok(Verdict::OtherEpoch);
        }
        let Some(attached) = self.attached.get(channel) else {
            return Ok(Verdict::Ignore);
        };
        if message.last() <= attached.last {
            return Ok(Verdict::Ignore);
        }
        let (Predecessor::Known(before) | Predecessor::AtMost(before)) = message.predecessor;
        if before > attached.last.max(self.verified) || message.first <= attached.last {
            return Ok(Verdict::Missed);
        }
        Ok(Verdict::Deliver(
            message.publishes(self.partition, channel)?,
        ))
    }

    /// Entries of one channel are delivered now.
    pub fn deliver(&mut self, entries: &[Arc<Entry>]) {
        let Some(last) = entries.last() else {
            return;
        };
        if let Some(attached) = self.attached.get_mut(&last.channel) {
            attached.last = attached.last.max(last.id);
            attached.ending = last.event.ending;
        }
        self.seen = self.seen.max(last.id);
        self.known = self.known.max(last.id);
        self.head = self.head.max(last.id);
        for entry in entries {
            self.ring.push(entry.clone());
        }
    }

    /// Everything up to here was delivered, as the order of messages tells.
    pub fn advance(&mut self, head: EventId) {
        self.head = self.head.max(head);
        self.known = self.known.max(head);
    }

    /// Everything up to here was delivered, as the index tells.
    pub fn verify(&mut self, head: EventId) {
        self.advance(head);
        self.verified = self.verified.max(head);
    }

    /// One more attachment of each of these.
    pub fn need<'a>(&mut self, selectors: impl Iterator<Item = &'a Selector>) {
        for selector in selectors {
            let need = match selector {
                Selector::Channel(name) => self.channels.entry(name.clone()).or_insert(Need::NEW),
                Selector::Pattern(pattern) => {
                    self.patterns.entry(pattern.clone()).or_insert(Need::NEW)
                }
            };
            need.users += 1;
            need.left = None;
        }
    }

    /// One attachment of each of these fewer.
    pub fn need_no_more<'a>(
        &mut self,
        selectors: impl Iterator<Item = &'a Selector>,
        now: Instant,
    ) {
        for selector in selectors {
            let need = match selector {
                Selector::Channel(name) => self.channels.get_mut(name),
                Selector::Pattern(pattern) => self.patterns.get_mut(pattern),
            };
            if let Some(need) = need {
                need.users = need.users.saturating_sub(1);
                if need.users == 0 {
                    need.left = Some(now);
                }
            }
        }
    }

    /// Whether somebody needs a channel, by name or by a pattern.
    pub fn needs(&self, channel: &ChannelName) -> bool {
        self.channels.contains_key(channel) || self.needs_by_pattern(channel)
    }

    pub fn needs_by_pattern(&self, channel: &ChannelName) -> bool {
        self.patterns.keys().any(|pattern| channel.is_in(pattern))
    }

    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    pub fn is_attached(&self, channel: &ChannelName) -> bool {
        self.attached.contains_key(channel)
    }

    /// Whether streams of a pattern get this channel already.
    pub fn is_ready_by_pattern(&self, channel: &ChannelName) -> bool {
        self.patterns
            .iter()
            .any(|(pattern, need)| need.since.is_some() && channel.is_in(pattern))
    }

    /// Where who needs these may join, if all of them are attached: what comes after it is delivered,
    /// and what comes before is to be read. That is past the head if some were attached past it.
    pub fn joining<'a>(&self, selectors: impl Iterator<Item = &'a Selector>) -> Option<Place> {
        let mut at = self.place()?;
        for selector in selectors {
            let from = match selector {
                Selector::Channel(name) => self.attached.get(name)?.last,
                Selector::Pattern(pattern) => self.patterns.get(pattern)?.since?,
            };
            at.id = at.id.max(from);
        }
        Some(at)
    }

    /// A channel's events come from now on: those after `at` are delivered.
    pub fn attach(&mut self, channel: ChannelName, at: EventId, ending: Ending) {
        let since = at.max(self.head);
        self.attached.entry(channel).or_insert(Attached {
            last: at,
            since,
            ending,
        });
    }

    /// All channels of a pattern are attached, with what comes after an id.
    pub fn pattern_is_ready(&mut self, pattern: &ChannelPattern, at: EventId) {
        let since = at.max(self.head);
        if let Some(need) = self.patterns.get_mut(pattern) {
            need.since.get_or_insert(since);
        }
    }

    /// What a channel had up to an id is gone; it goes on after it.
    pub fn pass(&mut self, channel: &ChannelName, until: EventId) {
        if let Some(attached) = self.attached.get_mut(channel) {
            attached.last = attached.last.max(until);
        }
    }

    /// Lets go of what nobody needs any more; the channels.
    pub fn let_go(&mut self, now: Instant) -> Vec<ChannelName> {
        self.channels.retain(|_, need| !need.is_over(now));
        self.patterns.retain(|_, need| !need.is_over(now));
        let unneeded: Vec<ChannelName> = self
            .attached
            .keys()
            .filter(|channel| !self.needs(channel))
            .cloned()
            .collect();
        for channel in &unneeded {
            if let Some(attached) = self.attached.remove(channel)
                && attached.ending == Ending::Ends
            {
                self.remember_ended(channel.clone(), attached.last);
            }
        }
        unneeded
    }

    /// How many purges were heard of.
    pub fn purges(&self) -> u64 {
        self.purges
    }

    /// There were so many purges. If some are new, what was recent may be gone, so that who reads must
    /// ask the log; how many are.
    pub fn note_purges(&mut self, purges: u64) -> u64 {
        let news = purges.saturating_sub(self.purges);
        if news > 0 {
            self.purges = purges;
            self.ring.clear(self.head);
        }
        news
    }

    fn remember_ended(&mut self, channel: ChannelName, last: EventId) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.clear(); // who asks is told by the log again
        }
        self.ended.insert(channel, last);
    }

    /// Whether a channel is known to have ended at or before an id.
    pub fn has_ended(&self, channel: &ChannelName, after: EventId) -> bool {
        match self.attached.get(channel) {
            Some(attached) => attached.ending == Ending::Ends && attached.last <= after,
            None => self.ended.get(channel).is_some_and(|last| *last <= after),
        }
    }

    /// Attached channels, and up to where each was delivered.
    pub fn delivered(&self) -> impl Iterator<Item = (&ChannelName, EventId)> {
        self.attached
            .iter()
            .map(|(channel, attached)| (channel, attached.last.max(self.verified)))
    }

    /// Up to where a channel was delivered; `None` if it is not attached.
    pub fn delivered_of(&self, channel: &ChannelName) -> Option<EventId> {
        let attached = self.attached.get(channel)?;
        Some(attached.last.max(self.verified))
    }

    /// What a read asks for, if the ring has it: all of it is attached since then, and the log itself
    /// would still keep as much.
    pub fn from_ring(
        &self,
        read: &Read,
        from: Standing,
        upto: Option<EventId>,
        retention: &dyn Fn(&str) -> Retention,
    ) -> Option<Part> {
        let after = from.after.id;
        let upto = upto.unwrap_or(self.known);
        let is_ours =
            self.epoch == Some(from.after.epoch) && self.ring.from() <= after && upto <= self.head;
        if !is_ours
            || !read
                .selectors
                .iter()
                .all(|selector| self.is_in_ring(selector, after))
        {
            return None;
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut completeness = Completeness::Complete;
        for entry in self.ring.after(after).take_while(|entry| entry.id <= upto) {
            if !read
                .selectors
                .iter()
                .any(|selector| selector.matches(&entry.channel))
            {
                continue;
            }
            let full = bytes >= read.max_bytes || entries.len() >= read.max_events;
            if full && !entries.is_empty() {
                completeness = Completeness::More;
                break;
            }
            bytes += entry.event.size();
            entries.push(entry.clone());
        }
        may_keep(&entries, retention).then_some(Part {
            from,
            upto,
            gap: None,
            entries,
            completeness,
        })
    }

    fn is_in_ring(&self, selector: &Selector, after: EventId) -> bool {
        match selector {
            Selector::Channel(name) => self
                .attached
                .get(name)
                .is_some_and(|attached| attached.since <= after),
            Selector::Pattern(pattern) => self
                .patterns
                .get(pattern)
                .and_then(|need| need.since)
                .is_some_and(|since| since <= after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u64) -> EventId {
        EventId::new(value).unwrap()
    }

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    fn view() -> View {
        let mut view = View::new(Partition::ONLY, Ring::new(1000));
        view.begin(Epoch::from_random(1), id(10));
        view
    }

    fn joining(view: &View, selectors: &[&str]) -> Option<u64> {
        let selectors: Vec<Selector> = selectors
            .iter()
            .map(|selector| Selector::parse(selector).unwrap())
            .collect();
        view.joining(selectors.iter()).map(|at| at.id.get())
    }

    #[test]
    fn one_joins_where_everything_later_is_delivered() {
        let mut view = view();
        assert_eq!(joining(&view, &["a"]), None, "it is not attached");
        view.attach(name("a"), id(25), Ending::Continues);
        view.attach(name("b"), id(10), Ending::Continues);
        assert_eq!(joining(&view, &["b"]), Some(10));
        // what a has up to 25 is not delivered here, so whoever joins has to read it
        assert_eq!(joining(&view, &["a"]), Some(25));
        assert_eq!(joining(&view, &["a", "b"]), Some(25));
        assert_eq!(joining(&view, &["a", "b", "c"]), None);
        view.advance(id(30));
        assert_eq!(joining(&view, &["a"]), Some(30));
    }

    #[test]
    fn one_joins_a_pattern_where_its_channels_were_attached() {
        let mut view = view();
        let pattern = ChannelPattern::parse("x.*").unwrap();
        let selector = [Selector::Pattern(pattern.clone())];
        view.need(selector.iter());
        assert_eq!(joining(&view, &["x.*"]), None);
        assert!(view.needs_by_pattern(&name("x.1")) && !view.is_ready_by_pattern(&name("x.1")));
        view.pattern_is_ready(&pattern, id(25));
        assert_eq!(joining(&view, &["x.*"]), Some(25));
        assert!(view.is_ready_by_pattern(&name("x.1")));
    }
}
