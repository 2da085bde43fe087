//! What holds across partitions. With one partition it holds too.

use crate::subject::*;
use sse_relay::{
    channel::{ChannelName, Selector},
    cursor::{Cursor, Epoch, EventId, Place, Places},
    event_log::{
        Completeness, Entry, Gaps, Origin, Publication, Read, Standings, cursor_of, gap::Certainty,
        resume::Verdict,
    },
    frame::GapReason,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

fn pattern() -> Arc<[Selector]> {
    Arc::new([Selector::parse("**").unwrap()])
}

fn of(channel: &ChannelName, text: &str) -> Publication {
    Publication {
        channel: channel.clone(),
        events: vec![sse_relay::event::Event::text(text)],
        idempotency: None,
        fence: None,
    }
}

/// Appends an event to each of forty channels in turn, so many times.
async fn fill(subject: &Subject, rounds: usize) -> Vec<(ChannelName, Place)> {
    let mut all = Vec::new();
    for round in 0..rounds {
        for number in 0..40 {
            let channel = anywhere(&format!("user.{number}"));
            let appended = subject.publish(of(&channel, &round.to_string())).await;
            all.push((channel, appended.unwrap().places()[0]));
        }
        subject.clock.forward(Duration::from_millis(3));
    }
    all
}

fn place_of(entry: &Entry, heads: &Places) -> Place {
    let head = heads.in_partition(entry.partition).unwrap();
    Place {
        id: entry.id,
        ..head
    }
}

async fn read_on(subject: &Subject, from: Standings, max_events: usize) -> Vec<Arc<Entry>> {
    let mut read = Read {
        selectors: pattern(),
        from,
        upto: subject.log.heads(),
        max_bytes: usize::MAX,
        max_events,
    };
    let mut got = Vec::new();
    loop {
        let page = subject.log.read(read.clone()).await.unwrap();
        assert_eq!(page.gap, None);
        got.extend(page.entries);
        read.from = page.next;
        if page.completeness == Completeness::Complete {
            assert_eq!(cursor_of(&read.from), subject.log.heads());
            return got;
        }
    }
}

pub async fn an_event_is_in_the_partition_of_its_channel_and_has_its_epoch(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.log.attach(pattern()).await.unwrap();
    let partitioning = subject.log.partitioning();
    assert_eq!(subject.log.heads().partitions(), partitioning.all());
    for (channel, place) in fill(&subject, 2).await {
        assert_eq!(place.partition, partitioning.of(&channel));
        assert_eq!(
            subject.log.heads().epoch(place.partition),
            Some(place.epoch)
        );
        let info = subject.channel(&channel).await.unwrap();
        assert!(info.first.unwrap().id <= place.id && place.id <= info.last.unwrap().id);
    }
    subject.tail.wait_for(80).await;
    assert_eq!(*subject.tail.places.lock(), subject.log.heads());
    assert_eq!(subject.channels(None, 100).await.len(), 40);
    let totals = subject.totals().await;
    assert_eq!((totals.channels, totals.events), (40, 80));
}

pub async fn any_cursor_of_a_stream_over_all_channels_resumes_exactly(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    fill(&subject, 4).await;
    let heads = subject.log.heads();
    let start = subject.log.resume(&Cursor::Earliest, &heads, Origin::Here);
    let mut cursor = cursor_of(&start.from);
    let all: Vec<Place> = read_on(&subject, start.from, usize::MAX)
        .await
        .iter()
        .map(|entry| place_of(entry, &heads))
        .collect();
    assert_eq!(all.len(), 160);
    for (index, place) in all.iter().enumerate() {
        cursor.set(*place);
        // as a client sends it
        let cursor = Cursor::from_last_event_id(&cursor.to_string()).unwrap();
        let start = subject.log.resume(&cursor, &heads, Origin::Here);
        assert_eq!((start.verdict, start.lost), (Verdict::Exact, None));
        let rest = read_on(&subject, start.from, 7).await;
        let rest: Vec<Place> = rest.iter().map(|entry| place_of(entry, &heads)).collect();
        let mut wanted = all[index + 1..].to_vec();
        wanted.sort_by_key(|place| (place.id, place.partition));
        let mut given = rest.clone();
        given.sort_by_key(|place| (place.id, place.partition));
        assert_eq!(given, wanted);
        assert!(rest.is_sorted_by_key(|place| place.id));
    }
}

pub async fn what_partitions_no_longer_have_is_one_gap_that_is_told_once(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::events(2)).await;
    let start = subject.append("start", "x").await;
    let after = subject.places(&pattern(), start);
    subject.clock.forward(Duration::from_millis(1));
    let all = fill(&subject, 5).await;
    let mut by_partition: BTreeMap<_, Vec<Place>> = BTreeMap::new();
    for (index, (_, place)) in all.iter().enumerate() {
        if index < 120 {
            by_partition
                .entry(place.partition)
                .or_default()
                .push(*place); // trimmed
        }
    }
    let mut read = Read {
        selectors: pattern(),
        from: after
            .iter()
            .map(|after| sse_relay::event_log::Standing {
                after,
                gaps: Gaps::Report,
            })
            .collect(),
        upto: subject.log.heads(),
        max_bytes: usize::MAX,
        max_events: 9,
    };
    let (mut told, mut entries) = (Vec::new(), 0);
    loop {
        let page = subject.log.read(read.clone()).await.unwrap();
        told.extend(page.gap);
        entries += page.entries.len();
        read.from = page.next;
        if page.completeness == Completeness::Complete {
            break;
        }
    }
    assert_eq!((told.len(), entries), (1, 80));
    assert_eq!(told[0].certainty, Certainty::Certain);
    for (partition, trimmed) in by_partition {
        assert_eq!(
            told[0].until.in_partition(partition),
            trimmed.last().copied()
        );
        assert_eq!(told[0].after.id(partition), start);
    }
}

