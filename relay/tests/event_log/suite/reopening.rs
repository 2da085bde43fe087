//! A restart, where the log outlives its process.

use super::concurrency::beside;
use crate::subject::*;
use sse_relay::{
    cursor::EventId,
    event::Ending,
    event_log::{AppendError, Appended},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Whether there is anything to reopen. A log that keeps nothing has to say so.
pub fn keeps(implementation: &dyn Implementation) -> bool {
    implementation.reopening() == Reopening::KeepsAll
}

/// Ends a log well and opens it again.
pub async fn restart(
    implementation: &dyn Implementation,
    subject: Subject,
    limits: Limits,
) -> Subject {
    subject.log.close().await.unwrap();
    let clock = subject.clock.clone();
    drop(subject);
    Subject::open_at(implementation, limits, clock).await
}

pub async fn what_was_appended_is_back_and_ids_go_on_above_it(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let ids = subject.fill("a", 5).await;
    subject.fill("b", 3).await;
    let before = subject.after(&["**"], EventId::ZERO).await;
    let (head, place) = (subject.head(), subject.place(ids[0]));
    subject.clock.back(Duration::from_secs(3600));
    let subject = restart(implementation, subject, Limits::none()).await;
    if !keeps(implementation) {
        assert_eq!(subject.totals().await.events, 0);
        assert_ne!(subject.place(ids[0]).epoch, place.epoch);
        return;
    }
    assert_eq!(subject.place(ids[0]), place, "the same epoch");
    assert_eq!(subject.head(), head);
    let after = subject.after(&["**"], EventId::ZERO).await;
    assert_eq!(after.entries, before.entries);
    assert_eq!((after.gap, subject.tail.ids()), (None, vec![]));
    assert_eq!(subject.append("c", "x").await.get(), head.get() + 1);
}

pub async fn a_log_that_was_dropped_comes_back_whole(implementation: &dyn Implementation) {
    if !keeps(implementation) {
        return; // nothing comes back
    }
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.fill("a", 5).await;
    let batch = keyed("b", &["1", "2"], "k", 1);
    let batch = subject.publish(batch).await.unwrap();
    let before = subject.after(&["**"], EventId::ZERO).await;
    let (clock, place) = (subject.clock.clone(), subject.place(EventId::ZERO));
    drop(subject);
    let subject = Subject::open_at(implementation, Limits::none(), clock).await;
    assert_eq!(subject.place(EventId::ZERO), place, "the same epoch");
    let after = subject.after(&["**"], EventId::ZERO).await;
    assert_eq!(after.entries, before.entries);
    let repeat = subject.publish(keyed("b", &["1", "2"], "k", 1)).await;
    assert_eq!(repeat, Ok(Appended::Repeat(batch.places().to_vec())));
}

pub async fn keys_survive_though_their_events_are_trimmed(implementation: &dyn Implementation) {
    if !keeps(implementation) {
        return; // nothing comes back
    }
    let limits = Limits {
        max_idempotency_keys: 8,
        ..Limits::events(2)
    };
    let mut subject = Subject::open(implementation, limits.clone()).await;
    let mut given = Vec::new();
    let texts = ["1", "2", "3"];
    for key in 0..8 {
        let publication = keyed("a", &texts, &key.to_string(), 1);
        given.push(
            subject
                .publish(publication)
                .await
                .unwrap()
                .places()
                .to_vec(),
        );
        subject.clock.forward(Duration::from_millis(1));
    }
    for round in 0..3 {
        // enough to be compacted, so that the trimmed events are gone from the file too
        for _ in 0..20 {
            subject.append("b", &"x".repeat(2000)).await;
        }
        subject = restart(implementation, subject, limits.clone()).await;
        for (key, places) in given.iter().enumerate() {
            let publication = keyed("a", &texts, &key.to_string(), 1);
            let repeat = subject.publish(publication).await;
            assert_eq!(
                repeat,
                Ok(Appended::Repeat(places.clone())),
                "round {round}, key {key}"
            );
        }
        let other = subject.publish(keyed("a", &texts, "7", 2)).await;
        assert!(other.is_err());
    }
}

pub async fn limits_that_changed_hold_for_what_is_loaded(implementation: &dyn Implementation) {
    if !keeps(implementation) {
        return; // nothing comes back
    }
    let subject = Subject::open(implementation, Limits::none()).await;
    let a = subject.fill("a", 10).await;
    subject.clock.forward(Duration::from_secs(60));
    let b = subject.fill("b", 10).await;
    let subject = restart(implementation, subject, Limits::events(4)).await;
    assert_eq!(subject.all("a").await, &a[6..]);
    assert_eq!(subject.all("b").await, &b[6..]);
    let page = subject.after(&["a"], a[2]).await;
    assert_eq!(page.gap.unwrap().until, a[5]);
    let limits = Limits::age(Duration::from_secs(30));
    let subject = restart(implementation, subject, limits).await;
    assert!(subject.all("a").await.is_empty());
    assert!(subject.all("b").await.ends_with(&b[6..]));
    if implementation.together() == Together::Unbounded {
        return; // nothing gives way
    }
    let bytes = subject.totals().await.bytes;
    let limits = Limits {
        max_bytes: bytes / 2,
        max_idempotency_keys: 0,
        ..Limits::none()
    };
    let subject = restart(implementation, subject, limits).await;
    let totals = subject.totals().await;
    assert!(totals.bytes <= bytes / 2 && totals.events > 0);
    assert_eq!(
        subject.all("b").await.last(),
        b.last(),
        "the oldest gave way"
    );
}

pub async fn channels_that_ended_or_were_forgotten_stay_so(implementation: &dyn Implementation) {
    if !keeps(implementation) {
        return; // nothing comes back
    }
    let of = |channel: &str| sse_relay::event_log::Retention {
        age: Duration::from_secs(if channel.starts_with("gone") {
            1
        } else {
            100_000
        }),
        events: usize::from(!channel.starts_with("trimmed")) * 100,
        ..UNLIMITED
    };
    let limits = Limits {
        retention: std::sync::Arc::new(of),
        ..Limits::none()
    };
    let mut subject = Subject::open(implementation, limits.clone()).await;
    let start = subject.append("start", "x").await;
    let gone = subject.append("gone", "x").await;
    let trimmed = ids(&subject.publish(ending("trimmed")).await.unwrap())[0];
    subject.publish(ending("ended")).await.unwrap();
    subject.clock.forward(Duration::from_secs(10));
    subject.log.sweep().await;
    assert!(subject.channel(&name("gone")).await.is_none());
    for _ in 0..3 {
        for _ in 0..120 {
            subject.append("filler", &"x".repeat(500)).await; // compacts
        }
        subject = restart(implementation, subject, limits.clone()).await;
        assert!(subject.channel(&name("gone")).await.is_none());
        assert_eq!(
            subject.after(&["gone"], start).await.gap.unwrap().until,
            gone
        );
        for channel in ["trimmed", "ended"] {
            subject.attach(&[channel]).await;
            assert!(subject.finished(&select(&[channel]), newest()), "{channel}");
            let info = subject.channel(&name(channel)).await.unwrap();
            assert_eq!(info.ending, Ending::Ends);
        }
        assert_eq!(
            subject.after(&["trimmed"], start).await.gap.unwrap().until,
            trimmed
        );
    }
}

pub async fn a_close_beside_appends_keeps_what_was_acknowledged(
    implementation: &dyn Implementation,
) {
    let subject = Arc::new(Subject::open(implementation, Limits::none()).await);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let subject = subject.clone();
            beside(async move {
                let mut acknowledged = Vec::new();
                let deadline = Instant::now() + Duration::from_secs(20);
                loop {
                    assert!(Instant::now() < deadline, "it is not closed");
                    let publication = publication(["a", "b"][writer % 2], &["x", "y"]);
                    match subject.publish(publication).await {
                        Ok(appended) => acknowledged.extend(ids(&appended)),
                        Err(AppendError::Unavailable(_) | AppendError::OutcomeUnknown(_)) => {
                            return acknowledged;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    subject.log.close().await.unwrap();
    let mut acknowledged: Vec<_> = writers
        .into_iter()
        .flat_map(|w| w.join().unwrap())
        .collect();
    acknowledged.sort();
    let before = entry_ids(&subject.after(&["a", "b"], EventId::ZERO).await);
    assert_eq!(before, acknowledged);
    assert!(!before.is_empty());
    if !keeps(implementation) {
        return; // nothing comes back
    }
    let clock = subject.clock.clone();
    drop(subject);
    let again = Subject::open_at(implementation, Limits::none(), clock).await;
    let after = entry_ids(&again.after(&["a", "b"], EventId::ZERO).await);
    assert_eq!(after, acknowledged);
}
