//! Redis Streams.

use crate::{
    pulled::{check, events, sample, until, wait_for, wait_until_connected},
    resp::{Producer, Resp},
    servers::Server,
    support::Relay,
};
use serde_json::{Value, json};
use std::time::Duration;

const PACE: Duration = Duration::from_millis(2);

/// A source that reads `orders` from its beginning.
pub fn source(port: u16, more: Value) -> String {
    let mut source = json!({
        "name": "orders",
        "redisStream": {
            "redis": {"url": format!("redis://127.0.0.1:{port}")},
            "streams": ["orders"],
            "begin": "oldest",
        },
    });
    for (key, value) in more.as_object().unwrap() {
        source[key] = value.clone();
    }
    json!([source]).to_string()
}

fn relay(server: &Server, mapping: Value) -> Relay {
    let sources = source(server.port, json!({ "mapping": mapping }));
    let relay = Relay::start_with(&[("SSE_RELAY_SOURCES", &sources)], &[]);
    wait_until_connected(&relay, "orders");
    relay
}

fn add(server: &Server, fields: &[&[u8]]) {
    let mut resp = Resp::to(server.port).unwrap();
    let words = [&[b"XADD".as_slice(), b"orders", b"*"], fields].concat();
    resp.command(&words).unwrap();
}

/// Entries that were read and not acknowledged.
fn pending(server: &Server) -> String {
    let answer = server.cli(&["XPENDING", "orders", "sse-relay"]);
    answer.lines().next().unwrap_or_default().to_owned()
}

/// The same numbers, once each and in order.
pub fn assert_whole(found: &[String], count: u64) {
    let expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "in {found:?}");
    }
}

