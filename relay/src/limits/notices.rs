//! Keeps a storm of refusals from being a storm of log lines.

use super::{Hit, bucket::Moment};
use crate::label::Label;
use std::time::Duration;

/// Between two lines about the same limit.
const PAUSE: Duration = Duration::from_secs(10);

/// What was refused since the last line, for each limit.
pub struct Notices {
    hits: Vec<(Hit, u64, Option<Moment>)>,
}

impl Default for Notices {
    fn default() -> Self {
        Notices {
            hits: Hit::ALL.iter().map(|hit| (*hit, 0, None)).collect(),
        }
    }
}

impl Notices {
    /// How many refusals a line should tell of, if one is due.
    pub fn of(&mut self, hit: Hit, now: Moment) -> Option<u64> {
        let (_, count, told) = self.hits.iter_mut().find(|(known, ..)| *known == hit)?;
        *count += 1;
        if told.is_some_and(|told| now.saturating_sub(told) < PAUSE) {
            return None;
        }
        *told = Some(now);
        Some(std::mem::take(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_is_told_and_the_next_ones_are_counted() {
        let (mut notices, mut now) = (Notices::default(), Duration::from_secs(1));
        assert_eq!(notices.of(Hit::TotalOpens, now), Some(1));
        for _ in 0..100 {
            assert_eq!(notices.of(Hit::TotalOpens, now), None);
        }
        assert_eq!(notices.of(Hit::SubjectOpens, now), Some(1), "another limit");
        now += PAUSE;
        assert_eq!(notices.of(Hit::TotalOpens, now), Some(101));
    }
}
