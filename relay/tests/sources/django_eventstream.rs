//! `examples/routes/django-eventstream.yaml`: what the real package publishes to Redis, as its clients read it.

use crate::{
    pulled::{sample, wait_for, wait_until_connected},
    resp::Resp,
    servers::Server,
    support::{Relay, program::python, request},
};
use serde_json::{Value, json};
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

const SOURCE: &str = "eventstream";

fn send(server: &Server, events: Value) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/eventstream_send.py");
    let order = json!({"redis": {"host": "127.0.0.1", "port": server.port}, "events": events});
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

fn start(server: &Server) -> (Relay, TempDir) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = example.join("../examples/routes/django-eventstream.yaml");
    let yaml = std::fs::read_to_string(example).unwrap();
    assert!(yaml.contains("redis://redis:6379"));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("relay.yaml");
    std::fs::write(&file, yaml.replace("redis://redis:6379", &server.url())).unwrap();
    let relay = Relay::start_with(&[("SSE_RELAY_CONFIG", file.to_str().unwrap())], &[]);
    wait_until_connected(&relay, SOURCE);
    (relay, folder)
}

/// Blocks without the relay's ids, and without signs of life, which come when they are due.
fn without_ids(blocks: &str) -> String {
    let lines = blocks.split_inclusive('\n');
    let text: String = lines.filter(|line| !line.starts_with("id: ")).collect();
    text.replace("event: keep-alive\ndata: \n\n", "")
}

#[test]
fn what_send_event_publishes_comes_as_the_packages_clients_expect_it_and_resumes() {
    let server = Server::start();
    let (relay, _folder) = start(&server);
    let open = |headers: &[&str]| {
        let mut stream = relay.connect();
        let head = request("GET", "/events/room-1/", headers, b"");
        stream.send(
            String::from_utf8(head)
                .unwrap()
                .replace("Connection: close\r\n", ""),
        );
        let head = stream.head();
        assert_eq!(head.status, 200, "{head:?}");
        stream
    };
    let mut stream = open(&[]);
    let opened = stream.body_until("\n\n");
    assert_eq!(without_ids(&opened), "event: stream-open\ndata: \n\n");
    send(
        &server,
        json!([
            ["room-1", "message", {"text": "caf\u{e9}\nline", "n": 1.5, "none": null}],
            ["room-2", "message", "elsewhere"],
            ["room-1", "join", ["ann"]],
        ]),
    );
    let got = stream.body_until("event: join\n");
    let got = match got.ends_with("\n\n") {
        true => got,
        false => got + &stream.body_until("\n\n"),
    };
    assert_eq!(
        without_ids(&got),
        "event: message\ndata: {\"n\": 1.5, \"none\": null, \"text\": \"caf\\u00e9\\nline\"}\n\n\
         event: join\ndata: [\"ann\"]\n\n"
    );
    let (_, message) = got.split_once("event: message\n").unwrap();
    let id = message.lines().next().unwrap();
    let id = id.strip_prefix("id: ").unwrap();
    let mut again = open(&[&format!("Last-Event-ID: {id}")]);
    let missed = again.body_until("[\"ann\"]");
    assert!(!missed.contains("caf"), "{missed}");
    // an id of before means nothing here, which is told once
    let mut old = open(&["Last-Event-ID: room-1:7"]);
    let reset = old.body_until("event: stream-reset\n");
    assert!(reset.contains("event: stream-open\n"), "{reset}");
}

#[test]
fn what_is_no_event_of_the_package_is_dropped_and_counted() {
    let server = Server::start();
    let (relay, _folder) = start(&server);
    let mut resp = Resp::to(server.port).unwrap();
    for bad in [
        "nothing",
        "[1]",
        r#"{"event_type": "x", "data": "1"}"#,
        r#"{"channel": "a", "event_type": "gap", "data": "1"}"#,
        r#"{"channel": "a", "event_type": "x", "data": "1", "more": 1}"#,
    ] {
        resp.command(&[b"PUBLISH", b"events_channel", bad.as_bytes()])
            .unwrap();
    }
    let dropped = |reason: &str| {
        format!("sse_relay_source_dropped_total{{source=\"{SOURCE}\",reason=\"{reason}\"}}")
    };
    wait_for(&relay, &dropped("unknown-key"), 1.0);
    assert_eq!(sample(&relay, &dropped("not-json")), 2.0);
    assert_eq!(sample(&relay, &dropped("no-channel")), 1.0);
    assert_eq!(sample(&relay, &dropped("bad-type")), 1.0);
}
