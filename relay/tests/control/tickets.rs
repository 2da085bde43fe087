//! Tickets: EventSource's way in.

use super::*;

const JSON: &str = "Content-Type: application/json";

fn mint(relay: &Relay, token: &str, body: &Value) -> Answer {
    let body = body.to_string();
    relay.request("POST", "/v1/tickets", &[token, JSON], body.as_bytes())
}

fn ticket(relay: &Relay, token: &str, body: &Value) -> String {
    let answer = mint(relay, token, body);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["ticket"]
        .as_str()
        .expect("a ticket")
        .to_owned()
}

/// What a stream's address with this query is answered to a client of this User-Agent.
fn ask(relay: &Relay, query: &str, agent: &str) -> (Connection, Answer) {
    let mut connection = relay.connect();
    let agent = format!("User-Agent: {agent}");
    connection.send(support::request(
        "GET",
        &format!("/v1/events?{query}"),
        &[&agent],
        b"",
    ));
    let head = connection.head();
    (connection, head)
}

fn start(more: &[(&str, &str)]) -> Relay {
    let auth = auth().to_string();
    let all = [&[("SSE_RELAY_AUTH", auth.as_str())], more].concat();
    Relay::start_with(&all, &[])
}

#[test]
fn a_ticket_opens_its_stream_and_opens_it_again_in_place_of_the_one_before() {
    let relay = start(&[]);
    let query = format!("ticket={}", ticket(&relay, ANN, &json!({})));
    let (mut first, head) = ask(&relay, &query, "a");
    assert_eq!(head.status, 200);
    first.until("retry: ");
    let listed_first = &listed(&relay, "subject=ann")[0];
    assert_eq!(listed_first["credential"], "ticket");
    assert_eq!(listed_first["token"], "page-ann");
    assert_eq!(listed_first["channels"], json!(["orders.*", "public.**"]));
    publish(&relay, "orders.eu", "one");
    first.until("data: one\n");
    let (mut again, head) = ask(&relay, &query, "a");
    assert_eq!(head.status, 200);
    let told = String::from_utf8(first.rest()).unwrap();
    assert!(told.contains("{\"reason\":\"replaced\"}"), "{told}");
    again.until("retry: ");
    publish(&relay, "orders.eu", "two");
    again.until("data: two\n");
    assert_eq!(listed(&relay, "").len(), 1);
    drop(again);
    // a lost connection, as EventSource comes back from it; through hyper this time
    let mut used = relay.connect();
    used.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(used.answer().status, 200);
    used.send(format!(
        "GET /v1/events?{query} HTTP/1.1\r\nHost: x\r\nUser-Agent: a\r\n\r\n"
    ));
    assert_eq!(used.head().status, 200);
    used.until("retry: ");
    let metrics = relay.scrape();
    for line in [
        "ticket_uses_total{use=\"minted\"} 1\n",
        "ticket_uses_total{use=\"redeemed\"} 1\n",
        "ticket_uses_total{use=\"reopened\"} 2\n",
        "sse_relay_tickets 1\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    assert!(
        !relay.output().contains("sseticket_"),
        "no ticket is logged"
    );
}

#[test]
fn a_ticket_is_of_no_use_to_another_client_or_for_another_stream() {
    let relay = start(&[]);
    let text = ticket(&relay, ANN, &json!({}));
    let query = format!("ticket={text}&channel=orders.eu");
    let (mut ann, head) = ask(&relay, &query, "a");
    assert_eq!(head.status, 200);
    ann.until("retry: ");
    for (query, agent) in [
        (query.clone(), "b"),
        (format!("ticket={text}&channel=orders.us"), "a"),
        (format!("ticket={text}&channel=orders.eu&filter.k=v"), "a"),
        (format!("ticket={text}"), "a"),
        ("ticket=sseticket_x&channel=orders.eu".to_owned(), "a"),
        ("ticket=&channel=orders.eu".to_owned(), "a"),
    ] {
        assert_eq!(ask(&relay, &query, agent).1.status, 401, "{query} {agent}");
    }
    assert_eq!(
        ask(&relay, &format!("ticket={text}&channel=secret.a"), "a")
            .1
            .status,
        403
    );
    let two = format!("/v1/events?ticket={text}&channel=orders.eu");
    assert_eq!(
        relay.request("GET", &two, &[ANN], b"").status,
        401,
        "two credentials"
    );
    assert_eq!(
        relay.request("HEAD", &two, &["User-Agent: a"], b"").status,
        200
    );
    publish(&relay, "orders.eu", "still here");
    ann.until("data: still here\n");
    let history = format!("/v1/channels/orders.eu/events?ticket={text}");
    assert_eq!(
        relay.request("GET", &history, &[], b"").status,
        401,
        "only a stream"
    );
}

#[test]
fn a_ticket_is_never_more_than_its_minter_has() {
    let relay = start(&[]);
    for (token, body, status) in [
        (ANN, json!({"channels": ["orders.**"]}), 403),
        (ANN, json!({"channels": ["secret.a"]}), 403),
        (ANN, json!({"subject": "bob"}), 403),
        (ANN, json!({"channels": []}), 400),
        (ANN, json!({"channels": ["@subject/bob"]}), 400),
        (ANN, json!({"filter": {"k": []}}), 400),
        (ANN, json!({"expires": "2026-01-01T00:00:00Z"}), 400),
        (ANN, json!({"channel": "orders.eu"}), 400),
        (
            ANN,
            json!({"channels": ["orders.eu"], "subject": "ann", "filter": {"k": ["v"]}}),
            201,
        ),
        (
            OPERATOR,
            json!({"subject": "bob", "channels": ["orders.eu"]}),
            201,
        ),
    ] {
        let answer = mint(&relay, token, &body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    let nobody = relay.request("POST", "/v1/tickets", &[JSON], b"{}");
    assert_eq!(nobody.status, 401);
    let for_bob = json!({"subject": "bob", "channels": ["orders.eu"], "filter": {"k": ["v"]}});
    let text = ticket(&relay, OPERATOR, &for_bob);
    let (mut bob, _) = ask(&relay, &format!("ticket={text}"), "a");
    bob.until("retry: ");
    let stream = &listed(&relay, "subject=bob")[0];
    assert_eq!(
        (&stream["channels"], &stream["filter"]),
        (&json!(["orders.eu"]), &json!({"k": ["v"]}))
    );
    let body = json!({"subject": "bob"}).to_string();
    let revoked = relay.request(
        "POST",
        "/v1/revocations",
        &[OPERATOR, JSON],
        body.as_bytes(),
    );
    assert_eq!(revoked.json()["ended"], 1);
    bob.until("\"revoked\"");
    assert_eq!(ask(&relay, &format!("ticket={text}"), "a").1.status, 401);
}

#[test]
fn tickets_are_bounded_and_last_a_moment() {
    let relay = start(&[
        ("SSE_RELAY_TICKETS__MAX", "1"),
        ("SSE_RELAY_TICKETS__REDEEM_WITHIN", "1s"),
    ]);
    let unused = ticket(&relay, ANN, &json!({}));
    let full = mint(&relay, ANN, &json!({}));
    assert_eq!(
        (full.status, full.problem()),
        (503, "too-many-tickets".into())
    );
    let started = std::time::Instant::now();
    while mint(&relay, ANN, &json!({})).status == 503 {
        assert!(started.elapsed() < support::LIMIT);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(ask(&relay, &format!("ticket={unused}"), "a").1.status, 401);
}
