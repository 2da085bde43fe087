//! What each asker has used, for a bounded number of askers.
//!
//! Only who has nothing to remember (no stream open, every bucket full) can be forgotten, so nobody gets
//! anything back by making the relay forget. Who comes while all places are taken by askers with
//! something to remember shares one account with the others that do.

use super::{
    bucket::{Bucket, Moment},
    sharing::Sharing,
};
use std::{collections::HashMap, hash::Hash};

/// What an asker has, and has used.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Account {
    pub streams: u32,
    pub opens: Bucket,
    pub publishes: Bucket,
    pub bytes: Bucket,
    pub failures: Bucket,
    /// Where limits are shared with other replicas: what they know, and what may be used here.
    pub sharing: Option<Box<Sharing>>,
}

impl Account {
    fn is_forgettable(&self, now: Moment) -> bool {
        self.streams == 0
            && self.opens.is_full(now)
            && self.publishes.is_full(now)
            && self.bytes.is_full(now)
            && self.failures.is_full(now)
            && self
                .sharing
                .as_ref()
                .is_none_or(|sharing| !sharing.listed && sharing.reported.is_nothing())
    }
}

/// Which account is an asker's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Own(usize),
    /// That of all who found no place.
    Shared,
}

/// Places looked at for one that can be given to somebody else.
const SEARCH: usize = 32;

pub struct Table<K> {
    places: HashMap<K, usize>,
    accounts: Vec<(K, Account)>,
    shared: Account,
    /// Where the next search begins.
    hand: usize,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table {
            places: HashMap::new(),
            accounts: Vec::new(),
            shared: Account::default(),
            hand: 0,
        }
    }
}

impl<K: Clone + Eq + Hash> Table<K> {
    /// The place of an asker, at most `max` of whom have one of their own.
    pub fn place(&mut self, key: &K, max: usize, now: Moment) -> Place {
        if let Some(place) = self.places.get(key) {
            return Place::Own(*place);
        }
        if self.accounts.len() < max {
            self.places.insert(key.clone(), self.accounts.len());
            self.accounts.push((key.clone(), Account::default()));
            return Place::Own(self.accounts.len() - 1);
        }
        match self.forgettable(now) {
            None => Place::Shared,
            Some(place) => {
                self.places.remove(&self.accounts[place].0);
                self.places.insert(key.clone(), place);
                self.accounts[place] = (key.clone(), Account::default());
                Place::Own(place)
            }
        }
    }

    fn forgettable(&mut self, now: Moment) -> Option<usize> {
        let count = self.accounts.len();
        for _ in 0..SEARCH.min(count) {
            let place = self.hand % count;
            self.hand = place + 1;
            if self.accounts[place].1.is_forgettable(now) {
                return Some(place);
            }
        }
        None
    }

    /// The account of an asker that has one of its own.
    pub fn own(&mut self, key: &K) -> Option<&mut Account> {
        let place = *self.places.get(key)?;
        Some(&mut self.accounts[place].1)
    }

    /// All who have one.
    pub fn owners(&mut self) -> impl Iterator<Item = (&K, &mut Account)> {
        self.accounts
            .iter_mut()
            .map(|(key, account)| (&*key, account))
    }

    pub fn account(&mut self, place: Place) -> &mut Account {
        match place {
            Place::Own(place) => &mut self.accounts[place].1,
            Place::Shared => &mut self.shared,
        }
    }

    /// A stream of an asker ended that was counted there.
    pub fn release(&mut self, key: &K, shared: bool) {
        let account = match self.places.get(key) {
            _ if shared => &mut self.shared,
            Some(place) => &mut self.accounts[*place].1,
            // cannot be: who has streams is not forgotten
            None => return,
        };
        account.streams = account.streams.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::bucket::Rate;
    use std::time::Duration;

    const NOW: Moment = Duration::from_secs(100);
    const RATE: Rate = Rate {
        per_second: 1,
        burst: Duration::from_secs(1),
    };

    #[test]
    fn everybody_has_an_account_of_their_own_while_there_is_room() {
        let mut table = Table::default();
        let (ann, bob) = (table.place(&"ann", 2, NOW), table.place(&"bob", 2, NOW));
        assert_ne!(ann, bob);
        table.account(ann).streams = 3;
        assert_eq!(table.place(&"ann", 2, NOW), ann);
        table.release(&"ann", false);
        assert_eq!(table.account(ann).streams, 2);
        assert_eq!(table.account(bob).streams, 0);
    }

    #[test]
    fn who_has_something_to_remember_is_not_forgotten_for_others() {
        let mut table = Table::default();
        let (streaming, busy) = (table.place(&1, 2, NOW), table.place(&2, 2, NOW));
        table.account(streaming).streams = 1;
        table.account(busy).publishes.take(1, RATE, NOW);
        for stranger in 3..1000 {
            assert_eq!(table.place(&stranger, 2, NOW), Place::Shared);
        }
        assert_eq!(table.place(&1, 2, NOW), streaming);
        assert_eq!(table.place(&2, 2, NOW), busy);
        // a second later the bucket is full, and there is nothing to lose
        let later = NOW + Duration::from_secs(1);
        assert_eq!(table.place(&3, 2, later), busy);
        assert_eq!(table.account(busy).publishes, Bucket::default());
        assert_eq!(table.place(&2, 2, later), busy, "3 left nothing behind");
        assert_eq!((table.accounts.len(), table.places.len()), (2, 2));
    }

    #[test]
    fn those_without_a_place_share_one_account() {
        let mut table = Table::default();
        let own = table.place(&0, 1, NOW);
        table.account(own).streams = 1;
        let (one, two) = (table.place(&1, 1, NOW), table.place(&2, 1, NOW));
        table.account(one).streams += 1;
        assert_eq!(table.account(two).streams, 1);
        table.release(&1, true);
        assert_eq!(table.account(two).streams, 0);
    }

    #[test]
    fn looking_for_a_place_takes_bounded_work() {
        let mut table = Table::default();
        for key in 0..10_000 {
            let place = table.place(&key, 10_000, NOW);
            table.account(place).streams = 1;
        }
        let before = table.hand;
        table.place(&10_000, 10_000, NOW);
        assert_eq!(table.hand - before, SEARCH);
    }
}
