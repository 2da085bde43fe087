//! What a change of epoch means for who is attached, and for who comes back. Pure.
//!
//! A primary of another replication id is always another epoch. Whether that is a gap is decided for
//! each cursor: it is, exactly if something between the fork and the highest id that anybody saw of the
//! ended epoch is missing for it.

use super::store::{EndedEpoch, Head};
use crate::{
    cursor::{Epoch, EventId, Partition, Place, UnixMillis},
    event_log::resume::{self, EpochLoss, Loss, Unheard},
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Replicas report what they saw of an ended epoch within this. Before it, nobody says that nothing is
/// missing.
pub const WITNESS_TIME: Duration = Duration::from_secs(3);
/// Live streams are told for so long of what is reported later. Cursors that are as young in the next
/// epoch may be those of clients that were away just then.
pub const WATCHED: Duration = WITNESS_TIME.saturating_mul(3);
/// Clocks of Redis and of this process differ by less than this, in milliseconds.
const SKEW: UnixMillis = 60_000;

/// How an epoch that this process was in came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It goes on.
    Same,
    /// Another followed; all of the old one up to the fork survived. What is lost is lost up to here.
    Forked {
        next: Epoch,
        fork: EventId,
        lost: Option<EventId>,
    },
    /// Nothing is known of it any more: the log was flushed, or too many epochs came after it.
    Unknown,
}

/// What became of the epoch that this process is in, of which it saw events up to `seen`.
pub fn change(ours: Epoch, seen: EventId, head: &Head, ended: &[EndedEpoch]) -> Change {
    if head.epoch == ours {
        return Change::Same;
    }
    let Some(end) = ended.iter().find(|ended| ended.epoch == ours) else {
        return Change::Unknown;
    };
    Change::Forked {
        next: end.next,
        fork: end.fork,
        lost: end.lost.max((seen > end.fork).then_some(seen)),
    }
}

/// Ended epochs as Redis last told them, and since when this process knows of each.
#[derive(Debug, Default)]
pub struct Ended {
    epochs: Vec<EndedEpoch>,
    known_since: HashMap<Epoch, Instant>,
}

impl Ended {
    /// What Redis tells now.
    pub fn set(&mut self, epochs: &[EndedEpoch], now: Instant) {
        self.known_since
            .retain(|known, _| epochs.iter().any(|ended| ended.epoch == *known));
        for ended in epochs {
            self.known_since.entry(ended.epoch).or_insert(now);
        }
        self.epochs = epochs.to_vec();
    }

    pub fn contains(&self, epoch: Epoch) -> bool {
        self.epochs.iter().any(|ended| ended.epoch == epoch)
    }

    /// Whether replicas may still report that events are missing for who stands in this epoch.
    pub fn is_undecided(&self, epoch: Epoch, now: (Instant, UnixMillis)) -> bool {
        let chain = self.from(epoch);
        chain.into_iter().any(|ended| self.is_fresh(ended, now))
    }

    fn is_fresh(&self, ended: &EndedEpoch, (now, unix): (Instant, UnixMillis)) -> bool {
        let known = self.known_since.get(&ended.epoch);
        unix < ended.at.saturating_add(SKEW)
            && known.is_some_and(|since| now.saturating_duration_since(*since) < WITNESS_TIME)
    }

    /// An epoch and those that followed it and ended.
    fn from(&self, epoch: Epoch) -> Vec<&EndedEpoch> {
        let mut chain: Vec<&EndedEpoch> = Vec::new();
        let mut next = epoch;
        while let Some(ended) = self.epochs.iter().find(|ended| ended.epoch == next)
            && chain.len() < self.epochs.len()
        {
            chain.push(ended);
            next = ended.next;
        }
        chain
    }

    /// As a resume needs them: whoever stands in one also misses what those after it lost.
    pub fn for_resume(
        &self,
        partition: Partition,
        now: (Instant, UnixMillis),
    ) -> impl Iterator<Item = resume::EndedEpoch> {
        let loss = move |ended: &EndedEpoch| match ended.lost {
            Some(lost) => EpochLoss::UpTo(lost),
            None if self.is_fresh(ended, now) => EpochLoss::Undecided,
            None => EpochLoss::UpTo(ended.fork),
        };
        self.epochs.iter().map(move |ended| {
            let later = self.from(ended.next);
            resume::EndedEpoch {
                partition,
                epoch: ended.epoch,
                fork: ended.fork,
                loss: loss(ended),
                later: later
                    .into_iter()
                    .filter_map(|later| lost_of(partition, later, loss(later)))
                    .reduce(Loss::and),
                unheard: Some(unheard(ended)),
            }
        })
    }
}

