//! What the embedded log's lock guards.

use super::{
    MemoryOptions,
    dedup::{Dedup, Seen},
    history::{History, millis, weight},
};
use crate::{
    channel::{ChannelName, Selector},
    cursor::{Epoch, EventId, Partition, Place, Predecessor, UnixMillis},
    event::Ending,
    event_log::{
        AppendError, Appended, ChannelInfo, Completeness, Entry, Gaps, IdempotencyKey, LogTotals,
        Publication, Purge, Purged, Standing, Tail, Whose,
        gap::{self, Gap, Known, missing},
        merge::Part,
        resume::{EndedEpoch, EpochLoss},
    },
    journal::{Idempotency, MAX_ENDED_EPOCHS, Record, Recovered},
};
use smallvec::SmallVec;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};

/// Channels looked at by one sweep, so that it holds the lock for a short time.
const SWEEP_STEP: usize = 10_000;

/// One partition: its order, and its channels.
pub struct State {
    partition: Partition,
    pub epoch: Epoch,
    pub ended: Vec<EndedEpoch>,
    /// Newest id ever given out.
    pub last: EventId,
    /// Newest id handed to the tail; what readers may see.
    pub delivered: EventId,
    /// Highest last id among channels that were forgotten.
    forgotten: EventId,
    channels: BTreeMap<ChannelName, History>,
    /// The index of channels by their last id.
    by_last: BTreeMap<EventId, ChannelName>,
    /// Channels by the id of their oldest event: who gives way first.
    by_first: BTreeMap<EventId, ChannelName>,
    events: usize,
    bytes: usize,
    dedup: Dedup,
    swept: EventId,
    /// Channels may have limits that are not in force any more; the next pass of sweeps sees to it.
    limits: Limits,
    closed: bool,
    options: MemoryOptions,
    tail: Arc<dyn Tail>,
}

/// Whether channels have the limits that are in force.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limits {
    Known,
    Changed,
}

/// How much a page may have. The entry that reaches a bound is its last.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub bytes: usize,
    pub events: usize,
}

impl Bounds {
    /// Counts an entry; whether it is the last one.
    pub fn reached_with(&mut self, entry: &Entry) -> bool {
        self.bytes = self.bytes.saturating_sub(weight(entry));
        self.events = self.events.saturating_sub(1);
        self.bytes == 0 || self.events == 0
    }
}

/// What one publish appends: one event, mostly.
pub type Entries = SmallVec<[Arc<Entry>; 1]>;

/// A publish that has its ids but is not stored yet.
pub struct Prepared {
    pub entries: Entries,
    repeat: Option<Vec<EventId>>,
}

impl State {
    pub fn new(
        partition: Partition,
        epoch: Epoch,
        options: MemoryOptions,
        tail: Arc<dyn Tail>,
    ) -> State {
        State {
            partition,
            epoch,
            ended: Vec::new(),
            last: EventId::ZERO,
            delivered: EventId::ZERO,
            forgotten: EventId::ZERO,
            channels: BTreeMap::new(),
            by_last: BTreeMap::new(),
            by_first: BTreeMap::new(),
            events: 0,
            bytes: 0,
            dedup: Dedup::new(
                millis(options.idempotency_window),
                options.max_idempotency_keys,
            ),
            swept: EventId::ZERO,
            limits: Limits::Known,
            closed: false,
            options,
            tail,
        }
    }

    /// The same, where there was something before this id that is forgotten.
    pub fn after(self, begin: EventId) -> State {
        State {
            last: begin,
            delivered: begin,
            forgotten: begin,
            ..self
        }
    }

    pub fn place(&self, id: EventId) -> Place {
        Place {
            partition: self.partition,
            epoch: self.epoch,
            id,
        }
    }

    /// Tells the tail where the partition begins.
    pub fn begin(&self) {
        self.tail.epoch(self.place(self.delivered));
    }

