//! Keeps a replica that was out of touch from giving streams what the log has, until it knows what was
//! revoked meanwhile.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Open for a while at a time, so that it shuts by itself when nobody opens it any more.
pub struct Gate {
    began: Instant,
    /// Milliseconds after `began`.
    open_until: AtomicU64,
}

impl Gate {
    /// One that nobody watches: always open.
    pub fn open() -> Gate {
        Gate {
            began: Instant::now(),
            open_until: AtomicU64::new(u64::MAX),
        }
    }

    pub fn shut() -> Gate {
        Gate {
            began: Instant::now(),
            open_until: AtomicU64::new(0),
        }
    }

    pub fn is_open(&self) -> bool {
        self.now() < self.open_until.load(Ordering::Acquire)
    }

    pub fn open_for(&self, time: Duration) {
        let until = self.now() + time.as_millis() as u64;
        self.open_until.store(until, Ordering::Release);
    }

    pub fn close(&self) {
        self.open_until.store(0, Ordering::Release);
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_open_as_long_as_it_was_opened_for() {
        assert!(Gate::open().is_open());
        let gate = Gate::shut();
        assert!(!gate.is_open());
        gate.open_for(Duration::from_secs(3600));
        assert!(gate.is_open());
        gate.close();
        assert!(!gate.is_open());
        gate.open_for(Duration::ZERO);
        assert!(!gate.is_open());
    }
}
