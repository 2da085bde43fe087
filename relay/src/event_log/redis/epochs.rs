//! What a change of epoch means for who is attached, and for who comes back. Pure.
//!
//! A primary of another replication id is always another epoch. Whether that is a gap is decided for
//! each cursor: it is, exactly if something between the fork and the highest id that anybody saw of the
//! ended epoch is missing for it.

use super::store::{EndedEpoch, Head};
use crate::{
    cursor::{Epoch, EventId, Partition, UnixMillis},
    event_log::resume::{self, EpochLoss},
};

/// Replicas report what they saw of an ended epoch within this, in milliseconds. Before it, nobody
/// says that nothing is missing.
pub const WITNESS_TIME: UnixMillis = 3000;

/// How an epoch that this process was in came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It goes on.
    Same,
    /// Another followed; all of the old one up to the fork survived. What is lost is lost up to here.
    Forked {
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
        fork: end.fork,
        lost: end.lost.max((seen > end.fork).then_some(seen)),
    }
}

/// Ended epochs as a resume needs them.
pub fn for_resume(
    partition: Partition,
    ended: &[EndedEpoch],
    now: UnixMillis,
) -> impl Iterator<Item = resume::EndedEpoch> {
    ended.iter().map(move |ended| resume::EndedEpoch {
        partition,
        epoch: ended.epoch,
        fork: ended.fork,
        loss: match ended.lost {
            Some(lost) => EpochLoss::UpTo(lost),
            None if now < ended.at.saturating_add(WITNESS_TIME) => EpochLoss::Unknown,
            None => EpochLoss::UpTo(ended.fork),
        },
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

    fn ended(lost: Option<u64>) -> EndedEpoch {
        EndedEpoch {
            epoch: Epoch::from_random(1),
            fork: id(100),
            lost: lost.map(id),
            at: 10_000,
        }
    }

    #[test]
    fn what_was_seen_past_the_fork_is_lost() {
        let ours = Epoch::from_random(1);
        let of = |seen, lost| change(ours, id(seen), &head(2), &[ended(lost)]);
        let forked = |lost: Option<u64>| Change::Forked {
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

    #[test]
    fn nobody_is_told_that_nothing_is_missing_before_all_had_the_time_to_report() {
        let of = |lost, now| {
            let mut all = for_resume(Partition::ONLY, &[ended(lost)], now).collect::<Vec<_>>();
            all.remove(0).loss
        };
        assert_eq!(of(None, 10_000 + WITNESS_TIME - 1), EpochLoss::Unknown);
        assert_eq!(of(None, 10_000 + WITNESS_TIME), EpochLoss::UpTo(id(100)));
        assert_eq!(of(Some(105), 10_000), EpochLoss::UpTo(id(105)));
    }
}
