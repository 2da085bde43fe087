//! Notifications.

use super::*;
use rustix::process::Signal;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Between two notifications, and how long they come at most.
const PACE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn notifications_become_events_of_channels_with_their_names() {
    let server = Server::start();
    let relay = relay(
        &listening(
            &server,
            json!({"channels": ["Orders", "x\"; SELECT pg_notify('Orders', 'injected'); --"]}),
        ),
        &[],
    );
    wait_until_connected(&relay, "pg");
    let mut stream = relay.subscribe("channel=Orders");
    let large = "é".repeat(3999);
    server.execute(&format!(
        "SELECT pg_notify('orders', 'another channel'); SELECT pg_notify('Orders', '{large}'); SELECT pg_notify('Orders', 'last')"
    ));
    assert_eq!(seen_until(&mut stream, "last"), [large, "last".to_owned()]);
    let mut odd = relay.subscribe(
        "channel=x%22%3B%20SELECT%20pg_notify%28%27Orders%27%2C%20%27injected%27%29%3B%20--",
    );
    server.execute(
        "SELECT pg_notify('x\"; SELECT pg_notify(''Orders'', ''injected''); --', 'plain')",
    );
    assert_eq!(seen_until(&mut odd, "plain"), ["plain"]);
}

#[test]
fn folded_names_are_those_that_notify_means_without_quotes() {
    let server = Server::start();
    let relay = relay(
        &listening(
            &server,
            json!({"channels": ["NOTIFICATIONS"], "names": "folded"}),
        ),
        &[],
    );
    wait_until_connected(&relay, "pg");
    let mut stream = relay.subscribe("channel=notifications");
    server.execute(
        "NOTIFY \"NOTIFICATIONS\", 'quoted is another one'; NOTIFY Notifications, 'unquoted'",
    );
    assert_eq!(seen_until(&mut stream, "unquoted"), ["unquoted"]);
}

#[test]
fn a_server_that_is_killed_is_listened_to_again() {
    let mut server = Server::start();
    let relay = relay(&listening(&server, json!({"channels": ["a"]})), &[]);
    let mut stream = relay.subscribe("channel=a");
    for round in 0..4 {
        wait_until_connected(&relay, "pg");
        let statements: String = (0..200)
            .map(|n| format!("NOTIFY a, '{}';", round * 200 + n))
            .collect();
        server.execute(&statements);
        let last = (round * 200 + 199).to_string();
        assert_eq!(
            seen_until(&mut stream, &last),
            numbers(round * 200..round * 200 + 200)
        );
        match round % 2 {
            0 => server.kill(),
            _ => server.stop(),
        }
        wait_until_disconnected(&relay, "pg");
        server.run();
    }
}

#[test]
fn a_flood_is_taken_whole_or_what_is_lost_is_counted() {
    let server = Server::start();
    let relay = relay(
        &listening(&server, json!({"channels": ["a"]})),
        &[("SSE_RELAY_RETENTION__EVENTS", "100000")],
    );
    wait_until_connected(&relay, "pg");
    server.execute("SELECT count(pg_notify('a', n::text)) FROM generate_series(1, 30000) n");
    until("all that came", || {
        let appended = sample(&relay, "sse_relay_source_appended_total{source=\"pg\"}");
        let lost = sample(&relay, &dropped("pg", "overflow"));
        (appended + lost == 30_000.0).then_some(())
    });
    server.execute("SELECT pg_notify('a', 'end')");
    let mut stream = relay.subscribe("channel=a&from=earliest");
    let seen = seen_until(&mut stream, "end");
    let lost = sample(&relay, &dropped("pg", "overflow")) as usize;
    assert_eq!(seen.len() + lost, 30_001);
    let values: Vec<usize> = seen.iter().filter_map(|text| text.parse().ok()).collect();
    assert!(
        values.windows(2).all(|pair| pair[0] < pair[1]),
        "in order, once"
    );
}

#[test]
fn a_server_that_refuses_the_user_is_told_and_touches_nothing_else() {
    let server = Server::start();
    let sources = json!([
        {"name": "pg", "postgresListen": {"postgres": {"url": server.url(), "credentials": {"username": "nobody-here"}}, "channels": ["a"]}},
        {"name": "well", "postgresListen": {"postgres": {"url": server.url()}, "channels": ["b"]}},
    ]);
    let relay = relay(&sources, &[]);
    wait_until_connected(&relay, "well");
    until("a complaint", || {
        relay.output().contains("nobody-here").then_some(())
    });
    let mut stream = relay.subscribe("channel=b");
    server.execute("NOTIFY b, 'x'");
    assert_eq!(seen_until(&mut stream, "x"), ["x"]);
    wait_until_disconnected(&relay, "pg");
}

#[test]
fn when_who_listens_is_killed_another_goes_on_and_only_what_came_between_is_lost() {
    let (server, log) = (Server::start(), redis::Server::start());
    let sources = listening(&server, json!({"channels": ["a"]}));
    let url = log.url();
    let start = || relay(&sources, &[("SSE_RELAY_REDIS__URL", &url)]);
    let mut relays = [start(), start()];
    let name = "sse_relay_source_connected{source=\"pg\"}";
    let (sent, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let killed = std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            while !done.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
                let number = sent.load(Ordering::Relaxed);
                server.execute(&format!("NOTIFY a, '{number}'"));
                sent.store(number + 1, Ordering::Relaxed);
                std::thread::sleep(PACE);
            }
        });
        let appended = "sse_relay_source_appended_total{source=\"pg\"}";
        let pulls = until("a replica that pulls", || {
            relays.iter().position(|relay| sample(relay, name) >= 1.0)
        });
        wait_for(&relays[pulls], appended, 10.0);
        relays[pulls].signal(Signal::KILL);
        let killed = sent.load(Ordering::Relaxed);
        let other = 1 - pulls;
        wait_for(&relays[other], appended, 10.0);
        relays.swap(0, other);
        done.store(true, Ordering::Relaxed);
        killed
    });
    server.execute("NOTIFY a, 'last'");
    let mut stream = relays[0].subscribe("channel=a&from=earliest");
    let seen = seen_until(&mut stream, "last");
    let seen: Vec<usize> = seen.iter().filter_map(|text| text.parse().ok()).collect();
    let jumps: Vec<&[usize]> = seen
        .windows(2)
        .filter(|pair| pair[1] != pair[0] + 1)
        .collect();
    assert!(
        seen.windows(2).all(|pair| pair[0] < pair[1]),
        "once, in order: {seen:?}"
    );
    assert!(jumps.len() <= 1, "one hole: {jumps:?}");
    // what was on its way when the process died may be lost too
    assert!(
        jumps
            .iter()
            .all(|pair| pair[0] <= killed + 1 && pair[1] >= killed),
        "{jumps:?}, {killed}"
    );
    assert_eq!(pulled::check(&relays[0])["promise"], "lossy");
}