    /// Decides about a publish and gives its events, which it takes, their ids. Changes nothing here.
    pub fn prepare(
        &self,
        publication: &mut Publication,
        now: UnixMillis,
    ) -> Result<Prepared, AppendError> {
        if self.closed {
            return Err(AppendError::Unavailable("the log is closed".into()));
        }
        let channel = &publication.channel;
        if let Some(key) = &publication.idempotency {
            match self.dedup.look_up(channel, key, now) {
                Seen::Never => {}
                Seen::Before(ids) => {
                    return Ok(Prepared {
                        entries: Entries::new(),
                        repeat: Some(ids),
                    });
                }
                Seen::ForAnother => return Err(AppendError::KeyReused),
            }
        }
        let history = self.channels.get(channel);
        if history.is_some_and(|history| history.ending == Ending::Ends) {
            return Err(AppendError::Ended(channel.clone()));
        }
        if history.is_none() && self.channels.len() >= self.options.max_channels {
            return Err(AppendError::TooManyChannels(self.options.max_channels));
        }
        let mut predecessor = match history {
            Some(history) => history.predecessor(),
            None if self.forgotten == EventId::ZERO => Predecessor::Known(EventId::ZERO),
            None => Predecessor::AtMost(self.forgotten),
        };
        let mut last = self.last;
        let events = std::mem::take(&mut publication.events);
        let channel = &publication.channel;
        let mut entries = Entries::with_capacity(events.len());
        for event in events {
            let id = EventId::following(last, now).ok_or_else(|| {
                AppendError::Unavailable("the clock of event ids ends in 2090".into())
            })?;
            entries.push(Arc::new(Entry {
                partition: self.partition,
                channel: channel.clone(),
                id,
                predecessor,
                event,
            }));
            (last, predecessor) = (id, Predecessor::Known(id));
        }
        Ok(Prepared {
            entries,
            repeat: None,
        })
    }

    /// Keeps what was prepared; it is not visible before [`State::deliver`].
    pub fn store(
        &mut self,
        prepared: Prepared,
        publication: &Publication,
        now: UnixMillis,
    ) -> Appended {
        if let Some(ids) = prepared.repeat {
            return Appended::Repeat(ids.into_iter().map(|id| self.place(id)).collect());
        }
        let ids = prepared.entries.iter().map(|entry| entry.id);
        if let Some(key) = &publication.idempotency {
            let ids = ids.clone().collect();
            self.dedup.remember(&publication.channel, key, ids, now);
        }
        let appended = Appended::New(ids.map(|id| self.place(id)).collect());
        for entry in prepared.entries {
            self.last = entry.id;
            self.insert(entry, now);
        }
        self.trim(&publication.channel, now);
        self.give_way();
        appended
    }

    /// Hands entries to the tail, in order of ids.
    pub fn deliver(&mut self, entries: &[Arc<Entry>]) {
        if let Some(last) = entries.last() {
            self.delivered = last.id;
            self.tail.deliver(self.epoch, entries);
        }
    }

    fn insert(&mut self, entry: Arc<Entry>, now: UnixMillis) {
        let name = entry.channel.clone();
        let history = self.channels.entry(name.clone()).or_insert_with(|| {
            let retention = (self.options.retention)(name.as_str());
            History::new(EventId::ZERO, Ending::Continues, retention)
        });
        self.by_last.remove(&history.last);
        if history.len() == 0 {
            self.by_first.insert(entry.id, name.clone());
        }
        self.by_last.insert(entry.id, name);
        self.events += 1;
        self.bytes += weight(&entry);
        history.push(entry, now);
    }

    /// Brings one channel within its limits.
    fn trim(&mut self, name: &ChannelName, now: UnixMillis) {
        while self
            .channels
            .get(name)
            .is_some_and(|history| history.over(now))
        {
            self.pop(name);
        }
    }

    /// Brings all channels together within their limit.
    fn give_way(&mut self) {
        while self.bytes > self.options.max_bytes
            && let Some((_, name)) = self.by_first.first_key_value()
        {
            let name = name.clone();
            self.pop(&name);
        }
    }

