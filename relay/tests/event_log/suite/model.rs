//! The log against a simple model: a list of all events that were ever appended.
//!
//! How much is kept is the log's own business (its channels tell); what it may never do is keep
//! other than a channel's last events, lose or double one across pages, stay silent about a missing
//! event, or call certain what is not missing.

use crate::subject::{FOREVER, Implementation, Limits, Subject, Together, anywhere, newest};
use proptest::{prelude::*, test_runner::TestRunner};
use sse_relay::{
    channel::Selector,
    cursor::{EventId, Partition, Place, Places},
    event::Event,
    event_log::{
        Completeness, Gaps, Page, Publication, Read, Retention, Standing, cursor_of, gap::Certainty,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

const CHANNELS: [&str; 5] = ["a", "b", "x.a", "x.b", "x.c"];

#[derive(Clone, Debug)]
enum Step {
    Append { channel: usize, sizes: Vec<usize> },
    Wait(u64),
    Sweep,
    Purge(usize),
    Read(Reading),
}

#[derive(Clone, Debug)]
struct Reading {
    selectors: Vec<&'static str>,
    /// Which of the events so far to read after, and how far below or above it.
    after: (prop::sample::Index, i8),
    upto: Option<prop::sample::Index>,
    max_bytes: usize,
    max_events: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let selectors = prop::sample::subsequence(
        vec!["a", "b", "x.a", "x.b", "never", "x.*", "*", "**"],
        1..4,
    );
    let reading = (
        selectors,
        any::<prop::sample::Index>(),
        -1i8..=1,
        prop::option::weighted(0.3, any::<prop::sample::Index>()),
        prop_oneof![Just(usize::MAX), 1..2000usize],
        prop_oneof![Just(usize::MAX), 1..6usize],
    );
    let reading = reading.prop_map(|(selectors, index, off, upto, max_bytes, max_events)| {
        Step::Read(Reading {
            selectors,
            after: (index, off),
            upto,
            max_bytes,
            max_events,
        })
    });
    let append = (0..CHANNELS.len(), prop::collection::vec(0..300usize, 1..4))
        .prop_map(|(channel, sizes)| Step::Append { channel, sizes });
    let step = prop_oneof![
        6 => append,
        1 => (0..80u64).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
        1 => (0..CHANNELS.len()).prop_map(Step::Purge),
        4 => reading,
    ];
    prop::collection::vec(step, 1..60)
}

fn limits() -> impl Strategy<Value = (Retention, usize)> {
    let events = prop_oneof![0..6usize, Just(usize::MAX)];
    let age = prop_oneof![(0..100u64).prop_map(Duration::from_millis), Just(FOREVER)];
    let bytes = prop_oneof![200..2500usize, Just(usize::MAX)];
    let together = prop_oneof![1000..6000usize, Just(usize::MAX)];
    (events, age, bytes, together)
        .prop_map(|(events, age, bytes, together)| (Retention { events, age, bytes }, together))
}

/// All that ever happened.
#[derive(Default)]
struct Model {
    events: Vec<(&'static str, Place)>,
    /// Channels that were known and then forgotten, once at least.
    forgotten: BTreeSet<&'static str>,
}

/// An event of one partition that a page may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wanted {
    channel: &'static str,
    id: EventId,
    kept: bool,
}

impl Model {
    async fn note_forgotten(&mut self, subject: &Subject) {
        for channel in CHANNELS {
            let known = subject.channel(&anywhere(channel)).await.is_some();
            if !known && self.events.iter().any(|(of, _)| *of == channel) {
                self.forgotten.insert(channel);
            }
        }
    }

    /// Selected events of a partition within a range, and whether each is kept.
    async fn between(
        &self,
        subject: &Subject,
        selectors: &[Selector],
        after: Place,
        upto: EventId,
    ) -> Vec<Wanted> {
        let mut kept = BTreeMap::new();
        for channel in CHANNELS {
            let info = subject.channel(&anywhere(channel)).await;
            kept.insert(channel, info.map_or(0, |info| info.events));
        }
        let mut all = Vec::new();
        for (channel, place) in self.events.iter().rev() {
            let left = kept.get_mut(channel).unwrap();
            let is_kept = *left > 0;
            *left = left.saturating_sub(1);
            let name = anywhere(channel);
            let selected = selectors.iter().any(|one| one.matches(&name));
            if selected
                && place.partition == after.partition
                && after.id < place.id
                && place.id <= upto
            {
                all.push(Wanted {
                    channel,
                    id: place.id,
                    kept: is_kept,
                });
            }
        }
        all.reverse();
        all
    }

    async fn check(&self, subject: &Subject, read: &Read, page: &Page) {
        assert!(page.entries.is_sorted_by_key(|entry| entry.id));
        assert!(page.entries.len() <= read.max_events);
        let but_last = page.entries.iter().rev().skip(1);
        let bytes: usize = but_last.map(|entry| entry.event.size()).sum();
        assert!(bytes < read.max_bytes);
        assert_eq!(
            cursor_of(&page.next).partitions(),
            cursor_of(&read.from).partitions()
        );
        let (mut kept, mut missing, mut sure, mut told) = (0, 0, 0, 0);
        for (from, next) in read.from.iter().zip(&page.next) {
            let (after, partition) = (from.after, from.after.partition);
            let head = subject.log.heads().id(partition);
            let upto = read.upto.id(partition).min(head);
            let all = self.between(subject, &read.selectors, after, upto).await;
            let wanted: Vec<EventId> = all.iter().filter(|e| e.kept).map(|e| e.id).collect();
            kept += wanted.len();
            check_part(page, partition, &wanted, next.after, upto.max(after.id));
            let lacks: Vec<&Wanted> = all.iter().filter(|event| !event.kept).collect();
            missing += lacks.len();
            let Some(until) = page
                .gap
                .as_ref()
                .and_then(|gap| gap.until.in_partition(partition))
            else {
                assert!(lacks.is_empty(), "a missed gap: {lacks:?} of {read:?}");
                continue;
            };
            told += 1;
            let gap = page.gap.as_ref().unwrap();
            assert_eq!(gap.after.in_partition(partition), Some(after));
            assert!(after.id < until.id && until.id <= upto);
            assert!(lacks.iter().all(|event| event.id <= until.id));
            if upto == head {
                let remembered = |event: &&&Wanted| !self.forgotten.contains(event.channel);
                sure += lacks.iter().filter(remembered).count();
            }
        }
        if page.completeness == Completeness::Complete {
            assert_eq!(page.entries.len(), kept);
        } else {
            assert!(!page.entries.is_empty() && page.entries.len() < kept);
        }
        match page.gap.as_ref().map(|gap| gap.certainty) {
            None => assert_eq!(missing, 0),
            Some(Certainty::Certain) => assert!(missing > 0, "a false certain gap of {read:?}"),
            Some(Certainty::Possible) => {
                assert!(told > 0);
                assert_eq!(sure, 0, "it is certain: {:?}", page.gap);
            }
        }
        if missing == 0 && read.upto == newest_of(&read.upto) {
            let all_known = self.forgotten.is_empty();
            assert!(
                !all_known || page.gap.is_none(),
                "nothing was ever forgotten"
            );
        }
    }
}

/// Past every id, in the partitions of other places.
fn newest_of(places: &Places) -> Places {
    let newest = |place: Place| Place {
        id: newest(),
        ..place
    };
    places.iter().map(newest).collect()
}

/// What a page has of a partition is the beginning of what there is, and where it stands says so.
fn check_part(page: &Page, partition: Partition, wanted: &[EventId], next: Place, all: EventId) {
    let given: Vec<EventId> = page
        .entries
        .iter()
        .filter(|entry| entry.partition == partition)
        .map(|entry| entry.id)
        .collect();
    assert_eq!(given, &wanted[..given.len()]);
    let rest = &wanted[given.len()..];
    assert!(
        rest.iter().all(|id| next.id < *id),
        "{rest:?} is passed over"
    );
    assert!(given.iter().all(|id| *id <= next.id));
    if page.completeness == Completeness::Complete {
        assert!(rest.is_empty());
        assert_eq!(next.id, all);
    }
}

async fn read(subject: &Subject, model: &Model, reading: &Reading) {
    let (index, off) = &reading.after;
    let id_at = |index: &prop::sample::Index| match model.events.as_slice() {
        [] => 1,
        events => index.get(events).1.id.get(),
    };
    let selectors: Arc<[Selector]> = reading
        .selectors
        .iter()
        .map(|text| Selector::parse(text).unwrap())
        .collect();
    let after = EventId::new(id_at(index).saturating_add_signed(i64::from(*off))).unwrap();
    let upto = reading
        .upto
        .as_ref()
        .map_or(newest(), |index| EventId::new(id_at(index)).unwrap());
    let from = subject.places(&selectors, after);
    let mut read = Read {
        from: from
            .iter()
            .map(|after| Standing {
                after,
                gaps: Gaps::Report,
            })
            .collect(),
        upto: subject.places(&selectors, upto),
        selectors,
        max_bytes: reading.max_bytes,
        max_events: reading.max_events,
    };
    loop {
        let page = subject.log.read(read.clone()).await.unwrap();
        model.check(subject, &read, &page).await;
        if page.completeness == Completeness::Complete {
            return;
        }
        for (from, next) in read.from.iter_mut().zip(page.next) {
            from.after = next.after; // each page tells its gaps anew, and is checked
        }
    }
}

async fn run(
    implementation: &dyn Implementation,
    (retention, max_bytes): (Retention, usize),
    steps: Vec<Step>,
) {
    let limits = Limits {
        max_bytes,
        ..Limits::of(retention)
    };
    let subject = Subject::open(implementation, limits).await;
    let partitions = subject.log.partitioning().count();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append { channel, sizes } => {
                let events = sizes.iter().map(|size| Event::text(&"x".repeat(*size)));
                let publication = Publication {
                    channel: anywhere(CHANNELS[channel]),
                    events: events.collect(),
                    idempotency: None,
                    fence: None,
                };
                let appended = subject.publish(publication).await.unwrap();
                let places = appended.places().iter();
                model
                    .events
                    .extend(places.map(|place| (CHANNELS[channel], *place)));
            }
            Step::Wait(millis) => subject.clock.forward(Duration::from_millis(millis)),
            Step::Sweep => {
                subject.log.sweep().await;
                model.note_forgotten(&subject).await;
            }
            Step::Purge(channel) => {
                let purged = subject.log.purge(&anywhere(CHANNELS[channel])).await;
                purged.unwrap();
            }
            Step::Read(reading) => read(&subject, &model, &reading).await,
        }
        for channel in CHANNELS {
            let info = subject.channel(&anywhere(channel)).await;
            assert!(info.map_or(0, |info| info.events) <= retention.events);
        }
        let bounded = implementation.together() == Together::Bounded;
        let max_bytes = max_bytes.saturating_mul(partitions);
        assert!(!bounded || subject.totals().await.bytes <= max_bytes);
    }
    subject.log.close().await.unwrap();
}

pub fn pages_and_gaps_are_those_of_the_model(make: impl Fn() -> Box<dyn Implementation>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let _servers = make(); // one set for all cases
    TestRunner::new(config)
        .run(&(limits(), steps()), |(limits, steps)| {
            runtime.block_on(run(&*make(), limits, steps));
            Ok(())
        })
        .unwrap();
}
