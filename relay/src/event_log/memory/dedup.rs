//! Idempotency keys that were used lately: bounded by age and by number.

use crate::{
    channel::ChannelName,
    cursor::{EventId, UnixMillis},
    event_log::IdempotencyKey,
    journal::Record,
};
use std::collections::{HashMap, VecDeque};

type Scope = (ChannelName, Box<str>);

struct Used {
    fingerprint: [u8; 32],
    /// Ids of the events that the publish appended.
    ids: Vec<EventId>,
    at: UnixMillis,
}

/// What a key says of a publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    Never,
    Before(Vec<EventId>),
    ForAnother,
}

pub struct Dedup {
    used: HashMap<Scope, Used>,
    /// Scopes in the order of their first use.
    order: VecDeque<(UnixMillis, Scope)>,
    window: UnixMillis,
    max: usize,
}

impl Dedup {
    pub fn new(window: UnixMillis, max: usize) -> Dedup {
        Dedup {
            used: HashMap::new(),
            order: VecDeque::new(),
            window,
            max,
        }
    }

    pub fn look_up(&self, channel: &ChannelName, key: &IdempotencyKey, now: UnixMillis) -> Seen {
        match self.used.get(&(channel.clone(), key.key.clone())) {
            Some(used) if used.at.saturating_add(self.window) < now => Seen::Never,
            Some(used) if used.fingerprint == key.fingerprint => Seen::Before(used.ids.clone()),
            Some(_) => Seen::ForAnother,
            None => Seen::Never,
        }
    }

    pub fn remember(
        &mut self,
        channel: &ChannelName,
        key: &IdempotencyKey,
        ids: Vec<EventId>,
        at: UnixMillis,
    ) {
        if self.max == 0 {
            return;
        }
        let scope = (channel.clone(), key.key.clone());
        self.order.push_back((at, scope.clone()));
        self.used.insert(
            scope,
            Used {
                fingerprint: key.fingerprint,
                ids,
                at,
            },
        );
        self.forget(at);
    }

    /// One more id of the publish that used this key last.
    pub fn extend(&mut self, channel: &ChannelName, key: &IdempotencyKey, id: EventId) {
        let scope = (channel.clone(), key.key.clone());
        if let Some(used) = self.used.get_mut(&scope) {
            used.ids.push(id);
        }
    }

    /// All keys in the order of their use, for a compacted journal.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.order.iter().filter_map(|(at, scope)| {
            let used = self.used.get(scope).filter(|used| used.at == *at)?;
            Some(Record::Key {
                channel: scope.0.clone(),
                key: scope.1.to_string(),
                fingerprint: used.fingerprint,
                at: used.at,
                ids: used.ids.clone(),
            })
        })
    }

    /// Drops what is past the window or the bound.
    pub fn forget(&mut self, now: UnixMillis) {
        while let Some((at, _)) = self.order.front()
            && (at.saturating_add(self.window) < now || self.order.len() > self.max)
        {
            let Some((at, scope)) = self.order.pop_front() else {
                return;
            };
            // a key that expired and was used again stands in `order` twice
            if self.used.get(&scope).is_some_and(|used| used.at == at) {
                self.used.remove(&scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str, body: u8) -> IdempotencyKey {
        IdempotencyKey {
            key: text.into(),
            fingerprint: [body; 32],
        }
    }

    fn channel() -> ChannelName {
        ChannelName::parse("c").unwrap()
    }

    #[test]
    fn a_key_answers_the_same_within_its_window() {
        let mut dedup = Dedup::new(100, 10);
        assert_eq!(dedup.look_up(&channel(), &key("k", 1), 0), Seen::Never);
        dedup.remember(&channel(), &key("k", 1), vec![EventId::ZERO], 0);
        assert_eq!(
            dedup.look_up(&channel(), &key("k", 1), 100),
            Seen::Before(vec![EventId::ZERO])
        );
        assert_eq!(
            dedup.look_up(&channel(), &key("k", 2), 100),
            Seen::ForAnother
        );
        assert_eq!(dedup.look_up(&channel(), &key("k", 1), 101), Seen::Never);
        let other = ChannelName::parse("d").unwrap();
        assert_eq!(dedup.look_up(&other, &key("k", 1), 50), Seen::Never);
    }

    #[test]
    fn the_oldest_keys_give_way_past_the_bound() {
        let mut dedup = Dedup::new(100, 2);
        for (at, name) in ["a", "b", "c"].iter().enumerate() {
            dedup.remember(&channel(), &key(name, 1), vec![], at as u64);
        }
        assert_eq!(dedup.look_up(&channel(), &key("a", 1), 3), Seen::Never);
        assert_eq!(
            dedup.look_up(&channel(), &key("b", 1), 3),
            Seen::Before(vec![])
        );
        assert_eq!((dedup.used.len(), dedup.order.len()), (2, 2));
    }

    #[test]
    fn a_batch_that_is_read_back_counts_as_one_key_and_keeps_all_its_ids() {
        let id = |value| EventId::new(value).unwrap();
        let mut dedup = Dedup::new(100, 2);
        dedup.remember(&channel(), &key("before", 1), vec![id(1)], 0);
        dedup.remember(&channel(), &key("batch", 1), vec![id(2)], 0);
        for value in 3..=5 {
            dedup.extend(&channel(), &key("batch", 1), id(value));
        }
        dedup.forget(0);
        assert_eq!(
            dedup.look_up(&channel(), &key("before", 1), 0),
            Seen::Before(vec![id(1)])
        );
        assert_eq!(
            dedup.look_up(&channel(), &key("batch", 1), 0),
            Seen::Before((2..=5).map(id).collect())
        );
    }

    #[test]
    fn a_key_that_was_used_again_after_its_window_is_written_once() {
        let mut dedup = Dedup::new(100, 10);
        dedup.remember(&channel(), &key("k", 1), vec![], 0);
        dedup.remember(&channel(), &key("k", 2), vec![], 101);
        let records: Vec<Record> = dedup.records().collect();
        assert!(
            matches!(&records[..], [Record::Key { at: 101, fingerprint, .. }] if *fingerprint == [2; 32]),
            "{records:?}"
        );
        let mut forever = Dedup::new(u64::MAX, 10);
        forever.remember(&channel(), &key("k", 1), vec![], 1);
        forever.forget(u64::MAX);
        assert_eq!(
            forever.look_up(&channel(), &key("k", 1), u64::MAX),
            Seen::Before(vec![])
        );
    }
}
