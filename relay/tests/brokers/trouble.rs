//! What a broker may do to a source, and what a relay says of it.

use crate::{
    broker::{Broker, Certificates, Kind, PASSWORD, until},
    producer::{self, Letter},
    pulled::{
        Speech, VARIABLE, events_until, relay, sample, section, wait_for_fault,
        wait_until_connected,
    },
    redis::free_ports,
};
use serde_json::{Value, json};
use std::process::Command;

/// What is spoken with which broker, and a queue of it.
const CASES: [(Kind, Speech, &str); 5] = [
    (Kind::Rabbitmq, Speech::Rabbitmq, "q"),
    (Kind::Activemq, Speech::Stomp, "/queue/q"),
    (Kind::Artemis, Speech::Stomp, "/queue/q"),
    (Kind::Activemq, Speech::Amqp, "q"),
    (Kind::Artemis, Speech::Amqp, "q"),
];

/// A source of this name that reads a queue to the channel of its name.
fn source(broker: &Broker, speech: Speech, name: &str, queue: &str) -> Value {
    let mut own = match speech {
        Speech::Rabbitmq => json!({"queues": [queue]}),
        Speech::Stomp => json!({"destinations": [queue]}),
        Speech::Amqp => json!({"addresses": [queue], "routing": "queue"}),
    };
    own["broker"] = section(broker, speech);
    let mut source = json!({ "name": name, "mapping": {"channel": name} });
    source[speech.kind()] = own;
    source
}

fn declare(broker: &Broker, queue: &str) {
    if broker.at.kind == Kind::Rabbitmq {
        producer::Rabbitmq::connect(broker.at)
            .unwrap()
            .declare(queue);
    }
}

fn send(broker: &Broker, speech: Speech, to: &str, text: &str) {
    let mut producer = producer::connect(broker.at, speech).unwrap();
    producer.send(&Letter::new(to, text)).unwrap();
}

/// Each of the cases, with its broker.
fn each(try_it: impl Fn(Broker, Speech, &str)) {
    for (kind, speech, queue) in CASES {
        if let Some(broker) = Broker::start(kind) {
            println!("{speech:?} with {kind:?}");
            try_it(broker, speech, queue);
        }
    }
}

#[test]
fn a_refused_password_is_told_and_stops_no_other_source() {
    each(|broker, speech, queue| {
        declare(&broker, queue);
        let mut refused = source(&broker, speech, "refused", queue);
        let credentials = &mut refused[speech.kind()]["broker"]["credentials"];
        // HOME is set, and nobody's password
        credentials["passwordVariable"] = json!("HOME");
        let relay = relay(&json!([refused, source(&broker, speech, "fine", queue)]));
        wait_until_connected(&relay, "fine");
        wait_for_fault(&relay, "refused", "credentials");
        send(&broker, speech, queue, "hello");
        assert_eq!(events_until(&relay, "fine", "hello"), ["hello"]);
        let home = std::env::var("HOME").unwrap();
        let output = relay.output();
        let told = output.lines().filter(|line| line.contains("refused"));
        assert!(told.clone().all(|line| !line.contains(&home)), "{output}");
    });
}

#[test]
fn a_broker_that_is_frozen_is_noticed_and_nothing_is_lost() {
    each(|broker, speech, queue| {
        declare(&broker, queue);
        let relay = relay(&json!([source(&broker, speech, "q", queue)]));
        wait_until_connected(&relay, "q");
        send(&broker, speech, queue, "before");
        assert_eq!(events_until(&relay, "q", "before"), ["before"]);
        broker.freeze();
        until("the notice of a broker that is frozen", || {
            let connected = sample(&relay, "sse_relay_source_connected{source=\"q\"}");
            (connected < 1.0).then_some(())
        });
        assert!(relay.get("/v1/status").status == 200);
        broker.thaw();
        wait_until_connected(&relay, "q");
        send(&broker, speech, queue, "after");
        assert_eq!(events_until(&relay, "q", "after"), ["before", "after"]);
    });
}

