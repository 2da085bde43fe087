//! Where a subscription starts to read, as its cursor and the log's epochs say. Pure.
//!
//! Every partition decides for itself; what they find missing is told as one gap.

use super::{Gaps, Standing, Standings};
use crate::{
    cursor::{Cursor, Epoch, EventId, Partition, Place, Places},
    frame::GapReason,
    label::labels,
};

/// How a subscription starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Where it reads on, in each partition in use, and whether what the log has trimmed since counts
    /// as missing.
    pub from: Standings,
    /// What is, or may be, missing whatever the log still has.
    pub lost: Option<Lost>,
    pub verdict: Verdict,
}

/// A gap that the cursor itself tells. Of an ended epoch it begins at the fork, however early the
/// cursor stands: all before survived. A partition without a place there is not concerned, or nobody
/// can tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    pub reason: GapReason,
    pub certain: bool,
    pub after: Places,
    pub until: Places,
}

/// What became of a cursor, for the metric `streams_opened{resume}`.
/// Of several partitions' the last one counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// Not a resume.
    Fresh,
    /// The place is one of this epoch.
    Exact,
    /// The place is one of an epoch that ended.
    OtherEpoch,
    /// The id says nothing.
    Unknown,
    /// It left before the log could tell.
    Waiting,
}

labels!(Verdict {
    Fresh => "fresh",
    Exact => "exact",
    OtherEpoch => "other-epoch",
    Unknown => "unknown",
    Waiting => "waiting",
});

/// An epoch of a partition that ended, and the highest id of it that survived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndedEpoch {
    pub partition: Partition,
    pub epoch: Epoch,
    pub fork: EventId,
    pub loss: EpochLoss,
    /// What epochs that came after it have lost.
    pub later: Option<Loss>,
    /// Who may not have heard of its own loss, though in the epoch after it already.
    pub unheard: Option<Unheard>,
}

/// Cursors of the epochs that followed another one, up to an id: they were told while it was not known
/// yet all that the other one had lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unheard {
    /// The epoch that followed.
    pub by: Epoch,
    pub until: EventId,
}

/// What is missing of later epochs: after a place, and up to another one, or, without one, nobody can
/// tell whether anything is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    pub after: Place,
    pub until: Option<Place>,
}

impl Loss {
    /// One of two, of which the other comes later.
    #[must_use]
    pub fn and(self, other: Loss) -> Loss {
        Loss {
            until: other.until.or(self.until),
            ..self
        }
    }

    fn told(self) -> Lost {
        Lost {
            reason: GapReason::Epoch,
            certain: self.until.is_some(),
            after: Places::one(self.after),
            until: self.until.map_or(Places::default(), Places::one),
        }
    }
}

/// What of an ended epoch is known to be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EpochLoss {
    /// Nobody can tell what there was past the fork.
    Unknown,
    /// Nobody can tell yet.
    Undecided,
    /// This is the newest event that anybody acknowledged or delivered; up to the fork: none is lost.
    UpTo(EventId),
}

/// What a log knows of its epochs.
#[derive(Clone, Copy, Debug)]
pub struct Epochs<'a> {
    /// The newest place of every partition, in use or not.
    pub heads: &'a Places,
    pub ended: &'a [EndedEpoch],
    pub ahead: Ahead,
}

/// What a place of this epoch means that is later than where the subscription joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ahead {
    /// An event that was delivered but never acknowledged, in a life that ended before it was written
    /// down: nothing acknowledged is missing, and the subscription starts where it joins.
    Forgotten,
    /// Another process has delivered what this one has still to get: the place is kept.
    Elsewhere,
}

/// How much clocks of two partitions may differ, in milliseconds.
const SKEW: u64 = 1000;

/// `joined` are the places after which the subscription gets events live, one in each partition that
/// it uses.
pub fn resume(cursor: &Cursor, joined: &Places, epochs: &Epochs<'_>) -> Start {
    let mut start = Start {
        from: Standings::new(),
        lost: None,
        verdict: Verdict::Fresh,
    };
    for joined in joined.iter() {
        let (standing, lost, verdict) = in_partition(cursor, joined, epochs);
        start.from.push(standing);
        start.verdict = start.verdict.max(verdict);
        start.lost = match (start.lost.take(), lost) {
            (Some(one), Some(other)) => Some(one.and(&other)),
            (one, other) => one.or(other),
        };
    }
    start
}

type InPartition = (Standing, Option<Lost>, Verdict);

