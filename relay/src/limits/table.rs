//! What each asker has used, for a bounded number of askers.
//!
//! Only who has nothing to remember (no stream open, every bucket full) can be forgotten, so nobody gets
//! anything back by making the relay forget. Who comes while all places are taken by askers with
//! something to remember shares one account with the others that do.

use super::{
    bucket::{Bucket, Moment},
    sharing::Sharing,
};
use std::{collections::HashMap, hash::Hash, num::NonZeroU32};

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
    Own(Number),
    /// That of all who found no place.
    Shared,
}

/// Which of the accounts, in four bytes: each stream keeps some.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number(NonZeroU32);

impl Number {
    /// `None` past what a number can say; there is no such account.
    fn of(index: usize) -> Option<Number> {
        let number = u32::try_from(index).ok()?.checked_add(1)?;
        NonZeroU32::new(number).map(Number)
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Places looked at for one that can be given to somebody else.
const SEARCH: usize = 32;

pub struct Table<K> {
    places: HashMap<K, Number>,
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
        if self.accounts.len() < max
            && let Some(number) = Number::of(self.accounts.len())
        {
            self.places.insert(key.clone(), number);
            self.accounts.push((key.clone(), Account::default()));
            return Place::Own(number);
        }
        match self.forgettable(now) {
            None => Place::Shared,
            Some(number) => {
                let account = &mut self.accounts[number.index()];
                self.places.remove(&account.0);
                self.places.insert(key.clone(), number);
                *account = (key.clone(), Account::default());
                Place::Own(number)
            }
        }
    }

    fn forgettable(&mut self, now: Moment) -> Option<Number> {
        let count = self.accounts.len();
        for _ in 0..SEARCH.min(count) {
            let place = self.hand % count;
            self.hand = place + 1;
            if self.accounts[place].1.is_forgettable(now) {
                return Number::of(place);
            }
        }
        None
    }

    /// The account of an asker that has one of its own.
    pub fn own(&mut self, key: &K) -> Option<&mut Account> {
        let place = *self.places.get(key)?;
        Some(&mut self.accounts[place.index()].1)
    }

    /// All who have one.
    pub fn owners(&mut self) -> impl Iterator<Item = (&K, &mut Account)> {
        self.accounts
            .iter_mut()
            .map(|(key, account)| (&*key, account))
    }

    pub fn account(&mut self, place: Place) -> &mut Account {
        match place {
            Place::Own(place) => &mut self.accounts[place.index()].1,
            Place::Shared => &mut self.shared,
        }
    }

    /// A stream ended that was counted there: whose account it is, if it is one asker's. Who has streams
    /// is not forgotten, so the place is still the same asker's.
    pub fn release(&mut self, place: Place) -> Option<&K> {
        let account = self.account(place);
        account.streams = account.streams.saturating_sub(1);
        match place {
            Place::Own(place) => Some(&self.accounts[place.index()].0),
            Place::Shared => None,
        }
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
        assert_eq!(table.release(ann), Some(&"ann"));
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
        assert_eq!(table.release(one), None);
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
