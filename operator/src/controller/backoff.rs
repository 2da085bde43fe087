//! How long to wait after failures in a row, for each relay.

use std::collections::HashMap;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;

use crate::crd::SseRelay;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row. It knows only relays that fail: at most as many as there are.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: HashMap<ObjectRef<SseRelay>, u32>,
}

impl Backoff {
    /// Another failure: how long to wait, without jitter.
    pub fn failed(&mut self, relay: &ObjectRef<SseRelay>) -> Duration {
        let failures = self.failures.entry(relay.clone()).or_insert(0);
        let wait = FIRST.saturating_mul(1 << (*failures).min(16));
        *failures = failures.saturating_add(1);
        wait.min(LONGEST)
    }

    /// It went well, or the relay is gone.
    pub fn forget(&mut self, relay: &ObjectRef<SseRelay>) {
        self.failures.remove(relay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let relay = ObjectRef::new("live");
        let waits: Vec<u64> = (0..10).map(|_| backoff.failed(&relay).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(backoff.failed(&ObjectRef::new("other")).as_secs(), 1);
        backoff.forget(&relay);
        assert_eq!(backoff.failed(&relay).as_secs(), 1);
    }
}
