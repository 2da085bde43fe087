//! Which of several operators acts: the one that holds the Lease.
//!
//! The rules are those of client-go's leader election: a holder renews, and whoever has seen no
//! renewal for the Lease's whole duration by its own clock may take over. A holder that cannot
//! renew in time must stop at once, before another one may begin.

mod keep;

pub use keep::{Keeper, LeaseError, Lost, NAME};

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

/// How long a Lease is valid after its renewal.
pub const DURATION: Duration = Duration::from_secs(15);
/// A holder gives up when it could not renew for so long: before others may take over.
pub const GIVE_UP: Duration = Duration::from_secs(10);
/// Time between two looks at the Lease, or two renewals.
pub const EVERY: Duration = Duration::from_secs(2);

/// What was last seen of a Lease, and since when by the own clock: other clocks do not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    last: Option<(Option<LeaseSpec>, Instant)>,
}

/// What to do about a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is ours: renew it.
    Renew,
    /// It is nobody's any more: take it.
    Take,
    /// It is somebody else's: look again later.
    Wait,
}

impl Seen {
    /// What to do about `lease`, as it was read at `now`, for whoever is called `me`.
    pub fn step(&mut self, lease: &Lease, me: &str, now: Instant) -> Step {
        let since = match &self.last {
            Some((spec, since)) if *spec == lease.spec => *since,
            _ => {
                self.last = Some((lease.spec.clone(), now));
                now
            }
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let seconds = spec.lease_duration_seconds.unwrap_or(0);
        let valid = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        if holder == me {
            Step::Renew
        } else if holder.is_empty() || now.duration_since(since) >= valid {
            Step::Take
        } else {
            Step::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, transitions: i32) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(15),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    #[test]
    fn a_lease_is_taken_when_it_was_not_renewed_for_its_duration_by_the_own_clock() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(seen.step(&lease("other", 1), "me", start), Step::Wait);
        assert_eq!(seen.step(&lease("other", 1), "me", after(14)), Step::Wait);
        assert_eq!(seen.step(&lease("other", 2), "me", after(14)), Step::Wait);
        assert_eq!(seen.step(&lease("other", 2), "me", after(28)), Step::Wait);
        assert_eq!(seen.step(&lease("other", 2), "me", after(29)), Step::Take);
    }

    #[test]
    fn a_lease_that_was_given_back_is_taken_at_once_and_the_own_one_renewed() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        assert_eq!(seen.step(&lease("", 1), "me", now), Step::Take);
        assert_eq!(seen.step(&lease("me", 1), "me", now), Step::Renew);
    }

    #[test]
    fn a_holder_gives_up_before_others_may_take_over() {
        assert!(GIVE_UP + EVERY < DURATION);
    }
}
