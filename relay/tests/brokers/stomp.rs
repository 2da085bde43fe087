//! What becomes of messages over STOMP.

use crate::{
    broker::{Broker, Kind, until},
    producer::Stomp,
    pulled::{
        Speech, events_until, relay, section, wait_for_drop, wait_for_fault, wait_until_connected,
    },
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
};

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

/// The port of a way to `broker` on which clients that know 1.1 and 1.2 seem to know only 1.1; and what
/// version the broker chose, of each connection.
fn knowing_only_1_1(broker: &Broker) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (chosen, versions) = channel();
    let there = broker.at.ports.stomp;
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, chosen) = (client.unwrap(), chosen.clone());
            std::thread::spawn(move || {
                let mut server = TcpStream::connect(("127.0.0.1", there)).unwrap();
                let hello = String::from_utf8(first_frame(&mut client)).unwrap();
                assert!(hello.contains("accept-version:1.1,1.2\n"), "{hello}");
                let hello = hello.replace("accept-version:1.1,1.2\n", "accept-version:1.1\n");
                server.write_all(hello.as_bytes()).unwrap();
                let answer = first_frame(&mut server);
                client.write_all(&answer).unwrap();
                let answer = String::from_utf8(answer).unwrap();
                let mut lines = answer.lines();
                let version = lines.find_map(|line| line.strip_prefix("version:"));
                let _ = chosen.send(version.unwrap_or_default().to_owned());
                let mut ways = [&client, &server].map(|way| way.try_clone().unwrap());
                let back = std::thread::spawn(move || {
                    let _ = std::io::copy(&mut server, &mut client);
                    let _ = client.shutdown(Shutdown::Both);
                });
                let [from, to] = &mut ways;
                let _ = std::io::copy(from, to);
                let _ = to.shutdown(Shutdown::Both);
                back.join().unwrap();
            });
        }
    });
    (port, versions)
}

/// All bytes up to the end of a frame.
fn first_frame(from: &mut TcpStream) -> Vec<u8> {
    let mut frame = Vec::new();
    while frame.last() != Some(&0) {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        frame.extend(byte);
    }
    frame
}

#[test]
fn over_the_version_before_messages_come_once_and_are_acknowledged() {
    each(|broker, mut producer| {
        let (port, versions) = knowing_only_1_1(&broker);
        let mapping = json!({"channel": "q", "attributes": {"place": "${attributes.place}"}});
        let mut sources = source(&broker, json!({"destinations": ["/queue/q"]}), mapping);
        sources[0]["stomp"]["broker"]["url"] = json!(format!("stomp://127.0.0.1:{port}"));
        let first = relay(&sources);
        wait_until_connected(&first, "mq");
        assert_eq!(versions.recv().unwrap(), "1.1");
        // a colon and a backslash in a header
        let place = "place:a\\cb\\\\d\n";
        for body in [&b"one"[..], b"two"] {
            producer.send_with("/queue/q", place, body).unwrap();
        }
        assert_eq!(events_until(&first, "q", "two"), ["one", "two"]);
        let mut place = first.subscribe("channel=q&from=earliest&filter.place=a%3Ab%5Cd");
        place.body_until("data: two\n\n");
        drop(first);
        // what was acknowledged is not there for the next one
        let second = relay(&sources);
        wait_until_connected(&second, "mq");
        assert_eq!(versions.recv().unwrap(), "1.1");
        producer.send_with("/queue/q", "", b"three").unwrap();
        assert_eq!(events_until(&second, "q", "three"), ["three"]);
    });
}

#[test]
fn a_server_that_speaks_something_else_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = std::thread::spawn(move || {
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
