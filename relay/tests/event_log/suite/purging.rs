//! Channels whose events somebody drops.

use super::reopening::{keeps, restart};
use crate::subject::*;
use sse_relay::{
    cursor::EventId,
    event_log::{AppendError, Appended, Whose, gap::Certainty},
    frame::GapReason,
};
use std::time::Duration;

fn gap(reason: GapReason, after: EventId, until: EventId, channels: &[&str]) -> Option<Gap> {
    Some(Gap {
        certainty: Certainty::Certain,
        reason,
        after,
        until,
        channels: channels.iter().map(|text| name(text)).collect(),
    })
}

pub async fn a_purged_channel_has_nothing_and_goes_on_above_what_it_had(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let a = subject.fill("a", 3).await;
    let b = subject.fill("b", 2).await;
    let purged = subject.purge("a").await;
    assert_eq!(
        (purged.events, purged.until),
        (3, Some(subject.place(a[2])))
    );
    let info = subject.channel(&name("a")).await.unwrap();
    assert_eq!((info.events, info.bytes, info.first), (0, 0, None));
    assert_eq!(info.last, Some(subject.place(a[2])), "it stays known");
    assert_eq!(subject.totals().await.events, 2);
    assert_eq!(subject.all("b").await, b, "others keep what they have");
    subject.clock.back(Duration::from_secs(60));
    let next = subject.append("a", "next").await;
    assert!(next > a[2] && next > b[1]);
    assert_eq!(subject.all("a").await, [next]);
}

pub async fn who_missed_what_was_purged_gets_a_certain_gap_that_says_so(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let a = subject.fill("a", 3).await;
    subject.purge("a").await;
    for selector in ["a", "**"] {
        let page = subject.after(&[selector], a[0]).await;
        assert!(page.entries.is_empty());
        assert_eq!(page.gap, gap(GapReason::Purged, a[0], a[2], &["a"]));
    }
    assert_eq!(subject.after(&["a"], a[2]).await.gap, None, "it has all");
    let next = subject.append("a", "next").await;
    let page = subject.after(&["a"], a[1]).await;
    assert_eq!(page.gap, gap(GapReason::Purged, a[1], a[2], &["a"]));
    assert_eq!(entry_ids(&page), [next]);
}

pub async fn what_is_trimmed_besides_is_told_as_trimmed(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::events(2)).await;
    let a = subject.fill("a", 2).await;
    let b = subject.fill("b", 4).await;
    subject.purge("a").await;
    let page = subject.after(&["a", "b"], a[0]).await;
    let both = gap(GapReason::Trimmed, a[0], b[1], &["a", "b"]);
    assert_eq!(page.gap, both, "not all of it was purged");
    let later = subject.fill("a", 3).await;
    let page = subject.after(&["a"], a[0]).await;
    assert_eq!(
        page.gap,
        gap(GapReason::Trimmed, a[0], later[0], &["a"]),
        "an event after the purge is missing, too"
    );
}

pub async fn nothing_is_served_from_what_was_recent_and_the_tail_is_told(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let start = subject.append("start", "x").await;
    subject.attach(&["a", "b"]).await;
    let a = subject.fill("a", 3).await;
    let b = subject.append("b", "x").await;
    assert_eq!(entry_ids(&subject.after(&["a"], start).await), a);
    let purged = subject.log.purge(&name("a")).await.unwrap();
    // at once, whatever waits to be done
    let page = subject.after(&["a", "b"], start).await;
    assert_eq!(entry_ids(&page), [b]);
    assert_eq!(page.gap, gap(GapReason::Purged, start, a[2], &["a"]));
    let [told] = &subject.tail.purges()[..] else {
        panic!("it is told once: {:?}", subject.tail.purges());
    };
    assert_eq!(told.whose, Whose::These(vec![name("a")]));
    assert_eq!(Some(told.partition), purged.until.map(|at| at.partition));
    subject.tail.lost_nothing();
    let next = subject.append("a", "next").await;
    assert_eq!(entry_ids(&subject.after(&["a", "b"], b).await), [next]);
    let mut delivered = subject.tail.ids();
    delivered.retain(|id| *id > start); // some logs deliver what nobody has attached, too
    assert_eq!(delivered, [&a[..], &[b, next]].concat());
}

