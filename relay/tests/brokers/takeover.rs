//! Relays that are killed under load, beside brokers that are well: another takes over, and nothing is
//! lost or comes twice.

use crate::{
    broker::{Kind, until},
    faults::{BETWEEN, Case, KILLS, Ledger, check},
    pulled::{Speech, relay_with, sample},
    redis::Server,
};
use rustix::process::Signal;
use serde_json::json;
use std::sync::{Arc, atomic::Ordering::SeqCst};

const CONNECTED: &str = "sse_relay_source_connected{source=\"load\"}";
const APPENDED: &str = "sse_relay_source_appended_total{source=\"load\"}";

/// Kills whoever pulls, again and again, while messages are sent.
fn relays_killed_under_load(case: &Case) {
    let Some((broker, sources)) = case.begin() else {
        return;
    };
    let log = Server::start();
    let url = log.url();
    let env = [
        ("SSE_RELAY_REDIS__URL", url.as_str()),
        ("SSE_RELAY_RETENTION__EVENTS", "100000"),
    ];
    let start = || relay_with(&sources, &env);
    let mut relays = [start(), start()];
    let ledger = Arc::new(Ledger::default());
    let mut sender = None;
    for round in 0..=KILLS {
        let pulls = until("a relay that pulls", || {
            relays
                .iter()
                .position(|relay| sample(relay, CONNECTED) >= 1.0)
        });
        // from here on a durable subscription is there
        sender.get_or_insert_with(|| case.send(broker.at, &ledger));
        let before = sample(&relays[pulls], APPENDED);
        ledger.more(BETWEEN);
        until("events of the one that pulls", || {
            (sample(&relays[pulls], APPENDED) > before).then_some(())
        });
        if round < KILLS {
            relays[pulls].signal(Signal::KILL);
            relays[pulls] = start();
        }
    }
    ledger.stop.store(true, SeqCst);
    let sent = sender.unwrap().join().unwrap();
    check(&relays[0], &sent, || case.send_last(broker.at));
}

const DURABLE: &str = "sse-relay-load";

#[test]
fn beside_a_queue_of_rabbitmq() {
    relays_killed_under_load(&Case {
        kind: Kind::Rabbitmq,
        speech: Speech::Rabbitmq,
        to: "load",
        source: json!({"queues": ["load"]}),
    });
}

#[test]
fn beside_a_durable_topic_of_activemq_over_stomp() {
    relays_killed_under_load(&Case {
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
fn beside_a_queue_of_artemis_over_amqp() {
    relays_killed_under_load(&Case {
        kind: Kind::Artemis,
        speech: Speech::Amqp,
        to: "load",
        source: json!({"addresses": ["load"], "routing": "queue"}),
    });
}
