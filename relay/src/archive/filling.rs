//! A page of the log, filled up with what the archive has. Pure.
//!
//! The log says what it lacks by a gap. Up to there events come from the archive; beyond, and of
//! channels whose events the log still has, from the log. An event that both have is one.

use super::{coverage::Beginning, reading::Found};
use crate::{
    cursor::{EventId, Partition, Place, Places},
    event_log::{
        Completeness, Earlier, Entry, Gaps, Page, Read, Standing, Standings,
        gap::{Certainty, Gap},
        merge::{self, Part},
    },
    frame::GapReason,
};
use std::{collections::BTreeMap, sync::Arc};

/// What is to be asked of the archive, of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lack {
    pub partition: Partition,
    pub after: EventId,
    pub until: EventId,
    pub beginning: Beginning,
}

/// The read as the log is asked it: it tells every gap, also what an earlier page told of, and what was
/// before the first event that it has.
pub fn asked(read: &Read) -> Read {
    let mut read = read.clone();
    for from in &mut read.from {
        if let Gaps::ReportAfter(_) | Gaps::SinceFirst = from.gaps {
            from.gaps = Gaps::Report;
        }
    }
    read
}

/// Where the log's page lacks something that the archive may have.
pub fn lacks(read: &Read, page: &Page) -> Vec<Lack> {
    let Some(gap) = &page.gap else {
        return Vec::new();
    };
    let of = |from: &Standing| {
        let partition = from.after.partition;
        let until = gap.until.in_partition(partition)?.id;
        let reached = page
            .next
            .iter()
            .find(|next| next.after.partition == partition)?;
        let until = until.min(reached.after.id);
        (until > from.after.id).then_some(Lack {
            partition,
            after: from.after.id,
            until,
            beginning: match from.gaps {
                Gaps::SinceFirst => Beginning::First,
                _ => Beginning::Asked,
            },
        })
    };
    read.from.iter().filter_map(of).collect()
}

/// The log's page as it would be had it been asked the way that the reader did.
pub fn unfilled(read: &Read, page: Page) -> Page {
    as_asked(read, page, |from| from.gaps != Gaps::SinceFirst)
}

/// The same where the archive should have answered and does not: nobody can tell what it has.
pub fn unanswered(read: &Read, page: Page) -> Page {
    let mut page = as_asked(read, page, |_| true);
    let all = read.from.iter().all(|from| from.gaps == Gaps::SinceFirst);
    if let Some(gap) = page.gap.as_mut().filter(|_| all) {
        gap.certainty = Certainty::Possible;
    }
    page
}

/// What is told of the time before a place when the archive does not answer.
pub fn unknown_past(earlier: &Earlier) -> Page {
    let zero = Place {
        id: EventId::ZERO,
        ..earlier.before
    };
    Page {
        gap: Some(Gap {
            certainty: Certainty::Possible,
            reason: GapReason::Trimmed,
            after: Places::one(zero),
            until: Places::one(Place {
                id: before(earlier.before.id),
                ..zero
            }),
            channels: Vec::new(),
        }),
        entries: Vec::new(),
        next: Standings::new(),
        completeness: Completeness::Complete,
    }
}

/// The greatest id that is less.
pub fn before(id: EventId) -> EventId {
    EventId::new(id.get().saturating_sub(1)).unwrap_or_default()
}

fn as_asked(read: &Read, mut page: Page, concerned: impl Fn(&Standing) -> bool) -> Page {
    let gap = page.gap.take();
    page.gap = gap.filter(|gap| {
        let news = |from: &Standing| {
            let until = gap.until.in_partition(from.after.partition);
            until.is_some_and(|until| told(from).is_none_or(|told| until.id > told))
        };
        read.from.iter().any(|from| concerned(from) && news(from))
    });
    for next in &mut page.next {
        let of = next.after.partition;
        let from = read.from.iter().find(|from| from.after.partition == of);
        if let (Gaps::Report, Some(told)) = (next.gaps, from.and_then(told))
            && told > next.after.id
        {
            next.gaps = Gaps::ReportAfter(told);
        }
    }
    page
}