fn in_partition(cursor: &Cursor, joined: Place, epochs: &Epochs<'_>) -> InPartition {
    let at = |id, gaps| Standing {
        after: Place { id, ..joined },
        gaps,
    };
    let fresh = |id, gaps| (at(id, gaps), None, Verdict::Fresh);
    let places = match cursor {
        Cursor::Latest => return fresh(joined.id, Gaps::Report),
        Cursor::Earliest => return fresh(EventId::ZERO, Gaps::SinceFirst),
        Cursor::At(time) => return fresh(EventId::before(*time).min(joined.id), Gaps::Report),
        Cursor::Unknown => return unknown(joined, Verdict::Unknown, GapReason::UnknownId),
        Cursor::After(places) => places,
    };
    let exact = |id: EventId| (at(id, Gaps::Report), None, Verdict::Exact);
    match places.in_partition(joined.partition) {
        Some(place) if place.epoch == joined.epoch => {
            let id = match epochs.ahead {
                Ahead::Forgotten => place.id.min(joined.id),
                Ahead::Elsewhere => place.id,
            };
            let lost = epochs.unheard_at(place).map(Loss::told);
            (at(id, Gaps::Report), lost, Verdict::Exact)
        }
        Some(place) => match epochs.find(place) {
            None => unknown(joined, Verdict::OtherEpoch, GapReason::Epoch),
            Some(ended) => (
                at(place.id.min(ended.fork), Gaps::Report),
                ended.lost_after(place, epochs.unheard_at(place)),
                Verdict::OtherEpoch,
            ),
        },
        None => match (
            epochs.before_it_was_split(joined, places),
            epochs.moment_of(places),
        ) {
            (Some((place, ended)), _) => (
                at(place.id.min(ended.fork), Gaps::Report),
                ended.lost_after(place, None),
                Verdict::OtherEpoch,
            ),
            // the client had no channel of this partition: it reads on from the moment where it stands
            (None, Some(id)) => exact(id.min(joined.id)),
            (None, None) => unknown(joined, Verdict::Unknown, GapReason::UnknownId),
        },
    }
}

/// All there is, after a possible gap.
fn unknown(joined: Place, verdict: Verdict, reason: GapReason) -> InPartition {
    let standing = Standing {
        after: Place {
            id: EventId::ZERO,
            ..joined
        },
        gaps: Gaps::Ignore,
    };
    let lost = Lost {
        reason,
        certain: false,
        after: Places::default(),
        until: Places::one(joined),
    };
    (standing, Some(lost), verdict)
}

impl Epochs<'_> {
    fn find(&self, place: Place) -> Option<&EndedEpoch> {
        self.ended
            .iter()
            .find(|ended| ended.partition == place.partition && ended.epoch == place.epoch)
    }

    /// What the epochs before lost, of which who stands at a place may not have heard.
    fn unheard_at(&self, place: Place) -> Option<Loss> {
        let ours = || self.ended.iter().filter(|e| e.partition == place.partition);
        // from the epoch of the place back, one step at a time
        let (mut loss, mut epochs) = (None::<Loss>, vec![place.epoch]);
        for _ in 0..ours().count() {
            let before = ours().find(|ended| {
                let by = ended.unheard.map(|unheard| unheard.by);
                by.is_some_and(|by| epochs.last() == Some(&by)) && !epochs.contains(&ended.epoch)
            });
            let Some(ended) = before else {
                break;
            };
            epochs.push(ended.epoch);
            if ended.unheard.is_some_and(|of| place.id <= of.until)
                && let Some(own) = ended.known_loss()
            {
                loss = Some(loss.map_or(own, |later| own.and(later)));
            }
        }
        loss
    }

    /// A log that was moved to more partitions has its ended epochs in all of them: a place of such an
    /// epoch stands for the same id in each.
    fn before_it_was_split(&self, joined: Place, places: &Places) -> Option<(Place, &EndedEpoch)> {
        places.iter().find_map(|place| {
            let place = Place {
                partition: joined.partition,
                ..place
            };
            Some((place, self.find(place)?))
        })
    }

    /// The moment of the oldest place of a cursor, as an id, some skew of clocks before it; `None`
    /// when a place is not of this log.
    fn moment_of(&self, places: &Places) -> Option<EventId> {
        let ours = |place: Place| {
            self.heads.epoch(place.partition) == Some(place.epoch) || self.find(place).is_some()
        };
        let oldest = places.iter().map(|place| place.id).min()?;
        places
            .iter()
            .all(ours)
            .then(|| EventId::before(oldest.unix_millis().saturating_sub(SKEW)))
    }
}

