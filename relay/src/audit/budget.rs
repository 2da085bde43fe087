//! How many lines anybody may cause. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// Lines within a second.
pub const PER_SECOND: u32 = 20;

#[derive(Default, Debug)]
pub struct Budget {
    second: Option<Instant>,
    used: u32,
    suppressed: u64,
}

impl Budget {
    /// Whether one more may be written, and how many were left out before.
    pub fn take(&mut self, now: Instant) -> (bool, u64) {
        let suppressed = self.flush(now);
        self.used += 1;
        let allowed = self.used <= PER_SECOND;
        self.suppressed += u64::from(!allowed);
        (allowed, suppressed)
    }

    /// How many were left out in the second that is over.
    pub fn flush(&mut self, now: Instant) -> u64 {
        let over = |second| now.saturating_duration_since(second) >= Duration::from_secs(1);
        if !self.second.is_none_or(over) {
            return 0;
        }
        (self.second, self.used) = (Some(now), 0);
        std::mem::take(&mut self.suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_bound_lines_are_counted_and_told_in_the_next_second() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        let allowed = (0..100).filter(|_| budget.take(now).0).count();
        assert_eq!(allowed, PER_SECOND as usize);
        assert_eq!(budget.flush(now), 0);
        let next = now + Duration::from_secs(1);
        assert_eq!(budget.take(next), (true, 80));
        assert_eq!(budget.flush(next + Duration::from_secs(1)), 0);
    }
}