/// The page with what was found for its lacks.
pub fn filled(read: &Read, page: Page, found: &BTreeMap<Partition, Found>) -> Page {
    let mut parts = Vec::with_capacity(read.from.len());
    let mut all = page.completeness == Completeness::Complete;
    for from in &read.from {
        let partition = from.after.partition;
        let next = page
            .next
            .iter()
            .find(|next| next.after.partition == partition);
        let reached = next.map_or(from.after.id, |next| next.after.id);
        let ours = page
            .entries
            .iter()
            .filter(|entry| entry.partition == partition);
        let mut entries: Vec<Arc<Entry>> = ours.cloned().collect();
        let mut upto = reached;
        let mut gap = None;
        if let Some(found) = found.get(&partition) {
            let until = page
                .gap
                .as_ref()
                .and_then(|gap| gap.until.in_partition(partition));
            let until = until.map_or(reached, |until| until.id.min(reached));
            if found.through < until {
                upto = found.through;
            }
            gap = still_missing(from, &page, found);
            entries = joined(entries, &found.entries, upto);
        }
        if let Some(last) = cut(&mut entries, read) {
            upto = last;
        }
        all &= upto == reached;
        parts.push(Part {
            from: *from,
            upto,
            gap,
            entries,
            completeness: Completeness::Complete,
        });
    }
    let (mut events, mut bytes) = (0, 0);
    let mut page = merge::merge(parts, |entry| {
        events += 1;
        bytes += entry.event.size();
        events >= read.max_events || bytes >= read.max_bytes
    });
    if !all {
        page.completeness = Completeness::More;
        // who still reads what the archive has still asks for all that there is of each channel
        for (next, from) in page.next.iter_mut().zip(&read.from) {
            if from.gaps == Gaps::SinceFirst && next.gaps == Gaps::Report {
                next.gaps = Gaps::SinceFirst;
            }
        }
    }
    page
}

/// Up to where an earlier page told of what is missing.
fn told(from: &Standing) -> Option<EventId> {
    match from.gaps {
        Gaps::ReportAfter(told) => Some(told),
        Gaps::Report | Gaps::Ignore | Gaps::SinceFirst => None,
    }
}

fn still_missing(from: &Standing, page: &Page, found: &Found) -> Option<Gap> {
    let (missing, gap) = (found.missing?, page.gap.as_ref()?);
    if told(from).is_some_and(|told| missing.until <= told) {
        return None;
    }
    let until = gap.until.in_partition(from.after.partition)?;
    let nothing_found = missing.until >= until.id && found.entries.is_empty();
    Some(Gap {
        certainty: match nothing_found {
            true => gap.certainty,
            false => missing.certainty,
        },
        reason: missing.reason,
        after: Places::one(from.after),
        until: Places::one(Place {
            id: missing.until,
            ..from.after
        }),
        channels: gap.channels.clone(),
    })
}

/// Both in order, each event once, up to an id.
fn joined(log: Vec<Arc<Entry>>, archive: &[Arc<Entry>], upto: EventId) -> Vec<Arc<Entry>> {
    let mut all = log;
    all.extend(archive.iter().cloned());
    all.retain(|entry| entry.id <= upto);
    all.sort_by_key(|entry| entry.id);
    all.dedup_by_key(|entry| entry.id);
    all
}

