//! How long to wait before trying again.

use std::time::Duration;

/// A server that asks for an immediate return does not get a busy loop.
const LEAST: Duration = Duration::from_millis(100);

/// Doubles from `first` up to `longest`; with jitter, so that many clients do not come back at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff {
            first,
            longest,
            failures: 0,
        }
    }

    /// The server's wish, its `retry:`. It does not lift the longest wait, and is at least 100 ms.
    pub fn start_from(&mut self, first: Duration) {
        self.first = first.max(LEAST);
    }

    /// Something worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure: between the doubled time and a quarter more, or, where the
    /// longest wait is reached, between three quarters of it and all. `random` is from 0 to 1.
    pub fn next_wait(&mut self, random: f64) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2u32.saturating_pow(self.failures))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let most = doubled.saturating_mul(5) / 4;
        let least = doubled.min(self.longest - self.longest / 4);
        least + (most.min(self.longest) - least).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew() {
        let mut backoff = Backoff::new(ms(1000), ms(8000));
        let waits: Vec<_> = (0..6).map(|_| backoff.next_wait(0.0)).collect();
        let wanted = [1000, 2000, 4000, 6000, 6000, 6000].map(ms);
        assert_eq!(waits, wanted);
        backoff.reset();
        assert_eq!(backoff.next_wait(1.0), ms(1250));
        for _ in 0..100 {
            assert!(backoff.next_wait(1.0) <= ms(8000));
        }
    }

    #[test]
    fn a_servers_wish_is_the_least_unless_it_is_longer_than_the_longest() {
        let mut backoff = Backoff::new(ms(1000), ms(8000));
        backoff.start_from(ms(3000));
        assert_eq!(backoff.next_wait(0.0), ms(3000));
        assert_eq!(backoff.next_wait(0.0), ms(6000));
        backoff.reset();
        backoff.start_from(Duration::from_millis(u64::MAX));
        assert_eq!(backoff.next_wait(1.0), ms(8000));
        assert_eq!(backoff.next_wait(0.0), ms(6000));
        backoff.reset();
        backoff.start_from(Duration::ZERO);
        assert_eq!(backoff.next_wait(0.0), LEAST);
    }
}
