//! Notifications of the channels that streams want.

use super::*;
use crate::pulled::{TOLD, hears};
use rustix::process::Signal;

fn on_demand(server: &Server, more: Value) -> Relay {
    let relay = relay(&listening(server, more), &[TOLD]);
    wait_until_connected(&relay, "pg");
    relay
}

#[test]
fn a_channel_that_a_stream_wants_is_listened_to_before_its_first_block() {
    let server = Server::start();
    let relay = on_demand(&server, json!({"onDemand": ["**"]}));
    for (query, name) in [
        ("A%20b", "A b"),
        ("caf%C3%A9%E2%98%95", "café☕"),
        (
            "x%22%3BSELECT%20pg_notify(%27A%20b%27,%27sql%27)%3B--",
            "x\";SELECT pg_notify('A b','sql');--",
        ),
        (
            "x%27);NOTIFY%20%22A%20b%22,%27sql%27;--",
            "x');NOTIFY \"A b\",'sql';--",
        ),
    ] {
        let mut stream = relay.subscribe(&format!("channel={query}&channel=A%20b"));
        stream.body_until("id: ");
        // nobody listened before, and PostgreSQL keeps nothing: it was in time
        let name = name.replace('\'', "''");
        hears(&[&relay], &mut stream, "heard", || {
            server.execute(&format!("SELECT pg_notify('{name}', 'heard')"));
        });
    }
}

#[test]
fn spellings_of_one_name_all_get_what_comes_there_and_quotes_keep_capitals() {
    let server = Server::start();
    let relay = on_demand(&server, json!({"onDemand": ["**"], "names": "folded"}));
    let open = |channel: &str| {
        let mut stream = relay.subscribe(&format!("channel={channel}"));
        stream.body_until("id: ");
        stream
    };
    let (mut capitals, mut small) = (open("NOTIFICATIONS"), open("notifications"));
    let mut quoted = open("%22NOTIFICATIONS%22");
    for (stream, text) in [(&mut capitals, "one"), (&mut quoted, "kept")] {
        hears(&[&relay], stream, text, || {
            let name = if text == "kept" {
                "\"NOTIFICATIONS\""
            } else {
                "Notifications"
            };
            server.execute(&format!("NOTIFY {name}, '{text}'"));
        });
    }
    // it heard the one before too, or began before that
    server.execute("NOTIFY Notifications, 'two'");
    assert!(
        seen_until(&mut small, "two")
            .iter()
            .all(|text| text != "kept")
    );
}

#[test]
fn a_name_that_postgresql_does_not_have_is_told_and_holds_up_no_other() {
    let server = Server::start();
    server.execute(
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    let mut sources = listening(&server, json!({"onDemand": ["**"]}));
    let url = server.url().replace(postgres::DATABASE, "latin");
    sources[0]["postgresListen"]["postgres"]["url"] = json!(url);
    let relay = relay(&sources, &[TOLD]);
    wait_until_connected(&relay, "pg");
    let mut long = relay.subscribe(&format!("channel={}", "n".repeat(64)));
    long.body_until("id: ");
    until("a complaint", || {
        relay.output().contains("63 bytes").then_some(())
    });
    // the first letter is one of the database's encoding, the second is not
    let mut stream = relay.subscribe("channel=%C3%A9&channel=%E2%98%95");
    stream.body_until("id: ");
    let notify = "SELECT pg_notify(chr(233), 'heard')";
    hears(&[&relay], &mut stream, "heard", || {
        server.try_execute("latin", notify).unwrap();
    });
    assert_eq!(
        sample(&relay, "sse_relay_source_connected{source=\"pg\"}"),
        1.0
    );
    let said = relay.output();
    assert!(!said.contains("source.failed"), "{said}");
}

#[test]
fn a_stream_begins_although_postgresql_is_away_and_gets_what_comes_when_it_is_back() {
    let mut server = Server::start();
    let relay = on_demand(&server, json!({"onDemand": ["**"]}));
    server.kill();
    let mut stream = relay.subscribe("channel=a");
    stream.body_until("id: ");
    relay.publish("a", "posted");
    assert_eq!(seen_until(&mut stream, "posted"), ["posted"]);
    server.run();
    wait_until_connected(&relay, "pg");
    server.execute("NOTIFY a, 'heard'");
    assert_eq!(seen_until(&mut stream, "heard"), ["heard"]);
}

#[test]
fn streams_of_another_replica_are_listened_to_by_the_one_that_pulls() {
    let (server, log) = (Server::start(), redis::Server::start());
    let sources = listening(&server, json!({"onDemand": ["**"]})).to_string();
    let start = || {
        let settings = [
            ("SSE_RELAY_SOURCES", sources.as_str()),
            ("SSE_RELAY_REDIS__URL", &log.url()),
            TOLD,
        ];
        Relay::start_at(None, &settings)
    };
    let connected = "sse_relay_source_connected{source=\"pg\"}";
    let (first, second) = (start(), start());
    let is_first = until("an election", || {
        let (one, two) = (sample(&first, connected), sample(&second, connected));
        (one + two == 1.0).then_some(one == 1.0)
    });
    let (elected, other) = match is_first {
        true => (first, second),
        false => (second, first),
    };
    let mut stream = other.subscribe("channel=A");
    stream.body_until("id: ");
    hears(&[&elected, &other], &mut stream, "one", || {
        server.execute("NOTIFY \"A\", 'one'");
    });
    elected.signal(Signal::KILL);
    wait_for(&other, connected, 1.0);
    server.execute("NOTIFY \"A\", 'two'");
    seen_until(&mut stream, "two");
}
