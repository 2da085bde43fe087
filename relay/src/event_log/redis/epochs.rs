//! What a change of epoch means for who is attached, and for who comes back. Pure.
//!
//! A primary of another replication id is always another epoch. Whether that is a gap is decided for
//! each cursor: it is, exactly if something between the fork and the highest id that anybody saw of the
//! ended epoch is missing for it.

use super::store::{EndedEpoch, Head, Orphan};
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
/// Clocks of Redis and of this process differ by less than this, in milliseconds.
const SKEW: UnixMillis = 60_000;

/// How an epoch that this process was in came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// It goes on.
    Same,
    /// Another followed; all of the old one up to the fork survived.
    Forked {
        next: Epoch,
        fork: EventId,
        /// Of the old one, and of epochs between it and the next of which nothing survived.
        ended: Vec<EndedEpoch>,
    },
    /// Nothing is known of it any more: the log was flushed, or too many epochs came after it.
    Unknown,
}

/// What became of the epoch that this process is in, of which it saw events up to `seen`.
pub fn change(ours: Epoch, seen: EventId, head: &Head, ended: &[EndedEpoch]) -> Change {
    if head.epoch == ours {
        return Change::Same;
    }
    let of = |epoch| ended.iter().find(|ended| ended.epoch == epoch);
    let Some(end) = of(ours) else {
        return Change::Unknown;
    };
    let mut passed = vec![EndedEpoch {
        lost: end.lost.max((seen > end.fork).then_some(seen)),
        ..*end
    }];
    let mut next = end.next;
    while let Some(between) = of(next)
        && between.fork <= end.fork
        && passed.len() < ended.len()
    {
        passed.push(*between);
        next = between.next;
    }
    Change::Forked {
        next,
        fork: end.fork,
        ended: passed,
    }
}

/// What a replica knows of the epochs that led to its own, and the log does not (any more).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lineage {
    /// To be put back, in this order; nothing if the log knows all.
    PutBack(Vec<PutBack>),
    /// This Redis has not yet ended an epoch that ours followed. The next append does.
    NotYet,
    /// The log knows none of them.
    Strange,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PutBack {
    /// The highest id of an ended epoch that was seen.
    Witness(Epoch, EventId),
    /// An epoch that was lost with all its events.
    Adopt(Orphan),
}

/// `history` is what was known of ended epochs as long as `ours`, of which events were seen up to `seen`,
/// was the log's. A replica that was promoted may have heard neither of the last epochs nor of what others
/// reported.
pub fn lineage(
    (ours, seen): (Epoch, EventId),
    history: &[EndedEpoch],
    head: &Head,
    ended: &[EndedEpoch],
) -> Lineage {
    let of = |epoch| ended.iter().find(|ended| ended.epoch == epoch);
    let chain = before(ours, history);
    if ours != head.epoch && chain.iter().any(|one| one.epoch == head.epoch) {
        return Lineage::NotYet;
    }
    // of an epoch that another one followed, all up to its end was there
    let reached = |one: &EndedEpoch| one.lost.unwrap_or_default().max(one.fork);
    let orphan = |epoch, before: &EndedEpoch, seen| {
        PutBack::Adopt(Orphan {
            epoch,
            before: before.epoch,
            had: before.fork,
            seen,
        })
    };
    let (mut put_back, mut previous) = (Vec::new(), None);
    for one in &chain {
        match (of(one.epoch), previous) {
            (Some(there), _) if reached(one) > reached(there) => {
                put_back.push(PutBack::Witness(one.epoch, reached(one)));
            }
            (Some(_), _) => {}
            (None, Some(before)) => put_back.push(orphan(one.epoch, before, reached(one))),
            (None, None) => continue, // forgotten by all
        }
        previous = Some(one);
    }
    if ours != head.epoch && of(ours).is_none() {
        let Some(before) = previous else {
            return Lineage::Strange;
        };
        put_back.push(orphan(ours, before, seen));
    }
    Lineage::PutBack(put_back)
}