/// Ids are moments of Redis' clock, as the end is; but they never go back when that does.
fn unheard(ended: &EndedEpoch) -> Unheard {
    let newest = ended.fork.max(ended.lost.unwrap_or_default());
    let since = ended.at.max(newest.unix_millis());
    let watched = UnixMillis::try_from(WATCHED.as_millis()).unwrap_or(UnixMillis::MAX);
    Unheard {
        by: ended.next,
        until: EventId::before(since.saturating_add(watched)),
    }
}

/// What an epoch lost after its fork, if it did or may have.
fn lost_of(partition: Partition, ended: &EndedEpoch, loss: EpochLoss) -> Option<Loss> {
    let at = |id| Place {
        partition,
        epoch: ended.epoch,
        id,
    };
    let until = match loss {
        EpochLoss::UpTo(lost) if lost <= ended.fork => return None,
        EpochLoss::UpTo(lost) => Some(at(lost)),
        EpochLoss::Unknown | EpochLoss::Undecided => None,
    };
    Some(Loss {
        after: at(ended.fork),
        until,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u64) -> EventId {
        EventId::new(value).unwrap()
    }

    fn head(epoch: u32) -> Head {
        Head {
            epoch: Epoch::from_random(epoch),
            last: id(500),
            forgotten: id(0),
            purges: 0,
        }
    }

    fn ended_epoch(epoch: u32, fork: u64, lost: Option<u64>) -> EndedEpoch {
        EndedEpoch {
            epoch: Epoch::from_random(epoch),
            fork: id(fork),
            lost: lost.map(id),
            next: Epoch::from_random(epoch + 1),
            at: 100_000,
        }
    }

    fn ended(lost: Option<u64>) -> EndedEpoch {
        ended_epoch(1, 100, lost)
    }

    #[test]
    fn what_was_seen_past_the_fork_is_lost() {
        let ours = Epoch::from_random(1);
        let of = |seen, lost| change(ours, id(seen), &head(2), &[ended(lost)]);
        let forked = |lost: Option<u64>| Change::Forked {
            next: Epoch::from_random(2),
            fork: id(100),
            lost: lost.map(id),
        };
        assert_eq!(of(90, None), forked(None), "nothing is");
        assert_eq!(of(100, None), forked(None));
        assert_eq!(of(103, None), forked(Some(103)));
        assert_eq!(
            of(103, Some(105)),
            forked(Some(105)),
            "another replica saw more"
        );
        assert_eq!(of(90, Some(105)), forked(Some(105)));
        assert_eq!(change(ours, id(7), &head(1), &[]), Change::Same);
        assert_eq!(change(ours, id(7), &head(2), &[]), Change::Unknown);
    }

    fn known(epochs: &[EndedEpoch], at: Instant) -> Ended {
        let mut known = Ended::default();
        known.set(epochs, at);
        known
    }

    #[test]
    fn nobody_is_told_that_nothing_is_missing_before_all_had_the_time_to_report() {
        let start = Instant::now();
        let one = Epoch::from_random(1);
        let of = |lost, later, unix| {
            let known = known(&[ended(lost)], start);
            let now = (start + later, unix);
            let loss = known.for_resume(Partition::ONLY, now).next().unwrap().loss;
            (loss, known.is_undecided(one, now))
        };
        let short = WITNESS_TIME - Duration::from_millis(1);
        // whatever the clocks of Redis and of this process say
        for unix in [50_000, 100_000, 103_000, 110_000] {
            assert_eq!(of(None, short, unix), (EpochLoss::Undecided, true));
            let nothing = (EpochLoss::UpTo(id(100)), false);
            assert_eq!(of(None, WITNESS_TIME, unix), nothing);
            // others may have seen still more
            let lost = EpochLoss::UpTo(id(105));
            assert_eq!(of(Some(105), short, unix), (lost, true));
            assert_eq!(of(Some(105), WITNESS_TIME, unix), (lost, false));
        }
        let long_ago = of(None, Duration::ZERO, 100_000 + SKEW);
        assert_eq!(long_ago, (EpochLoss::UpTo(id(100)), false));
    }

    #[test]
    fn who_stands_in_an_epoch_misses_what_those_after_it_lost() {
        let start = Instant::now();
        let epochs = [
            ended_epoch(1, 100, None),
            ended_epoch(2, 200, Some(205)),
            ended_epoch(3, 300, Some(302)),
        ];
        let known = known(&epochs, start);
        let all: Vec<_> = known
            .for_resume(Partition::ONLY, (start + WITNESS_TIME, 100_000))
            .collect();
        let at = |epoch, value| Place {
            partition: Partition::ONLY,
            epoch: Epoch::from_random(epoch),
            id: id(value),
        };
        let later = |after, until| {
            Some(Loss {
                after,
                until: Some(until),
            })
        };
        assert_eq!(all[0].loss, EpochLoss::UpTo(id(100)));
        assert_eq!(all[0].later, later(at(2, 200), at(3, 302)));
        assert_eq!(all[1].later, later(at(3, 300), at(3, 302)));
        assert_eq!(all[2].later, None);
    }
}
