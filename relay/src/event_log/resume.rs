//! Where a subscription starts to read, as its cursor and the log's epochs say. Pure.

use super::Gaps;
use crate::{
    cursor::{Cursor, Epoch, EventId, Partition, Place},
    frame::GapReason,
    label::labels,
};

/// How a subscription starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Read after this one.
    pub after: EventId,
    /// Whether what the log has trimmed counts as missing.
    pub gaps: Gaps,
    /// What is, or may be, missing whatever the log still has.
    pub lost: Option<Lost>,
    pub verdict: Verdict,
}

/// A gap that the cursor itself tells. Of an ended epoch it begins at the fork, however early the
/// cursor stands: all before survived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    pub reason: GapReason,
    pub certain: bool,
    pub after: Option<Place>,
    pub until: Option<Place>,
}

/// What became of a cursor, for the metric `streams_opened{resume}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Not a resume.
    Fresh,
    /// The place is one of this epoch.
    Exact,
    /// The place is one of an epoch that ended.
    OtherEpoch,
    /// The id says nothing.
    Unknown,
}

labels!(Verdict {
    Fresh => "fresh",
    Exact => "exact",
    OtherEpoch => "other-epoch",
    Unknown => "unknown",
});

/// An epoch that ended, and the highest id of it that survived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndedEpoch {
    pub epoch: Epoch,
    pub fork: EventId,
}

/// `joined` is the id after which the subscription gets events live.
pub fn resume(cursor: &Cursor, joined: EventId, epoch: Epoch, ended: &[EndedEpoch]) -> Start {
    let at = |epoch, id| {
        Some(Place {
            partition: Partition::ONLY,
            epoch,
            id,
        })
    };
    let fresh = |after| Start {
        after,
        gaps: Gaps::Report,
        lost: None,
        verdict: Verdict::Fresh,
    };
    let unknown = |verdict, reason| Start {
        after: EventId::ZERO,
        gaps: Gaps::Ignore,
        lost: Some(Lost {
            reason,
            certain: false,
            after: None,
            until: at(epoch, joined),
        }),
        verdict,
    };
    match cursor {
        Cursor::Latest => fresh(joined),
        Cursor::Earliest => Start {
            gaps: Gaps::Ignore,
            ..fresh(EventId::ZERO)
        },
        Cursor::At(time) => fresh(EventId::before(*time).min(joined)),
        Cursor::Unknown => unknown(Verdict::Unknown, GapReason::UnknownId),
        Cursor::After(places) => match places.in_partition(Partition::ONLY) {
            None => unknown(Verdict::Unknown, GapReason::UnknownId),
            // Later than all: an event that was delivered but never acknowledged, in a life that
            // ended before it was written down. Nothing acknowledged is missing.
            Some(place) if place.epoch == epoch => Start {
                verdict: Verdict::Exact,
                ..fresh(place.id.min(joined))
            },
            Some(place) => match ended.iter().find(|ended| ended.epoch == place.epoch) {
                None => unknown(Verdict::OtherEpoch, GapReason::Epoch),
                Some(ended) => Start {
                    after: place.id.min(ended.fork),
                    gaps: Gaps::Report,
                    lost: Some(Lost {
                        reason: GapReason::Epoch,
                        certain: place.id > ended.fork,
                        after: at(ended.epoch, ended.fork),
                        until: (place.id > ended.fork).then_some(place),
                    }),
                    verdict: Verdict::OtherEpoch,
                },
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::Places;

    fn id(value: u64) -> EventId {
        EventId::new(value).unwrap()
    }

    fn after(epoch: u32, value: u64) -> Cursor {
        let place = Place {
            partition: Partition::ONLY,
            epoch: Epoch::from_random(epoch),
            id: id(value),
        };
        Cursor::After(Places::one(place))
    }

    fn start(cursor: &Cursor) -> Start {
        let ended = [EndedEpoch {
            epoch: Epoch::from_random(1),
            fork: id(50),
        }];
        resume(cursor, id(100), Epoch::from_random(2), &ended)
    }

    #[test]
    fn a_place_of_this_epoch_is_resumed_exactly() {
        let start = start(&after(2, 70));
        assert_eq!(
            (start.after, start.lost, start.verdict),
            (id(70), None, Verdict::Exact)
        );
    }

    #[test]
    fn a_place_past_the_fork_of_its_epoch_lost_events_for_certain() {
        let start = start(&after(1, 60));
        assert_eq!((start.after, start.verdict), (id(50), Verdict::OtherEpoch));
        let lost = start.lost.unwrap();
        assert!(lost.certain);
        assert_eq!(lost.until.unwrap().epoch, Epoch::from_random(1));
        assert_eq!(
            (lost.after.unwrap().id, lost.until.unwrap().id),
            (id(50), id(60))
        );
    }

    #[test]
    fn a_place_before_the_fork_goes_on_and_may_have_lost_events() {
        let start = start(&after(1, 40));
        assert_eq!(start.after, id(40));
        let lost = start.lost.unwrap();
        assert!(!lost.certain);
        assert_eq!(
            (lost.after.unwrap().id, lost.until),
            (id(50), None),
            "up to the fork nothing is missing"
        );
    }

    #[test]
    fn an_unknown_epoch_or_id_gets_a_possible_gap_and_all_there_is() {
        for (cursor, reason) in [
            (after(9, 70), GapReason::Epoch),
            (Cursor::Unknown, GapReason::UnknownId),
        ] {
            let start = start(&cursor);
            assert_eq!(start.after, EventId::ZERO);
            let lost = start.lost.unwrap();
            assert_eq!((lost.reason, lost.certain), (reason, false));
        }
    }

    #[test]
    fn without_an_id_the_start_is_what_was_asked_for() {
        assert_eq!(start(&Cursor::Latest).after, id(100));
        assert_eq!(start(&Cursor::Earliest).after, EventId::ZERO);
        assert_eq!(
            start(&Cursor::At(u64::MAX)).after,
            id(100),
            "a time to come is now"
        );
        assert_eq!(start(&Cursor::At(0)).after, EventId::ZERO);
    }
}
