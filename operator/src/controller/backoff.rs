//! How long to wait after failures in a row, for each relay.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::life::Life;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row. It knows only relays that fail: at most as many as there are.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: HashMap<Life, u32>,
}

impl Backoff {
    /// Another failure: how long to wait, without jitter.
    pub fn failed(&mut self, relay: &Life) -> Duration {
        let failures = self.failures.entry(relay.clone()).or_insert(0);
        let wait = FIRST.saturating_mul(1 << (*failures).min(16));
        *failures = failures.saturating_add(1);
        wait.min(LONGEST)
    }

    /// Forgets all but these relays.
    pub fn only(&mut self, there: &HashSet<Life>) {
        self.failures.retain(|relay, _| there.contains(relay));
    }

    /// It went well, or the relay is gone.
    pub fn forget(&mut self, relay: &Life) {
        self.failures.remove(relay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let relay = Life::named("live");
        let waits: Vec<u64> = (0..10).map(|_| backoff.failed(&relay).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(backoff.failed(&Life::named("other")).as_secs(), 1);
        backoff.forget(&relay);
        assert_eq!(backoff.failed(&relay).as_secs(), 1);
    }
}
