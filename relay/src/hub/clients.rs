//! What receivers that gave themselves a name got in streams that have ended.

use super::open::StreamInfo;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Streams that ended and wait to be registered. Past it they are forgotten, and counted.
const MAX_DEPARTED: usize = 10_000;

/// A stream of a named receiver that has ended.
#[derive(Clone, Debug)]
pub struct Departed {
    pub info: Arc<StreamInfo>,
    pub got: Got,
    pub at: SystemTime,
}

/// Streams that have ended, for who registers them; nothing is kept unless somebody does.
#[derive(Default)]
pub struct Departures {
    is_kept: AtomicBool,
    waiting: Mutex<(Vec<Departed>, u64)>,
}

impl Departures {
    /// They are kept from here on.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    pub fn add(&self, info: &Arc<StreamInfo>, got: Got) {
        if !self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        let (waiting, lost) = &mut *self.waiting.lock();
        if waiting.len() >= MAX_DEPARTED {
            *lost += 1;
            return;
        }
        waiting.push(Departed {
            info: info.clone(),
            got,
            at: SystemTime::now(),
        });
    }

    /// Those that ended since, and how many were forgotten.
    pub fn take(&self) -> (Vec<Departed>, u64) {
        std::mem::take(&mut *self.waiting.lock())
    }

    /// They could not be registered, and wait again.
    pub fn put_back(&self, mut departed: Vec<Departed>) {
        let (waiting, lost) = &mut *self.waiting.lock();
        departed.append(waiting);
        *lost += departed.len().saturating_sub(MAX_DEPARTED) as u64;
        departed.truncate(MAX_DEPARTED);
        *waiting = departed;
    }
}

/// Names that are remembered at most. Past it those that have been quiet the longest are forgotten.
pub const MAX_CLIENTS: usize = 10_000;
/// A receiver is forgotten so long after its last stream ended.
pub const REMEMBERED: Duration = Duration::from_secs(3600);

/// What a receiver got.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Got {
    pub delivered: u64,
    pub filtered: u64,
    pub dropped: u64,
}

impl Got {
    #[must_use]
    pub fn and(self, more: Got) -> Got {
        Got {
            delivered: self.delivered + more.delivered,
            filtered: self.filtered + more.filtered,
            dropped: self.dropped + more.dropped,
        }
    }
}

/// By name: what it got, and when its last stream ended.
#[derive(Default)]
pub struct Clients(Mutex<HashMap<Box<str>, (Got, Instant)>>);

impl Clients {
    /// A stream of this receiver has ended.
    pub fn ended(&self, name: &str, got: Got, now: Instant) {
        let clients = &mut *self.0.lock();
        if let Some((before, at)) = clients.get_mut(name) {
            (*before, *at) = (before.and(got), now);
            return;
        }
        if clients.len() >= MAX_CLIENTS {
            make_room(clients, now);
        }
        clients.insert(name.into(), (got, now));
    }

    /// What each got in streams that have ended.
    pub fn all(&self, now: Instant) -> HashMap<Box<str>, Got> {
        let clients = self.0.lock();
        let known = clients.iter().filter(|(_, (_, at))| !is_over(*at, now));
        known.map(|(name, (got, _))| (name.clone(), *got)).collect()
    }
}

fn is_over(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) >= REMEMBERED
}

/// A quarter at once, so that a flood of names costs little for each.
fn make_room(clients: &mut HashMap<Box<str>, (Got, Instant)>, now: Instant) {
    clients.retain(|_, (_, at)| !is_over(*at, now));
    if clients.len() < MAX_CLIENTS {
        return;
    }
    let mut ends: Vec<Instant> = clients.values().map(|(_, at)| *at).collect();
    let (_, quarter, _) = ends.select_nth_unstable(MAX_CLIENTS / 4);
    let quarter = *quarter;
    clients.retain(|_, (_, at)| *at > quarter);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(delivered: u64) -> Got {
        Got {
            delivered,
            ..Got::default()
        }
    }

    #[test]
    fn what_a_receiver_got_adds_up_over_its_streams_and_is_forgotten_in_time() {
        let (clients, now) = (Clients::default(), Instant::now());
        clients.ended("web", got(2), now);
        clients.ended("web", got(3), now + Duration::from_secs(1));
        clients.ended("app", got(1), now);
        assert_eq!(clients.all(now)["web"], got(5));
        let later = clients.all(now + REMEMBERED);
        assert_eq!((later.len(), later["web"]), (1, got(5)));
    }

    #[test]
    fn past_the_bound_the_quiet_ones_give_way() {
        let (clients, now) = (Clients::default(), Instant::now());
        let at = |number: usize| now + Duration::from_millis(number as u64);
        for number in 0..=MAX_CLIENTS {
            clients.ended(&number.to_string(), got(1), at(number));
        }
        let known = clients.all(at(MAX_CLIENTS));
        assert!((MAX_CLIENTS / 2..MAX_CLIENTS).contains(&known.len()));
        assert!(!known.contains_key("0") && known.contains_key(&*MAX_CLIENTS.to_string()));
    }
}