#[test]
fn entries_become_events_as_the_mapping_says() {
    let server = Server::start();
    add(
        &server,
        &[b"region", b"eu", b"body", br#"{"kind": "new", "n": 7}"#],
    );
    let mapping = json!({
        "channel": "orders.${attributes.region}",
        "type": "${data.kind}",
        "attributes": {"n": "${data.n}"},
    });
    let sources = json!([{
        "name": "orders",
        "redisStream": {
            "redis": {"url": server.url()},
            "streams": ["orders", "other"],
            "begin": "oldest",
            "field": "body",
            "group": "page",
        },
        "mapping": mapping,
    }]);
    let relay = Relay::start_with(&[("SSE_RELAY_SOURCES", &sources.to_string())], &[]);
    let mut stream = relay.subscribe("channel=orders.eu&from=earliest&filter.n=7");
    let body = stream.body_until(r#"data: {"kind": "new", "n": 7}"#);
    assert!(body.contains("event: new\n"), "{body}");
    until("its acknowledgement", || {
        let pending = server.cli(&["XPENDING", "orders", "page"]);
        pending.starts_with('0').then_some(())
    });
    let status = relay.get("/v1/status").json();
    let source = &status["replicas"][0]["sources"]["orders"];
    assert_eq!(
        (&source["standing"], &source["promise"], &source["appended"]),
        (&json!("connected"), &json!("acknowledged"), &json!(1)),
        "{status}"
    );
}

#[test]
fn what_cannot_become_an_event_is_counted_acknowledged_and_stops_nothing() {
    let server = Server::start();
    let relay = relay(
        &server,
        json!({"channel": "${data.to}", "data": "${data.say}", "attributes": {"a": "${data.a}"}}),
    );
    let long = "x".repeat(2 << 20);
    let bad: [(&[&[u8]], &str); 6] = [
        (&[b"to", b"a", b"say", b"\xff"], "not-text"),
        (&[b"say", b"x"], "no-channel"),
        (&[b"to", b"@subject/eve", b"say", b"x"], "bad-channel"),
        (&[b"to", b"a"], "no-data"),
        (&[b"to", b"a", b"say", long.as_bytes()], "too-large"),
        (&[b"to", b"a", b"say", b"x", b"a", b"\0"], "bad-attribute"),
    ];
    for (fields, _) in bad {
        add(&server, fields);
    }
    add(&server, &[b"to", b"a", b"say", b"good"]);
    assert_eq!(events(&relay, "a", 1), ["good"]);
    for (_, reason) in bad {
        let name =
            format!("sse_relay_source_dropped_total{{source=\"orders\",reason=\"{reason}\"}}");
        assert_eq!(sample(&relay, &name), 1.0, "{reason}: {}", relay.scrape());
    }
    until("their acknowledgement", || {
        (pending(&server) == "0").then_some(())
    });
    let about = check(&relay);
    assert_eq!(about["dropped"]["no-data"], 1, "{about}");
    let output = relay.output();
    assert!(
        !output.contains("subject/eve"),
        "what is in a message is nobody's business: {output}"
    );
}

#[test]
fn an_entry_that_comes_again_is_recognised_by_its_id() {
    let server = Server::start();
    let relay = relay(&server, json!({"data": "${data.n}"}));
    for n in [b"0", b"1"] {
        add(&server, &[b"n", n]);
    }
    assert_eq!(events(&relay, "orders", 2), ["0", "1"]);
    // the group begins anew, as after a loss of its acknowledgements
    server.cli(&["XGROUP", "SETID", "orders", "sse-relay", "0"]);
    add(&server, &[b"n", b"2"]);
    assert_eq!(events(&relay, "orders", 3), ["0", "1", "2"]);
    wait_for(
        &relay,
        "sse_relay_source_repeated_total{source=\"orders\"}",
        2.0,
    );
}

#[test]
fn entries_that_another_consumer_left_are_taken_over() {
    let server = Server::start();
    server.cli(&["XGROUP", "CREATE", "orders", "sse-relay", "0", "MKSTREAM"]);
    add(&server, &[b"n", b"0"]);
    let read = [
        "XREADGROUP",
        "GROUP",
        "sse-relay",
        "gone",
        "STREAMS",
        "orders",
        ">",
    ];
    server.cli(&read);
    add(&server, &[b"n", b"1"]);
    let sources: Value = serde_json::from_str(&source(
        server.port,
        json!({"mapping": {"data": "${data.n}"}}),
    ))
    .unwrap();
    let mut sources = sources;
    sources[0]["redisStream"]["claimAfter"] = json!("1s");
    let relay = Relay::start_with(&[("SSE_RELAY_SOURCES", &sources.to_string())], &[]);
    let mut found = events(&relay, "orders", 2);
    found.sort();
    assert_eq!(found, ["0", "1"]);
}

#[test]
fn a_server_that_is_killed_under_load_costs_no_entry_and_doubles_none() {
    let mut server = Server::start_with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    // whoever adds may have to add twice: what is in an entry tells
    let relay = relay(
        &server,
        json!({"data": "${data.n}", "idempotencyKey": "${data.n}"}),
    );
    let producer = Producer::start(server.port, "orders", PACE);
    for _ in 0..3 {
        producer.more(100);
        server.restart();
    }
    producer.more(100);
    let count = producer.stop();
    let found = events(&relay, "orders", usize::try_from(count).unwrap());
    assert_whole(&found, count);
    until("all acknowledged", || {
        (pending(&server) == "0").then_some(())
    });
}

#[test]
fn a_relay_that_is_killed_under_load_costs_no_entry_and_doubles_none() {
    let (server, log) = (Server::start(), Server::start());
    let sources = source(
        server.port,
        json!({"mapping": {"data": "${data.n}", "idempotencyKey": "${data.n}"}}),
    );
    let settings = [
        ("SSE_RELAY_SOURCES", sources.as_str()),
        ("SSE_RELAY_REDIS__URL", &log.url()),
    ];
    let mut relay = Relay::start_at(None, &settings);
    let producer = Producer::start(server.port, "orders", PACE);
    for _ in 0..3 {
        producer.more(100);
        wait_for(
            &relay,
            "sse_relay_source_appended_total{source=\"orders\"}",
            1.0,
        );
        relay.signal(rustix::process::Signal::KILL);
        relay = Relay::start_at(None, &settings);
    }
    producer.more(100);
    let count = producer.stop();
    let found = events(&relay, "orders", usize::try_from(count).unwrap());
    assert_whole(&found, count);
}

#[test]
fn entries_that_wait_share_calls_to_the_log() {
    const COUNT: u64 = 2_000;
    let (server, log) = (Server::start(), Server::start());
    let mut resp = Resp::to(server.port).unwrap();
    for n in 0..COUNT {
        let n = n.to_string();
        let words: [&[u8]; 5] = [b"XADD", b"orders", b"*", b"n", n.as_bytes()];
        resp.command(&words).unwrap();
    }
    let sources = source(server.port, json!({"mapping": {"data": "${data.n}"}}));
    let settings = [
        ("SSE_RELAY_SOURCES", sources.as_str()),
        ("SSE_RELAY_REDIS__URL", &log.url()),
        ("SSE_RELAY_RETENTION__EVENTS", "100000"),
    ];
    let relay = Relay::start_at(None, &settings);
    assert_whole(
        &events(&relay, "orders", usize::try_from(COUNT).unwrap()),
        COUNT,
    );
    // 64 in each, and some a second for leases and signs of life
    let stats = log.cli(&["INFO", "commandstats"]);
    let calls = stats.lines().find_map(|line| {
        let (calls, _) = line
            .strip_prefix("cmdstat_evalsha:calls=")?
            .split_once(',')?;
        calls.parse::<u64>().ok()
    });
    assert!(calls.unwrap() < COUNT / 2, "{stats}");
}

#[test]
fn while_the_log_is_away_entries_wait_at_their_server() {
    let (server, mut log) = (Server::start(), Server::start());
    let sources = source(server.port, json!({"mapping": {"data": "${data.n}"}}));
    let settings = [
        ("SSE_RELAY_SOURCES", sources.as_str()),
        ("SSE_RELAY_REDIS__URL", &log.url()),
    ];
    let relay = Relay::start_at(None, &settings);
    wait_until_connected(&relay, "orders");
    log.kill();
    for n in 0..50_u64 {
        add(&server, &[b"n", n.to_string().as_bytes()]);
    }
    log.restart();
    assert_whole(&events(&relay, "orders", 50), 50);
}

#[test]
fn who_is_refused_says_so_and_goes_on_once_it_is_let_in() {
    let server = Server::start_with_users(&["user relay on >secret ~orders +@all"], &[]);
    let mut sources: Value =
        serde_json::from_str(&source(server.port, json!({"mapping": {}}))).unwrap();
    sources[0]["redisStream"]["redis"]["credentials"] =
        json!({"username": "relay", "passwordVariable": "THE_PASSWORD"});
    let settings = [
        ("SSE_RELAY_SOURCES", sources.to_string()),
        ("THE_PASSWORD", "wrong-secret".to_owned()),
    ];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let relay = Relay::start_with(&settings, &[]);
    wait_for(
        &relay,
        "sse_relay_source_faults_total{source=\"orders\",reason=\"credentials\"}",
        1.0,
    );
    assert_eq!(check(&relay)["reason"], "credentials");
    server.cli(&["ACL", "SETUSER", "relay", ">wrong-secret"]);
    wait_until_connected(&relay, "orders");
    assert!(!relay.output().contains("wrong-secret"));
    relay.publish("elsewhere", "the relay serves whatever becomes of a source");
}
