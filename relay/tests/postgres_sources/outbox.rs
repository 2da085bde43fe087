//! An outbox table.

use super::*;
use rustix::process::Signal;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Between two transactions of an application.
const PACE: Duration = Duration::from_millis(50);
/// How long it writes at most.
const PATIENCE: Duration = Duration::from_secs(300);

pub const TABLE: &str = "CREATE TABLE sse_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel text NOT NULL,
    type text,
    data text NOT NULL,
    attributes jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz
);
CREATE FUNCTION sse_outbox_notify() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('sse_outbox', ''); RETURN NULL; END $$;
CREATE TRIGGER sse_outbox_notify AFTER INSERT ON sse_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION sse_outbox_notify()";

fn source(server: &Server, more: Value) -> Value {
    let mut outbox = json!({"postgres": {"url": server.url()}, "notify": "sse_outbox"});
    for (key, value) in more.as_object().expect("an object") {
        outbox[key] = value.clone();
    }
    json!([{"name": "box", "postgresOutbox": outbox}])
}

fn write(server: &Server, numbers: std::ops::Range<usize>) {
    let (from, to) = (numbers.start, numbers.end - 1);
    server.execute(&format!(
        "INSERT INTO sse_outbox (channel, data) SELECT 'a', n::text FROM generate_series({from}, {to}) n"
    ));
}

fn empty(server: &Server) {
    until("an empty outbox", || {
        let rows = server
            .try_execute(postgres::DATABASE, "SELECT count(*) FROM sse_outbox")
            .ok()?;
        (rows == ["0"]).then_some(())
    });
}

#[test]
fn rows_become_events_in_their_order_and_are_deleted() {
    let server = Server::start();
    server.execute(TABLE);
    write(&server, 0..600);
    let relay = relay(&source(&server, json!({"poll": "1h"})), &[]);
    let mut stream = relay.subscribe("channel=a&from=earliest");
    assert_eq!(seen_until(&mut stream, "599"), numbers(0..600));
    empty(&server);
    // woken by the notification alone
    write(&server, 600..610);
    assert_eq!(seen_until(&mut stream, "609"), numbers(600..610));
    empty(&server);
}

#[test]
fn a_row_is_an_event_with_its_type_and_attributes() {
    let server = Server::start();
    server.execute(TABLE);
    let sources = json!([{
        "name": "box",
        "postgresOutbox": {"postgres": {"url": server.socket_url()}, "taken": "mark", "poll": "20ms"},
        "mapping": {"attributes": {"customer": "${attributes.customer}"}},
    }]);
    let relay = relay(&sources, &[]);
    let mut stream = relay.subscribe("channel=orders.eu&filter.customer=ann");
    server.execute(
        "INSERT INTO sse_outbox (channel, type, data, attributes) VALUES
         ('orders.eu', 'paid', 'not hers', '{\"customer\": \"bob\"}'),
         ('orders.eu', 'paid', '{\"b\": 1.0, \"a\": 2}', '{\"customer\": \"ann\"}')",
    );
    let block = stream.body_until("data: {\"b\": 1.0, \"a\": 2}\n\n");
    assert!(
        block.contains("event: paid\n") && !block.contains("not hers"),
        "{block}"
    );
    until("marks", || {
        (server.number("SELECT count(*) FROM sse_outbox WHERE sent_at IS NOT NULL") == 2)
            .then_some(())
    });
}

#[test]
fn a_transaction_that_commits_late_is_not_missed() {
    let server = Server::start();
    server.execute(TABLE);
    let relay = relay(&source(&server, json!({})), &[]);
    let mut stream = relay.subscribe("channel=a");
    std::thread::scope(|scope| {
        // its id is given out first, and committed last
        scope.spawn(|| {
            server.execute(
                "BEGIN; INSERT INTO sse_outbox (channel, data) VALUES ('a', 'late');
                 DO $$ BEGIN LOOP
                     EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7);
                     PERFORM pg_sleep(0.01);
                 END LOOP; END $$; COMMIT",
            );
        });
        until("a row that is not committed", || {
            let last = server.number("SELECT coalesce(max(last_value), 0) FROM sse_outbox_id_seq");
            let used = server.execute("SELECT is_called FROM sse_outbox_id_seq");
            (last >= 1 && used == ["t"]).then_some(())
        });
        write(&server, 0..1);
        assert_eq!(seen_until(&mut stream, "0"), ["0"]);
        scope.spawn(|| server.execute("SELECT pg_advisory_lock(7); SELECT pg_sleep(1)"));
        assert_eq!(seen_until(&mut stream, "late"), ["late"]);
    });
    empty(&server);
}

