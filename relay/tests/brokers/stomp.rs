//! What becomes of messages over STOMP.

use crate::{
    broker::{Broker, Kind, until},
    producer::Stomp,
    pulled::{
        Speech, events_until, relay, section, wait_for_drop, wait_for_fault, wait_until_connected,
    },
};
use serde_json::{Value, json};

const KINDS: [Kind; 2] = [Kind::Activemq, Kind::Artemis];

fn source(broker: &Broker, own: Value, mapping: Value) -> Value {
    let mut own = own;
    own["broker"] = section(broker, Speech::Stomp);
    json!([{ "name": "mq", "stomp": own, "mapping": mapping }])
}

/// Each of the brokers, and who sends to it.
fn each(try_it: impl Fn(Broker, Stomp)) {
    for kind in KINDS {
        if let Some(broker) = Broker::start(kind) {
            println!("{kind:?}");
            let producer = Stomp::connect(broker.at).unwrap();
            try_it(broker, producer);
        }
    }
}

#[test]
fn topics_and_queues_become_events_as_the_mapping_says() {
    each(|broker, mut producer| {
        let own = json!({"destinations": ["/topic/prices", "/queue/orders"]});
        let relay = relay(&source(
            &broker,
            own,
            json!({
                "channel": "mq.${attributes.region}",
                "type": "${data.kind}",
                "attributes": {"from": "${channel}"},
                "data": "${data.n}",
            }),
        ));
        wait_until_connected(&relay, "mq");
        let message = br#"{"kind": "price", "n": 1}"#;
        producer
            .send_with("/topic/prices", "region:eu\n", message)
            .unwrap();
        let message = br#"{"kind": "order", "n": 2}"#;
        producer
            .send_with("/queue/orders", "region:us\n", message)
            .unwrap();
        let mut stream = relay.subscribe("channel=mq.eu&from=earliest&filter.from=/topic/prices");
        let block = stream.body_until("data: 1\n\n");
        assert!(block.contains("event: price\n"), "{block}");
        let mut stream = relay.subscribe("channel=mq.us&from=earliest");
        let block = stream.body_until("data: 2\n\n");
        assert!(block.contains("event: order\n"), "{block}");
    });
}

#[test]
fn what_is_sent_while_no_relay_listens_waits_for_a_durable_subscription() {
    each(|broker, mut producer| {
        let sources = source(
            &broker,
            json!({
                "destinations": ["/topic/prices"],
                "durable": {"clientId": "sse-relay-test", "name": "prices"},
            }),
            json!({"channel": "prices"}),
        );
        let first = relay(&sources);
        wait_until_connected(&first, "mq");
        drop(first);
        producer
            .send_with("/topic/prices", "", b"while away")
            .unwrap();
        let second = relay(&sources);
        assert_eq!(
            events_until(&second, "prices", "while away"),
            ["while away"]
        );
    });
}

#[test]
fn activemq_lets_one_relay_at_a_time_have_a_client_id_and_another_takes_over_from_it() {
    let Some(broker) = Broker::start(Kind::Activemq) else {
        return;
    };
    let mut producer = Stomp::connect(broker.at).unwrap();
    let sources = source(
        &broker,
        json!({
            "destinations": ["/topic/prices"],
            "durable": {"clientId": "sse-relay-test", "name": "prices"},
        }),
        json!({"channel": "prices"}),
    );
    let first = relay(&sources);
    wait_until_connected(&first, "mq");
    let second = relay(&sources);
    wait_for_fault(&second, "mq", "refused");
    drop(first);
    wait_until_connected(&second, "mq");
    producer.send_with("/topic/prices", "", b"hello").unwrap();
    assert_eq!(events_until(&second, "prices", "hello"), ["hello"]);
}

#[test]
fn what_cannot_become_an_event_is_dropped_counted_and_acknowledged() {
    each(|broker, mut producer| {
        let own = json!({"destinations": ["/queue/q"]});
        let mapping = json!({"channel": "q", "expect": "object"});
        let relay = relay(&source(&broker, own.clone(), mapping));
        wait_until_connected(&relay, "mq");
        let length = "content-length:2\n";
        producer.send_with("/queue/q", length, b"\xff\xfe").unwrap();
        producer.send_with("/queue/q", "", b"no json").unwrap();
        producer.send_with("/queue/q", "", b"{}").unwrap();
        assert_eq!(events_until(&relay, "q", "{}"), ["{}"]);
        wait_for_drop(&relay, "mq", "not-text");
        wait_for_drop(&relay, "mq", "not-json");
        drop(relay);
        // a relay that comes next finds nothing of it
        let relay = crate::pulled::relay(&source(&broker, own, json!({"channel": "q"})));
        wait_until_connected(&relay, "mq");
        producer.send_with("/queue/q", "", b"later").unwrap();
        assert_eq!(events_until(&relay, "q", "later"), ["later"]);
    });
}

#[test]
fn more_than_may_be_under_way_comes_all_the_same() {
    each(|broker, mut producer| {
        for number in 0..50 {
            let body = number.to_string();
            producer.send_with("/queue/q", "", body.as_bytes()).unwrap();
        }
        let own = json!({"destinations": ["/queue/q"], "prefetch": 3});
        let relay = relay(&source(&broker, own, json!({"channel": "q"})));
        let found = events_until(&relay, "q", "49");
        assert_eq!(found, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn a_server_that_speaks_something_else_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = std::thread::spawn(move || {
        use std::io::Write;
        for socket in listener.incoming().take(2) {
            let _ = socket
                .unwrap()
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let sources = json!([{
        "name": "mq",
        "stomp": {
            "broker": {"url": format!("stomp://127.0.0.1:{port}")},
            "destinations": ["/queue/q"],
        },
    }]);
    let relay = relay(&sources);
    wait_for_fault(&relay, "mq", "protocol");
    until("another attempt", || answers.is_finished().then_some(()));
}