impl EndedEpoch {
    /// What is known to be lost of it.
    fn known_loss(&self) -> Option<Loss> {
        let EpochLoss::UpTo(newest) = self.loss else {
            return None;
        };
        let at = |id| Place {
            partition: self.partition,
            epoch: self.epoch,
            id,
        };
        (newest > self.fork).then(|| Loss {
            after: at(self.fork),
            until: Some(at(newest)),
        })
    }

    /// What a reader who stands at a place of the epoch misses of it, and of those after it.
    fn lost_after(&self, place: Place, before: Option<Loss>) -> Option<Lost> {
        let losses = [before, self.own_loss(place), self.later];
        losses
            .into_iter()
            .flatten()
            .reduce(Loss::and)
            .map(Loss::told)
    }

    fn own_loss(&self, place: Place) -> Option<Loss> {
        let until = match self.loss {
            EpochLoss::UpTo(newest) if newest > self.fork => Some(newest.max(place.id)),
            // what nobody else saw may have been no event
            EpochLoss::UpTo(_) if place.id > self.fork => None,
            EpochLoss::UpTo(_) => return None,
            EpochLoss::Undecided => None,
            EpochLoss::Unknown => (place.id > self.fork).then_some(place.id),
        };
        let at = |id| Place { id, ..place };
        Some(Loss {
            after: at(self.fork),
            until: until.map(at),
        })
    }
}