pub async fn keys_of_a_purged_channel_still_answer_repeats(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let first = subject.publish(keyed("a", &["x"], "k", 1)).await.unwrap();
    subject.purge("a").await;
    let repeat = subject.publish(keyed("a", &["x"], "k", 1)).await;
    let places = first.places().to_vec();
    assert_eq!(repeat, Ok(Appended::Repeat(places)), "it does not return");
    assert!(subject.all("a").await.is_empty());
    let other = subject.publish(keyed("a", &["y"], "k", 2)).await;
    assert_eq!(other, Err(AppendError::KeyReused));
}

pub async fn a_purged_channel_that_had_ended_stays_ended(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.attach(&["a"]).await;
    let start = subject.append("a", "x").await;
    let end = subject.publish(ending("a")).await.unwrap();
    let end = ids(&end)[0];
    subject.purge("a").await;
    let refused = subject.publish(publication("a", &["more"])).await;
    assert_eq!(refused, Err(AppendError::Ended(name("a"))));
    assert!(subject.finished(&select(&["a"]), end));
    let page = subject.after(&["a"], start).await;
    assert_eq!(page.gap, gap(GapReason::Purged, start, end, &["a"]));
}

pub async fn purging_again_or_what_is_not_there_does_nothing(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let purged = subject.purge("never").await;
    assert_eq!((purged.events, purged.until), (0, None));
    assert!(subject.channel(&name("never")).await.is_none());
    let a = subject.fill("a", 2).await;
    assert_eq!(subject.purge("a").await.events, 2);
    let again = subject.purge("a").await;
    assert_eq!((again.events, again.until), (0, Some(subject.place(a[1]))));
    let page = subject.after(&["a"], a[0]).await;
    assert_eq!(page.gap, gap(GapReason::Purged, a[0], a[1], &["a"]));
}

pub async fn a_purge_is_still_one_after_a_restart_and_after_compactions(
    implementation: &dyn Implementation,
) {
    if !keeps(implementation) {
        return; // nothing comes back
    }
    let mut subject = Subject::open(implementation, Limits::none()).await;
    let (a, b) = (subject.fill("a", 3).await, subject.fill("b", 3).await);
    subject.purge("a").await;
    subject.purge("b").await;
    let next = subject.append("a", "next").await;
    let publication = keyed("b", &["x"], "k", 1);
    let keyed_one = ids(&subject.publish(publication.clone()).await.unwrap())[0];
    subject.purge("b").await;
    for round in 0..3 {
        // enough to be compacted
        for _ in 0..20 {
            subject.append("c", &"x".repeat(2000)).await;
        }
        subject.purge("c").await;
        subject = restart(implementation, subject, Limits::none()).await;
        assert_eq!(subject.all("a").await, [next], "round {round}");
        let page = subject.after(&["a"], a[0]).await;
        assert_eq!(page.gap, gap(GapReason::Purged, a[0], a[2], &["a"]));
        let page = subject.after(&["b"], b[1]).await;
        assert_eq!(page.gap, gap(GapReason::Purged, b[1], keyed_one, &["b"]));
        assert!(subject.all("b").await.is_empty() && subject.all("c").await.is_empty());
        let repeat = subject.publish(publication.clone()).await.unwrap();
        assert!(matches!(repeat, Appended::Repeat(_)));
    }
}

pub async fn a_purge_is_forgotten_with_its_channel(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::age(Duration::from_secs(1))).await;
    let a = subject.fill("a", 2).await;
    subject.purge("a").await;
    subject.clock.forward(Duration::from_secs(3));
    subject.log.sweep().await;
    assert!(subject.channel(&name("a")).await.is_none());
    let told = subject.after(&["a"], a[0]).await.gap.unwrap();
    assert_eq!(
        (told.certainty, told.reason, told.until),
        (Certainty::Possible, GapReason::Trimmed, a[1])
    );
}

pub async fn a_log_that_was_closed_purges_nothing(implementation: &dyn Implementation) {
    if implementation.reopening() == Reopening::KeepsAll
        && implementation.together() == Together::Unbounded
    {
        return; // the shared log goes on without this process
    }
    let subject = Subject::open(implementation, Limits::none()).await;
    let a = subject.fill("a", 2).await;
    subject.log.close().await.unwrap();
    let refused = subject.log.purge(&name("a")).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))));
    assert_eq!(subject.all("a").await, a);
}
