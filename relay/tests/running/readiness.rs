//! Which replica takes streams, and what is told while Redis is away.

use crate::{
    servers::{Server, until},
    support::{Connection, Relay, request},
    users::line,
};

fn of_admin(relay: &Relay, path: &str) -> crate::support::Answer {
    let mut connection = Connection::to(relay.admin);
    connection.send(request("GET", path, &["Connection: close"], b""));
    connection.answer()
}

fn is_ready(relay: &Relay) -> bool {
    of_admin(relay, "/readyz").status == 200
}

fn lag(relay: &Relay) -> f64 {
    let scraped = relay.scrape();
    let figure = scraped
        .lines()
        .find_map(|line| line.strip_prefix("sse_relay_log_lag_seconds "));
    figure.unwrap().parse().unwrap()
}

fn relay_of(server: &Server, user: &str) -> Relay {
    let password = server.folder().join(user);
    let settings = [
        ("SSE_RELAY_REDIS__URL", server.url()),
        ("SSE_RELAY_REDIS__CREDENTIALS__USERNAME", user.to_owned()),
        (
            "SSE_RELAY_REDIS__CREDENTIALS__PASSWORD_FILE",
            password.display().to_string(),
        ),
    ];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    Relay::start_with(&settings, &[])
}

/// A user may no longer hear, and loses the connections that it hears on.
fn deafen(server: &Server, user: &str) {
    server.cli(&["ACL", "SETUSER", user, "-ssubscribe"]);
    server.cli(&["CLIENT", "KILL", "USER", user, "TYPE", "pubsub"]);
}

#[test]
fn a_replica_that_alone_hears_nothing_takes_no_streams_and_one_of_many_that_do_not_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let users = ["one", "other"].map(|user| line("relay", user, folder.path()));
    let server = Server::start_with_users(&[&users[0], &users[1]], &[]);
    for user in ["one", "other"] {
        std::fs::write(server.folder().join(user), user).unwrap();
    }
    let (one, other) = (relay_of(&server, "one"), relay_of(&server, "other"));
    until("both ready", || {
        (is_ready(&one) && is_ready(&other)).then_some(())
    });
    one.publish("a", "1");

    deafen(&server, "one");
    until("the deaf one to step aside", || {
        (!is_ready(&one)).then_some(())
    });
    assert!(is_ready(&other));
    one.publish("a", "publishing works");
    assert!(
        lag(&one) > 1.0 && lag(&other) < 1.0,
        "{} {}",
        lag(&one),
        lag(&other)
    );
    assert_eq!(of_admin(&one, "/checks").json()["hearing"], "alone");
    assert!(
        one.scrape()
            .contains("sse_relay_log_hearing{hearing=\"alone\"} 1")
    );

    deafen(&server, "other");
    until("both ready, since nobody hears", || {
        (is_ready(&one) && lag(&other) > 1.0).then_some(())
    });
    assert!(is_ready(&other));

    for user in ["one", "other"] {
        server.cli(&["ACL", "SETUSER", user, "+ssubscribe"]);
    }
    until("both to hear again", || {
        (lag(&one) < 1.0 && lag(&other) < 1.0).then_some(())
    });
    assert!(is_ready(&one) && is_ready(&other));
}

#[test]
fn while_redis_is_away_replicas_stay_ready_and_say_when_to_come_back() {
    let mut server = Server::start_with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let relay = Relay::start_with(&[("SSE_RELAY_REDIS__URL", &server.url())], &[]);
    let mut told = relay.subscribe("channel=a&degraded=true&from=earliest");
    relay.publish("a", "1");
    told.until("data: 1\n");
    server.kill();
    let refused = until("a refusal", || {
        let headers = ["Content-Type: text/plain"];
        let answer = relay.request("POST", "/v1/channels/a/events", &headers, b"x");
        (answer.status == 503 && answer.problem() == "unavailable").then_some(answer)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    let mut newcomer = relay.subscribe("channel=b&from=earliest");
    told.until("event: degraded");
    assert!(told.until("\n\n").contains("\"degraded\":true"));
    assert!(is_ready(&relay), "all replicas share this fault");
    until("the newcomer to be held", || {
        let scraped = relay.scrape();
        scraped
            .contains("sse_relay_streams_waiting 1\n")
            .then_some(())
    });
    server.restart();
    told.until("event: degraded");
    assert!(told.until("\n\n").contains("\"degraded\":false"));
    relay.publish("b", "2");
    newcomer.until("data: 2\n");
}
