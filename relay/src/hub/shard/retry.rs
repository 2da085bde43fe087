//! What the log could not do is tried again, with jitter and at a bounded rate.

use super::{Shard, poller::Token, stream::Then};
use crate::{event_log::ReadError, stats::LogOperation};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The first wait is between half of this and all of it, the next ones twice as long each …
const FIRST: Duration = Duration::from_millis(200);
/// … up to this.
const LONGEST: Duration = Duration::from_secs(5);
/// Tries of one tick (100 ms) at most: a log that comes back is not asked everything at once.
const TRIES: usize = 500;

/// What is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    Attach {
        feed: u32,
        number: u64,
        failures: u32,
    },
    /// A stream's history.
    Read(Token),
}

/// By when it is due, in order of their coming.
#[derive(Default)]
pub struct Retries {
    due: BTreeMap<(Instant, u64), Retry>,
    count: u64,
}

impl Retries {
    /// After so many failures before this one.
    pub fn add(&mut self, now: Instant, failures: u32, retry: Retry) {
        self.count += 1;
        let at = now + wait(failures, rand::random());
        self.due.insert((at, self.count), retry);
    }

    /// The next one that is due.
    fn take(&mut self, now: Instant) -> Option<Retry> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// `share` is from 0 to 1.
fn wait(failures: u32, share: f64) -> Duration {
    let most = FIRST
        .saturating_mul(2u32.saturating_pow(failures))
        .min(LONGEST);
    most.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
}

impl Shard {
    /// Tries again what is due. A stream that is gone meanwhile is known by its token.
    pub(super) fn try_again(&mut self) {
        for _ in 0..TRIES {
            match self.retries.take(self.now) {
                None => return,
                Some(Retry::Attach {
                    feed,
                    number,
                    failures,
                }) => self.attach_again(feed, number, failures),
                Some(Retry::Read(token)) => self.read_again(token),
            }
        }
    }

    fn read_again(&mut self, token: Token) {
        let Some(index) = self.slot_of(token) else {
            return;
        };
        let waits = self.stream_mut(index).and_then(|stream| {
            let backlog = stream.backlog.as_mut()?;
            (backlog.then == Then::Wait).then(|| (backlog.from.clone(), backlog.failures))
        });
        if let Some((from, failures)) = waits {
            self.read(index, from, failures);
        }
    }

    pub(super) fn log_failed(&mut self, operation: LogOperation, error: &ReadError) {
        self.shared.hub.stats.log_retries.of(operation).add(1);
        if self.log_budget.allows(self.now) {
            tracing::warn!(
                event = "log.unavailable",
                operation = operation.as_str(),
                %error,
                "the log did not answer; it is tried again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_have_jitter_and_a_bound() {
        let most: Vec<u128> = (0..7).map(|n| wait(n, 1.0).as_millis()).collect();
        assert_eq!(most, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(wait(0, 0.0).as_millis(), 100);
        assert_eq!(wait(u32::MAX, 0.0).as_millis(), 2500);
    }

    #[test]
    fn what_is_due_comes_in_its_order_and_not_before() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        for token in 0..100 {
            retries.add(now, 0, Retry::Read(token));
        }
        assert_eq!(retries.take(now), None);
        let later = now + FIRST;
        let due: Vec<_> = std::iter::from_fn(|| retries.take(later)).collect();
        assert_eq!(due.len(), 100);
        let in_their_order = due.is_sorted_by_key(|retry| match retry {
            Retry::Read(token) => *token,
            Retry::Attach { .. } => 0,
        });
        assert!(!in_their_order, "a hundred do not come back in one moment");
    }
}