    fn pop(&mut self, name: &ChannelName) {
        let Some(history) = self.channels.get_mut(name) else {
            return;
        };
        let Some(first) = history.first() else { return };
        self.by_first.remove(&first);
        if let Some(weight) = history.pop() {
            self.events -= 1;
            self.bytes -= weight;
        }
        if let Some(first) = history.first() {
            self.by_first.insert(first, name.clone());
        }
    }

    /// Up to where a channel is to be purged: its newest id. `None` when there is nothing to do.
    pub fn purgeable(&self, channel: &ChannelName) -> Result<Option<EventId>, AppendError> {
        if self.closed {
            return Err(AppendError::Unavailable("the log is closed".into()));
        }
        let history = self.channels.get(channel);
        let last = history.map(|history| history.last);
        Ok(last.filter(|last| *last > EventId::ZERO))
    }

    /// Drops what a channel has up to an id, and tells the tail.
    pub fn purge(&mut self, channel: &ChannelName, until: EventId) -> Purged {
        let events = self.drop_until(channel, until);
        self.tail.purged(Purge {
            partition: self.partition,
            whose: Whose::These(vec![channel.clone()]),
        });
        Purged {
            events,
            until: Some(self.place(until)),
        }
    }

    fn drop_until(&mut self, channel: &ChannelName, until: EventId) -> u64 {
        let Some(history) = self.channels.get_mut(channel) else {
            return 0;
        };
        history.purged = history.purged.max(until);
        let (before, first) = (self.events, |state: &State| state.channels[channel].first());
        while first(self).is_some_and(|first| first <= until) {
            self.pop(channel);
        }
        (before - self.events) as u64
    }

    /// Asked again for every channel by the sweeps to come.
    pub fn limits_changed(&mut self) {
        self.limits = Limits::Changed;
        self.swept = EventId::ZERO;
    }

    /// Drops events that are too old, and forgets channels that were idle for twice their age.
    pub fn sweep(&mut self, now: UnixMillis) {
        self.dedup.forget(now);
        let step: Vec<(EventId, ChannelName)> = self
            .by_last
            .range((
                std::ops::Bound::Excluded(self.swept),
                std::ops::Bound::Unbounded,
            ))
            .take(SWEEP_STEP)
            .map(|(id, name)| (*id, name.clone()))
            .collect();
        let limits = self.limits;
        self.swept = if step.len() < SWEEP_STEP {
            self.limits = Limits::Known;
            EventId::ZERO
        } else {
            step[SWEEP_STEP - 1].0
        };
        for (last, name) in step {
            if limits == Limits::Changed
                && let Some(history) = self.channels.get_mut(&name)
            {
                history.retention = (self.options.retention)(name.as_str());
            }
            self.trim(&name, now);
            let Some(history) = self.channels.get(&name) else {
                continue;
            };
            let keep = millis(history.retention.age).saturating_mul(2);
            if history.len() == 0 && last.unix_millis().saturating_add(keep) < now {
                self.channels.remove(&name);
                self.by_last.remove(&last);
                self.forgotten = self.forgotten.max(last);
            }
        }
    }

    /// Reads selected channels of the partition, merged in order of ids.
    pub fn read(
        &self,
        selectors: &[Selector],
        from: Standing,
        upto: EventId,
        bounds: Bounds,
    ) -> Part {
        let (after, upto) = (from.after.id, upto.min(self.delivered));
        let names = self.moved_after(selectors, after, upto);
        let gap = match from.gaps {
            Gaps::Report => self.missing(&names, selectors, from.after, upto, after),
            Gaps::ReportAfter(told) => self.missing(&names, selectors, from.after, upto, told),
            Gaps::Ignore | Gaps::SinceFirst => None,
        };
        let (entries, completeness) = self.merge(&names, after, upto, bounds);
        Part {
            from,
            upto,
            gap,
            entries,
            completeness,
        }
    }

