//! The shard channels that a partition listens to, who waits for each, and what it is for. Pure.
//!
//! A seat is taken from when the subscription is asked for until nobody needs the channel any more.
//! It is confirmed while messages arrive; a use that is not confirmed makes the listener hold.

use crate::channel::ChannelName;
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

/// What messages of a shard channel are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Use {
    News,
    Canaries,
    /// Events of an attached channel.
    Events(ChannelName),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It is asked for, or was interrupted.
    Asked,
    Confirmed,
}

#[derive(Debug)]
struct Seat {
    state: State,
    /// Before that, messages are of no interest.
    used: Option<Use>,
    /// Requests that begin with the confirmation.
    waiting: Vec<u64>,
}

impl Seat {
    const ASKED: Seat = Seat {
        state: State::Asked,
        used: None,
        waiting: Vec::new(),
    };
}

/// What a request is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Messages arrive, or all is read before anything goes on.
    Ready,
    /// It waits; the subscription is under way.
    Waits,
    /// It waits; the subscription is to be asked for.
    WaitsForNew,
}

/// What a new use means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    Already,
    /// Messages arrive from now on, and did before.
    Confirmed,
    /// The subscription is under way, so the listener holds.
    Unconfirmed,
    /// The subscription is to be asked for, and the listener holds.
    New,
}

/// What a confirmation means.
#[derive(PartialEq, Eq, Debug)]
pub enum Confirmed {
    /// Nobody needs it any more.
    Unneeded,
    /// Messages arrive from now on; those who waited for that.
    Now(Vec<u64>),
    /// It was confirmed before: it was away without a word.
    Again,
}

#[derive(Default)]
pub struct Seats {
    seats: HashMap<Arc<str>, Seat>,
    /// Those in use that are not confirmed.
    unconfirmed: HashSet<Arc<str>>,
}

