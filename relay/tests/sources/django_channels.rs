//! Groups of Django Channels, sent to by the real packages.

use crate::{
    pulled::{check, events, wait_for, wait_until_connected},
    resp::Resp,
    servers::{Server, until},
    support::{
        Relay,
        program::{Program, python},
    },
};
use serde_json::{Value, json};
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

const SOURCE: &str = "django";

fn source(servers: &[&Server], more: &Value) -> String {
    let hosts: Vec<Value> = servers
        .iter()
        .map(|server| json!({"url": server.url()}))
        .collect();
    let mut channels = json!({"hosts": hosts, "groups": ["workflow_events", "other"]});
    for (key, value) in more.as_object().unwrap() {
        channels[key] = value.clone();
    }
    json!([{
        "name": SOURCE,
        "djangoChannels": channels,
        "mapping": {"data": "${data.payload}", "type": "message"},
    }])
    .to_string()
}

fn start(servers: &[&Server], more: &Value, args: &[&str]) -> Relay {
    let sources = source(servers, more);
    let env = [
        ("SSE_RELAY_SOURCES", sources.as_str()),
        ("DJANGO_KEY", "mykey"),
    ];
    let relay = Relay::start_with(&env, args);
    wait_until_connected(&relay, SOURCE);
    relay
}

fn hosts(servers: &[&Server]) -> Value {
    servers.iter().map(|server| server.url()).collect()
}

/// Sends by the core layer.
fn send(config: Value, group: &str, payloads: &[Value]) {
    let messages: Vec<Value> = payloads
        .iter()
        .map(|payload| json!({"type": "broadcast", "payload": payload}))
        .collect();
    send_whole(config, group, &messages);
}

fn send_whole(config: Value, group: &str, messages: &[Value]) {
    send_by("core", config, group, messages);
}

/// Sends by the pub/sub layer.
fn publish(config: Value, group: &str, payloads: &[Value]) {
    let messages: Vec<Value> = payloads
        .iter()
        .map(|payload| json!({"type": "broadcast", "payload": payload}))
        .collect();
    send_by("pubsub", config, group, &messages);
}

fn send_by(layer: &str, config: Value, group: &str, messages: &[Value]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/channels_send.py");
    let order = json!({"layer": layer, "config": config, "group": group, "messages": messages});
    let mut sender = Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = sender.stdin.take().unwrap();
    input.write_all(order.to_string().as_bytes()).unwrap();
    drop(input);
    assert!(sender.wait().unwrap().success());
}

fn dropped(reason: &str) -> String {
    format!("sse_relay_source_dropped_total{{source=\"{SOURCE}\",reason=\"{reason}\"}}")
}

fn numbers(range: std::ops::Range<u32>) -> Vec<Value> {
    range.map(|n| json!({ "n": n })).collect()
}

