//! Notifications.

use super::*;

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
