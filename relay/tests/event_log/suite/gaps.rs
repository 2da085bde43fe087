//! What the log says of what it no longer has.

use crate::subject::*;
use sse_relay::{
    cursor::EventId,
    event_log::{Gaps, gap::Certainty},
    frame::GapReason,
};
use std::time::Duration;

fn gap(certainty: Certainty, after: EventId, until: EventId, channels: &[&str]) -> Option<Gap> {
    Some(Gap {
        certainty,
        reason: GapReason::Trimmed,
        after,
        until,
        channels: channels.iter().map(|text| name(text)).collect(),
    })
}

pub async fn a_reader_that_missed_a_trimmed_event_gets_a_certain_gap(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::events(2)).await;
    let a = subject.fill("a", 5).await;
    let b = subject.fill("b", 2).await;
    let page = subject.after(&["a", "b"], a[0]).await;
    assert_eq!(page.gap, gap(Certainty::Certain, a[0], a[2], &["a"]));
    assert_eq!(entry_ids(&page), [a[3], a[4], b[0], b[1]]);
    let pattern = subject.after(&["*"], a[1]).await;
    assert_eq!(pattern.gap, gap(Certainty::Certain, a[1], a[2], &["a"]));
}

pub async fn a_reader_that_has_all_that_is_trimmed_gets_no_gap(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::events(2)).await;
    let a = subject.fill("a", 5).await;
    for after in &a[2..] {
        assert_eq!(subject.after(&["a", "*", "quiet"], *after).await.gap, None);
    }
    let between = EventId::new(a[4].get() + 10).unwrap();
    assert_eq!(subject.after(&["a"], between).await.gap, None);
}

/// A log that has forgotten `gone`, whose last id is given.
async fn forgetful(implementation: &dyn Implementation) -> (Subject, EventId) {
    let subject = Subject::open(implementation, Limits::age(Duration::from_secs(1))).await;
    let last = subject.fill("gone", 3).await[2];
    subject.clock.forward(Duration::from_secs(3));
    subject.log.sweep().await;
    assert!(subject.channel(&name("gone")).await.is_none());
    subject.append("other", "x").await;
    (subject, last)
}

pub async fn a_forgotten_channel_is_a_possible_gap_by_name_and_by_pattern(
    implementation: &dyn Implementation,
) {
    let (subject, last) = forgetful(implementation).await;
    let early = EventId::new(last.get() - 1).unwrap();
    let named = subject.after(&["gone"], early).await;
    assert_eq!(named.gap, gap(Certainty::Possible, early, last, &["gone"]));
    let pattern = subject.after(&["*"], early).await;
    assert_eq!(pattern.gap, gap(Certainty::Possible, early, last, &[]));
    assert_eq!(subject.after(&["gone", "*"], last).await.gap, None);
    // it may have been known before, too
    let began = subject.after(&["other"], early).await.gap;
    assert_eq!(began, gap(Certainty::Possible, early, last, &["other"]));
    assert_eq!(subject.after(&["other"], last).await.gap, None);
}

pub async fn a_channel_that_returns_after_it_was_forgotten_has_a_possible_gap(
    implementation: &dyn Implementation,
) {
    let (subject, last) = forgetful(implementation).await;
    let early = EventId::new(last.get() - 1).unwrap();
    let new = subject.append("gone", "again").await;
    let page = subject.after(&["gone"], early).await;
    assert_eq!(page.gap, gap(Certainty::Possible, early, last, &["gone"]));
    assert_eq!(entry_ids(&page), [new]);
    assert_eq!(subject.after(&["gone"], last).await.gap, None);
}

pub async fn what_is_trimmed_by_later_events_is_no_certain_gap_before_them(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::events(1)).await;
    let has_all = subject.append("a", "0").await;
    let joined = subject.append("b", "0").await;
    // these come live to who joined there, though the log keeps only the last of them
    subject.fill("a", 3).await;
    let page = subject
        .page(Read {
            selectors: select(&["a"]),
            after: has_all,
            upto: joined,
            max_bytes: usize::MAX,
            max_events: usize::MAX,
            gaps: Gaps::Report,
        })
        .await;
    assert!(page.entries.is_empty());
    assert_eq!(
        page.gap,
        gap(Certainty::Possible, has_all, joined, &["a"]),
        "nothing is missing for certain, and nothing past what was read"
    );
}

pub async fn a_gap_that_was_told_is_not_told_again_by_the_next_page(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::events(2)).await;
    let start = subject.append("start", "x").await;
    let b = subject.fill("b", 2).await;
    let a = subject.fill("a", 4).await;
    let mut read = Read {
        selectors: select(&["a", "b"]),
        after: start,
        upto: subject.head(),
        max_bytes: usize::MAX,
        max_events: 1,
        gaps: Gaps::Report,
    };
    let page = subject.page(read.clone()).await;
    assert_eq!(entry_ids(&page), [b[0]]);
    let told = page.gap.unwrap();
    assert_eq!(told.until, a[1]);
    read.after = page.through;
    assert!(subject.page(read.clone()).await.gap.is_some());
    read.gaps = Gaps::ReportAfter(told.until);
    assert_eq!(subject.page(read.clone()).await.gap, None);
    // but what was trimmed since then is
    subject.append("a", "x").await;
    assert_eq!(subject.page(read.clone()).await.gap.unwrap().until, a[2]);
    read.gaps = Gaps::Ignore;
    assert_eq!(subject.page(read).await.gap, None);
}
