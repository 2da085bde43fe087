//! `serve --dialect sse-relay-server`: its environment, and the real package's `notify()`.

use crate::{
    capture::{self, PUBLISHED},
    package::{notify, open, start},
    pulled::{sample, until, wait_for, wait_until_connected},
    servers::Server,
    support::{Relay, request},
};
use std::{fs, process::Command};
use tempfile::TempDir;

/// The relay hears the channel before a stream's first block; without one, its subscription tells, and that
/// the stream has begun.
fn listened_to(relay: &Relay, server: &Server, channel: &str) {
    wait_for(relay, "sse_relay_streams", 1.0);
    until("a listener", || {
        let answer = server.cli(&["PUBSUB", "NUMSUB", channel]);
        (answer.lines().last() == Some("1")).then_some(())
    });
}

#[test]
fn what_notify_publishes_to_redis_has_the_bytes_of_the_capture() {
    let server = Server::start();
    // without the relay's own ids, for the bytes as they were
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("exact.yaml");
    let example = include_str!("../../../examples/routes/sse-relay-server.yaml");
    fs::write(&file, example.replace("${data.id|id}", "${data.id}")).unwrap();
    let relay = start(
        &[("REDIS_URL", &server.url())],
        &["--config", file.to_str().unwrap()],
    );
    wait_until_connected(&relay, "notify");
    let mut stream = open(&relay, "/NOTIFICATIONS");
    listened_to(&relay, &server, "NOTIFICATIONS");
    notify(&[("REDIS_URL", &server.url())], "NOTIFICATIONS", &PUBLISHED).unwrap();
    assert_eq!(
        capture::events(&mut stream, "bye\r\n\r\n"),
        capture::expected()
    );
}

#[test]
fn its_environment_is_understood_with_a_password_and_a_bad_payload_is_dropped() {
    let server = Server::start_with_users(&["user page on >se%cret ~* &* +@all"], &[]);
    let url = format!("redis://page:se%25cret@127.0.0.1:{}/0", server.port);
    let relay = start(
        &[
            ("REDIS_URL", &url),
            ("LOG_LEVEL", "INFO"),
            ("RELAY_USE_PG", "False"),
        ],
        &["--workers", "2"],
    );
    wait_until_connected(&relay, "notify");
    let mut stream = open(&relay, "/a%20b");
    listened_to(&relay, &server, "a b");
    for bad in ["no json", "[1]", "null", r#"{"dat": 1}"#] {
        server.cli(&["PUBLISH", "a b", bad]);
    }
    notify(
        &[("REDIS_URL", &url)],
        "a b",
        &[r#"{"data": "good", "event": "STOP"}"#],
    )
    .unwrap();
    let events = capture::events(&mut stream, "good\r\n\r\n");
    assert!(
        events.ends_with("event: STOP\r\ndata: good\r\n\r\n"),
        "{events}"
    );
    for (reason, count) in [("not-json", 3.0), ("unknown-key", 1.0)] {
        let name =
            format!("sse_relay_source_dropped_total{{source=\"notify\",reason=\"{reason}\"}}");
        assert_eq!(sample(&relay, &name), count, "{reason}");
    }
    assert!(!relay.output().contains("se%25cret") && !relay.output().contains("se%cret"));
}

#[test]
fn without_a_broker_it_says_what_to_set() {
    let folder = TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .args(["serve", "--dialect", "sse-relay-server"])
        .current_dir(folder.path())
        .env_remove("REDIS_URL")
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("REDIS_URL"),
        "{said}"
    );
}

#[test]
fn a_file_of_variables_is_read_too() {
    let server = Server::start();
    let folder = TempDir::new().unwrap();
    let variables = format!(
        "REDIS_URL={}\nALLOWED_ORIGINS=https://page.example\n",
        server.url()
    );
    fs::write(folder.path().join(".env"), variables).unwrap();
    let relay = Relay::start_in(folder.path(), &["--dialect", "sse-relay-server"]);
    wait_until_connected(&relay, "notify");
    let mut connection = relay.connect();
    let origin = "Origin: https://page.example";
    let head = String::from_utf8(request("GET", "/a", &[origin], b"")).unwrap();
    connection.send(head.replace("Connection: close\r\n", ""));
    let head = connection.head();
    assert_eq!(
        head.header("access-control-allow-origin"),
        Some("https://page.example"),
        "{head:?}"
    );
}
