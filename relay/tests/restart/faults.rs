//! The fault test: restarts under load.

use crate::{
    load::{Count, Publishers, Subscribers, settle},
    process::Relay,
    subscriber::Manner,
};
use std::time::{Duration, Instant};

const CHANNELS: &[&str] = &["a", "b", "c"];
const SUBSCRIPTIONS: &[(&[&str], Manner)] = &[
    (&["a"], Manner::Steady),
    (&["**"], Manner::Steady),
    (&["a", "c"], Manner::Restless),
    (&["**"], Manner::Restless),
    (&["b", "a", "c"], Manner::Restless),
];

/// A small file, so that compactions run beside the load and are killed with it, and a drain that
/// does not take long.
const SETTINGS: [(&str, &str); 5] = [
    ("SSE_RELAY_DATA__COMPACT_AT", "64Ki"),
    ("SSE_RELAY_RETENTION__EVENTS", "250"),
    ("SSE_RELAY_DRAIN__PROPAGATION", "100ms"),
    ("SSE_RELAY_DRAIN__WINDOW", "200ms"),
    ("SSE_RELAY_DRAIN__TIMEOUT", "5s"),
];

/// Ends and starts a relay under load; the counts of each subscription.
fn run(fsync: &str, rounds: usize, mut end: impl FnMut(&mut Relay)) -> Vec<Count> {
    let mut settings = SETTINGS.to_vec();
    settings.push(("SSE_RELAY_DATA__FSYNC", fsync));
    let mut relay = Relay::started(&settings);
    let subscribers = Subscribers::start(relay.public, SUBSCRIPTIONS);
    let publishers = Publishers::start(relay.public, 4, CHANNELS);
    let mut down = Duration::ZERO;
    for _ in 0..rounds {
        std::thread::sleep(Duration::from_millis(rand::random_range(100..1300)));
        let ended = Instant::now();
        end(&mut relay);
        relay.start();
        down += ended.elapsed();
    }
    std::thread::sleep(Duration::from_millis(300));
    let files = relay.files();
    println!("{fsync}: {rounds} restarts, down {down:?}; files at the end: {files:?}");
    let counts = settle(publishers, subscribers);
    let first = relay.files()[0].file_name().unwrap().to_owned();
    assert_ne!(first, "log-00000001.sse", "it was never compacted");
    counts
}

fn assert_nothing_missing(counts: &[Count], rounds: usize) {
    for count in counts {
        assert!(count.acknowledged > 200, "too little load: {count:?}");
        assert!(count.connections > rounds, "it did not return: {count:?}");
        let faults = (
            count.lost,
            count.duplicated,
            count.reordered,
            count.other_id,
        );
        assert_eq!(faults, (0, 0, 0, 0), "{count:?}");
        // a machine so slow that events were trimmed meanwhile; then a gap says so
        assert!(
            count.gaps == 0 || count.told > 0,
            "a gap of nothing: {count:?}"
        );
    }
}

/// `make soak` makes them more.
fn rounds(usual: usize) -> usize {
    let soak = std::env::var("SOAK_ROUNDS").ok();
    soak.map_or(usual, |rounds| {
        rounds.parse().expect("SOAK_ROUNDS is a number")
    })
}

#[test]
fn after_kill_9_a_returning_subscriber_sees_every_acknowledged_event_once_interval() {
    let rounds = rounds(12);
    assert_nothing_missing(&run("interval", rounds, Relay::kill), rounds);
}

#[test]
fn after_kill_9_a_returning_subscriber_sees_every_acknowledged_event_once_always() {
    let rounds = rounds(8);
    assert_nothing_missing(&run("always", rounds, Relay::kill), rounds);
}

#[test]
fn after_a_drain_a_returning_subscriber_sees_every_acknowledged_event_once() {
    let rounds = rounds(6);
    assert_nothing_missing(&run("interval", rounds, Relay::terminate), rounds);
}
