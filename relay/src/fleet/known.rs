//! What this replica knows of revocations, and what it has to read to know all. Pure.

use super::roster::LEASE;
use crate::redis::ReplicationId;
use std::time::Instant;

/// The state of revocations in Redis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct At {
    /// Another one: what was in Redis is gone.
    pub epoch: String,
    /// Of the primary: another one may not have all that the one before had.
    pub replication: ReplicationId,
    pub change: u64,
}

/// How far this replica has read.
#[derive(Default, Debug)]
pub struct Known {
    read: Option<(At, Instant)>,
}

/// What to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    Nothing,
    /// What changed after this.
    Changes(u64),
    /// All; what is not there was taken back.
    Whole,
    /// All; what is not there was lost by Redis, and is put back.
    Restoring,
}

impl Known {
    pub fn reading(&self, at: &At, now: Instant) -> Reading {
        match &self.read {
            None => Reading::Whole,
            Some((read, _)) if read.epoch != at.epoch || read.replication != at.replication => {
                Reading::Restoring
            }
            Some((read, _)) if read.change > at.change => Reading::Restoring,
            // who took one back is remembered for ten minutes, which is longer
            Some((_, when)) if now.duration_since(*when) > LEASE => Reading::Whole,
            Some((read, _)) if read.change < at.change => Reading::Changes(read.change),
            Some(_) => Reading::Nothing,
        }
    }

    pub fn has_read(&mut self, at: At, now: Instant) {
        self.read = Some((at, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(epoch: &str, replication: &str, change: u64) -> At {
        At {
            epoch: epoch.into(),
            replication: replication.into(),
            change,
        }
    }

    #[test]
    fn what_is_read_is_what_may_be_missing() {
        let now = Instant::now();
        let mut known = Known::default();
        assert_eq!(known.reading(&at("e", "r", 5), now), Reading::Whole);
        known.has_read(at("e", "r", 5), now);
        let reading = |told: At, after: u64| known.reading(&told, now + Duration::from_secs(after));
        assert_eq!(reading(at("e", "r", 5), 1), Reading::Nothing);
        assert_eq!(reading(at("e", "r", 9), 1), Reading::Changes(5));
        assert_eq!(reading(at("e", "r", 9), 11), Reading::Whole);
        for lost in [at("f", "r", 9), at("e", "s", 9), at("e", "r", 4)] {
            assert_eq!(reading(lost, 1), Reading::Restoring);
        }
    }
}