#[test]
fn what_is_sent_to_a_group_is_an_event_whichever_way_it_is_written() {
    let server = Server::start();
    let relay = start(&[&server], &json!({}), &[]);
    let payload = json!({"msg_type": "stf_gen", "run_id": "r1", "n": 1, "f": 1.5, "z": null, "l": [1, "caf\u{e9}"]});
    let config = |format: &str| json!({"hosts": hosts(&[&server]), "serializer_format": format});
    send(
        config("msgpack"),
        "workflow_events",
        std::slice::from_ref(&payload),
    );
    send(
        config("json"),
        "workflow_events",
        std::slice::from_ref(&payload),
    );
    send(config("msgpack"), "other", &[json!({"elsewhere": true})]);
    send(config("msgpack"), "nobodys", &[json!({"never": "seen"})]);
    for event in events(&relay, "workflow_events", 2) {
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event, payload);
    }
    assert_eq!(events(&relay, "other", 1), [r#"{"elsewhere":true}"#]);
    until("an empty mailbox", || {
        let left = server.cli(&["ZCARD", "asgisse-relay!"]);
        (left.trim() == "0").then_some(())
    });
    assert_eq!(check(&relay)["standing"], "connected");
}

#[test]
fn a_group_is_found_at_its_host_among_several() {
    let servers = [Server::start(), Server::start(), Server::start()];
    let all: Vec<&Server> = servers.iter().collect();
    let relay = start(&all, &json!({}), &[]);
    let config = json!({"hosts": hosts(&all)});
    send(config.clone(), "workflow_events", &numbers(0..3));
    send(config, "other", &numbers(3..4));
    assert_eq!(
        events(&relay, "workflow_events", 3),
        [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#]
    );
    assert_eq!(events(&relay, "other", 1), [r#"{"n":3}"#]);
}

#[test]
fn encrypted_messages_need_their_key_and_others_are_counted_and_stop_nothing() {
    let server = Server::start();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "older\n").unwrap();
    let keys = json!({"encryptionKeys": [{"variable": "DJANGO_KEY"}, {"file": file}]});
    let relay = start(&[&server], &keys, &[]);
    let config =
        |keys: Value| json!({"hosts": hosts(&[&server]), "symmetric_encryption_keys": keys});
    send(
        config(json!(["somebody elses"])),
        "workflow_events",
        &numbers(0..1),
    );
    send(
        json!({"hosts": hosts(&[&server])}),
        "workflow_events",
        &numbers(1..2),
    );
    wait_for(&relay, &dropped("undecodable"), 2.0);
    send(config(json!(["mykey"])), "workflow_events", &numbers(2..3));
    send(config(json!(["older"])), "workflow_events", &numbers(3..4));
    assert_eq!(
        events(&relay, "workflow_events", 2),
        [r#"{"n":2}"#, r#"{"n":3}"#]
    );
    let said = relay.output();
    assert!(!said.contains("mykey") && !said.contains("\"n\""), "{said}");
}

#[test]
fn what_is_broken_is_taken_out_and_counted() {
    let server = Server::start();
    let relay = start(&[&server], &json!({}), &[]);
    let mut resp = Resp::to(server.port).unwrap();
    let broken: [&[u8]; 5] = [
        b"short",
        b"123456789012\x83\xa4type",
        b"123456789012{\"type\"",
        b"123456789012gAAAAAnotours",
        b"123456789012\x81\xc0\xc0",
    ];
    for member in broken {
        resp.command(&[b"ZADD", b"asgisse-relay!", b"1", member])
            .unwrap();
    }
    wait_for(&relay, &dropped("undecodable"), 5.0);
    let config = json!({"hosts": hosts(&[&server])});
    // readable, but not what the mapping wants
    send_whole(
        config.clone(),
        "workflow_events",
        &[json!({"type": "else"})],
    );
    wait_for(&relay, &dropped("no-data"), 1.0);
    send(config, "workflow_events", &numbers(0..1));
    assert_eq!(events(&relay, "workflow_events", 1), [r#"{"n":0}"#]);
    until("an empty mailbox", || {
        let left = server.cli(&["ZCARD", "asgisse-relay!"]);
        (left.trim() == "0").then_some(())
    });
}

#[test]
fn what_is_sent_while_the_relay_is_away_waits_and_comes_once() {
    let server = Server::start();
    let folder = TempDir::new().unwrap();
    let args = ["--data-dir", folder.path().to_str().unwrap()];
    let relay = start(&[&server], &json!({}), &args);
    let config = json!({"hosts": hosts(&[&server])});
    send(config.clone(), "workflow_events", &numbers(0..30));
    drop(relay); // killed, perhaps with messages under way
    send(config.clone(), "workflow_events", &numbers(30..60));
    let relay = start(&[&server], &json!({}), &args);
    send(config, "workflow_events", &numbers(60..90));
    let found = events(&relay, "workflow_events", 90);
    let mut sorted: Vec<u64> = found
        .iter()
        .map(|event| {
            let event: Value = serde_json::from_str(event).unwrap();
            event["n"].as_u64().unwrap()
        })
        .collect();
    sorted.sort_unstable();
    let whole: Vec<u64> = (0..90).collect();
    assert_eq!(sorted, whole, "each once");
}

#[test]
fn a_full_mailbox_is_told_of_with_what_to_do() {
    let server = Server::start();
    drop(start(&[&server], &json!({}), &[]));
    let config = json!({"hosts": hosts(&[&server])});
    send(config, "workflow_events", &numbers(0..130));
    let relay = start(&[&server], &json!({}), &[]);
    let found = events(&relay, "workflow_events", 100);
    assert_eq!(
        found.last().unwrap(),
        r#"{"n":99}"#,
        "the layer kept the first"
    );
    let said = until("a warning", || {
        let said = relay.output();
        said.contains("source.mailbox_full").then_some(said)
    });
    assert!(said.contains("channel_capacity"), "{said}");
}

#[test]
fn a_member_that_was_removed_joins_again_and_says_so() {
    let server = Server::start();
    // a group that forgets its members after 3 s is joined every second
    let relay = start(&[&server], &json!({"groupExpiry": "3s"}), &[]);
    server.cli(&["DEL", "asgi:group:workflow_events"]);
    until("the member", || {
        let members = server.cli(&["ZRANGE", "asgi:group:workflow_events", "0", "-1"]);
        members.contains("sse-relay!workflow_events").then_some(())
    });
    until("a warning", || {
        let said = relay.output();
        said.contains("source.member_removed").then_some(())
    });
}

#[test]
fn the_pub_sub_layer_is_heard_at_each_of_its_hosts_whichever_way_it_is_written() {
    let servers = [Server::start(), Server::start()];
    let all: Vec<&Server> = servers.iter().collect();
    let relay = start(&all, &json!({"layer": "pubSub"}), &[]);
    let payload = json!({"msg_type": "stf_gen", "f": 1.5, "z": null, "l": [1, "caf\u{e9}"]});
    let config = |format: &str| json!({"hosts": hosts(&all), "serializer_format": format});
    for format in ["msgpack", "json"] {
        publish(
            config(format),
            "workflow_events",
            std::slice::from_ref(&payload),
        );
    }
    publish(config("msgpack"), "other", &[json!({"elsewhere": true})]);
    publish(config("msgpack"), "nobodys", &[json!({"never": "seen"})]);
    for event in events(&relay, "workflow_events", 2) {
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event, payload);
    }
    assert_eq!(events(&relay, "other", 1), [r#"{"elsewhere":true}"#]);
    let check = check(&relay);
    assert_eq!(
        (&check["standing"], &check["promise"]),
        (&"connected".into(), &"lossy".into())
    );
}

#[test]
fn the_pub_sub_layer_needs_its_key_counts_what_is_broken_and_comes_back() {
    let mut server = Server::start();
    let keys = json!({"layer": "pubSub", "encryptionKeys": [{"variable": "DJANGO_KEY"}]});
    let relay = start(&[&server], &keys, &[]);
    let config = |server: &Server, keys: Value| json!({"hosts": hosts(&[server]), "symmetric_encryption_keys": keys});
    publish(
        config(&server, json!(["another"])),
        "workflow_events",
        &numbers(0..1),
    );
    publish(
        json!({"hosts": hosts(&[&server])}),
        "workflow_events",
        &numbers(1..2),
    );
    let mut resp = Resp::to(server.port).unwrap();
    resp.command(&[
        b"PUBLISH",
        b"asgi__group__workflow_events",
        b"gAAAAAnotours",
    ])
    .unwrap();
    wait_for(&relay, &dropped("undecodable"), 3.0);
    publish(
        config(&server, json!(["mykey"])),
        "workflow_events",
        &numbers(2..3),
    );
    assert_eq!(events(&relay, "workflow_events", 1), [r#"{"n":2}"#]);
    server.restart();
    wait_until_connected(&relay, SOURCE);
    until("its subscription", || {
        let heard = server.cli(&["PUBSUB", "NUMSUB", "asgi__group__workflow_events"]);
        (heard.lines().last() == Some("1")).then_some(())
    });
    publish(
        config(&server, json!(["mykey"])),
        "workflow_events",
        &numbers(3..4),
    );
    assert_eq!(
        events(&relay, "workflow_events", 2),
        [r#"{"n":2}"#, r#"{"n":3}"#]
    );
    let said = relay.output();
    assert!(!said.contains("mykey") && !said.contains("\"n\""), "{said}");
}

#[test]
fn the_monitors_file_brings_what_it_sends_to_the_receiver() {
    let server = Server::start();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/routes/swf-monitor.yaml");
    let yaml = std::fs::read_to_string(file).unwrap();
    assert!(yaml.contains("redis://redis:6379"), "its REDIS_URL");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("relay.yaml");
    std::fs::write(&file, yaml.replace("redis://redis:6379", &server.url())).unwrap();
    let token = json!({"tokens": [{
        "name": "receiver", "sha256": sse_relay::auth::hash_of("key"), "subscribe": ["workflow_events"],
    }]});
    let auth = token.to_string();
    let env = [
        ("SSE_RELAY_CONFIG", file.to_str().unwrap()),
        ("SSE_RELAY_AUTH", &auth),
    ];
    let relay = Relay::start_with(&env, &[]);
    wait_until_connected(&relay, "monitor");
    let mut receiver = Command::new(env!("CARGO_BIN_EXE_sse-relay"));
    receiver
        .args([
            "listen",
            "--dialect",
            "swf",
            "--no-register",
            "--message",
            "stf_gen",
        ])
        .arg(format!("http://{}/swf-monitor", relay.public))
        .envs([
            ("SWF_API_TOKEN", "key"),
            ("SWF_SSE_RECEIVER_NAME", "probe"),
            ("HOME", "/nonexistent"),
        ]);
    let receiver = Program::start(&mut receiver);
    receiver.until("Client ID: ");
    let config = json!({"hosts": hosts(&[&server])});
    let messages = [
        json!({"msg_type": "other", "processed_by": "daq"}),
        json!({"msg_type": "stf_gen", "processed_by": "daq", "run_id": "r1", "filename": "stf_1.dat"}),
    ];
    send(config, "workflow_events", &messages);
    let printed = receiver.until("File: ");
    assert!(
        printed
            .iter()
            .any(|line| line.ends_with("Message: stf_gen")),
        "{printed:#?}"
    );
    assert!(printed.last().unwrap().ends_with("File: stf_1.dat"));
}