    /// What selected channels no longer have, of which `moved` have an event after the cursor.
    /// Nothing is said of what is missing up to `told`.
    fn missing(
        &self,
        moved: &[ChannelName],
        selectors: &[Selector],
        after: Place,
        upto: EventId,
        told: EventId,
    ) -> Option<Gap> {
        let mut gap = None;
        let mut add = |known, purged, channel| {
            let missing = missing(after.id, upto, known).filter(|(_, until)| *until > told);
            if let Some((certainty, until)) = missing {
                let reason = gap::reason(until, purged);
                Gap::add(&mut gap, after, (certainty, until), reason, channel);
            }
        };
        for name in moved {
            if let Some(history) = self.channels.get(name) {
                let purged = Some(history.purged);
                add(history.known_after(after.id), purged, Some(name));
            }
        }
        for selector in selectors {
            if let Selector::Channel(name) = selector
                && !self.channels.contains_key(name)
            {
                add(Known::Forgotten(self.forgotten), None, Some(name));
            }
        }
        // the names of forgotten channels are not kept, so any may have matched a pattern
        let pattern = |selector: &Selector| matches!(selector, Selector::Pattern(_));
        if selectors.iter().any(pattern) {
            add(Known::Forgotten(self.forgotten), None, None);
        }
        gap
    }

    /// Whether a channel ended at or before an id.
    pub fn finished(&self, channel: &ChannelName, after: EventId) -> bool {
        self.channels
            .get(channel)
            .is_some_and(|history| history.ending == Ending::Ends && history.last <= after)
    }

    /// Selected channels that have, or had, an event after an id.
    fn moved_after(
        &self,
        selectors: &[Selector],
        after: EventId,
        upto: EventId,
    ) -> Vec<ChannelName> {
        if after >= upto {
            return Vec::new();
        }
        let mut names: Vec<ChannelName> = Vec::new();
        let mut patterns = Vec::new();
        for selector in selectors {
            match selector {
                Selector::Channel(name)
                    if self
                        .channels
                        .get(name)
                        .is_some_and(|history| history.last > after) =>
                {
                    names.push(name.clone());
                }
                Selector::Channel(_) => {}
                Selector::Pattern(pattern) => patterns.push(pattern),
            }
        }
        if !patterns.is_empty() {
            let moved = self
                .by_last
                .range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
            names.extend(
                moved
                    .filter(|(_, name)| patterns.iter().any(|pattern| name.is_in(pattern)))
                    .map(|(_, name)| name.clone()),
            );
        }
        names.sort();
        names.dedup();
        names
    }

    fn merge(
        &self,
        names: &[ChannelName],
        after: EventId,
        upto: EventId,
        mut bounds: Bounds,
    ) -> (Vec<Arc<Entry>>, Completeness) {
        let mut sources: Vec<_> = names
            .iter()
            .filter_map(|name| self.channels.get(name))
            .map(|history| history.after(after).take_while(|entry| entry.id <= upto))
            .collect();
        let mut next: BinaryHeap<Reverse<(EventId, usize)>> = BinaryHeap::new();
        let mut heads: Vec<Option<&Arc<Entry>>> = sources.iter_mut().map(Iterator::next).collect();
        for (index, head) in heads.iter().enumerate() {
            next.extend(head.map(|entry| Reverse((entry.id, index))));
        }
        let (mut entries, mut full) = (Vec::new(), false);
        while let Some(Reverse((_, index))) = next.pop() {
            if full {
                return (entries, Completeness::More);
            }
            let following = sources[index].next();
            next.extend(following.map(|entry| Reverse((entry.id, index))));
            if let Some(entry) = std::mem::replace(&mut heads[index], following) {
                full = bounds.reached_with(entry);
                entries.push(entry.clone());
            }
        }
        (entries, Completeness::Complete)
    }

    pub fn list(&self, after: Option<&str>, limit: usize, now: UnixMillis) -> Vec<ChannelInfo> {
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.channels
            .range::<str, _>((start, std::ops::Bound::Unbounded))
            .take(limit)
            .map(|(name, history)| self.describe(name, history, now))
            .collect()
    }

    pub fn info(&self, name: &ChannelName, now: UnixMillis) -> Option<ChannelInfo> {
        self.channels
            .get(name)
            .map(|history| self.describe(name, history, now))
    }

