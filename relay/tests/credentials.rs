//! Credentials against the real relay: nothing is open but what the configuration says.

mod support;

use serde_json::json;
use sse_relay::auth::hash_of;
use std::time::{Duration, SystemTime};
use support::{Answer, Relay};

const BACKEND: &str = "Authorization: Bearer backend-secret";
const READER: &str = "Authorization: Bearer reader-secret";
const OPERATOR: &str = "Authorization: Bearer operator-secret";

fn auth() -> serde_json::Value {
    json!({
        "anonymous": {"subscribe": ["public.**"]},
        "tokens": [
            {"name": "backend", "sha256": hash_of("backend-secret"), "publish": ["**"]},
            {"name": "reader", "sha256": hash_of("reader-secret"), "subscribe": ["orders.*"]},
            {"name": "operator", "sha256": hash_of("operator-secret"), "manage": ["observe"]},
            {"name": "old", "sha256": hash_of("old-secret"), "publish": ["**"], "expires": "2026-01-01T00:00:00Z"},
        ],
    })
}

fn relay() -> Relay {
    Relay::start_with(&[("SSE_RELAY_AUTH", &auth().to_string())], &[])
}

fn publish(relay: &Relay, channel: &str, headers: &[&str]) -> Answer {
    let target = format!("/v1/channels/{channel}/events");
    relay.request("POST", &target, headers, b"x")
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

fn unauthenticated() -> (u16, String) {
    (401, "unauthenticated".to_owned())
}

fn not_granted() -> (u16, String) {
    (403, "not-granted".to_owned())
}

#[test]
fn nobody_gets_only_what_everybody_may() {
    let relay = relay();
    assert_eq!(told(&publish(&relay, "public.a", &[])), unauthenticated());
    for target in [
        "/v1/events?channel=orders.eu",
        "/v1/events?channel=public.a&channel=orders.eu",
        "/v1/events?channel=**",
        "/v1/channels",
        "/v1/channels/public.a",
        "/v1/channels/orders.eu/events",
        "/v1/connections",
        "/v1/clients",
        "/v1/status",
    ] {
        let answer = relay.get(target);
        assert_eq!(told(&answer), unauthenticated(), "{target}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{target}");
    }
    let mut stream = relay.subscribe("channel=public.*");
    stream.until("retry: ");
    assert_eq!(publish(&relay, "public.a", &[BACKEND]).status, 201);
    stream.until("data: x\n");
    for open in ["/health", "/", "/v1/openapi.json"] {
        assert_eq!(relay.get(open).status, 200, "{open}");
    }
}

#[test]
fn a_token_allows_what_it_says_and_no_more() {
    let relay = relay();
    assert_eq!(publish(&relay, "orders.eu", &[BACKEND]).status, 201);
    assert_eq!(
        told(&publish(&relay, "orders.eu", &[READER])),
        not_granted()
    );
    let history = "/v1/channels/orders.eu/events";
    assert_eq!(relay.request("GET", history, &[READER], b"").status, 200);
    assert_eq!(
        told(&relay.request("GET", history, &[BACKEND], b"")),
        not_granted()
    );
    assert_eq!(
        relay
            .request("GET", "/v1/connections", &[OPERATOR], b"")
            .status,
        200
    );
    assert_eq!(
        told(&relay.request("GET", "/v1/connections", &[READER], b"")),
        not_granted()
    );
    // who may publish to a channel may know whether anybody listens
    assert_eq!(
        relay
            .request("GET", "/v1/channels/orders.eu", &[BACKEND], b"")
            .status,
        200
    );
    // a pattern is allowed only as a whole: never a narrower stream
    let wider = relay.request("GET", "/v1/events?channel=orders.**", &[READER], b"");
    assert_eq!(told(&wider), not_granted());
    assert_eq!(
        relay
            .request("HEAD", "/v1/events?channel=orders.*", &[READER], b"")
            .status,
        200
    );
}

#[test]
fn a_stream_opens_with_a_token_on_a_fresh_connection_and_on_a_used_one() {
    let relay = relay();
    let open = format!("GET /v1/events?channel=orders.eu HTTP/1.1\r\nHost: x\r\n{READER}\r\n\r\n");
    let mut fresh = relay.connect();
    fresh.send(&open);
    fresh.until("retry: ");
    let mut used = relay.connect();
    used.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(used.answer().status, 200);
    used.send(&open);
    used.until("retry: ");
    assert_eq!(publish(&relay, "orders.eu", &[BACKEND]).status, 201);
    fresh.until("data: x\n");
    used.until("data: x\n");
}

#[test]
fn every_wrong_credential_is_refused_with_its_reason_and_counted_once() {
    let relay = relay();
    let long = format!("Authorization: Bearer {}", "x".repeat(12_000));
    for (headers, says) in [
        (vec!["Authorization: Bearer wrong"], "not known"),
        (vec!["Authorization: Bearer old-secret"], "expired"),
        (vec!["Authorization: Basic YTpi"], "Bearer TOKEN"),
        (vec!["Authorization: Bearer"], "Bearer TOKEN"),
        (vec![BACKEND, BACKEND], "two of them"),
        (vec![long.as_str()], "not known"),
    ] {
        for (method, target) in [
            ("POST", "/v1/channels/public.a/events"),
            ("GET", "/v1/events?channel=public.a"),
        ] {
            let answer = relay.request(method, target, &headers, b"x");
            assert_eq!(told(&answer), unauthenticated(), "{headers:?}");
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains(says), "{detail}");
            assert!(
                !detail.contains("wrong") && !detail.contains("secret"),
                "{detail}"
            );
        }
    }
    let metrics = relay.scrape();
    for (reason, count) in [
        ("unknown", 4),
        ("expired", 2),
        ("malformed", 6),
        ("missing", 0),
    ] {
        let line = format!("sse_relay_auth_refused_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert_eq!(relay.stored_by(&[OPERATOR]), 0, "a refusal stores nothing");
    assert!(!relay.output().contains("secret"), "no token is logged");
}

#[test]
fn a_stream_is_told_before_its_grant_ends_and_closed_before_it() {
    let ends = SystemTime::now() + Duration::from_secs(4);
    let ends = jiff::Timestamp::try_from(ends).unwrap().to_string();
    let auth = json!({"tokens": [
        {"name": "short", "sha256": hash_of("short-secret"), "subscribe": ["**"], "expires": ends},
        {"name": "backend", "sha256": hash_of("backend-secret"), "publish": ["**"]},
    ]});
    let relay = Relay::start_with(&[("SSE_RELAY_AUTH", &auth.to_string())], &[]);
    let token = "Authorization: Bearer short-secret";
    let mut stream = relay.connect();
    stream.send(format!(
        "GET /v1/events?channel=c HTTP/1.1\r\nHost: x\r\n{token}\r\n\r\n"
    ));
    stream.until("retry: ");
    assert_eq!(publish(&relay, "c", &[BACKEND]).status, 201);
    stream.until("data: x\n");
    stream.until("event: expiring\n");
    let rest = String::from_utf8_lossy(&stream.rest()).into_owned();
    assert!(
        rest.contains("retry: ") && rest.ends_with("0\r\n\r\n"),
        "{rest}"
    );
    assert!(
        relay
            .scrape()
            .contains("streams_closed_total{reason=\"expired\"} 1\n")
    );
}

#[test]
fn opening_the_relay_does_not_take_credentials_away() {
    let relay = Relay::start_with(
        &[("SSE_RELAY_AUTH", &auth().to_string())],
        &["--insecure-open"],
    );
    assert_eq!(told(&relay.get("/v1/status")), unauthenticated());
}

/// With a cookie and a parameter that may hold a token.
fn carrying() -> Relay {
    let mut auth = auth();
    auth["cookie"] = json!({"name": "__Host-sse"});
    auth["queryParameter"] = json!("token");
    Relay::start_with(&[("SSE_RELAY_AUTH", &auth.to_string())], &[])
}

const COOKIE: &str = "Cookie: theme=dark; __Host-sse=reader-secret";

#[test]
fn a_token_may_come_in_a_cookie_or_in_the_address_of_a_stream() {
    let relay = carrying();
    let mut by_cookie = relay.connect();
    let target = "/v1/events?channel=orders.eu";
    by_cookie.send(support::request("GET", target, &[COOKIE], b""));
    by_cookie.until("retry: ");
    let mut by_query = relay.subscribe("channel=orders.eu&token=reader-secret");
    let backend = "Cookie: __Host-sse=backend-secret";
    assert_eq!(publish(&relay, "orders.eu", &[backend]).status, 201);
    by_cookie.until("data: x\n");
    by_query.until("data: x\n");
    // the address of nothing else may hold one
    let history = "/v1/channels/orders.eu/events?token=reader-secret";
    assert_eq!(told(&relay.get(history)), unauthenticated());
    let wrong = relay.get("/v1/events?channel=orders.eu&token=wrong-secret");
    assert_eq!(told(&wrong), unauthenticated());
    assert!(!relay.output().contains("secret"), "{}", relay.output());
    let list = relay.request("GET", "/v1/connections", &[OPERATOR], b"");
    assert!(!list.body.contains("secret"), "{}", list.body);
}

#[test]
fn without_being_configured_neither_a_cookie_nor_an_address_holds_a_token() {
    let relay = relay();
    let target = "/v1/events?channel=orders.eu";
    let by_cookie = relay.request("GET", target, &[COOKIE], b"");
    assert_eq!(told(&by_cookie), unauthenticated());
    let by_query = relay.get("/v1/events?channel=public.a&token=reader-secret");
    assert_eq!(told(&by_query), (400, "invalid-query".to_owned()));
    assert!(!by_query.body.contains("secret"), "{by_query:?}");
    assert!(!relay.output().contains("secret"));
}

#[test]
fn a_request_has_one_credential() {
    let relay = carrying();
    for (target, headers) in [
        ("/v1/events?channel=public.a", &[BACKEND, COOKIE][..]),
        ("/v1/events?channel=public.a&token=other", &[READER]),
        ("/v1/events?channel=public.a&token=other", &[COOKIE]),
        ("/v1/events?channel=public.a&token=a&token=a", &[]),
    ] {
        let answer = relay.request("GET", target, headers, b"");
        assert_eq!(told(&answer), unauthenticated(), "{target} {headers:?}");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains("two different"), "{detail}");
    }
    let line = "sse_relay_auth_refused_total{reason=\"several\"} 4\n";
    assert!(relay.scrape().contains(line));
    let same = relay.request(
        "HEAD",
        "/v1/events?channel=orders.eu",
        &[READER, COOKIE],
        b"",
    );
    assert_eq!(same.status, 200, "the same twice is one");
}

#[test]
fn a_cookie_serves_only_pages_that_may_use_it() {
    let mut auth = auth();
    auth["cookie"] = json!({"name": "__Host-sse"});
    let cors = json!({"origins": ["https://app.example"], "credentials": true});
    let env = [
        ("SSE_RELAY_AUTH", auth.to_string()),
        ("SSE_RELAY_CORS", cors.to_string()),
    ];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let relay = Relay::start_with(&env, &[]);
    let cookie = "Cookie: __Host-sse=backend-secret";
    for (origin, status) in [
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Origin: https://app.example", 201),
        ("Origin: http://localhost", 201),
        ("Sec-Fetch-Site: same-origin", 201),
    ] {
        let answer = publish(&relay, "orders.eu", &[cookie, origin]);
        assert_eq!(answer.status, status, "{origin}");
        if status == 403 {
            assert_eq!(answer.problem(), "cross-origin");
        }
    }
    let foreign = [COOKIE, "Origin: https://evil.example"];
    let stream = relay.request("GET", "/v1/events?channel=orders.eu", &foreign, b"");
    assert_eq!(told(&stream), (403, "cross-origin".to_owned()));
    // a page that has a token of its own is not held up
    let foreign = [BACKEND, "Origin: https://evil.example"];
    assert_eq!(publish(&relay, "orders.eu", &foreign).status, 201);
}

#[test]
fn an_idempotency_key_belongs_to_the_subject_that_used_it() {
    let token = |name: &str, subject: Option<&str>| json!({"name": name, "sha256": hash_of(&format!("{name}-secret")), "publish": ["**"], "subject": subject});
    let auth = json!({"tokens": [token("one", Some("one")), token("other", Some("other")), token("nobody", None)]});
    let relay = Relay::start_with(&[("SSE_RELAY_AUTH", &auth.to_string())], &[]);
    let publish = |who: &str, body: &[u8]| {
        let headers = [
            &format!("Authorization: Bearer {who}-secret"),
            "Idempotency-Key: k",
            "Content-Type: text/plain",
        ];
        relay.request("POST", "/v1/channels/c/events", &headers, body)
    };
    for who in ["one", "other", "nobody"] {
        assert_eq!(publish(who, b"x").status, 201, "{who} has not used it");
        assert_eq!(publish(who, b"x").status, 200, "{who} has");
        let reused = publish(who, b"y");
        assert_eq!(told(&reused), (422, "idempotency-key-reused".to_owned()));
    }
}
