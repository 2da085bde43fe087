//! What becomes of messages of RabbitMQ.

use crate::{
    broker::{Broker, Kind, PASSWORD, USER, until},
    producer::Rabbitmq,
    pulled::{
        Speech, events_until, relay, sample, section, wait_for_drop, wait_for_fault,
        wait_until_connected,
    },
    support::{Relay, request},
};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};

fn source(broker: &Broker, queues: &[&str], mapping: Value) -> Value {
    json!([{
        "name": "mq",
        "rabbitmq": {"broker": section(broker, Speech::Rabbitmq), "queues": queues},
        "mapping": mapping,
    }])
}

/// A broker with these queues.
fn broker(queues: &[&str]) -> Option<(Broker, Rabbitmq)> {
    let broker = Broker::start(Kind::Rabbitmq)?;
    let producer = Rabbitmq::connect(broker.at).unwrap();
    for queue in queues {
        producer.declare(queue);
    }
    Some((broker, producer))
}

/// How many events the source has appended, and how many it knew already.
fn counts(relay: &Relay) -> (f64, f64) {
    let [appended, repeated] = ["appended", "repeated"].map(|what| {
        sample(
            relay,
            &format!("sse_relay_source_{what}_total{{source=\"mq\"}}"),
        )
    });
    (appended, repeated)
}

