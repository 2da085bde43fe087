//! What is wrong in Redis itself: the relay keeps what it has, and tells what is missing.

use crate::{
    checks::found,
    http,
    servers::{Server, until},
    subscriber::Subscriber,
    support::Relay,
};

fn relay(server: &Server) -> Relay {
    Relay::start_with(&[("SSE_RELAY_REDIS__URL", &server.url())], &[])
}

fn read(relay: &Relay, query: &str, after: &str, events: usize) -> Subscriber {
    let mut subscriber = Subscriber::new(relay.public, query).resuming(after);
    subscriber.read_soon(|subscriber| subscriber.events.len() >= events);
    subscriber
}

fn data(subscriber: &Subscriber) -> Vec<&str> {
    let events = subscriber.events.iter();
    events.map(|(_, data)| data.as_str()).collect()
}

#[test]
fn a_full_redis_refuses_publishes_and_loses_nothing() {
    let server = Server::start();
    let relay = relay(&server);
    let mut stream = relay.subscribe("channel=a&from=earliest");
    let first = relay.publish("a", "1");
    stream.until("data: 1\n");
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = until("a refusal", || {
        let answer = http::publish(relay.public, "a", "no", "no").unwrap();
        (answer.problem() == "unavailable").then_some(answer)
    });
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("OOM"), "{detail}");
    assert_eq!(data(&read(&relay, "channel=a&from=earliest", "", 1)), ["1"]);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    until("a publish that is taken", || {
        let answer = http::publish(relay.public, "a", "2", "2").unwrap();
        (answer.status < 300).then_some(())
    });
    let live = stream.until("data: 2\n");
    assert!(
        !live.contains("event: gap") && !live.contains("data: no"),
        "{live}"
    );
    let subscriber = read(&relay, "channel=a", &first, 1);
    assert_eq!((data(&subscriber), subscriber.gaps.len()), (vec!["2"], 0));
}

#[test]
fn a_key_of_another_kind_costs_its_channel_and_no_other() {
    let server = Server::start();
    let relay = relay(&server);
    let first = relay.publish("b", "1");
    relay.publish("b", "2");
    let mut other = relay.subscribe("channel=a");
    server.cli(&["DEL", "sse-relay:{dlj}:s:b"]);
    server.cli(&["SET", "sse-relay:{dlj}:s:b", "something else"]);
    let answer = http::publish(relay.public, "b", "3", "3").unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("WRONGTYPE"),
        "{answer:?}"
    );
    let message = found(&relay, "wrong-type");
    assert!(
        message.contains("s:b") && message.contains("delete this key"),
        "{message}"
    );
    assert!(
        relay.output().contains("choose another prefix"),
        "{}",
        relay.output()
    );
    let mut back = Subscriber::new(relay.public, "channel=b").resuming(&first);
    back.read_soon(|subscriber| !subscriber.gaps.is_empty());
    assert_eq!(back.gaps[0]["certain"], true, "{:?}", back.gaps);
    relay.publish("a", "x");
    other.until("data: x\n");
    server.cli(&["DEL", "sse-relay:{dlj}:s:b"]);
    until("a publish that is taken", || {
        let answer = http::publish(relay.public, "b", "4", "4").unwrap();
        (answer.status < 300).then_some(())
    });
    back.read_soon(|subscriber| !subscriber.events.is_empty());
    assert_eq!(data(&back), ["4"]);
}

#[test]
fn an_entry_that_cannot_be_read_is_announced_and_what_follows_is_delivered() {
    let server = Server::start();
    let relay = relay(&server);
    let first = relay.publish("a", "1");
    relay.publish("a", "2");
    server.cli(&["XADD", "sse-relay:{dlj}:s:a", "*", "e", "nonsense"]);
    server.cli(&["XADD", "sse-relay:{dlj}:s:a", "*", "other", "fields"]);
    until("a publish that is taken", || {
        let answer = http::publish(relay.public, "a", "3", "3").unwrap();
        (answer.status < 300).then_some(())
    });
    let subscriber = read(&relay, "channel=a", &first, 2);
    assert_eq!(data(&subscriber), ["2", "3"]);
    assert!(!subscriber.gaps.is_empty(), "{:?}", subscriber.gaps);
    let output = relay.output();
    assert!(output.contains("log.damaged"), "{output}");
}
