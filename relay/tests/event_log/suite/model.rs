//! The log against a simple model: a list of all events that were ever appended.
//!
//! How much is kept is the log's own business (its channels tell); what it may never do is keep
//! other than a channel's last events, lose or double one across pages, stay silent about a missing
//! event, or call certain what is not missing.

use crate::subject::*;
use proptest::{prelude::*, test_runner::TestRunner};
use sse_relay::{
    channel::Selector,
    cursor::EventId,
    event_log::{Completeness, Gaps, Page, Read, Retention, gap::Certainty},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const CHANNELS: [&str; 5] = ["a", "b", "x.a", "x.b", "x.c"];

#[derive(Clone, Debug)]
enum Step {
    Append { channel: usize, sizes: Vec<usize> },
    Wait(u64),
    Sweep,
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
    events: Vec<(&'static str, EventId)>,
    /// Channels that were known and then forgotten, once at least.
    forgotten: BTreeSet<&'static str>,
}

impl Model {
    fn note_forgotten(&mut self, subject: &Subject) {
        for channel in CHANNELS {
            let known = subject.log.channel(&name(channel)).is_some();
            if !known && self.events.iter().any(|(of, _)| *of == channel) {
                self.forgotten.insert(channel);
            }
        }
    }

    /// Selected events within a range, and whether each is kept.
    fn between(
        &self,
        subject: &Subject,
        selectors: &[Selector],
        after: EventId,
        upto: EventId,
    ) -> Vec<(&'static str, EventId, bool)> {
        let mut kept: BTreeMap<&str, usize> = CHANNELS
            .iter()
            .map(|channel| {
                let info = subject.log.channel(&name(channel));
                (*channel, info.map_or(0, |info| info.events))
            })
            .collect();
        let mut all = Vec::new();
        for (channel, id) in self.events.iter().rev() {
            let left = kept.get_mut(channel).unwrap();
            let is_kept = *left > 0;
            *left = left.saturating_sub(1);
            let selected = selectors.iter().any(|one| one.matches(&name(channel)));
            if selected && after < *id && *id <= upto {
                all.push((*channel, *id, is_kept));
            }
        }
        all.reverse();
        all
    }

    fn check(&self, subject: &Subject, read: &Read, page: &Page) {
        let upto = read.upto.min(subject.log.head());
        let all = self.between(subject, &read.selectors, read.after, upto);
        let kept: Vec<EventId> = all.iter().filter(|e| e.2).map(|e| e.1).collect();
        let given = entry_ids(page);
        match page.completeness {
            Completeness::Complete => {
                assert_eq!(given, kept);
                assert_eq!(page.through, upto.max(read.after));
            }
            Completeness::More => {
                assert!(!given.is_empty() && given.len() < kept.len());
                assert_eq!(given, &kept[..given.len()]);
                assert_eq!(page.through, given[given.len() - 1]);
            }
        }
        assert!(given.len() <= read.max_events);
        let but_last = page.entries.iter().rev().skip(1);
        let bytes: usize = but_last.map(|entry| entry.event.size()).sum();
        assert!(bytes < read.max_bytes);
        self.check_gap(subject, read, upto, page, &all);
    }

    fn check_gap(
        &self,
        subject: &Subject,
        read: &Read,
        upto: EventId,
        page: &Page,
        all: &[(&'static str, EventId, bool)],
    ) {
        let missing: Vec<_> = all.iter().filter(|event| !event.2).collect();
        let Some(gap) = &page.gap else {
            assert!(missing.is_empty(), "a missed gap: {missing:?} of {read:?}");
            return;
        };
        assert_eq!(gap.after, read.after);
        assert!(read.after < gap.until && gap.until <= upto);
        assert!(missing.iter().all(|event| event.1 <= gap.until));
        if gap.certainty == Certainty::Certain {
            assert!(
                !missing.is_empty(),
                "a false certain gap: {gap:?} of {read:?}"
            );
            return;
        }
        let to_the_head = upto == subject.log.head();
        if to_the_head {
            let sure = missing
                .iter()
                .find(|event| !self.forgotten.contains(event.0));
            assert_eq!(sure, None, "it is certain: {gap:?}");
            assert!(
                !missing.is_empty() || !self.forgotten.is_empty(),
                "nothing was ever forgotten: {gap:?}"
            );
        }
    }
}

async fn read(subject: &Subject, model: &Model, reading: &Reading) {
    let (index, off) = &reading.after;
    let id_at = |index: &prop::sample::Index| match model.events.as_slice() {
        [] => 1,
        events => index.get(events).1.get(),
    };
    let mut read = Read {
        selectors: select(&reading.selectors),
        after: EventId::new(id_at(index).saturating_add_signed(i64::from(*off))).unwrap(),
        upto: reading
            .upto
            .as_ref()
            .map_or(newest(), |index| EventId::new(id_at(index)).unwrap()),
        max_bytes: reading.max_bytes,
        max_events: reading.max_events,
        gaps: Gaps::Report,
    };
    loop {
        let page = subject.page(read.clone()).await;
        model.check(subject, &read, &page);
        if page.completeness == Completeness::Complete {
            return;
        }
        read.after = page.through;
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
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append { channel, sizes } => {
                let texts: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let publication = publication(CHANNELS[channel], &texts);
                let given = ids(&subject.publish(publication).await.unwrap());
                model
                    .events
                    .extend(given.into_iter().map(|id| (CHANNELS[channel], id)));
            }
            Step::Wait(millis) => subject.clock.forward(Duration::from_millis(millis)),
            Step::Sweep => {
                subject.log.sweep();
                model.note_forgotten(&subject);
            }
            Step::Read(reading) => read(&subject, &model, &reading).await,
        }
        let info = |channel| subject.log.channel(&name(channel));
        for channel in CHANNELS {
            let events = info(channel).map_or(0, |info| info.events);
            assert!(events <= retention.events);
        }
        assert!(subject.log.totals().bytes <= max_bytes);
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
    TestRunner::new(config)
        .run(&(limits(), steps()), |(limits, steps)| {
            runtime.block_on(run(&*make(), limits, steps));
            Ok(())
        })
        .unwrap();
}