/// Ended epochs that were followed, directly or not, by this one.
pub fn before(epoch: Epoch, ended: &[EndedEpoch]) -> Vec<EndedEpoch> {
    let mut all: Vec<EndedEpoch> = Vec::new();
    let mut next = epoch;
    while let Some(one) = ended.iter().find(|ended| ended.next == next)
        && all.len() < ended.len()
    {
        all.push(*one);
        next = one.epoch;
    }
    all.reverse();
    all
}

/// Up to where live streams know what ended epochs lost. Nobody is here before this is asked first.
#[derive(Debug, Default)]
pub struct Told(Option<HashMap<Epoch, EventId>>);

impl Told {
    pub fn contains(&self, epoch: Epoch) -> bool {
        self.0
            .as_ref()
            .is_some_and(|told| told.contains_key(&epoch))
    }

    /// Whether something is lost that is not told yet.
    pub fn lacks(&self, before: &[EndedEpoch]) -> bool {
        before.iter().any(|ended| self.news_of(ended).is_some())
    }

    /// The part of each epoch's loss, after one id and up to another, that is to be told now; it counts
    /// as told from here on.
    pub fn tell(&mut self, before: &[EndedEpoch]) -> Vec<(Epoch, EventId, EventId)> {
        let news = before.iter().filter_map(|ended| self.news_of(ended));
        let news: Vec<_> = news.collect();
        self.know(before);
        news
    }

    /// Nobody is here who was not told of this.
    pub fn know(&mut self, before: &[EndedEpoch]) {
        let all = self.0.get_or_insert_default();
        all.retain(|epoch, _| before.iter().any(|ended| ended.epoch == *epoch));
        for ended in before {
            let told = all.entry(ended.epoch).or_insert(ended.fork);
            *told = (*told).max(ended.lost.unwrap_or(ended.fork));
        }
    }

