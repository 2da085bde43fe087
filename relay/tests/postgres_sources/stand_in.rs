//! `serve --dialect sse-relay-server` with `DATABASE_URL`, and the real package's `notify()`.

use super::*;
use crate::{
    capture::PUBLISHED,
    package::{notify, open, start},
};
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use support::Connection;
use tempfile::TempDir;

/// Between two questions whether streams have begun.
const PACE: Duration = Duration::from_millis(50);

/// As Django projects write it.
fn database_url(server: &Server) -> String {
    server
        .url()
        .replace("postgres://", "postgresql://postgres@")
}

/// Returns once all these streams get what is notified on a channel, and what was needed to see that
/// has been read from them: what has no first block does not tell when it begins.
fn begun(server: &Server, channel: &str, streams: &mut [Connection]) {
    let comment = |text: &str| {
        server.execute(&format!(
            r#"SELECT pg_notify('{channel}', '{{"comment": "{text}"}}')"#
        ));
    };
    let seen = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !seen.load(Ordering::Relaxed) {
                comment("probe");
                std::thread::sleep(PACE);
            }
        });
        for stream in &mut *streams {
            stream.body_until(": probe\r\n");
        }
        seen.store(true, Ordering::Relaxed);
    });
    comment("begin");
    for stream in streams {
        let block = stream.body_until(": begin\r\n");
        if !block.ends_with("\r\n\r\n") {
            stream.body_until("\r\n\r\n");
        }
    }
}

#[test]
fn what_notify_publishes_to_postgresql_has_the_bytes_of_the_capture() {
    let server = Server::start();
    // without the relay's own ids, for the bytes as they were
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("exact.yaml");
    let example = include_str!("../../../examples/routes/sse-relay-server.yaml");
    fs::write(&file, example.replace("${data.id|id}", "${data.id}")).unwrap();
    let url = database_url(&server);
    // REDIS_URL is there too, and set aside
    let env = [
        ("DATABASE_URL", &*url),
        ("RELAY_USE_PG", "True"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
    ];
    let relay = start(&env, &["--config", file.to_str().unwrap()]);
    wait_until_connected(&relay, "notify");
    let mut streams = ["/NOTIFICATIONS", "/notifications", "/channel=Notifications"]
        .map(|target| open(&relay, target));
    begun(&server, "notifications", &mut streams);
    notify(&env, "NOTIFICATIONS", &PUBLISHED).unwrap();
    for stream in &mut streams {
        assert_eq!(capture::events(stream, "bye\r\n\r\n"), capture::expected());
    }
}

#[test]
fn a_payload_that_is_as_large_as_postgresql_takes_comes_whole_and_a_larger_one_fails_at_its_sender()
{
    let server = Server::start();
    let folder = TempDir::new().unwrap();
    let url = database_url(&server);
    fs::write(folder.path().join(".env"), format!("DATABASE_URL={url}\n")).unwrap();
    let relay = Relay::start_in(folder.path(), &["--dialect", "sse-relay-server"]);
    wait_until_connected(&relay, "notify");
    let mut streams = [open(&relay, "/a")];
    begun(&server, "a", &mut streams);
    let [mut stream] = streams;
    let payload = |bytes: usize| {
        let text = "x".repeat(bytes - r#"{"data": ""}"#.len());
        format!(r#"{{"data": "{text}"}}"#)
    };
    let env = [("DATABASE_URL", url.as_str())];
    let said = notify(&env, "a", &[&payload(8_000)]).unwrap_err();
    assert!(said.contains("too long"), "{said}");
    for bad in ["no json", "[1]", "null", r#"{"dat": 1}"#] {
        server.execute(&format!("NOTIFY a, '{bad}'"));
    }
    notify(&env, "a", &[&payload(7_999), r#"{"data": "last"}"#]).unwrap();
    let events = capture::events(&mut stream, "last\r\n\r\n");
    let data: Vec<usize> = events
        .lines()
        .filter_map(|line| Some(line.strip_prefix("data: ")?.len()))
        .collect();
    assert_eq!(data, [7_999 - r#"{"data": ""}"#.len(), 4]);
    for (reason, count) in [("not-json", 3.0), ("unknown-key", 1.0)] {
        assert_eq!(
            sample(&relay, &dropped("notify", reason)),
            count,
            "{reason}"
        );
    }
    assert!(!relay.output().contains("postgres@"), "{}", relay.output());
}

#[test]
fn sql_in_the_path_of_a_stream_is_a_name_and_nothing_else() {
    let server = Server::start();
    let url = database_url(&server);
    let relay = start(&[("DATABASE_URL", &url)], &[]);
    wait_until_connected(&relay, "notify");
    let good = open(&relay, "/notifications");
    let _bad = open(
        &relay,
        "/x;SELECT%20pg_notify(%27notifications%27,%27%7B%22data%22:%22inj%22%7D%27)",
    );
    // what no name in SQL could be is one here
    let dashed = open(&relay, "/my-chan");
    let (mut good, mut dashed) = ([good], [dashed]);
    begun(&server, "my-chan", &mut dashed);
    begun(&server, "notifications", &mut good);
    let ([mut good], [mut dashed]) = (good, dashed);
    server.execute("SELECT pg_notify('my-chan', '{\"data\": \"dashed\"}')");
    server.execute("NOTIFY notifications, '{\"data\": \"good\"}'");
    assert!(capture::events(&mut dashed, "dashed\r\n\r\n").contains("data: dashed"));
    let events = capture::events(&mut good, "good\r\n\r\n");
    assert!(!events.contains("inj"), "{events}");
}
