//! Relays that are killed under load, beside brokers that are well: another takes over, and nothing is
//! lost or comes twice.

use crate::{
    broker::{Kind, until},
    faults::{BETWEEN, Case, KILLS, Ledger, check},
    pulled::{Speech, relay_with, sample, wait_until_connected},
    redis::Server,
};
use rustix::process::Signal;
use serde_json::json;
use std::sync::{Arc, atomic::Ordering::SeqCst};

const CONNECTED: &str = "sse_relay_source_connected{source=\"load\"}";
const APPENDED: &str = "sse_relay_source_appended_total{source=\"load\"}";

/// Kills the one relay there is, again and again, while messages are sent; what it has is on its disk.
fn one_relay_killed_under_load(case: &Case) {
    let Some((broker, sources)) = case.begin() else {
        return;
    };
    let data = tempfile::TempDir::new().unwrap();
    let dir = data.path().display().to_string();
    let env = [
        ("SSE_RELAY_DATA__DIR", dir.as_str()),
        ("SSE_RELAY_RETENTION__EVENTS", "100000"),
    ];
    let mut relay = relay_with(&sources, &env);
    wait_until_connected(&relay, "load");
    let ledger = Arc::new(Ledger::default());
    // from here on a durable subscription is there
    let sender = case.send(broker.at, &ledger);
    for round in 0..=KILLS {
        wait_until_connected(&relay, "load");
        ledger.more(BETWEEN);
        until("events of this life", || {
            (sample(&relay, APPENDED) > 0.0).then_some(())
        });
        if round < KILLS {
            drop(relay); // kill -9, and its end
            relay = relay_with(&sources, &env);
        }
    }
    ledger.stop.store(true, SeqCst);
    let sent = sender.join().unwrap();
    check(&relay, &sent, || case.send_last(broker.at));
}

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

fn queue_of_rabbitmq() -> Case {
    Case {
        kind: Kind::Rabbitmq,
        speech: Speech::Rabbitmq,
        to: "load",
        source: json!({"queues": ["load"]}),
    }
}

/// A durable topic over STOMP, of either broker.
fn stomp(kind: Kind) -> Case {
    Case {
        kind,
        speech: Speech::Stomp,
        to: "/topic/load",
        source: json!({
            "destinations": ["/topic/load"],
            "durable": {"clientId": DURABLE, "name": "load"},
        }),
    }
}

/// A durable topic of ActiveMQ over AMQP 1.0.
fn amqp_topic() -> Case {
    Case {
        kind: Kind::Activemq,
        speech: Speech::Amqp,
        to: "topic://load",
        source: json!({
            "addresses": ["topic://load"],
            "routing": "topic",
            "durable": {"clientId": DURABLE, "name": "load"},
        }),
    }
}

#[test]
fn beside_a_queue_of_rabbitmq() {
    relays_killed_under_load(&queue_of_rabbitmq());
}

#[test]
fn beside_a_durable_topic_of_artemis_over_stomp() {
    relays_killed_under_load(&stomp(Kind::Artemis));
}

#[test]
fn beside_a_durable_topic_of_activemq_over_amqp() {
    relays_killed_under_load(&amqp_topic());
}

#[test]
fn one_relay_with_a_log_on_disk_beside_a_queue_of_rabbitmq() {
    one_relay_killed_under_load(&queue_of_rabbitmq());
}

#[test]
fn one_relay_with_a_log_on_disk_beside_a_durable_topic_of_activemq_over_stomp() {
    one_relay_killed_under_load(&stomp(Kind::Activemq));
}

#[test]
fn one_relay_with_a_log_on_disk_beside_a_durable_topic_of_activemq_over_amqp() {
    one_relay_killed_under_load(&amqp_topic());
}

#[test]
fn beside_a_durable_topic_of_activemq_over_stomp() {
    relays_killed_under_load(&stomp(Kind::Activemq));
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