#[test]
fn a_certificate_is_believed_only_of_who_it_is_for_and_whom_it_was_signed_by() {
    for (kind, speech, queue) in CASES {
        let certificates = Certificates::of("broker.test").with_store();
        let [ca, other] = ["ca.pem", "other-ca.pem"].map(|name| certificates.path(name));
        let Some(broker) = Broker::start_with_tls(kind, certificates) else {
            continue;
        };
        declare(&broker, queue);
        let ports = broker.at.ports;
        let url = match speech {
            Speech::Rabbitmq | Speech::Amqp => format!("amqps://127.0.0.1:{}", ports.amqps),
            Speech::Stomp => format!("stomp+ssl://127.0.0.1:{}", ports.stomps),
        };
        let with = |name: &str, tls: Value| {
            let mut source = source(&broker, speech, name, queue);
            let broker = &mut source[speech.kind()]["broker"];
            broker["url"] = json!(url);
            broker["tls"] = tls;
            source
        };
        let relay = relay(&json!([
            with("believed", json!({"ca": ca, "serverName": "broker.test"})),
            with(
                "unsigned",
                json!({"ca": other, "serverName": "broker.test"})
            ),
            with("unnamed", json!({"ca": ca})),
            with("missing", json!({"ca": "/nowhere/ca.pem"})),
        ]));
        wait_until_connected(&relay, "believed");
        for name in ["unsigned", "unnamed", "missing"] {
            wait_for_fault(&relay, name, "tls");
        }
        send(&broker, speech, queue, "secret");
        assert_eq!(events_until(&relay, "believed", "secret"), ["secret"]);
        let output = relay.output();
        for expected in ["broker.tls.ca", "broker.tls.serverName", "/nowhere/ca.pem"] {
            assert!(output.contains(expected), "{expected}: {output}");
        }
    }
}

#[test]
fn a_broker_that_is_not_there_is_told_and_found_once_it_is() {
    each(|mut broker, speech, queue| {
        declare(&broker, queue);
        broker.kill();
        let relay = relay(&json!([source(&broker, speech, "q", queue)]));
        wait_for_fault(&relay, "q", "unreachable");
        broker.restart();
        wait_until_connected(&relay, "q");
        send(&broker, speech, queue, "hello");
        assert_eq!(events_until(&relay, "q", "hello"), ["hello"]);
    });
}

#[test]
fn check_connects_and_leaves_the_subscription_of_a_relay_that_runs_alone() {
    each(|broker, speech, queue| {
        declare(&broker, queue);
        let relay = relay(&json!([source(&broker, speech, "q", queue)]));
        wait_until_connected(&relay, "q");
        let well = source(&broker, speech, "well", queue);
        let mut password = source(&broker, speech, "password", queue);
        let credentials = &mut password[speech.kind()]["broker"]["credentials"];
        credentials["passwordVariable"] = json!("WRONG");
        let mut away = source(&broker, speech, "away", queue);
        let [port] = free_ports();
        let scheme = match speech {
            Speech::Rabbitmq | Speech::Amqp => "amqp",
            Speech::Stomp => "stomp",
        };
        away[speech.kind()]["broker"]["url"] = json!(format!("{scheme}://127.0.0.1:{port}"));
        let mut sources = vec![well, password, away];
        if speech == Speech::Rabbitmq {
            sources.push(source(&broker, speech, "no-queue", "missing"));
        }
        let sources = json!(sources);
        let output = Command::new(env!("CARGO_BIN_EXE_sse-relay"))
            .arg("check")
            .env("SSE_RELAY_SOURCES", sources.to_string())
            .envs([(VARIABLE, PASSWORD), ("WRONG", "wr0ng-s3cret")])
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for (what, remedy) in [
            ("source `well`: it can be used", ""),
            ("source `password`: error", "look at `credentials`"),
            ("source `away`: error", "is the server running there"),
        ] {
            let line = said.lines().find(|line| line.contains(what));
            assert!(
                line.is_some_and(|line| line.contains(remedy)),
                "{what}: {said}"
            );
        }
        if speech == Speech::Rabbitmq {
            assert!(said.contains("source `no-queue`: error"), "{said}");
        }
        assert!(!said.contains("wr0ng-s3cret"), "{said}");
        send(&broker, speech, queue, "after it");
        assert_eq!(events_until(&relay, "q", "after it"), ["after it"]);
        assert!(
            !relay.output().contains("source.failed"),
            "{}",
            relay.output()
        );
    });
}
