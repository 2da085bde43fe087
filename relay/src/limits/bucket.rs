//! A token bucket, as one number: when it will be full again (the generic cell rate algorithm).
//!
//! The rate is an argument of every question, so that it may change at any time, by a new
//! configuration or by a share of a fleet-wide rate, and nothing that was used is forgotten.

use std::time::Duration;

/// A point in time: since the process started.
pub type Moment = Duration;

/// The longest time for which something that was let through may be paid back.
const MAX_DEBT: Duration = Duration::from_secs(3600);

/// So much in a second, and as much as comes together in the time of a burst at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub per_second: u64,
    pub burst: Duration,
}

impl Rate {
    /// How long it takes until so much comes together.
    fn time_for(self, amount: u64) -> Duration {
        let per_second = self.per_second.max(1);
        if let Some(nanos) = amount.checked_mul(1_000_000_000) {
            return Duration::from_nanos(nanos / per_second); // as nearly always
        }
        let nanos = u128::from(amount) * 1_000_000_000 / u128::from(per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What was used of a rate.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bucket {
    full_at: Moment,
}

impl Bucket {
    /// Whether anything may be taken now; `Err` is how long to wait for it. One unit always fits into
    /// the bucket, however short the burst.
    pub fn check(&self, rate: Rate, now: Moment) -> Result<(), Duration> {
        let one = rate.time_for(1);
        let needed = self.full_at.saturating_sub(now).saturating_add(one);
        match needed.saturating_sub(rate.burst.max(one)) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Takes it, although it may be more than there is: what is taken too much is waited for next time.
    pub fn take(&mut self, amount: u64, rate: Rate, now: Moment) {
        let from = self.full_at.max(now);
        let full_at = from.saturating_add(rate.time_for(amount));
        self.full_at = full_at.min(now.saturating_add(MAX_DEBT));
    }

    /// Whether it has nothing to remember.
    pub fn is_full(&self, now: Moment) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(per_second: u64, burst: Duration) -> Rate {
        Rate { per_second, burst }
    }

    /// How many of the questions at these moments are allowed.
    fn allowed(rate: Rate, moments: impl Iterator<Item = Moment>) -> u64 {
        let mut bucket = Bucket::default();
        moments.fold(0, |allowed, now| match bucket.check(rate, now) {
            Ok(()) => {
                bucket.take(1, rate, now);
                allowed + 1
            }
            Err(_) => allowed,
        })
    }

    #[test]
    fn a_burst_is_what_comes_together_in_its_time() {
        let at_once = |burst| allowed(rate(10, burst), std::iter::repeat_n(SECOND, 1000));
        assert_eq!(at_once(5 * SECOND), 50);
        assert_eq!(at_once(SECOND), 10);
        assert_eq!(at_once(Duration::ZERO), 1, "one always fits");
    }

    #[test]
    fn who_waits_as_long_as_is_said_may_and_not_earlier() {
        let (rate, mut bucket) = (rate(2, SECOND), Bucket::default());
        bucket.take(2, rate, SECOND);
        let wait = bucket.check(rate, SECOND).unwrap_err();
        assert_eq!(wait, SECOND / 2);
        let just_before = SECOND + wait - Duration::from_nanos(1);
        assert!(bucket.check(rate, just_before).is_err());
        assert_eq!(bucket.check(rate, SECOND + wait), Ok(()));
        assert!(!bucket.is_full(SECOND + wait) && bucket.is_full(2 * SECOND));
    }

    #[test]
    fn what_is_taken_too_much_is_waited_for_but_not_for_ever() {
        let (rate, mut bucket) = (rate(1000, SECOND), Bucket::default());
        bucket.take(10_000, rate, SECOND);
        assert_eq!(bucket.check(rate, SECOND).unwrap_err().as_secs(), 9);
        bucket.take(u64::MAX, rate, SECOND);
        assert!(bucket.check(rate, SECOND).unwrap_err() <= MAX_DEBT);
    }

    #[test]
    fn a_new_rate_holds_at_once_and_forgets_nothing() {
        let (slow, mut bucket) = (rate(1, SECOND), Bucket::default());
        bucket.take(1, slow, SECOND);
        assert!(bucket.check(slow, SECOND).is_err());
        assert_eq!(bucket.check(rate(1000, 10 * SECOND), SECOND), Ok(()));
        assert!(bucket.check(slow, SECOND).is_err());
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_one_burst(
            per_second in 1_u64..1000,
            burst in 0_u64..5000,
            steps in prop::collection::vec(0_u64..20, 1..500),
        ) {
            let rate = rate(per_second, Duration::from_millis(burst));
            let mut now = Duration::ZERO;
            let moments: Vec<_> = steps.iter().map(|step| { now += Duration::from_millis(*step); now }).collect();
            let passed = allowed(rate, moments.into_iter());
            let most = per_second as f64 * (now + rate.burst).as_secs_f64() + 1.0;
            prop_assert!(passed as f64 <= most, "{} of {}", passed, most);
        }
    }
}
