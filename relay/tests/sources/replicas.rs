//! Several replicas of one log: one pulls, and another does when it does not.

use crate::{
    pulled::{events, sample, wait_for},
    redis_stream::{assert_whole, source},
    resp::Producer,
    servers::{Server, until},
    support::Relay,
};
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;

const CONNECTED: &str = "sse_relay_source_connected{source=\"orders\"}";
const APPENDED: &str = "sse_relay_source_appended_total{source=\"orders\"}";
const PACE: Duration = Duration::from_millis(2);

struct Pair {
    source: Server,
    log: Server,
    relays: Vec<Relay>,
}

impl Pair {
    fn start() -> Pair {
        let (source, log) = (Server::start(), Server::start());
        let mut pair = Pair {
            source,
            log,
            relays: Vec::new(),
        };
        pair.relays = vec![pair.relay(), pair.relay()];
        pair
    }

    fn relay(&self) -> Relay {
        let sources = source(
            self.source.port,
            json!({"mapping": {"data": "${data.n}", "idempotencyKey": "${data.n}"}}),
        );
        let settings = [
            ("SSE_RELAY_SOURCES", sources.as_str()),
            ("SSE_RELAY_REDIS__URL", &self.log.url()),
            ("SSE_RELAY_DRAIN__PROPAGATION", "1ms"),
            ("SSE_RELAY_DRAIN__WINDOW", "1ms"),
        ];
        Relay::start_at(None, &settings)
    }

    /// Takes the one that pulls out of the two.
    fn elected(&mut self) -> Relay {
        let index = until("an election", || {
            self.relays
                .iter()
                .position(|relay| sample(relay, CONNECTED) == 1.0)
        });
        self.relays.remove(index)
    }

    fn other(&self) -> &Relay {
        &self.relays[0]
    }
}

#[test]
fn one_replica_pulls_and_another_takes_over_when_it_is_killed() {
    let mut pair = Pair::start();
    let producer = Producer::start(pair.source.port, "orders", PACE);
    let elected = pair.elected();
    wait_for(&elected, APPENDED, 50.0);
    assert_eq!(sample(pair.other(), APPENDED), 0.0);
    elected.signal(Signal::KILL);
    wait_for(pair.other(), APPENDED, 50.0);
    let count = producer.stop();
    let found = events(pair.other(), "orders", usize::try_from(count).unwrap());
    assert_whole(&found, count);
}

#[test]
fn who_was_frozen_and_comes_back_appends_nothing_any_more() {
    let mut pair = Pair::start();
    let producer = Producer::start(pair.source.port, "orders", PACE);
    let elected = pair.elected();
    wait_for(&elected, APPENDED, 50.0);
    elected.signal(Signal::STOP);
    wait_for(pair.other(), APPENDED, 200.0);
    elected.signal(Signal::CONT);
    let lost = "sse_relay_source_elsewhere{source=\"orders\"}";
    wait_for(&elected, lost, 1.0);
    producer.more(100);
    let count = producer.stop();
    let found = events(pair.other(), "orders", usize::try_from(count).unwrap());
    assert_whole(&found, count);
}

#[test]
fn who_ends_well_lets_another_pull_at_once() {
    let mut pair = Pair::start();
    let producer = Producer::start(pair.source.port, "orders", PACE);
    let elected = pair.elected();
    wait_for(&elected, APPENDED, 50.0);
    assert!(elected.stop().success());
    wait_for(pair.other(), APPENDED, 50.0);
    let count = producer.stop();
    let found = events(pair.other(), "orders", usize::try_from(count).unwrap());
    assert_whole(&found, count);
}
