//! What is kept, and for how long.

use crate::subject::*;
use sse_relay::{cursor::EventId, event_log::Retention};
use std::{sync::Arc, time::Duration};

pub async fn no_more_events_than_the_limit_are_kept(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::events(3)).await;
    let ids = subject.fill("a", 10).await;
    assert_eq!(subject.all("a").await, &ids[7..]);
    let texts = ["x"; 5];
    let batch = ids_of(&subject, "b", &texts).await;
    assert_eq!(subject.all("b").await, &batch[2..]);
}

async fn ids_of(subject: &Subject, channel: &str, texts: &[&str]) -> Vec<EventId> {
    ids(&subject.publish(publication(channel, texts)).await.unwrap())
}

pub async fn no_more_bytes_than_the_limit_are_kept(implementation: &dyn Implementation) {
    let retention = Retention {
        bytes: 4000,
        ..UNLIMITED
    };
    let subject = Subject::open(implementation, Limits::of(retention)).await;
    for _ in 0..20 {
        subject.append("a", &"x".repeat(500)).await;
        let info = subject.channel(&name("a")).await.unwrap();
        assert!(info.bytes <= 4000);
    }
    let kept = subject.channel(&name("a")).await.unwrap();
    assert!((4..=8).contains(&kept.events), "{}", kept.events);
    let large = subject.append("a", &"x".repeat(5000)).await;
    assert!(
        subject.all("a").await.is_empty(),
        "one event may be too large to keep"
    );
    let page = subject.after(&["a"], EventId::ZERO).await;
    assert_eq!(page.gap.unwrap().until, large);
}

pub async fn events_that_are_too_old_are_dropped(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::age(Duration::from_secs(10))).await;
    subject.append("a", "old").await;
    subject.clock.forward(Duration::from_secs(5));
    let young = subject.append("a", "young").await;
    subject.clock.forward(Duration::from_secs(5));
    subject.log.sweep().await;
    assert_eq!(subject.all("a").await.len(), 2, "not older than the limit");
    subject.clock.forward(Duration::from_millis(1));
    subject.log.sweep().await;
    assert_eq!(subject.all("a").await, [young]);
    subject.clock.forward(Duration::from_secs(5));
    let new = subject.append("a", "new").await;
    assert_eq!(
        subject.all("a").await,
        [new],
        "an append trims without a sweep"
    );
}

pub async fn each_channel_has_limits_of_its_own(implementation: &dyn Implementation) {
    let limits = Limits {
        retention: Arc::new(|channel| Retention {
            events: if channel.starts_with("few.") { 1 } else { 5 },
            ..UNLIMITED
        }),
        ..Limits::none()
    };
    let subject = Subject::open(implementation, limits).await;
    subject.fill("few.a", 9).await;
    subject.fill("b", 9).await;
    assert_eq!(subject.all("few.a").await.len(), 1);
    assert_eq!(subject.all("b").await.len(), 5);
}

pub async fn past_the_limit_of_all_channels_the_oldest_give_way(
    implementation: &dyn Implementation,
) {
    if implementation.together() == Together::Unbounded {
        return; // nothing gives way
    }
    let limits = Limits {
        max_bytes: 10_000,
        ..Limits::none()
    };
    let subject = Subject::open(implementation, limits).await;
    let mut all = Vec::new();
    for round in 0..60 {
        let channel = ["a", "b", "c"][round * 7 % 3];
        all.push(subject.append(channel, &"x".repeat(300)).await);
        assert!(subject.totals().await.bytes <= 10_000);
    }
    let kept = entry_ids(&subject.after(&["**"], EventId::ZERO).await);
    assert!((15..60).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept, &all[60 - kept.len()..]);
    assert_eq!(subject.totals().await.events, kept.len());
}

pub async fn idle_channels_are_forgotten_by_the_sweep(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::age(Duration::from_secs(10))).await;
    subject.append("idle", "x").await;
    subject.clock.forward(Duration::from_secs(15));
    subject.append("busy", "x").await;
    subject.log.sweep().await;
    let idle = subject.channel(&name("idle")).await.unwrap();
    assert_eq!((idle.events, idle.first), (0, None), "empty, but known");
    assert!(idle.last.is_some());
    subject.clock.forward(Duration::from_secs(6));
    subject.log.sweep().await;
    assert!(subject.channel(&name("idle")).await.is_none());
    assert_eq!(subject.totals().await.channels, 1);
}

pub async fn a_channel_that_keeps_nothing_still_delivers(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::events(0)).await;
    subject.log.attach(select(&["a"])).await.unwrap();
    let ids = subject.fill("a", 3).await;
    subject.tail.wait_for(3).await;
    assert_eq!(subject.tail.ids(), ids);
    assert!(subject.all("a").await.is_empty());
    assert_eq!(subject.head(), ids[2]);
}
