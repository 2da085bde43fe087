//! The directory: who has it, and what compaction does to it.

use crate::{http, process::Relay, subscriber::Subscriber};

#[test]
fn a_second_relay_on_the_same_directory_is_refused_and_told_why() {
    let relay = Relay::started(&[]);
    relay.publish("a", "x");
    let (status, said) = relay.refused_second();
    assert!(!status.success());
    assert!(said.contains("in use by another relay"), "{said}");
    let directory = relay.data().to_string_lossy().into_owned();
    assert!(said.contains(&directory), "{said}");
    relay.publish("a", "y");
}

#[test]
fn keys_and_events_survive_compactions_and_the_file_stays_small() {
    let mut relay = Relay::started(&[
        ("SSE_RELAY_DATA__COMPACT_AT", "32Ki"),
        ("SSE_RELAY_RETENTION__EVENTS", "10"),
    ]);
    let filler = "x".repeat(500);
    let first = relay.publish("a", "first");
    let mut ids = Vec::new();
    for round in 0..4 {
        for number in 0..100 {
            ids.push(relay.publish("a", &format!("{round}-{number} {filler}")));
        }
        relay.kill();
        relay.start();
    }
    let files = relay.files();
    let bytes: u64 = files
        .iter()
        .map(|file| std::fs::metadata(file).unwrap().len())
        .sum();
    assert!(bytes < 300_000, "of more than 200,000 published: {files:?}");
    assert_ne!(files[0].file_name().unwrap(), "log-00000001.sse");
    let repeat = http::publish(relay.public, "a", "first", "first").unwrap();
    assert_eq!((repeat.status, repeat.id()), (200, first.as_str()));
    let mut late = Subscriber::new(relay.public, "channel=a").resuming(&first);
    late.read_soon(|seen| seen.events.len() >= 10);
    let seen: Vec<&String> = late.events.iter().map(|event| &event.0).collect();
    assert_eq!(seen, ids[390..].iter().collect::<Vec<_>>());
    let [gap] = late.gaps.as_slice() else {
        panic!("{:?}", late.gaps);
    };
    assert_eq!(
        (&gap["certain"], &gap["reason"]),
        (&true.into(), &"trimmed".into())
    );
    assert_eq!(
        (gap["after"].as_str(), gap["until"].as_str()),
        (Some(first.as_str()), Some(ids[389].as_str()))
    );
}