pub async fn who_has_an_id_of_one_channel_gets_the_others_from_that_moment_on(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    fill(&subject, 1).await;
    subject.clock.forward(Duration::from_secs(60));
    let published = subject.publish(of(&anywhere("user.7"), "x")).await.unwrap();
    subject.clock.forward(Duration::from_secs(60));
    let later = fill(&subject, 1).await;
    let cursor = Cursor::After(Places::one(published.places()[0]));
    let start = subject
        .log
        .resume(&cursor, &subject.log.heads(), Origin::Here);
    assert_eq!((start.verdict, start.lost), (Verdict::Exact, None));
    let got = read_on(&subject, start.from, 11).await;
    let ids = |places: &mut dyn Iterator<Item = (ChannelName, EventId)>| {
        places.collect::<std::collections::BTreeSet<_>>()
    };
    let got = ids(&mut got.iter().map(|entry| (entry.channel.clone(), entry.id)));
    let wanted = ids(&mut later
        .into_iter()
        .map(|(channel, place)| (channel, place.id)));
    assert_eq!(got, wanted);
}

pub async fn a_cursor_of_another_life_in_one_partition_leaves_the_others_exact(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    fill(&subject, 2).await;
    let heads = subject.log.heads();
    let mut cursor = heads.clone();
    let here = heads
        .in_partition(heads.partitions().iter().last().unwrap())
        .unwrap();
    cursor.set(Place {
        epoch: Epoch::from_random(here.epoch.get() ^ 1),
        ..here
    });
    let start = subject.starts_surely(&Cursor::After(cursor), &heads).await;
    assert_eq!(start.verdict, Verdict::OtherEpoch);
    let lost = start.lost.unwrap();
    assert_eq!((lost.reason, lost.certain), (GapReason::Epoch, false));
    assert_eq!(
        (lost.after, lost.until),
        (Places::default(), Places::one(here))
    );
    let got = read_on(&subject, start.from, usize::MAX).await;
    assert!(!got.is_empty());
    assert!(got.iter().all(|entry| entry.partition == here.partition));
}
