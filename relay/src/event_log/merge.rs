//! One page of what several partitions gave. Pure.
//!
//! Ids are clocks, so entries of several partitions are merged in order of ids. A page is exact in
//! each partition: it never has an entry without those before it.

use super::{Completeness, Entry, Gaps, Page, Standing, gap::Gap};
use crate::cursor::{EventId, Place};
use std::sync::Arc;

/// What one partition gave, read with the bounds of the whole page.
#[derive(Clone, Debug)]
pub struct Part {
    pub from: Standing,
    /// Up to where it was to be read.
    pub upto: EventId,
    pub gap: Option<Gap>,
    /// In order of ids, from the first after [`Part::from`] on.
    pub entries: Vec<Arc<Entry>>,
    /// Whether these are all up to [`Part::upto`].
    pub completeness: Completeness,
}

/// The page of some partitions. `full` is told each entry and says whether the page has room for no
/// other; it is not asked before the first one.
pub fn merge(mut parts: Vec<Part>, full: impl FnMut(&Entry) -> bool) -> Page {
    let gap = parts.iter_mut().filter_map(|part| part.gap.take());
    let gap = gap.reduce(Gap::and);
    if let [only] = &mut parts[..] {
        let entries = std::mem::take(&mut only.entries);
        let through = match (only.completeness, entries.last()) {
            (Completeness::More, Some(last)) => last.id,
            _ => only.upto.max(only.from.after.id),
        };
        return Page {
            next: smallvec::smallvec![next(only.from, through, gap.as_ref())],
            completeness: only.completeness,
            gap,
            entries,
        };
    }
    let (entries, taken) = take(&parts, full);
    let mut completeness = Completeness::Complete;
    let mut standings = super::Standings::new();
    for (part, taken) in parts.iter().zip(taken) {
        let all = part.completeness == Completeness::Complete && taken == part.entries.len();
        let through = match taken.checked_sub(1) {
            _ if all => part.upto.max(part.from.after.id),
            Some(last) => part.entries[last].id,
            None => part.from.after.id,
        };
        if !all {
            completeness = Completeness::More;
        }
        standings.push(next(part.from, through, gap.as_ref()));
    }
    Page {
        gap,
        entries,
        next: standings,
        completeness,
    }
}

/// The entries that fit, and how many of each part they are.
fn take(parts: &[Part], mut full: impl FnMut(&Entry) -> bool) -> (Vec<Arc<Entry>>, Vec<usize>) {
    let (mut entries, mut taken) = (Vec::new(), vec![0; parts.len()]);
    loop {
        let heads = parts.iter().zip(&taken).enumerate();
        // a part that was cut may have more before what another part has
        let Some((index, Some(entry))) = heads
            .filter_map(|(index, (part, taken))| match part.entries.get(*taken) {
                Some(entry) => Some((index, Some(entry))),
                None if part.completeness == Completeness::More => Some((index, None)),
                None => None,
            })
            .min_by_key(|(_, entry)| entry.map(|entry| entry.id))
        else {
            return (entries, taken);
        };
        taken[index] += 1;
        entries.push(entry.clone());
        if full(entry) {
            return (entries, taken);
        }
    }
}

fn next(from: Standing, through: EventId, gap: Option<&Gap>) -> Standing {
    let told = gap.and_then(|gap| gap.until.in_partition(from.after.partition));
    Standing {
        after: Place {
            id: through,
            ..from.after
        },
        gaps: match (told, from.gaps) {
            // what one page told, the next one does not tell again
            (Some(until), _) => Gaps::ReportAfter(until.id),
            (None, Gaps::Ignore | Gaps::SinceFirst) if through > from.after.id => Gaps::Report,
            (None, gaps) => gaps,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channel::ChannelName,
        cursor::{Epoch, Partition, Predecessor},
        event::Event,
    };
    use proptest::prelude::*;

    fn place(partition: u8, id: u64) -> Place {
        Place {
            partition: Partition::new(partition).unwrap(),
            epoch: Epoch::from_random(1),
            id: EventId::new(id).unwrap(),
        }
    }

    fn entry(partition: u8, id: u64) -> Arc<Entry> {
        let at = place(partition, id);
        Arc::new(Entry {
            partition: at.partition,
            channel: ChannelName::parse("c").unwrap(),
            id: at.id,
            predecessor: Predecessor::Known(EventId::ZERO),
            event: Event::default(),
        })
    }

    const UPTO: u64 = 1000;

    /// As a log reads: entries after a standing, cut at a bound.
    fn part(partition: u8, all: &[u64], after: u64, max: usize) -> Part {
        let entries: Vec<_> = all.iter().filter(|id| **id > after).collect();
        Part {
            from: Standing {
                after: place(partition, after),
                gaps: Gaps::Report,
            },
            upto: EventId::new(UPTO).unwrap(),
            gap: None,
            completeness: if entries.len() > max {
                Completeness::More
            } else {
                Completeness::Complete
            },
            entries: entries
                .into_iter()
                .take(max)
                .map(|id| entry(partition, *id))
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn pages_of_several_partitions_give_each_event_once_and_in_order(
            ids in proptest::collection::vec(proptest::collection::btree_set(1..UPTO, 0..40), 1..=8),
            max in 1..10usize,
        ) {
            let ids: Vec<Vec<u64>> = ids.into_iter().map(|set| set.into_iter().collect()).collect();
            let mut after = vec![0; ids.len()];
            let mut got = Vec::new();
            loop {
                let parts = ids.iter().zip(&after).enumerate();
                let parts = parts.map(|(p, (all, after))| part(p as u8, all, *after, max)).collect();
                let mut count = 0;
                let page = merge(parts, |_| { count += 1; count >= max });
                prop_assert!(page.entries.len() <= max);
                prop_assert!(page.entries.is_sorted_by_key(|entry| entry.id));
                got.extend(page.entries.iter().map(|entry| (entry.id.get(), entry.partition.get())));
                for (after, next) in after.iter_mut().zip(&page.next) {
                    prop_assert!(*after <= next.after.id.get());
                    *after = next.after.id.get();
                }
                if page.completeness == Completeness::Complete {
                    prop_assert!(after.iter().all(|after| *after == UPTO));
                    break;
                }
                prop_assert!(!page.entries.is_empty(), "a page always gets on");
            }
            let mut all: Vec<(u64, u8)> = ids.iter().enumerate()
                .flat_map(|(p, ids)| ids.iter().map(move |id| (*id, p as u8))).collect();
            all.sort_unstable();
            prop_assert!(got.is_sorted_by_key(|(id, _)| *id));
            got.sort_unstable();
            prop_assert_eq!(got, all);
        }
    }
}