    fn describe(&self, name: &ChannelName, history: &History, now: UnixMillis) -> ChannelInfo {
        ChannelInfo {
            name: name.clone(),
            events: history.len(),
            bytes: history.bytes(),
            first: history.first().map(|id| self.place(id)),
            last: (history.last > EventId::ZERO).then(|| self.place(history.last)),
            last_at: (history.last > EventId::ZERO).then(|| history.last.unix_millis()),
            rate: history.rate(now),
            ending: history.ending,
        }
    }

    /// Nothing is appended any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn totals(&self) -> LogTotals {
        LogTotals {
            channels: self.channels.len(),
            events: self.events,
            bytes: self.bytes,
        }
    }

    /// Takes back one record of a journal, in its order.
    pub fn restore(&mut self, record: Record, now: UnixMillis) {
        match record {
            Record::Event {
                channel,
                id,
                predecessor,
                event,
                idempotency,
            } => {
                self.last = self.last.max(id);
                if let Some(used) = idempotency {
                    self.restore_key(&channel, used, id);
                }
                self.insert(
                    Arc::new(Entry {
                        partition: self.partition,
                        channel: channel.clone(),
                        id,
                        predecessor,
                        event,
                    }),
                    id.unix_millis(),
                );
                self.trim(&channel, now);
                self.give_way();
            }
            Record::Head { last, forgotten } => {
                self.last = self.last.max(last);
                self.forgotten = self.forgotten.max(forgotten);
            }
            Record::EpochEnded { epoch, fork } => {
                self.ended.push(EndedEpoch {
                    partition: self.partition,
                    epoch,
                    fork,
                    loss: EpochLoss::Unknown,
                    later: None,
                    unheard: None,
                });
                let surplus = self.ended.len().saturating_sub(MAX_ENDED_EPOCHS);
                self.ended.drain(..surplus);
            }
            Record::Key {
                channel,
                key,
                fingerprint,
                at,
                ids,
            } => {
                let key = IdempotencyKey {
                    key: key.into(),
                    fingerprint,
                };
                self.dedup.remember(&channel, &key, ids, at);
            }
            Record::Channel {
                channel,
                last,
                ending,
            } => {
                self.last = self.last.max(last);
                let retention = (self.options.retention)(channel.as_str());
                self.by_last.insert(last, channel.clone());
                self.channels
                    .insert(channel, History::new(last, ending, retention));
            }
            Record::Purged { channel, until } => {
                self.last = self.last.max(until);
                // in a snapshot the events that the channel has got since come later
                if !self.channels.contains_key(&channel) {
                    let retention = (self.options.retention)(channel.as_str());
                    let history = History::new(until, Ending::Continues, retention);
                    self.by_last.insert(until, channel.clone());
                    self.channels.insert(channel.clone(), history);
                }
                self.drop_until(&channel, until);
            }
        }
    }

    fn restore_key(&mut self, channel: &ChannelName, used: Idempotency, id: EventId) {
        let key = IdempotencyKey {
            key: used.key.into(),
            fingerprint: used.fingerprint,
        };
        if used.index == 0 {
            self.dedup
                .remember(channel, &key, vec![id], id.unix_millis());
        } else {
            self.dedup.extend(channel, &key, id);
        }
    }

    /// The journal was read to its end.
    pub fn restored(&mut self, recovered: &Recovered, now: UnixMillis) {
        self.epoch = recovered.epoch;
        self.last = self.last.max(recovered.last);
        self.delivered = self.last;
        self.sweep(now);
    }

    /// Everything that a compacted journal must hold. Cheap under the lock: entries are shared.
    pub fn snapshot(&self) -> Snapshot {
        let mut records = vec![Record::Head {
            last: self.last,
            forgotten: self.forgotten,
        }];
        records.extend(self.ended.iter().map(|ended| Record::EpochEnded {
            epoch: ended.epoch,
            fork: ended.fork,
        }));
        records.extend(self.dedup.records());
        let mut entries = Vec::with_capacity(self.events);
        for (name, history) in &self.channels {
            if history.len() == 0 {
                records.push(Record::Channel {
                    channel: name.clone(),
                    last: history.last,
                    ending: history.ending,
                });
            }
            if history.purged > EventId::ZERO {
                records.push(Record::Purged {
                    channel: name.clone(),
                    until: history.purged,
                });
            }
            entries.extend(history.iter().cloned());
        }
        Snapshot { records, entries }
    }
}