impl Lost {
    /// One gap of those of two partitions; a new life of the log is the weightier reason.
    fn and(mut self, other: &Lost) -> Lost {
        if other.reason == GapReason::Epoch {
            self.reason = GapReason::Epoch;
        }
        self.certain |= other.certain;
        other.after.iter().for_each(|place| self.after.set(place));
        other.until.iter().for_each(|place| self.until.set(place));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::CLOCK_START;

    fn id(value: u64) -> EventId {
        EventId::new(value).unwrap()
    }

    fn place(partition: u8, epoch: u32, value: u64) -> Place {
        Place {
            partition: Partition::new(partition).unwrap(),
            epoch: Epoch::from_random(epoch),
            id: id(value),
        }
    }

    fn after(epoch: u32, value: u64) -> Cursor {
        Cursor::After(Places::one(place(0, epoch, value)))
    }

    #[test]
    fn a_cursor_of_a_log_that_was_split_is_exact_in_every_partition() {
        let ended = [0, 1, 2].map(|partition| ended(partition, EpochLoss::UpTo(id(50))));
        let joined: Places = (0..3).map(|partition| place(partition, 2, 90)).collect();
        let epochs = Epochs {
            heads: &joined,
            ended: &ended,
            ahead: Ahead::Elsewhere,
        };
        let start = resume(&after(1, 40), &joined, &epochs);
        let from: Vec<u64> = start.from.iter().map(|at| at.after.id.get()).collect();
        assert_eq!((from, start.lost), (vec![40, 40, 40], None));
    }

    fn ended(partition: u8, loss: EpochLoss) -> EndedEpoch {
        let fork = place(partition, 1, 50);
        EndedEpoch {
            partition: fork.partition,
            epoch: fork.epoch,
            fork: fork.id,
            loss,
            later: None,
            unheard: None,
        }
    }

    fn start_in(cursor: &Cursor, loss: EpochLoss, ahead: Ahead) -> Start {
        let joined = Places::one(place(0, 2, 100));
        let epochs = Epochs {
            heads: &joined,
            ended: &[ended(0, loss)],
            ahead,
        };
        resume(cursor, &joined, &epochs)
    }

    fn start(cursor: &Cursor) -> Start {
        start_in(cursor, EpochLoss::Unknown, Ahead::Forgotten)
    }

    fn from(start: &Start) -> EventId {
        start.from[0].after.id
    }

    #[test]
    fn a_place_of_this_epoch_is_resumed_exactly() {
        let start = start(&after(2, 70));
        assert_eq!(
            (from(&start), start.lost, start.verdict),
            (id(70), None, Verdict::Exact)
        );
    }

    #[test]
    fn a_place_past_the_head_is_forgotten_or_still_to_come_here() {
        assert_eq!(from(&start(&after(2, 170))), id(100));
        let elsewhere = start_in(&after(2, 170), EpochLoss::Unknown, Ahead::Elsewhere);
        assert_eq!((from(&elsewhere), elsewhere.lost), (id(170), None));
    }

    #[test]
    fn a_place_past_the_fork_of_its_epoch_lost_events_for_certain() {
        let start = start(&after(1, 60));
        assert_eq!((from(&start), start.verdict), (id(50), Verdict::OtherEpoch));
        let lost = start.lost.unwrap();
        assert!(lost.certain);
        assert_eq!(lost.after, Places::one(place(0, 1, 50)));
        assert_eq!(lost.until, Places::one(place(0, 1, 60)));
    }

    #[test]
    fn a_place_before_the_fork_goes_on_and_may_have_lost_events() {
        let start = start(&after(1, 40));
        assert_eq!(from(&start), id(40));
        let lost = start.lost.unwrap();
        assert!(!lost.certain);
        assert_eq!(lost.after, Places::one(place(0, 1, 50)));
        assert!(lost.until.is_empty(), "up to the fork nothing is missing");
    }

    #[test]
    fn who_knows_what_an_epoch_lost_says_exactly_that() {
        let of = |cursor, newest| {
            start_in(
                &after(1, cursor),
                EpochLoss::UpTo(id(newest)),
                Ahead::Elsewhere,
            )
        };
        for newest in [0, 50] {
            assert_eq!((of(40, newest).lost, from(&of(40, newest))), (None, id(40)));
        }
        for (cursor, newest, until) in [(40, 55, 55), (60, 55, 60)] {
            let lost = of(cursor, newest).lost.unwrap();
            assert!(lost.certain);
            assert_eq!(lost.after, Places::one(place(0, 1, 50)));
            assert_eq!(lost.until, Places::one(place(0, 1, until)));
        }
    }

    #[test]
    fn a_place_past_the_fork_that_nobody_else_saw_may_be_that_of_no_event() {
        let start = start_in(&after(1, 60), EpochLoss::UpTo(id(50)), Ahead::Elsewhere);
        let lost = start.lost.unwrap();
        assert!(!lost.certain && lost.until.is_empty());
    }

    #[test]
    fn what_later_epochs_lost_is_told_with_what_this_one_did() {
        let joined = Places::one(place(0, 3, 900));
        let later = Loss {
            after: place(0, 2, 80),
            until: Some(place(0, 2, 90)),
        };
        let of = |loss| {
            let ended = [EndedEpoch {
                later: Some(later),
                ..ended(0, loss)
            }];
            let epochs = Epochs {
                heads: &joined,
                ended: &ended,
                ahead: Ahead::Elsewhere,
            };
            resume(&after(1, 40), &joined, &epochs).lost.unwrap()
        };
        let only_later = of(EpochLoss::UpTo(id(50)));
        assert!(only_later.certain);
        assert_eq!(only_later.after, Places::one(place(0, 2, 80)));
        assert_eq!(only_later.until, Places::one(place(0, 2, 90)));
        let both = of(EpochLoss::UpTo(id(55)));
        assert_eq!(both.after, Places::one(place(0, 1, 50)));
        assert_eq!(both.until, Places::one(place(0, 2, 90)));
    }

    #[test]
    fn who_came_to_an_epoch_before_all_was_known_of_the_last_one_is_told_again() {
        let joined = Places::one(place(0, 2, 900));
        let of = |loss, at| {
            let ended = [EndedEpoch {
                unheard: Some(Unheard {
                    by: Epoch::from_random(2),
                    until: id(80),
                }),
                ..ended(0, loss)
            }];
            let epochs = Epochs {
                heads: &joined,
                ended: &ended,
                ahead: Ahead::Elsewhere,
            };
            resume(&after(2, at), &joined, &epochs)
        };
        let start = of(EpochLoss::UpTo(id(55)), 80);
        assert_eq!((from(&start), start.verdict), (id(80), Verdict::Exact));
        let lost = start.lost.unwrap();
        assert!(lost.certain);
        assert_eq!(lost.after, Places::one(place(0, 1, 50)));
        assert_eq!(lost.until, Places::one(place(0, 1, 55)));
        assert_eq!(of(EpochLoss::UpTo(id(55)), 81).lost, None, "that one heard");
        assert_eq!(
            of(EpochLoss::UpTo(id(50)), 80).lost,
            None,
            "nothing is lost"
        );
    }

    #[test]
    fn who_did_not_hear_of_the_losses_of_several_epochs_is_told_all_of_them() {
        let joined = Places::one(place(0, 3, 900));
        let lost = |epoch, fork, newest, by, until| EndedEpoch {
            epoch: Epoch::from_random(epoch),
            fork: id(fork),
            loss: EpochLoss::UpTo(id(newest)),
            unheard: Some(Unheard {
                by: Epoch::from_random(by),
                until: id(until),
            }),
            ..ended(0, EpochLoss::Unknown)
        };
        let all = [lost(2, 60, 65, 3, 100), lost(1, 50, 55, 2, 90)];
        let of = |at| {
            let epochs = Epochs {
                heads: &joined,
                ended: &all,
                ahead: Ahead::Elsewhere,
            };
            let lost = resume(&after(3, at), &joined, &epochs).lost;
            lost.map(|lost| (lost.after, lost.until))
        };
        let at = |epoch, at| Places::one(place(0, epoch, at));
        assert_eq!(of(80), Some((at(1, 50), at(2, 65))));
        assert_eq!(of(95), Some((at(2, 60), at(2, 65))));
        assert_eq!(of(101), None);
    }

    #[test]
    fn an_unknown_epoch_or_id_gets_a_possible_gap_and_all_there_is() {
        for (cursor, reason) in [
            (after(9, 70), GapReason::Epoch),
            (Cursor::Unknown, GapReason::UnknownId),
        ] {
            let start = start(&cursor);
            assert_eq!(from(&start), EventId::ZERO);
            let lost = start.lost.unwrap();
            assert_eq!((lost.reason, lost.certain), (reason, false));
        }
    }

    #[test]
    fn without_an_id_the_start_is_what_was_asked_for() {
        assert_eq!(from(&start(&Cursor::Latest)), id(100));
        assert_eq!(from(&start(&Cursor::Earliest)), EventId::ZERO);
        assert_eq!(
            from(&start(&Cursor::At(u64::MAX))),
            id(100),
            "a time to come is now"
        );
        assert_eq!(from(&start(&Cursor::At(0))), EventId::ZERO);
    }

    /// Partitions 0, 3 and 5 are in use; 3 lost what came after 50 of its first epoch.
    fn of_three(cursor: &[Place]) -> Start {
        let joined: Places = [
            place(0, 2, 100),
            place(3, 2, 200),
            place(5, 2, u64::pow(2, 50)),
        ]
        .into_iter()
        .collect();
        let epochs = Epochs {
            heads: &joined,
            ended: &[ended(3, EpochLoss::Unknown)],
            ahead: Ahead::Forgotten,
        };
        let cursor = Cursor::After(cursor.iter().copied().collect());
        resume(&cursor, &joined, &epochs)
    }

    #[test]
    fn each_partition_decides_for_itself_and_what_is_missing_is_one_gap() {
        let start = of_three(&[place(0, 2, 70), place(3, 1, 60), place(5, 9, 10)]);
        let ids: Vec<u64> = start.from.iter().map(|from| from.after.id.get()).collect();
        assert_eq!(ids, [70, 50, 0]);
        assert_eq!(start.from[1].after, place(3, 2, 50), "of the present epoch");
        assert_eq!(
            (start.from[0].gaps, start.from[2].gaps),
            (Gaps::Report, Gaps::Ignore)
        );
        let lost = start.lost.unwrap();
        assert_eq!((lost.reason, lost.certain), (GapReason::Epoch, true));
        assert_eq!(lost.after, Places::one(place(3, 1, 50)));
        let until = [place(3, 1, 60), place(5, 2, u64::pow(2, 50))];
        assert_eq!(lost.until, until.into_iter().collect());
        assert_eq!(start.verdict, Verdict::OtherEpoch);
    }

    #[test]
    fn a_partition_without_a_place_is_read_from_the_moment_of_the_others() {
        let now = EventId::before(CLOCK_START + 5_000_000);
        let start = of_three(&[place(3, 2, 150), place(5, 2, now.get())]);
        assert_eq!((start.lost, start.verdict), (None, Verdict::Exact));
        assert_eq!(
            start.from[0].after.id,
            EventId::ZERO,
            "as old as the oldest"
        );
        let start = of_three(&[place(5, 2, now.get())]);
        assert_eq!(start.from[0].after.id, id(100), "no later than it joins");
        let start = of_three(&[place(0, 2, 70), place(3, 2, 150)]);
        assert!(start.from[2].after.id <= id(70));
        // an id that another log gave out has no moment in this one
        let start = of_three(&[place(5, 9, now.get())]);
        assert_eq!(start.verdict, Verdict::Unknown);
        assert_eq!(start.from[0].gaps, Gaps::Ignore);
    }
}
