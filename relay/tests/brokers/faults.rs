//! Brokers and relays that are killed under load.

use crate::{
    broker::{At, Broker, Kind, until},
    producer::{self, Letter},
    pulled::{Speech, relay, section, wait_until_connected},
    support::Relay,
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// How often each is killed.
pub const KILLS: usize = 2;
/// Messages that are confirmed between two kills.
pub const BETWEEN: u64 = 60;
/// Between two messages of one sender, so that others of this machine get on.
const PACE: Duration = Duration::from_millis(2);

/// A case: which broker, what is spoken, where messages are sent to, and the source.
pub struct Case {
    pub kind: Kind,
    pub speech: Speech,
    pub to: &'static str,
    pub source: Value,
}

impl Case {
    /// The broker, and the source `load` that is pulled from there to the channel `load`.
    pub fn begin(&self) -> Option<(Broker, Value)> {
        let broker = Broker::start(self.kind)?;
        if self.speech == Speech::Rabbitmq {
            let producer = producer::Rabbitmq::connect(broker.at).unwrap();
            producer.declare(self.to);
        }
        let mut source = json!({ "name": "load", "mapping": {"channel": "load"} });
        source[self.speech.kind()] = self.source.clone();
        source[self.speech.kind()]["broker"] = section(&broker, self.speech);
        Some((broker, json!([source])))
    }

    /// Sends in a thread of its own.
    pub fn send(&self, at: At, ledger: &Arc<Ledger>) -> thread::JoinHandle<Sent> {
        let (ledger, speech, to) = (ledger.clone(), self.speech, self.to);
        thread::spawn(move || send(at, speech, to, &ledger))
    }

    pub fn send_last(&self, at: At) -> Option<()> {
        let letter = Letter::new(self.to, "last");
        producer::connect(at, self.speech).ok()?.send(&letter).ok()
    }
}

/// What a sender and the one who kills the broker tell each other.
#[derive(Default)]
pub struct Ledger {
    pub confirmed: AtomicU64,
    pub stop: AtomicBool,
}

impl Ledger {
    /// Waits until that many more are confirmed.
    pub fn more(&self, count: u64) {
        let goal = self.confirmed.load(SeqCst) + count;
        until(&format!("{goal} confirmed messages"), || {
            (self.confirmed.load(SeqCst) >= goal).then_some(())
        });
    }
}

/// Numbers that the broker has confirmed, and those of which nobody knows. Each was sent once.
#[derive(Default)]
pub struct Sent {
    confirmed: HashSet<u64>,
    unknown: HashSet<u64>,
}

/// Sends numbers until it is told to stop, over a new connection after each failure.
fn send(at: At, speech: Speech, to: &str, ledger: &Ledger) -> Sent {
    let mut sent = Sent::default();
    let mut producer = None;
    for number in 0.. {
        let mut connected = loop {
            if ledger.stop.load(SeqCst) {
                return sent;
            }
            match producer
                .take()
                .map_or_else(|| producer::connect(at, speech), Ok)
            {
                Ok(producer) => break producer,
                Err(_) => thread::sleep(Duration::from_millis(100)), // it is being started
            }
        };
        let text = number.to_string();
        if connected.send(&Letter::new(to, &text)).is_ok() {
            sent.confirmed.insert(number);
            ledger.confirmed.fetch_add(1, SeqCst);
            producer = Some(connected);
        } else {
            sent.unknown.insert(number);
        }
        thread::sleep(PACE);
    }
    sent
}

/// Kills the broker again and again, while messages are sent.
fn killed_under_load(case: &Case) {
    let Some((mut broker, sources)) = case.begin() else {
        return;
    };
    let relay = relay(&sources);
    // from here on a durable subscription is there
    wait_until_connected(&relay, "load");

    let ledger = Arc::new(Ledger::default());
    let sender = case.send(broker.at, &ledger);
    for round in 0..=KILLS {
        ledger.more(BETWEEN);
        if round < KILLS {
            broker.restart();
        }
    }
    ledger.stop.store(true, SeqCst);
    let sent = sender.join().unwrap();
    check(&relay, &sent, || case.send_last(broker.at));
}

/// All that was confirmed came once, and nothing else came but what may have.
pub fn check(relay: &Relay, sent: &Sent, mut send_last: impl FnMut() -> Option<()>) {
    let mut stream = relay.subscribe("channel=load&from=earliest");
    let mut came: HashSet<u64> = HashSet::new();
    let mut next = |came: &mut HashSet<u64>| {
        let block = stream.body_until("\n\n");
        let data = block.lines().filter_map(|line| line.strip_prefix("data: "));
        let mut is_last = false;
        for data in data {
            match data.parse() {
                Ok(number) => assert!(came.insert(number), "{number} came twice"),
                Err(_) => is_last |= data == "last",
            }
        }
        is_last
    };
    until("all that was confirmed", || {
        next(&mut came);
        sent.confirmed.is_subset(&came).then_some(())
    });
    // what is given again after a restart is given before this
    until("a last message", &mut send_last);
    until("the last message", || next(&mut came).then_some(()));
    let known = |number| sent.confirmed.contains(number) || sent.unknown.contains(number);
    assert!(came.iter().all(known), "a number was never sent");
    assert!(sent.confirmed.len() as u64 >= BETWEEN * (KILLS as u64 + 1));
}

const DURABLE: &str = "sse-relay-load";

#[test]
fn a_queue_of_rabbitmq_that_is_killed_loses_and_doubles_nothing() {
    killed_under_load(&Case {
        kind: Kind::Rabbitmq,
        speech: Speech::Rabbitmq,
        to: "load",
        source: json!({"queues": ["load"]}),
    });
}

#[test]
fn a_durable_topic_of_activemq_that_is_killed_loses_and_doubles_nothing_over_stomp() {
    killed_under_load(&Case {
        kind: Kind::Activemq,
        speech: Speech::Stomp,
        to: "/topic/load",
        source: json!({
            "destinations": ["/topic/load"],
            "durable": {"clientId": DURABLE, "name": "load"},
        }),
    });
}

#[test]
fn a_durable_topic_of_artemis_that_is_killed_loses_and_doubles_nothing_over_stomp() {
    killed_under_load(&Case {
        kind: Kind::Artemis,
        speech: Speech::Stomp,
        to: "/topic/load",
        source: json!({
            "destinations": ["/topic/load"],
            "durable": {"clientId": DURABLE, "name": "load"},
        }),
    });
}

#[test]
fn a_queue_of_artemis_that_is_killed_loses_and_doubles_nothing_over_amqp() {
    killed_under_load(&Case {
        kind: Kind::Artemis,
        speech: Speech::Amqp,
        to: "load",
        source: json!({"addresses": ["load"], "routing": "queue"}),
    });
}

#[test]
fn a_durable_topic_of_activemq_that_is_killed_loses_and_doubles_nothing_over_amqp() {
    killed_under_load(&Case {
        kind: Kind::Activemq,
        speech: Speech::Amqp,
        to: "topic://load",
        source: json!({
            "addresses": ["topic://load"],
            "routing": "topic",
            "durable": {"clientId": DURABLE, "name": "load"},
        }),
    });
}
