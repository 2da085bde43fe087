//! Redis Pub/Sub.

use crate::{
    pulled::{TOLD, check, hears, sample, until, wait_for, wait_until_connected},
    resp::Resp,
    servers::Server,
    support::Relay,
};
use rustix::process::Signal;
use serde_json::{Value, json};

fn sources(server: &Server, settings: Value) -> String {
    let mut settings = settings;
    settings["redis"] = json!({ "url": server.url() });
    json!([{"name": "page", "redisPubSub": settings}]).to_string()
}

fn relay(server: &Server, settings: Value) -> Relay {
    let sources = sources(server, settings);
    let relay = Relay::start_with(&[("SSE_RELAY_SOURCES", &sources), TOLD], &[]);
    wait_until_connected(&relay, "page");
    relay
}

fn publish(server: &Server, channel: &str, text: &[u8]) {
    let mut resp = Resp::to(server.port).unwrap();
    resp.command(&[b"PUBLISH", channel.as_bytes(), text])
        .unwrap();
}

/// How many listen to a channel by its name.
fn listeners(server: &Server, channel: &str) -> String {
    let answer = server.cli(&["PUBSUB", "NUMSUB", channel]);
    answer.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn what_is_published_to_channels_and_patterns_comes_once() {
    let server = Server::start();
    let relay = relay(
        &server,
        json!({"channels": ["news.eu"], "patterns": ["news.*", "n*", "caf? ☕"]}),
    );
    let mut stream =
        relay.subscribe("channel=news.eu&channel=news.us&channel=caf%C3%A9%20%E2%98%95");
    stream.body_until("\n\n");
    publish(&server, "news.eu", b"one");
    publish(&server, "news.us", b"two");
    publish(&server, "other", b"unheard");
    publish(&server, "news.eu", b"\xff");
    publish(&server, "news.us", b"last");
    let body = stream.body_until("data: last\n");
    let data: Vec<&str> = body
        .lines()
        .filter(|line| line.starts_with("data: "))
        .collect();
    assert_eq!(data, ["data: one", "data: two", "data: last"], "{body}");
    let dropped = "sse_relay_source_dropped_total{source=\"page\",reason=\"not-text\"}";
    assert_eq!(sample(&relay, dropped), 1.0);
    assert_eq!(check(&relay)["promise"], "lossy");
}

#[test]
fn after_the_server_was_killed_it_is_listened_to_again() {
    let mut server = Server::start();
    let relay = relay(&server, json!({"channels": ["news"]}));
    let mut stream = relay.subscribe("channel=news");
    stream.body_until("\n\n");
    publish(&server, "news", b"before");
    stream.body_until("data: before\n");
    server.restart();
    until("a listener", || {
        (listeners(&server, "news") == "1").then_some(())
    });
    publish(&server, "news", b"after");
    stream.body_until("data: after\n");
}

#[test]
fn a_channel_that_a_stream_wants_is_listened_to_before_its_first_block() {
    let server = Server::start();
    let relay = relay(&server, json!({"onDemand": ["**"]}));
    assert_eq!(listeners(&server, "A b"), "0");
    for round in ["one", "two"] {
        let mut stream = relay.subscribe("channel=A%20b");
        stream.body_until("id: ");
        // nobody listened before, and Redis keeps nothing: it was in time
        hears(&[&relay], &mut stream, round, || {
            publish(&server, "A b", round.as_bytes());
        });
    }
    assert_eq!(listeners(&server, "other"), "0");
}

#[test]
fn a_stream_begins_although_its_source_is_away() {
    let mut server = Server::start();
    let relay = relay(&server, json!({"onDemand": ["**"]}));
    server.kill();
    let mut stream = relay.subscribe("channel=a");
    stream.body_until("id: ");
    relay.publish("a", "posted");
    stream.body_until("data: posted\n");
    server.restart();
    until("a listener", || {
        (listeners(&server, "a") == "1").then_some(())
    });
    publish(&server, "a", b"published");
    stream.body_until("data: published\n");
}

#[test]
fn a_channel_that_redis_does_not_allow_holds_up_no_other() {
    let server =
        Server::start_with_users(&["user relay on nopass resetchannels &open* +@all ~*"], &[]);
    let mut sources: Value =
        serde_json::from_str(&sources(&server, json!({"onDemand": ["**"]}))).unwrap();
    sources[0]["redisPubSub"]["redis"]["credentials"] =
        json!({"username": "relay", "passwordVariable": "NO_SECRET"});
    let settings = [
        ("SSE_RELAY_SOURCES", sources.to_string()),
        ("NO_SECRET", "any".to_owned()),
    ];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let relay = Relay::start_with(&settings, &[]);
    wait_until_connected(&relay, "page");
    let mut stream = relay.subscribe("channel=closed&channel=open");
    stream.body_until("id: ");
    until("a listener", || {
        (listeners(&server, "open") == "1").then_some(())
    });
    server.cli(&["PUBLISH", "open", "hello"]);
    stream.body_until("data: hello\n");
    assert_eq!(
        sample(&relay, "sse_relay_source_connected{source=\"page\"}"),
        1.0
    );
}

#[test]
fn streams_of_another_replica_are_listened_to_by_the_one_that_pulls() {
    let (server, log) = (Server::start(), Server::start());
    let sources = sources(&server, json!({"onDemand": ["**"]}));
    let start = || {
        let settings = [
            ("SSE_RELAY_SOURCES", sources.as_str()),
            ("SSE_RELAY_REDIS__URL", &log.url()),
            TOLD,
        ];
        Relay::start_at(None, &settings)
    };
    let connected = "sse_relay_source_connected{source=\"page\"}";
    let (first, second) = (start(), start());
    let is_first = until("an election", || {
        let (one, two) = (sample(&first, connected), sample(&second, connected));
        (one + two == 1.0).then_some(one == 1.0)
    });
    let (elected, other) = match is_first {
        true => (first, second),
        false => (second, first),
    };
    let mut stream = other.subscribe("channel=a");
    stream.body_until("id: ");
    hears(&[&elected, &other], &mut stream, "one", || {
        publish(&server, "a", b"one");
    });
    elected.signal(Signal::KILL);
    wait_for(&other, connected, 1.0);
    until("a listener", || {
        (listeners(&server, "a") == "1").then_some(())
    });
    publish(&server, "a", b"two");
    stream.body_until("data: two\n");
}
