//! What becomes of messages over AMQP 1.0.

use crate::{
    broker::{Broker, Kind},
    producer::{Amqp, Letter, Producer},
    pulled::{
        Speech, events_until, relay, section, wait_for_drop, wait_for_fault, wait_until_connected,
    },
};
use fe2o3_amqp::types::messaging::{ApplicationProperties, Data, Message, Properties};
use serde_json::{Value, json};

/// Each of the brokers, and how it calls a topic.
const KINDS: [(Kind, &str); 2] = [(Kind::Activemq, "topic://"), (Kind::Artemis, "")];

fn source(broker: &Broker, own: Value, mapping: Value) -> Value {
    let mut own = own;
    own["broker"] = section(broker, Speech::Amqp);
    json!([{ "name": "mq", "amqp": own, "mapping": mapping }])
}

/// Each of the brokers, who sends to it, and how it calls a topic.
fn each(try_it: impl Fn(Broker, Amqp, &str)) {
    for (kind, topic) in KINDS {
        if let Some(broker) = Broker::start(kind) {
            println!("{kind:?}");
            let producer = Amqp::connect(broker.at).unwrap();
            try_it(broker, producer, topic);
        }
    }
}

#[test]
fn addresses_become_events_as_the_mapping_says() {
    each(|broker, mut producer, _| {
        let own = json!({"addresses": ["one", "two"], "routing": "queue"});
        let relay = relay(&source(
            &broker,
            own,
            json!({
                "channel": "mq.${channel}",
                "type": "${type|'none'}",
                "attributes": {"region": "${attributes.region}"},
                "data": "${data.n}",
            }),
        ));
        wait_until_connected(&relay, "mq");
        let message = Message::builder()
            .properties(Properties::builder().subject("price".to_owned()).build())
            .application_properties(
                ApplicationProperties::builder()
                    .insert("region", "eu")
                    .build(),
            )
            .body(Data(br#"{"n": 1}"#.to_vec().into()))
            .build();
        producer.send_message("one", message).unwrap();
        producer.send(&Letter::new("two", r#"{"n": 2}"#)).unwrap();
        let mut stream = relay.subscribe("channel=mq.one&from=earliest&filter.region=eu");
        let block = stream.body_until("data: 1\n\n");
        assert!(block.contains("event: price\n"), "{block}");
        let mut stream = relay.subscribe("channel=mq.two&from=earliest");
        let block = stream.body_until("data: 2\n\n");
        assert!(block.contains("event: none\n"), "{block}");
    });
}

#[test]
fn what_is_sent_while_no_relay_listens_waits_for_a_durable_subscription() {
    each(|broker, mut producer, topic| {
        let address = format!("{topic}prices");
        let sources = source(
            &broker,
            json!({
                "addresses": [&address],
                "routing": "topic",
                "durable": {"clientId": "sse-relay-test", "name": "prices"},
            }),
            json!({"channel": "prices"}),
        );
        let first = relay(&sources);
        wait_until_connected(&first, "mq");
        drop(first);
        producer.send(&Letter::new(&address, "while away")).unwrap();
        let second = relay(&sources);
        assert_eq!(
            events_until(&second, "prices", "while away"),
            ["while away"]
        );
    });
}

#[test]
fn what_cannot_become_an_event_is_dropped_counted_and_accepted() {
    each(|broker, mut producer, _| {
        let own = json!({"addresses": ["q"], "routing": "queue"});
        let relay = relay(&source(
            &broker,
            own,
            json!({"channel": "q", "expect": "object"}),
        ));
        wait_until_connected(&relay, "mq");
        let bytes = Message::builder()
            .body(Data(b"\xff".to_vec().into()))
            .build();
        producer.send_message("q", bytes).unwrap();
        producer.send(&Letter::new("q", "no json")).unwrap();
        producer.send(&Letter::new("q", "{}")).unwrap();
        assert_eq!(events_until(&relay, "q", "{}"), ["{}"]);
        wait_for_drop(&relay, "mq", "not-text");
        wait_for_drop(&relay, "mq", "not-json");
    });
}

#[test]
fn more_than_may_be_under_way_comes_all_the_same() {
    each(|broker, mut producer, _| {
        let own = json!({"addresses": ["q"], "routing": "queue", "prefetch": 3});
        let relay = relay(&source(&broker, own, json!({"channel": "q"})));
        // from here on the address is a queue
        wait_until_connected(&relay, "mq");
        for number in 0..50 {
            producer
                .send(&Letter::new("q", &number.to_string()))
                .unwrap();
        }
        let found = events_until(&relay, "q", "49");
        assert_eq!(found, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn an_address_that_there_is_not_is_told() {
    let Some(broker) = Broker::start(Kind::Artemis) else {
        return;
    };
    // the broker of the tests makes no such addresses
    let own = json!({"addresses": ["missing.q"], "routing": "queue"});
    let relay = relay(&source(&broker, own, json!({})));
    let reason = crate::broker::until("a fault", || {
        let about = crate::pulled::check(&relay, "mq");
        about["reason"].as_str().map(str::to_owned)
    });
    assert!(
        ["settings", "refused"].contains(&reason.as_str()),
        "{reason}"
    );
    wait_for_fault(&relay, "mq", &reason);
    assert!(relay.output().contains("missing.q"), "{}", relay.output());
}
