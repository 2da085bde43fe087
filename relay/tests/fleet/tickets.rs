//! Tickets that are made at one replica and used at another.

use super::*;

pub fn ticket(relay: &Relay, body: &Value) -> String {
    let made = relay.request(
        "POST",
        "/v1/tickets",
        &[ANN, JSON],
        body.to_string().as_bytes(),
    );
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["ticket"].as_str().unwrap().to_owned()
}

pub fn query(ticket: &str) -> String {
    format!("channel=orders.eu&ticket={ticket}")
}

/// The status that a client of this name gets; the stream ends at once.
pub fn try_open(relay: &Relay, ticket: &str, agent: &str) -> Answer {
    let target = format!("/v1/events?{}", query(ticket));
    let agent = format!("User-Agent: {agent}");
    relay.request("HEAD", &target, &[&agent], b"")
}

fn listed(relay: &Relay) -> usize {
    let listed = get(relay, "/v1/connections").json();
    listed["connections"].as_array().unwrap().len()
}

#[test]
fn a_ticket_of_one_replica_opens_one_stream_at_any_and_belongs_to_its_first_user() {
    let server = Server::start();
    let [one, two, three] = relays(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    let ticket = ticket(&one, &json!({"channels": ["orders.eu"]}));
    let agent = "User-Agent: a";
    let (first, _) = open(&two, &query(&ticket), &[agent]);
    assert_eq!(try_open(&three, &ticket, "b").status, 401, "another client");
    // the same client comes back, to another replica: the stream before ends
    let (mut second, id) = open(&three, &query(&ticket), &[agent]);
    assert!(rest(first).contains(r#"{"reason":"replaced"}"#));
    publish(&one, "orders.eu", "x");
    second.until("data: x\n");
    let page = get(&one, "/v1/connections?subject=ann").json();
    assert_eq!(page["connections"][0]["id"], id.as_str());
    assert_eq!(
        (page["connections"].as_array().unwrap().len(), listed(&two)),
        (1, 1)
    );
    // another stream than its own
    let other = three.request(
        "GET",
        &format!("/v1/events?ticket={ticket}&filter.a=b"),
        &[agent],
        b"",
    );
    assert_eq!(other.status, 401);
    // on a connection that was used before
    let mut used = one.connect();
    used.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(used.answer().status, 200);
    used.send(support::request(
        "GET",
        &format!("/v1/events?{}", query(&ticket)),
        &[agent],
        b"",
    ));
    assert_eq!(used.head().status, 200);
    assert!(rest(second).contains(r#"{"reason":"replaced"}"#));
    let unknown = try_open(&two, "sseticket_nonsense", "a");
    assert_eq!(unknown.status, 401);
    let scraped = one.scrape();
    assert!(
        scraped.contains("sse_relay_ticket_uses_total{use=\"reopened\"} 1\n"),
        "{scraped}"
    );
}

#[test]
fn a_ticket_whose_replica_was_killed_opens_its_stream_at_another() {
    let server = Server::start();
    let [one, two] = relays(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    let ticket = ticket(&one, &json!({}));
    let (_stream, id) = open(&two, &query(&ticket), &["User-Agent: a"]);
    until("the stream at the other replica", || {
        (listed(&one) == 1).then_some(())
    });
    two.signal(rustix::process::Signal::KILL);
    let (mut again, other) = open(&one, &query(&ticket), &["User-Agent: a"]);
    assert_ne!(id, other);
    publish(&one, "orders.eu", "x");
    again.until("data: x\n");
    assert_eq!(try_open(&one, &ticket, "b").status, 401);
}

#[test]
fn a_ticket_is_over_a_while_after_its_stream() {
    let server = Server::start();
    let redis = [
        ("SSE_RELAY_REDIS__URL", server.url()),
        ("SSE_RELAY_TICKETS__REOPEN_WITHIN", "3s".to_owned()),
    ];
    let redis = redis
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let [one, two] = relays(&redis);
    let ticket = ticket(&one, &json!({}));
    let (stream, _) = open(&two, &query(&ticket), &["User-Agent: a"]);
    let record = || server.cli(&["HVALS", "sse-relay:{fleet}:tickets"]);
    until("a ticket that is in use", || {
        record()
            .split(' ')
            .nth(2)
            .filter(|idle| *idle == "-")
            .map(drop)
    });
    assert_eq!(try_open(&one, &ticket, "a").status, 200);
    drop(stream);
    until("a ticket that is over", || {
        (try_open(&one, &ticket, "a").status == 401).then_some(())
    });
    assert!(!record().contains(&ticket), "only its hash is kept");
}

#[test]
fn without_redis_a_ticket_is_neither_made_nor_refused_for_good() {
    let mut server = Server::start();
    let [one] = relays(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    let ticket = ticket(&one, &json!({}));
    server.kill();
    until("a relay that knows it", || {
        one.scrape()
            .contains("sse_relay_fleet_in_touch 0\n")
            .then_some(())
    });
    let made = one.request("POST", "/v1/tickets", &[ANN, JSON], b"{}");
    assert_eq!(
        (made.status, made.problem().as_str()),
        (503, "replicas-unavailable")
    );
    assert!(made.header("retry-after").is_some());
    let target = format!("/v1/events?{}", query(&ticket));
    let program = one.request("GET", &target, &["User-Agent: a"], b"");
    assert_eq!(program.status, 503, "{program:?}");
    // an EventSource never returns after that, so it is told when to come back
    let mut browser = one.connect();
    let headers = ["User-Agent: a", "Sec-Fetch-Mode: cors", "Connection: close"];
    browser.send(support::request("GET", &target, &headers, b""));
    assert_eq!(browser.head().status, 200);
    assert!(rest(browser).contains("retry: "));
}
