//! When events are published.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// By the clock, whatever the server does. Each channel keeps to one connection.
    Open { rate: f64, events: u32 },
    /// As soon as fewer than `outstanding` events are underway: published, not yet with every stream.
    Closed { outstanding: u32, time: Duration },
}

/// Where a pace stands.
#[derive(Debug)]
pub struct Drive {
    pub pace: Pace,
    /// Nanoseconds of the run's clock.
    start: u64,
    /// The number of the next publish.
    pub next: u32,
}

impl Drive {
    #[must_use]
    pub fn new(pace: Pace, start: u64) -> Self {
        Self {
            pace,
            start,
            next: 0,
        }
    }

    /// Whether the clock asks for a publish now; a closed loop asks until its time is over.
    #[must_use]
    pub fn wants(&self, now: u64) -> bool {
        match self.pace {
            Pace::Open { rate, events } => self.next < events && self.due(rate) <= now,
            Pace::Closed { time, .. } => now < self.start + time.as_nanos() as u64,
        }
    }

    /// When the next publish is due by the clock, if one is.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        match self.pace {
            Pace::Open { rate, events } => (self.next < events).then(|| self.due(rate)),
            Pace::Closed { .. } => None,
        }
    }

    #[must_use]
    pub fn due(&self, rate: f64) -> u64 {
        self.start + (f64::from(self.next) * 1e9 / rate) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_pace_keeps_its_rate_and_its_number() {
        let mut drive = Drive::new(
            Pace::Open {
                rate: 1000.0,
                events: 2,
            },
            5,
        );
        assert!(!drive.wants(4) && drive.wants(5));
        drive.next = 1;
        assert_eq!(drive.next_due(), Some(1_000_005));
        drive.next = 2;
        assert_eq!(drive.next_due(), None);
        assert!(!drive.wants(u64::MAX));
    }

    #[test]
    fn a_closed_pace_ends_by_time() {
        let time = Duration::from_nanos(10);
        let drive = Drive::new(
            Pace::Closed {
                outstanding: 1,
                time,
            },
            5,
        );
        assert!(drive.wants(14) && !drive.wants(15));
    }
}