/// What is alive at one moment, for a compacted journal.
pub struct Snapshot {
    records: Vec<Record>,
    entries: Vec<Arc<Entry>>,
}

impl Snapshot {
    /// Records that restore to the same state, in the order of ids.
    pub fn into_records(mut self) -> impl Iterator<Item = Record> {
        self.entries.sort_by_key(|entry| entry.id);
        let event = |entry: Arc<Entry>| Record::Event {
            channel: entry.channel.clone(),
            id: entry.id,
            predecessor: entry.predecessor,
            event: entry.event.clone(),
            // keys have records of their own, since they outlive their events
            idempotency: None,
        };
        let entries = self.entries.into_iter().map(event);
        self.records.into_iter().chain(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Event,
        event_log::{Condition, Loss, Retention, memory::Clock},
    };
    use std::time::Duration;

    struct Nobody;

    impl Tail for Nobody {
        fn epoch(&self, _: Place) {}
        fn deliver(&self, _: Epoch, _: &[Arc<Entry>]) {}
        fn advance(&self, _: Place) {}
        fn lost(&self, _: Loss) {}
        fn purged(&self, _: Purge) {}
        fn condition(&self, _: Condition) {}
    }

    fn state(events: usize) -> State {
        let clock: Clock = Arc::new(|| 0);
        let retention = Retention {
            events,
            age: Duration::MAX,
            bytes: usize::MAX,
        };
        let options = MemoryOptions {
            retention: Arc::new(move |_| retention),
            max_bytes: usize::MAX,
            max_channels: 10,
            idempotency_window: Duration::MAX,
            max_idempotency_keys: 10,
            clock,
        };
        State::new(
            Partition::ONLY,
            Epoch::from_random(1),
            options,
            Arc::new(Nobody),
        )
    }

    /// Stores an event as the journal's writer does before it is synced.
    fn store(state: &mut State, ending: Ending) -> Entries {
        let mut publication = Publication {
            channel: ChannelName::parse("a").unwrap(),
            events: vec![Event {
                ending,
                ..Event::text("x")
            }],
            idempotency: None,
            fence: None,
        };
        let prepared = state.prepare(&mut publication, 1).unwrap();
        let entries = prepared.entries.clone();
        state.store(prepared, &publication, 1);
        entries
    }

    fn read(state: &State, after: EventId) -> Part {
        let from = Standing {
            after: state.place(after),
            gaps: Gaps::Report,
        };
        let bounds = Bounds {
            bytes: usize::MAX,
            events: usize::MAX,
        };
        let newest = EventId::new((1 << 53) - 1).unwrap();
        state.read(&selectors(), from, newest, bounds)
    }

    #[test]
    fn what_is_stored_but_not_delivered_is_not_read_and_ends_nothing() {
        let mut state = state(1);
        let first = store(&mut state, Ending::Continues);
        state.deliver(&first);
        let head = state.delivered;
        let more: Vec<_> = [Ending::Continues, Ending::Ends]
            .into_iter()
            .flat_map(|ending| store(&mut state, ending))
            .collect();
        let part = read(&state, head);
        assert!(part.entries.is_empty() && part.gap.is_none());
        assert_eq!((part.upto, state.delivered), (head, head));
        let name = ChannelName::parse("a").unwrap();
        assert!(!state.finished(&name, head));
        state.deliver(&more);
        let part = read(&state, head);
        assert_eq!(part.entries, [more[1].clone()]);
        let until = part.gap.map(|gap| gap.until.id(Partition::ONLY));
        assert_eq!(until, Some(more[0].id));
        assert!(state.finished(&name, more[1].id));
    }

    fn selectors() -> [Selector; 1] {
        [Selector::parse("a").unwrap()]
    }
}