#[test]
fn queues_become_events_as_the_mapping_says() {
    let Some((broker, producer)) = broker(&["one", "two"]) else {
        return;
    };
    let relay = relay(&source(
        &broker,
        &["one", "two"],
        json!({
            "channel": "mq.${channel}",
            "type": "${type|'none'}",
            "attributes": {"region": "${attributes.region}", "key": "${attributes.routing_key}"},
            "data": "${data.n}",
        }),
    ));
    wait_until_connected(&relay, "mq");
    let mut headers = FieldTable::default();
    headers.insert("region".into(), AMQPValue::LongString("eu".into()));
    let properties = BasicProperties::default()
        .with_type("price".into())
        .with_headers(headers);
    producer.publish("one", properties, br#"{"n": 1}"#).unwrap();
    producer
        .publish("two", BasicProperties::default(), br#"{"n": 2}"#)
        .unwrap();
    let mut stream =
        relay.subscribe("channel=mq.one&from=earliest&filter.region=eu&filter.key=one");
    let block = stream.body_until("data: 1\n\n");
    assert!(block.contains("event: price\n"), "{block}");
    let mut stream = relay.subscribe("channel=mq.two&from=earliest");
    let block = stream.body_until("data: 2\n\n");
    assert!(block.contains("event: none\n"), "{block}");
}

#[test]
fn what_cannot_become_an_event_is_dropped_counted_and_acknowledged() {
    let Some((broker, producer)) = broker(&["q"]) else {
        return;
    };
    let relay = relay(&source(
        &broker,
        &["q"],
        json!({"channel": "q", "expect": "object"}),
    ));
    wait_until_connected(&relay, "mq");
    let plain = BasicProperties::default;
    producer.publish("q", plain(), b"\xff").unwrap();
    producer.publish("q", plain(), b"no json").unwrap();
    producer.publish("q", plain(), b"{}").unwrap();
    assert_eq!(events_until(&relay, "q", "{}"), ["{}"]);
    wait_for_drop(&relay, "mq", "not-text");
    wait_for_drop(&relay, "mq", "not-json");
    drop(relay);
    // a relay that comes next finds nothing of it
    let relay = crate::pulled::relay(&source(&broker, &["q"], json!({"channel": "q"})));
    wait_until_connected(&relay, "mq");
    producer.publish("q", plain(), b"later").unwrap();
    assert_eq!(events_until(&relay, "q", "later"), ["later"]);
}

#[test]
fn the_same_id_twice_is_one_event_and_no_id_is_two() {
    let Some((broker, producer)) = broker(&["q"]) else {
        return;
    };
    let relay = relay(&source(&broker, &["q"], json!({"channel": "q"})));
    wait_until_connected(&relay, "mq");
    let known = || BasicProperties::default().with_message_id("m1".into());
    producer.publish("q", known(), b"a").unwrap();
    producer.publish("q", known(), b"a").unwrap();
    producer
        .publish("q", BasicProperties::default(), b"b")
        .unwrap();
    producer
        .publish("q", BasicProperties::default(), b"b")
        .unwrap();
    producer
        .publish("q", BasicProperties::default(), b"c")
        .unwrap();
    assert_eq!(events_until(&relay, "q", "c"), ["a", "b", "b", "c"]);
    until("its count", || (counts(&relay) == (4.0, 1.0)).then_some(()));
}

#[test]
fn a_queue_that_is_missing_is_told_and_read_once_it_is_there() {
    let Some((broker, producer)) = broker(&["there"]) else {
        return;
    };
    let relay = relay(&source(
        &broker,
        &["there", "later"],
        json!({"channel": "q"}),
    ));
    wait_for_fault(&relay, "mq", "settings");
    assert!(relay.output().contains("later"), "{}", relay.output());
    producer.declare("later");
    wait_until_connected(&relay, "mq");
    producer
        .publish("later", BasicProperties::default(), b"x")
        .unwrap();
    assert_eq!(events_until(&relay, "q", "x"), ["x"]);
}

#[test]
fn a_queue_that_is_deleted_while_it_is_read_is_told() {
    let Some((broker, producer)) = broker(&["q", "other"]) else {
        return;
    };
    let relay = relay(&source(&broker, &["q", "other"], json!({"channel": "q"})));
    wait_until_connected(&relay, "mq");
    producer.delete("q");
    wait_for_fault(&relay, "mq", "refused");
    producer.declare("q");
    wait_until_connected(&relay, "mq");
    producer
        .publish("q", BasicProperties::default(), b"x")
        .unwrap();
    assert_eq!(events_until(&relay, "q", "x"), ["x"]);
}

#[test]
fn a_virtual_host_that_there_is_not_is_told() {
    let Some((broker, _producer)) = broker(&["q"]) else {
        return;
    };
    let mut sources = source(&broker, &["q"], json!({}));
    let url = format!("amqp://127.0.0.1:{}/nowhere", broker.at.ports.amqp);
    sources[0]["rabbitmq"]["broker"]["url"] = json!(url);
    let relay = relay(&sources);
    wait_for_fault(&relay, "mq", "settings");
    assert!(relay.output().contains("nowhere"), "{}", relay.output());
}

#[test]
fn the_example_for_app_qg_api_serves_what_its_queues_say() {
    let queues = ["sdmis_api", "vehicle_telemetry", "incident_telemetry"];
    let Some((broker, producer)) = broker(&queues) else {
        return;
    };
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("../examples/routes/app-qg-api.yaml");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let yaml = std::fs::read_to_string(path)
        .unwrap()
        .replace(
            "rabbitmq.sdmis.svc:5672",
            &format!("127.0.0.1:{}", broker.at.ports.amqp),
        )
        .replace("username: sse-relay", &format!("username: {USER}"))
        .replace("/run/secrets/rabbitmq/password", &at("password"));
    std::fs::write(at("relay.yaml"), yaml).unwrap();
    std::fs::write(at("password"), format!("{PASSWORD}\n")).unwrap();
    let front = sse_relay::auth::hash_of("front");
    let auth = json!({"tokens": [{"name": "front", "sha256": front, "subscribe": ["qg"]}]});
    let env = [
        ("SSE_RELAY_CONFIG", at("relay.yaml")),
        ("SSE_RELAY_AUTH", auth.to_string()),
        ("SSE_RELAY_HTTP__THREADS", "2".to_owned()),
    ];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let relay = Relay::start_with(&env, &[]);
    wait_until_connected(&relay, "qg");
    let mut page = relay.connect();
    let target = "/qg/live?events=new_incident&events=position";
    let head = request("GET", target, &["Authorization: Bearer front"], b"");
    page.send(
        String::from_utf8(head)
            .unwrap()
            .replace("Connection: close\r\n", ""),
    );
    assert_eq!(page.head().status, 200);
    page.body_until("event: connected\n");
    let say = |queue: &str, body: Value| {
        let body = body.to_string();
        producer
            .publish(queue, BasicProperties::default(), body.as_bytes())
            .unwrap();
    };
    say(
        "incident_telemetry",
        json!({"event": "unasked", "payload": {}}),
    );
    say(
        "sdmis_api",
        json!({"event": "new_incident", "payload": {"id": 7}}),
    );
    let block = page.body_until("event: new_incident\n") + &page.body_until("\n\n");
    assert!(block.contains(r#""data": {"id": 7}"#), "{block}");
    assert!(!block.contains("unasked"), "{block}");
    say(
        "vehicle_telemetry",
        json!({"event": "position", "data": {"lat": 45.5}}),
    );
    let block = page.body_until("event: position\n") + &page.body_until("\n\n");
    assert!(block.contains(r#""data": {"lat": 45.5}"#), "{block}");
}
