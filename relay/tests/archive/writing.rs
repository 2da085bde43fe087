//! What is written, and how often: once.

use super::*;
use rustix::process::Signal;
use std::fs;
use tempfile::TempDir;

#[test]
fn every_event_is_archived_once_over_crashes_of_the_relay() {
    let (server, data) = (Server::start(), TempDir::new().unwrap());
    let dir = data.path().display().to_string();
    let env = [
        ("SSE_RELAY_DATA__DIR", dir.as_str()),
        ("SSE_RELAY_ARCHIVE__BATCH_EVENTS", "7"),
    ];
    for round in 0..4 {
        let relay = relay(&server, &env);
        publish(&relay, "orders", round * 100..round * 100 + 100);
        // some rounds end in the midst of writing
        archived(&server, "orders", round * 100 + 40);
        relay.signal(Signal::KILL);
    }
    let relay = relay(&server, &env);
    publish(&relay, "orders", 400..401);
    archived(&server, "orders", 401);
    assert_eq!(texts(&server, "orders"), numbers(0..401));
    assert_eq!(server.number("SELECT count(*) FROM sse_relay.holes"), 0);
}

#[test]
fn an_event_comes_back_from_the_archive_as_it_was_published() {
    let server = Server::start();
    let relay = relay(&server, &[("SSE_RELAY_RETENTION__EVENTS", "1")]);
    let first = publish(&relay, "x", 0..1);
    archived(&server, "x", 1);
    let body = r#"{"event":"paid","data":"two\nlines é \u0000 ☃","attributes":{"kind":"a","b":"ü"},"retry":250,"time":"2026-11-21T08:00:00.123456789Z"}"#;
    let answer = relay.request(
        "POST",
        "/v1/channels/x/events",
        &["Content-Type: application/json"],
        body.as_bytes(),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    let target = format!("/v1/channels/x/events?after={}", first[0]);
    let published = relay.get(&target).json()["events"][0].clone();
    archived(&server, "x", 2);
    publish(&relay, "x", 2..3);
    let page = relay.get(&target).json();
    assert_eq!(page["events"][0], published, "{page}");
    assert_eq!(page["events"].as_array().unwrap().len(), 2, "{page}");
    assert!(page["gap"].is_null(), "{page}");
}

#[test]
fn names_of_channels_are_never_sql() {
    let server = Server::start();
    let relay = relay(&server, &[("SSE_RELAY_RETENTION__EVENTS", "1")]);
    let name = "x');%20DROP%20TABLE%20sse_relay.events;--%22$1";
    let plain = "x'); DROP TABLE sse_relay.events;--\"$1";
    let ids = publish(&relay, name, 0..1);
    archived(&server, plain, 1);
    publish(&relay, name, 1..2);
    archived(&server, plain, 2);
    publish(&relay, name, 2..3);
    archived(&server, plain, 3);
    let (texts, gap) = history(&relay, name, &format!("after={}", ids[0]));
    assert_eq!((texts, gap), (numbers(1..3), None));
}

#[test]
fn what_the_log_lost_before_it_was_archived_is_a_hole_that_readers_are_told_of() {
    let mut server = Server::start();
    let relay = relay(&server, &[("SSE_RELAY_RETENTION__EVENTS", "10")]);
    let ids = publish_slowly(&relay, &server, "a", 0..20, 5);
    server.stop();
    publish(&relay, "a", 20..60);
    server.run();
    archived(&server, "a", 30);
    until("a hole", || {
        (figure(&relay, "sse_relay_archive_holes_total") >= 1.0).then_some(())
    });
    let (texts, gap) = history(&relay, "a", &format!("after={}", ids[0]));
    assert_eq!(gap.as_deref(), Some("trimmed"));
    assert_eq!(
        texts,
        [numbers(1..20), numbers(50..60)].concat(),
        "all there is"
    );
    let (texts, gap) = history(
        &relay,
        "a",
        &format!("after={}", ids[0]).replace("after", "after"),
    );
    assert_eq!((texts.len(), gap.is_some()), (29, true), "the same again");
}

#[test]
fn nothing_waits_for_a_postgresql_that_is_away_and_nothing_is_lost_within_the_logs_bounds() {
    let mut server = Server::start();
    let relay = relay(&server, &[]);
    let (mut stream, _) = relay.subscribe_with_head("channel=a");
    publish_slowly(&relay, &server, "a", 0..50, 50);
    for round in 1..5 {
        match round % 2 {
            0 => server.stop(),
            _ => server.kill(),
        }
        let from = round * 50;
        publish(&relay, "a", from..from + 30);
        let seen = seen_until(&mut stream, &(from + 29).to_string());
        assert_eq!(seen.last(), Some(&(from + 29).to_string()));
        until("a relay that knows", || {
            (figure(&relay, "sse_relay_archive_connected") == 0.0).then_some(())
        });
        server.run();
        publish(&relay, "a", from + 30..from + 50);
        archived(&server, "a", from + 50);
    }
    assert_eq!(texts(&server, "a"), numbers(0..250));
    assert_eq!(server.number("SELECT count(*) FROM sse_relay.holes"), 0);
    until("a relay that writes", || {
        (figure(&relay, "sse_relay_archive_writing") == 1.0).then_some(())
    });
}

#[test]
fn a_relay_starts_without_postgresql_and_archives_when_it_is_there() {
    let mut server = Server::start();
    server.stop();
    let relay = relay(&server, &[]);
    publish(&relay, "a", 0..10);
    assert_eq!(figure(&relay, "sse_relay_archive_connected"), 0.0);
    server.run();
    archived(&server, "a", 10);
    assert_eq!(texts(&server, "a"), numbers(0..10));
}

#[test]
fn a_relay_that_ends_in_order_has_archived_everything() {
    let server = Server::start();
    let relay = relay(&server, &[("SSE_RELAY_ARCHIVE__INTERVAL", "1h")]);
    until("a writer", || {
        (figure(&relay, "sse_relay_archive_writing") == 1.0).then_some(())
    });
    publish(&relay, "a", 0..500);
    assert!(relay.stop().success());
    assert_eq!(texts(&server, "a"), numbers(0..500));
}

#[test]
fn only_chosen_channels_are_archived() {
    let server = Server::start();
    let relay = relay(
        &server,
        &[("SSE_RELAY_ARCHIVE__CHANNELS", r#"["orders.**", "b"]"#)],
    );
    publish(&relay, "prices", 0..5);
    publish(&relay, "b", 0..5);
    publish(&relay, "orders.eu.x", 0..5);
    archived(&server, "orders.eu.x", 5);
    assert_eq!(
        (texts(&server, "b").len(), texts(&server, "prices").len()),
        (5, 0)
    );
}

#[test]
fn events_that_are_too_old_are_dropped_with_their_tables() {
    let server = Server::start();
    let span = ("SSE_RELAY_ARCHIVE__TABLE_SPAN", "1s");
    let first = relay(&server, &[span, ("SSE_RELAY_ARCHIVE__RETENTION", "30m")]);
    publish(&first, "a", 0..1);
    archived(&server, "a", 1);
    assert!(first.stop().success());
    // its table is of the second in which it was published: past it, and two more, nothing in it is kept
    let old = "SELECT (extract(epoch FROM now()) * 1000)::bigint - 1600000000000 - max(id) / 4096 FROM sse_relay.events";
    until("an event that is too old", || {
        (server.number(old) > 4_000).then_some(())
    });
    let second = relay(&server, &[span, ("SSE_RELAY_ARCHIVE__RETENTION", "2s")]);
    until("a table that is dropped", || {
        (figure(&second, "sse_relay_archive_tables_dropped_total") >= 1.0).then_some(())
    });
    assert_eq!(texts(&server, "a"), Vec::<String>::new());
    assert!(server.number("SELECT until_id FROM sse_relay.dropped") > 0);
}

#[test]
fn a_password_comes_from_a_file_and_a_wrong_one_stops_nothing() {
    let server = Server::start();
    server.execute(
        "CREATE ROLE relay LOGIN PASSWORD 's3cret'; GRANT CREATE ON DATABASE events TO relay",
    );
    let rules = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(server.path("data/pg_hba.conf"), rules).unwrap();
    server.execute("SELECT pg_reload_conf()");
    let file = server.file("password", "wrong\n");
    let env = [
        (
            "SSE_RELAY_ARCHIVE__POSTGRES__CREDENTIALS__USERNAME",
            "relay",
        ),
        (
            "SSE_RELAY_ARCHIVE__POSTGRES__CREDENTIALS__PASSWORD_FILE",
            file.as_str(),
        ),
    ];
    let relay = relay(&server, &env);
    publish(&relay, "a", 0..3);
    until("a refusal", || {
        let failures = "sse_relay_archive_failures_total{operation=\"connect\"}";
        (figure(&relay, failures) >= 1.0).then_some(())
    });
    let output = relay.output();
    assert!(
        output.contains("password authentication failed"),
        "{output}"
    );
    assert!(!output.contains("wrong"), "{output}");
    fs::write(&file, "s3cret").unwrap();
    archived(&server, "a", 3);
    assert!(!relay.output().contains("s3cret"));
}