#[test]
fn nothing_is_lost_or_doubled_while_postgresql_is_killed_and_started_again() {
    let mut server = Server::start_with(&["fsync=on"]);
    server.execute(TABLE);
    let relay = relay(&source(&server, json!({"poll": "100ms"})), &[]);
    wait_until_connected(&relay, "box");
    let mut written = 0;
    for round in 0..4 {
        // what is killed is a server in the midst of being read
        write(&server, written..written + 1000);
        written += 1000;
        match round % 2 {
            0 => server.kill(),
            _ => server.stop(),
        }
        wait_until_disconnected(&relay, "box");
        server.run();
        wait_until_connected(&relay, "box");
    }
    write(&server, written..written + 1);
    let mut stream = relay.subscribe("channel=a&from=earliest");
    assert_eq!(
        seen_until(&mut stream, &written.to_string()),
        numbers(0..written + 1)
    );
    empty(&server);
}

#[test]
fn nothing_is_lost_or_doubled_while_relays_are_killed() {
    let (server, shared) = (Server::start(), redis::Server::start());
    server.execute(TABLE);
    let sources = source(&server, json!({"poll": "100ms"}));
    let url = shared.url();
    let env = [
        ("SSE_RELAY_REDIS__URL", url.as_str()),
        ("SSE_RELAY_RETENTION__EVENTS", "1000000"),
    ];
    let done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            let began = Instant::now();
            while !done.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
                write(&server, written..written + 20);
                written += 20;
                std::thread::sleep(PACE);
            }
            written
        });
        let mut relays = [relay(&sources, &env), relay(&sources, &env)];
        for round in 0..4 {
            let name = "sse_relay_source_connected{source=\"box\"}";
            let pulling = until("a replica that pulls", || {
                relays.iter().position(|relay| sample(relay, name) >= 1.0)
            });
            wait_for(
                &relays[pulling],
                "sse_relay_source_appended_total{source=\"box\"}",
                100.0 + f64::from(round),
            );
            relays[pulling].signal(Signal::KILL);
            relays[pulling] = relay(&sources, &env);
        }
        done.store(true, Ordering::Relaxed);
        let written = writer.join().expect("the writer is well");
        empty(&server);
        let mut stream = relays[0].subscribe("channel=a&from=earliest");
        assert_eq!(
            seen_until(&mut stream, &(written - 1).to_string()),
            numbers(0..written)
        );
        written
    });
    assert!(written > 400, "{written}");
}

#[test]
fn nothing_is_lost_or_doubled_while_a_relay_that_is_alone_is_killed_and_started_again() {
    let server = Server::start();
    server.execute(TABLE);
    let folder = tempfile::TempDir::new().unwrap();
    let sources = source(&server, json!({"poll": "100ms"}));
    let env = [
        ("SSE_RELAY_DATA__DIR", folder.path().to_str().unwrap()),
        ("SSE_RELAY_RETENTION__EVENTS", "1000000"),
    ];
    let mut alone = relay(&sources, &env);
    let mut written = 0;
    for round in 0..4 {
        // what is killed is a relay in the midst of taking rows
        write(&server, written..written + 500);
        written += 500;
        wait_for(
            &alone,
            "sse_relay_source_appended_total{source=\"box\"}",
            f64::from(round) + 1.0,
        );
        alone.signal(Signal::KILL);
        drop(alone);
        alone = relay(&sources, &env);
    }
    write(&server, written..written + 1);
    let mut stream = alone.subscribe("channel=a&from=earliest");
    assert_eq!(
        seen_until(&mut stream, &written.to_string()),
        numbers(0..written + 1)
    );
    empty(&server);
}

#[test]
fn rows_that_become_no_event_are_counted_and_stop_nothing() {
    let server = Server::start();
    server.execute(TABLE);
    let relay = relay(&source(&server, json!({})), &[]);
    server.execute(
        "INSERT INTO sse_outbox (channel, data) VALUES
         ('@subject/eve', 'x'), ('', 'x'), ('x''); DROP TABLE sse_outbox; --', 'x'),
         ('a', repeat('x', 2000000)), ('a', 'good')",
    );
    let mut stream = relay.subscribe("channel=a&from=earliest");
    assert_eq!(seen_until(&mut stream, "good"), ["good"]);
    empty(&server);
    assert_eq!(sample(&relay, &dropped("box", "too-large")), 1.0);
    assert_eq!(
        sample(&relay, &dropped("box", "bad-channel"))
            + sample(&relay, &dropped("box", "no-channel")),
        2.0
    );
}

#[test]
fn a_table_that_is_not_there_or_not_an_outbox_is_told_and_found_when_it_is() {
    let server = Server::start();
    let relay = relay(&source(&server, json!({"poll": "50ms"})), &[]);
    until("a complaint", || {
        relay.output().contains("sse_outbox").then_some(())
    });
    wait_until_disconnected(&relay, "box");
    server.execute(TABLE);
    write(&server, 0..3);
    let mut stream = relay.subscribe("channel=a&from=earliest");
    assert_eq!(seen_until(&mut stream, "2"), numbers(0..3));
}
