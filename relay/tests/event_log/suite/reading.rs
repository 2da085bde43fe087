//! Pages of the history.

use crate::subject::*;
use sse_relay::{
    cursor::EventId,
    event_log::{Completeness, Gaps},
};

fn read(selectors: &[&str], after: EventId, upto: EventId) -> Read {
    Read {
        selectors: select(selectors),
        after,
        upto,
        max_bytes: usize::MAX,
        max_events: usize::MAX,
        gaps: Gaps::Report,
    }
}

pub async fn reading_after_any_id_gives_exactly_what_follows(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let ids = subject.fill("a", 10).await;
    for (index, id) in ids.iter().enumerate() {
        let page = subject.after(&["a"], *id).await;
        assert_eq!(entry_ids(&page), &ids[index + 1..]);
        assert_eq!(page.gap, None);
        let just_before = EventId::new(id.get() - 1).unwrap();
        let page = subject.after(&["a"], just_before).await;
        assert_eq!(entry_ids(&page), &ids[index..]);
    }
    let texts = subject.after(&["a"], ids[7]).await;
    let texts: Vec<_> = texts.entries.iter().map(|e| e.event.clone()).collect();
    assert_eq!(texts[0].data.as_ref().unwrap().as_str(), "8");
}

pub async fn channels_and_patterns_are_merged_in_order_and_each_event_comes_once(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let mut all = Vec::new();
    for round in 0..24 {
        let channel = ["x.a", "x.b", "y", "z"][round % 4];
        all.push((channel, subject.append(channel, "x").await));
    }
    for (selectors, channels) in [
        (&["x.a", "y"][..], &["x.a", "y"][..]),
        (&["x.*"], &["x.a", "x.b"]),
        (&["x.*", "x.a", "x.**", "x.a"], &["x.a", "x.b"]),
        (&["*", "x.b"], &["y", "z", "x.b"]),
        (&["**"], &["x.a", "x.b", "y", "z"]),
        (&["unknown"], &[]),
    ] {
        let expected: Vec<EventId> = all
            .iter()
            .filter(|(channel, _)| channels.contains(channel))
            .map(|(_, id)| *id)
            .collect();
        let page = subject.after(selectors, EventId::ZERO).await;
        assert_eq!(entry_ids(&page), expected, "{selectors:?}");
    }
}

pub async fn a_page_ends_where_it_is_full_and_the_next_one_goes_on(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let mut all = Vec::new();
    for round in 0..20 {
        all.push(
            subject
                .append(["a", "b"][round % 2], &"x".repeat(100))
                .await,
        );
    }
    for (max_bytes, max_events) in [(usize::MAX, 3), (600, usize::MAX), (600, 4), (1, 9)] {
        let (mut at, mut got) = (EventId::ZERO, Vec::new());
        loop {
            let page = subject
                .page(Read {
                    max_bytes,
                    max_events,
                    ..read(&["a", "b"], at, newest())
                })
                .await;
            assert!(page.entries.len() <= max_events);
            assert!(page.entries.len() <= max_bytes.div_ceil(100));
            got.extend(entry_ids(&page));
            at = page.through;
            if page.completeness == Completeness::Complete {
                break;
            }
            assert_eq!(Some(&at), got.last());
        }
        assert_eq!(got, all);
        assert_eq!(at, subject.head());
    }
}

pub async fn a_page_always_gets_on(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let ids = subject.fill("a", 2).await;
    let page = subject
        .page(Read {
            max_bytes: 0,
            max_events: 0,
            ..read(&["a"], EventId::ZERO, newest())
        })
        .await;
    assert_eq!(
        (entry_ids(&page), page.through, page.completeness),
        (vec![ids[0]], ids[0], Completeness::More)
    );
}

pub async fn nothing_is_read_past_the_upper_end(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let ids = subject.fill("a", 5).await;
    let page = subject.page(read(&["a"], ids[0], ids[3])).await;
    assert_eq!(entry_ids(&page), &ids[1..4]);
    assert_eq!(
        (page.through, page.completeness),
        (ids[3], Completeness::Complete)
    );
    let page = subject.page(read(&["a"], ids[3], ids[3])).await;
    assert!(page.entries.is_empty() && page.gap.is_none());
    let page = subject.page(read(&["a"], ids[0], newest())).await;
    assert_eq!(
        page.through,
        subject.head(),
        "a page covers no more than was delivered"
    );
}
