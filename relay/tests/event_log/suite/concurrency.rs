//! Appends and reads at the same time.

use crate::subject::*;
use sse_relay::{
    cursor::EventId,
    event_log::{Appended, Gaps, gap::Certainty},
};
use std::{collections::BTreeSet, sync::Arc, thread::JoinHandle};

const WRITERS: usize = 16;
const EACH: usize = 60;

/// On a thread and a runtime of its own.
pub fn beside<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(task)
    })
}

/// Appends from many threads; the ids that were acknowledged.
fn write(subject: &Arc<Subject>) -> Vec<EventId> {
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let subject = subject.clone();
            beside(async move {
                let channel = ["a", "b", "c"][writer % 3];
                let mut acknowledged = Vec::new();
                for number in 0..EACH {
                    let text = format!("{writer}/{number}");
                    let texts = vec![text.as_str(); 1 + number % 2];
                    let publication = publication(channel, &texts);
                    let given = ids(&subject.publish(publication).await.unwrap());
                    let head = subject.head();
                    assert!(
                        given.iter().all(|id| *id <= head),
                        "answered before its head"
                    );
                    acknowledged.extend(given);
                }
                assert!(ascending(&acknowledged));
                acknowledged
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.join().unwrap());
    }
    all
}

pub async fn concurrent_appends_come_out_in_the_order_of_their_ids(
    implementation: &dyn Implementation,
) {
    let subject = Arc::new(Subject::open(implementation, Limits::none()).await);
    subject.log.attach(select(&["**"])).await.unwrap();
    let mut acknowledged = write(&subject);
    acknowledged.sort();
    assert_eq!(acknowledged.len(), WRITERS * EACH * 3 / 2);
    assert!(ascending(&acknowledged), "an id was given twice");
    subject.tail.wait_for(acknowledged.len()).await;
    assert_eq!(subject.tail.ids(), acknowledged);
    let page = subject.after(&["**"], EventId::ZERO).await;
    assert_eq!(entry_ids(&page), acknowledged);
    for publish in subject.tail.publishes() {
        let first = &publish[0];
        assert!(
            publish.iter().all(|entry| entry.event == first.event),
            "a publish was torn"
        );
    }
}

pub async fn readers_beside_appends_see_every_event_once_and_no_certain_gap(
    implementation: &dyn Implementation,
) {
    // so little is kept that most is trimmed before it is read
    for limits in [Limits::none(), Limits::events(2)] {
        let fresh = Arc::new(Subject::open(implementation, limits).await);
        let writing = std::thread::spawn({
            let subject = fresh.clone();
            move || write(&subject)
        });
        let (mut read, mut at) = (BTreeSet::new(), fresh.head());
        let start = at;
        let mut untold = Vec::new();
        loop {
            let done = writing.is_finished();
            let upto = fresh.head();
            let page = fresh
                .page(Read {
                    selectors: select(&["a", "b", "c"]),
                    after: at,
                    upto,
                    max_bytes: 4000,
                    max_events: 7,
                    gaps: Gaps::Report,
                })
                .await;
            for id in entry_ids(&page) {
                assert!(read.insert(id), "read twice");
                assert!(at < id && id <= upto && id <= page.through);
            }
            untold.push((at, page.through, page.gap.clone()));
            at = page.through;
            if done && at == fresh.head() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let acknowledged = writing.join().unwrap();
        let missing: Vec<EventId> = acknowledged
            .into_iter()
            .filter(|id| *id > start && !read.contains(id))
            .collect();
        for id in &missing {
            let told = untold.iter().any(|(after, _, gap)| {
                gap.as_ref()
                    .is_some_and(|gap| after < id && *id <= gap.until)
            });
            assert!(told, "{id:?} is missing, and nobody said so");
        }
        for (after, _, gap) in &untold {
            if let Some(gap) = gap
                && gap.certainty == Certainty::Certain
            {
                let missed = missing.iter().any(|id| after < id && *id <= gap.until);
                assert!(missed, "nothing is missing after {after:?}: {gap:?}");
            }
        }
        fresh.log.close().await.unwrap();
    }
}

pub async fn concurrent_publishes_with_one_key_append_once(implementation: &dyn Implementation) {
    let subject = Arc::new(Subject::open(implementation, Limits::none()).await);
    for round in 0..20 {
        let key = round.to_string();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (subject, key) = (subject.clone(), key.clone());
                beside(async move {
                    let publication = keyed("a", &["1", "2"], &key, 1);
                    subject.publish(publication).await.unwrap()
                })
            })
            .collect();
        let mut new = 0;
        let mut given = BTreeSet::new();
        for task in tasks {
            let appended = task.join().unwrap();
            new += usize::from(matches!(appended, Appended::New(_)));
            given.insert(ids(&appended));
        }
        assert_eq!((new, given.len()), (1, 1));
    }
    assert_eq!(subject.all("a").await.len(), 40);
}