    fn news_of(&self, ended: &EndedEpoch) -> Option<(Epoch, EventId, EventId)> {
        let told = self.0.as_ref()?.get(&ended.epoch);
        let told = told.copied().unwrap_or(ended.fork);
        let lost = ended.lost.filter(|lost| *lost > told)?;
        Some((ended.epoch, told, lost))
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

    /// What Redis answered to a report: who resumes must know of it before live streams are told.
    pub fn learn(&mut self, ended: EndedEpoch) {
        let known = self.epochs.iter_mut();
        for known in known.filter(|known| known.epoch == ended.epoch) {
            *known = ended;
        }
    }

    pub fn contains(&self, epoch: Epoch) -> bool {
        self.epochs.iter().any(|ended| ended.epoch == epoch)
    }

    /// Whether replicas may still report that events are missing for who stands in this epoch.
    pub fn is_undecided(&self, epoch: Epoch, now: (Instant, UnixMillis)) -> bool {
        let chain = self.from(epoch);
        chain.into_iter().any(|ended| self.is_fresh(ended, now))
    }

    /// Whether replicas may still make epochs known that were lost with all their events.
    pub fn may_have_orphans(&self, now: (Instant, UnixMillis)) -> bool {
        self.epochs.iter().any(|ended| self.is_fresh(ended, now))
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

/// What is reported comes to every replica in the order of ids: live streams that got a later event had
/// heard before.
fn unheard(ended: &EndedEpoch) -> Unheard {
    Unheard {
        by: ended.next,
        until: ended.told,
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
            told: id(0),
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
            ended: vec![ended(lost)],
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
    fn epochs_of_which_nothing_survived_are_passed_over_with_their_losses() {
        let ours = Epoch::from_random(1);
        let of = |fork| {
            let epochs = [
                ended_epoch(1, 100, None),
                ended_epoch(2, fork, Some(205)),
                ended_epoch(3, 300, None),
            ];
            match change(ours, id(90), &head(4), &epochs) {
                Change::Forked { next, fork, ended } => {
                    let ended: Vec<Epoch> = ended.iter().map(|ended| ended.epoch).collect();
                    (next, fork, ended)
                }
                other => panic!("{other:?}"),
            }
        };
        let [two, three] = [2, 3].map(Epoch::from_random);
        assert_eq!(of(101), (two, id(100), vec![ours]), "it has something");
        for fork in [100, 80] {
            assert_eq!(of(fork), (three, id(100), vec![ours, two]));
        }
    }

    #[test]
    fn an_epoch_that_is_lost_as_a_whole_is_made_known_after_the_one_that_it_followed() {
        let [one, two, three] = [1, 2, 3].map(Epoch::from_random);
        let history = [ended_epoch(1, 100, Some(110)), ended_epoch(2, 200, None)];
        // this Redis has another successor of the first
        let mut here = ended_epoch(1, 95, None);
        here.next = Epoch::from_random(9);
        let of = |head_epoch, ended: &[EndedEpoch]| {
            lineage((three, id(250)), &history, &head(head_epoch), ended)
        };
        let put_back = |acts: &[PutBack]| Lineage::PutBack(acts.to_vec());
        let orphan = |epoch, before, had, seen| {
            PutBack::Adopt(Orphan {
                epoch,
                before,
                had: id(had),
                seen: id(seen),
            })
        };
        let witness = PutBack::Witness(one, id(110));
        let (second, third) = (orphan(two, one, 100, 200), orphan(three, two, 200, 250));
        assert_eq!(of(9, &[here]), put_back(&[witness, second, third]));
        // who was there before has done a part of it
        here.lost = Some(id(110));
        assert_eq!(of(9, &[here]), put_back(&[second, third]));
        let mut middle = ended_epoch(2, 95, Some(200));
        middle.next = Epoch::from_random(9);
        assert_eq!(of(9, &[here, middle]), put_back(&[third]));
        // ours goes on, and what was known before it does not stand there
        assert_eq!(of(3, &[here]), put_back(&[second]));
        assert_eq!(of(3, &[here, middle]), put_back(&[]));
        assert_eq!(of(1, &[]), Lineage::NotYet, "it has not noticed yet");
        assert_eq!(of(9, &[]), Lineage::Strange);
        let unknown = lineage((Epoch::from_random(5), id(1)), &history, &head(9), &[here]);
        assert_eq!(unknown, Lineage::Strange);
    }

    #[test]
    fn each_loss_is_told_once_however_late_and_in_however_many_parts_it_is_known() {
        let three = Epoch::from_random(3);
        let of = |first, second| [ended_epoch(1, 100, first), ended_epoch(2, 200, second)];
        let [one, two] = [1, 2].map(Epoch::from_random);
        let mut told = Told::default();
        assert_eq!(
            told.tell(&before(three, &of(None, Some(205)))),
            [],
            "nobody is here"
        );
        let mut tell = |first, second| {
            let before = before(three, &of(first, second));
            let lacks = told.lacks(&before);
            let news = told.tell(&before);
            assert_eq!(lacks, !news.is_empty());
            news
        };
        assert_eq!(tell(None, Some(205)), []);
        assert_eq!(tell(Some(103), Some(205)), [(one, id(100), id(103))]);
        let more = [(one, id(103), id(105)), (two, id(205), id(209))];
        assert_eq!(tell(Some(105), Some(209)), more);
        assert_eq!(tell(Some(105), Some(209)), []);
        // one that was not known at all
        let mut orphan = ended_epoch(7, 100, Some(150));
        orphan.next = two;
        let mut first = ended_epoch(1, 100, Some(105));
        first.next = orphan.epoch;
        let chain = before(three, &[first, orphan, ended_epoch(2, 200, Some(209))]);
        assert_eq!(told.tell(&chain), [(orphan.epoch, id(100), id(150))]);
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
    fn what_was_reported_from_here_counts_at_once_for_who_resumes() {
        let start = Instant::now();
        let mut known = known(&[ended(None)], start);
        let mut reported = ended(Some(105));
        reported.told = id(130);
        known.learn(reported);
        known.learn(ended_epoch(7, 1, None)); // never heard of
        let all: Vec<_> = known
            .for_resume(Partition::ONLY, (start + WITNESS_TIME, 100_000))
            .collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].loss, EpochLoss::UpTo(id(105)));
        assert_eq!(all[0].unheard.map(|unheard| unheard.until), Some(id(130)));
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