impl Seats {
    /// A request needs messages of this shard channel.
    pub fn ask(&mut self, place: &Arc<str>, request: u64) -> Asked {
        match self.seats.entry(place.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Seat::ASKED).waiting.push(request);
                Asked::WaitsForNew
            }
            Entry::Occupied(mut taken) => {
                let seat = taken.get_mut();
                if seat.state == State::Confirmed || seat.used.is_some() {
                    return Asked::Ready;
                }
                seat.waiting.push(request);
                Asked::Waits
            }
        }
    }

    /// Messages of this shard channel are listened to from now on.
    pub fn take(&mut self, place: &Arc<str>, used: Use) -> Taken {
        let taken = match self.seats.entry(place.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Seat::ASKED).used = Some(used);
                Taken::New
            }
            Entry::Occupied(mut taken) => {
                let seat = taken.get_mut();
                if seat.used.replace(used).is_some() {
                    return Taken::Already;
                }
                match seat.state {
                    State::Asked => Taken::Unconfirmed,
                    State::Confirmed => Taken::Confirmed,
                }
            }
        };
        if matches!(taken, Taken::Unconfirmed | Taken::New) {
            self.unconfirmed.insert(place.clone());
        }
        taken
    }

    pub fn confirmed(&mut self, place: &str) -> Confirmed {
        let Some(seat) = self.seats.get_mut(place) else {
            return Confirmed::Unneeded;
        };
        match std::mem::replace(&mut seat.state, State::Confirmed) {
            State::Asked => {
                self.unconfirmed.remove(place);
                Confirmed::Now(std::mem::take(&mut seat.waiting))
            }
            State::Confirmed => Confirmed::Again,
        }
    }

    /// Messages may be missing from now on; whether anybody listened to them.
    pub fn interrupted(&mut self, place: &Arc<str>) -> bool {
        let Some(seat) = self.seats.get_mut(place) else {
            return false;
        };
        seat.state = State::Asked;
        let used = seat.used.is_some();
        if used {
            self.unconfirmed.insert(place.clone());
        }
        used
    }

    /// Nobody needs it any more. False when a request waits for it, which keeps it.
    pub fn leave(&mut self, place: &str) -> bool {
        let Some(seat) = self.seats.get_mut(place) else {
            return false;
        };
        self.unconfirmed.remove(place);
        if seat.waiting.is_empty() {
            self.seats.remove(place);
            return true;
        }
        seat.used = None;
        false
    }

    pub fn used_for(&self, place: &str) -> Option<&Use> {
        self.seats.get(place)?.used.as_ref()
    }

    /// Seats in use without messages.
    pub fn unconfirmed(&self) -> &HashSet<Arc<str>> {
        &self.unconfirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Arc<str> {
        "p".into()
    }

    fn events() -> Use {
        Use::Events(ChannelName::parse("c").unwrap())
    }

    #[test]
    fn a_request_waits_for_the_confirmation_with_all_that_came_before_it() {
        let mut seats = Seats::default();
        assert_eq!(seats.ask(&place(), 1), Asked::WaitsForNew);
        assert_eq!(seats.ask(&place(), 2), Asked::Waits);
        assert_eq!(seats.confirmed("p"), Confirmed::Now(vec![1, 2]));
    }

    #[test]
    fn one_that_comes_after_the_confirmation_does_not_wait_for_another() {
        let mut seats = Seats::default();
        seats.ask(&place(), 1);
        seats.confirmed("p");
        // the first has not joined yet, so nobody listens
        assert_eq!(seats.ask(&place(), 2), Asked::Ready);
        assert_eq!(seats.used_for("p"), None);
    }

    #[test]
    fn a_pattern_that_takes_what_is_confirmed_does_not_wait_for_another_confirmation() {
        let mut seats = Seats::default();
        seats.ask(&place(), 1);
        seats.confirmed("p");
        assert_eq!(seats.take(&place(), events()), Taken::Confirmed);
        assert!(seats.unconfirmed().is_empty());
        assert_eq!(seats.take(&place(), events()), Taken::Already);
    }

    #[test]
    fn a_use_before_the_confirmation_holds_until_it_comes() {
        let mut seats = Seats::default();
        assert_eq!(seats.take(&place(), events()), Taken::New);
        assert_eq!(seats.ask(&place(), 1), Asked::Ready, "all is read before");
        assert_eq!(seats.unconfirmed().len(), 1);
        assert_eq!(seats.confirmed("p"), Confirmed::Now(Vec::new()));
        assert!(seats.unconfirmed().is_empty());

        let mut seats = Seats::default();
        seats.ask(&place(), 1);
        assert_eq!(seats.take(&place(), events()), Taken::Unconfirmed);
        assert_eq!(seats.confirmed("p"), Confirmed::Now(vec![1]));
    }

    #[test]
    fn what_is_interrupted_before_it_is_used_holds_when_it_is() {
        let mut seats = Seats::default();
        seats.ask(&place(), 1);
        seats.confirmed("p");
        assert!(!seats.interrupted(&place()), "nobody listened yet");
        assert_eq!(seats.take(&place(), events()), Taken::Unconfirmed);
        assert!(seats.interrupted(&place()));
        assert_eq!(seats.confirmed("p"), Confirmed::Now(Vec::new()));
        assert_eq!(seats.confirmed("p"), Confirmed::Again);
    }

    #[test]
    fn a_seat_that_a_request_waits_for_stays() {
        let mut seats = Seats::default();
        seats.ask(&place(), 1);
        seats.take(&place(), events());
        assert!(!seats.leave("p"));
        assert_eq!(seats.used_for("p"), None);
        assert!(seats.unconfirmed().is_empty());
        assert_eq!(seats.confirmed("p"), Confirmed::Now(vec![1]));
        assert!(seats.leave("p") && !seats.leave("p"));
        assert_eq!(seats.confirmed("p"), Confirmed::Unneeded);
        assert!(!seats.interrupted(&place()));
    }
}