/// Keeps what one page may have; the id of the last, if anything was cut off.
fn cut(entries: &mut Vec<Arc<Entry>>, read: &Read) -> Option<EventId> {
    let mut bytes = 0;
    let full = entries.iter().enumerate().position(|(index, entry)| {
        bytes += entry.event.size();
        index + 1 >= read.max_events || bytes >= read.max_bytes
    })?;
    if full + 1 == entries.len() {
        return None;
    }
    entries.truncate(full + 1);
    entries.last().map(|last| last.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::coverage::Missing,
        channel::{ChannelName, Selector},
        cursor::{Epoch, Predecessor},
        event::Event,
    };
    use smallvec::smallvec;

    fn id(value: u64) -> EventId {
        EventId::new(value).unwrap()
    }

    fn place(value: u64) -> Place {
        Place {
            partition: Partition::ONLY,
            epoch: Epoch::from_random(1),
            id: id(value),
        }
    }

    fn entry(value: u64) -> Arc<Entry> {
        Arc::new(Entry {
            partition: Partition::ONLY,
            channel: ChannelName::parse("c").unwrap(),
            id: id(value),
            predecessor: Predecessor::Known(id(value - 1)),
            event: Event::text("x"),
        })
    }

    fn read(after: u64, gaps: Gaps, max_events: usize) -> Read {
        Read {
            selectors: Arc::new([Selector::parse("c").unwrap()]),
            from: smallvec![Standing {
                after: place(after),
                gaps,
            }],
            upto: Places::default(),
            max_bytes: 1 << 20,
            max_events,
        }
    }

    fn log_page(gap: Option<(u64, u64)>, ids: &[u64], next: u64) -> Page {
        Page {
            gap: gap.map(|(after, until)| Gap {
                certainty: Certainty::Certain,
                reason: GapReason::Trimmed,
                after: Places::one(place(after)),
                until: Places::one(place(until)),
                channels: vec![ChannelName::parse("c").unwrap()],
            }),
            entries: ids.iter().map(|value| entry(*value)).collect(),
            next: smallvec![Standing {
                after: place(next),
                gaps: Gaps::Report,
            }],
            completeness: Completeness::Complete,
        }
    }

    fn found(ids: &[u64], through: u64, missing: Option<u64>) -> BTreeMap<Partition, Found> {
        let found = Found {
            entries: ids.iter().map(|value| entry(*value)).collect(),
            through: id(through),
            missing: missing.map(|until| Missing {
                until: id(until),
                certainty: Certainty::Possible,
                reason: GapReason::Trimmed,
            }),
        };
        BTreeMap::from([(Partition::ONLY, found)])
    }

    fn ids(page: &Page) -> Vec<u64> {
        page.entries.iter().map(|entry| entry.id.get()).collect()
    }

    #[test]
    fn the_archive_gives_what_the_log_lacks_and_the_log_the_rest() {
        let (read, page) = (
            read(2, Gaps::Report, 100),
            log_page(Some((2, 6)), &[6, 7, 8], 8),
        );
        let lack = Lack {
            partition: Partition::ONLY,
            after: id(2),
            until: id(6),
            beginning: Beginning::Asked,
        };
        assert_eq!(lacks(&read, &page), [lack]);
        let page = filled(&read, page, &found(&[3, 4, 5, 6], 6, None));
        assert_eq!(
            ids(&page),
            [3, 4, 5, 6, 7, 8],
            "an event that both have comes once"
        );
        assert!(page.gap.is_none());
        assert_eq!(page.completeness, Completeness::Complete);
        assert_eq!(page.next[0].after, place(8));
        assert_eq!(page.next[0].gaps, Gaps::Report);
    }

    #[test]
    fn as_long_as_the_archive_has_more_nothing_later_comes_from_the_log() {
        let (read, page) = (
            read(2, Gaps::Report, 100),
            log_page(Some((2, 6)), &[7, 8], 8),
        );
        let page = filled(&read, page, &found(&[3, 4], 4, None));
        assert_eq!(ids(&page), [3, 4]);
        assert_eq!(page.completeness, Completeness::More);
        assert_eq!(page.next[0].after, place(4));
    }

    #[test]
    fn a_page_has_no_more_than_it_may() {
        let (read, page) = (read(2, Gaps::Report, 3), log_page(Some((2, 6)), &[7, 8], 8));
        let page = filled(&read, page, &found(&[3, 4, 5, 6], 6, None));
        assert_eq!(ids(&page), [3, 4, 5]);
        assert_eq!(page.completeness, Completeness::More);
        assert_eq!(page.next[0].after, place(5));
    }

    #[test]
    fn what_neither_has_is_told_once_before_what_there_is() {
        let (first, page) = (read(2, Gaps::Report, 100), log_page(Some((2, 6)), &[7], 7));
        let page = filled(&first, page, &found(&[5], 5, Some(4)));
        let gap = page.gap.as_ref().unwrap();
        assert_eq!(
            (gap.after.clone(), gap.until.clone()),
            (Places::one(place(2)), Places::one(place(4)))
        );
        assert_eq!(gap.certainty, Certainty::Possible);
        assert_eq!(page.next[0].gaps, Gaps::ReportAfter(id(4)));
        let again = Read {
            from: page.next.clone(),
            ..first
        };
        assert_eq!(asked(&again).from[0].gaps, Gaps::Report);
        let page = filled(
            &again,
            log_page(Some((5, 6)), &[7], 7),
            &found(&[6], 6, None),
        );
        assert_eq!((ids(&page), page.gap.is_some()), (vec![6, 7], false));
        let more = read(3, Gaps::ReportAfter(id(4)), 100);
        let page = filled(
            &more,
            log_page(Some((3, 6)), &[7], 7),
            &found(&[6], 6, Some(4)),
        );
        assert!(page.gap.is_none(), "it was told");
    }

    #[test]
    fn who_asks_for_all_gets_it_from_both_and_is_told_of_no_gap_before_it() {
        let first = read(0, Gaps::SinceFirst, 2);
        assert_eq!(asked(&first).from[0].gaps, Gaps::Report);
        let page = log_page(Some((0, 6)), &[7], 7);
        assert_eq!(lacks(&first, &page)[0].beginning, Beginning::First);
        let page = filled(&first, page, &found(&[3, 5], 5, None));
        assert_eq!(
            (ids(&page), page.completeness),
            (vec![3, 5], Completeness::More)
        );
        assert_eq!(
            page.next[0].gaps,
            Gaps::SinceFirst,
            "another channel may begin later"
        );
        let last = Read {
            from: page.next.clone(),
            max_events: 100,
            ..first.clone()
        };
        let page = filled(
            &last,
            log_page(Some((5, 6)), &[7], 7),
            &found(&[6], 6, None),
        );
        assert_eq!(
            (ids(&page), page.completeness),
            (vec![6, 7], Completeness::Complete)
        );
        assert_eq!(
            page.next[0].gaps,
            Gaps::Report,
            "from here on nothing may be missing"
        );
        let page = unfilled(&first, log_page(Some((0, 6)), &[7], 7));
        assert!(page.gap.is_none(), "the archive has nothing to do with it");
        let page = unanswered(&first, log_page(Some((0, 6)), &[7], 7));
        assert_eq!(page.gap.map(|gap| gap.certainty), Some(Certainty::Possible));
    }

    #[test]
    fn without_an_archive_a_page_is_the_logs_own() {
        let told = read(2, Gaps::ReportAfter(id(6)), 100);
        let page = unfilled(&told, log_page(Some((2, 6)), &[7], 7));
        assert!(page.gap.is_none(), "it was told");
        let page = unfilled(&told, log_page(Some((2, 9)), &[10], 10));
        assert!(page.gap.is_some());
        let page = unfilled(&told, log_page(None, &[3], 3));
        assert_eq!(page.next[0].gaps, Gaps::ReportAfter(id(6)));
        let page = unfilled(&read(2, Gaps::Report, 100), log_page(Some((2, 6)), &[7], 7));
        assert!(page.gap.is_some());
    }
}
