//! What a browser is told about pages of other origins, on every kind of answer.

mod support;

use rustix::process::Signal;
use serde_json::json;
use sse_relay::auth::hash_of;
use std::time::{Duration, Instant};
use support::{Answer, LIMIT, Relay, request};

const APP: &str = "https://app.example.com";
const FROM_APP: &str = "Origin: https://app.example.com";
const FROM_ELSEWHERE: &str = "Origin: https://evil.example";
const BACKEND: &str = "Authorization: Bearer backend-secret";

fn relay_with(origins: &[&str], credentials: bool) -> Relay {
    let cors = json!({"origins": origins, "credentials": credentials}).to_string();
    let auth = json!({
        "anonymous": {"subscribe": ["public.**"]},
        "tokens": [
            {"name": "backend", "sha256": hash_of("backend-secret"), "publish": ["public.**"]},
        ],
    });
    let env = [
        ("SSE_RELAY_CORS", cors.as_str()),
        ("SSE_RELAY_AUTH", &auth.to_string()),
        ("SSE_RELAY_DRAIN__PROPAGATION", "20s"),
        ("SSE_RELAY_DRAIN__TIMEOUT", "60s"),
    ];
    Relay::start_with(&env, &[])
}

fn relay() -> Relay {
    relay_with(&[APP, "https://*.example.org"], true)
}

/// Fails unless a page of this origin, and no other, may read the answer.
fn assert_shared(answer: &Answer, origin: Option<&str>) {
    assert_eq!(
        answer.header("access-control-allow-origin"),
        origin,
        "{answer:?}"
    );
    assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
    assert_eq!(
        answer.header("access-control-allow-credentials"),
        origin.map(|_| "true"),
        "{answer:?}"
    );
}

#[test]
fn a_stream_can_be_read_by_the_pages_that_are_named_wherever_it_was_opened() {
    let relay = relay();
    let target = "/v1/events?channel=public.a";
    for (origin, shared) in [(FROM_APP, Some(APP)), (FROM_ELSEWHERE, None)] {
        let mut fresh = relay.connect();
        fresh.send(request("GET", target, &[origin], b""));
        assert_shared(&fresh.head(), shared);
        fresh.until("retry: ");

        let mut used = relay.connect();
        used.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_shared(&used.answer(), None);
        used.send(request("GET", target, &[origin], b""));
        assert_shared(&used.head(), shared);
        used.until("retry: ");

        let mut carried = relay.connect();
        carried.send(format!("GET {target} HTTP/1.0\r\n{origin}\r\n\r\n"));
        assert_shared(&carried.head(), shared);
        carried.until("retry: ");

        assert_shared(&relay.request("HEAD", target, &[origin], b""), shared);
    }
}

#[test]
fn every_refusal_can_be_read_by_the_page_that_it_is_for() {
    let relay = relay();
    let publish = "/v1/channels/public.a/events";
    for (method, target, headers, status) in [
        ("POST", publish, vec![BACKEND], 201),
        ("POST", publish, vec![], 401),
        ("POST", "/v1/channels/secret/events", vec![BACKEND], 403),
        ("POST", "/v1/channels/@a/events", vec![BACKEND], 400),
        ("GET", "/v1/events?channel=secret", vec![], 401),
        ("GET", "/v1/events?channel=secret", vec![BACKEND], 403),
        ("GET", "/v1/events?chanel=public.a", vec![], 400),
        ("GET", "/v1/status", vec![], 401),
        ("GET", "/nowhere", vec![], 404),
        ("DELETE", "/v1/status", vec![], 405),
        ("GET", "/", vec![], 200),
        ("OPTIONS", publish, vec![], 204),
    ] {
        for (origin, shared) in [(FROM_APP, Some(APP)), (FROM_ELSEWHERE, None)] {
            let headers = [&headers[..], &[origin]].concat();
            let answer = relay.request(method, target, &headers, b"x");
            assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
            assert_shared(&answer, shared);
        }
    }
    let readable = relay.request("POST", publish, &[FROM_APP], b"x");
    let exposed = readable.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("WWW-Authenticate"), "{exposed}");
}

#[test]
fn a_relay_that_is_about_to_stop_says_so_to_pages_too() {
    let relay = relay();
    let started = Instant::now();
    while !relay.output().contains("relay.started") {
        assert!(started.elapsed() < LIMIT, "it does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    relay.signal(Signal::TERM);
    loop {
        let health = relay.request("GET", "/health", &[FROM_APP], b"");
        assert_shared(&health, Some(APP));
        if health.status == 503 {
            break;
        }
        assert!(started.elapsed() < LIMIT, "it does not drain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_browser_is_told_what_a_page_may_ask() {
    let relay = relay();
    let publish = "/v1/channels/public.a/events";
    let preflight = |origin, more: &[&str]| {
        let asked = [
            origin,
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,content-type,sse-attribute,x-evil",
        ];
        relay.request("OPTIONS", publish, &[&asked, more].concat(), b"")
    };
    let allowed = preflight("Origin: https://a.b.example.org", &[]);
    assert_eq!(allowed.status, 204, "{allowed:?}");
    for (name, value) in [
        (
            "access-control-allow-origin",
            Some("https://a.b.example.org"),
        ),
        ("access-control-allow-credentials", Some("true")),
        ("access-control-allow-methods", Some("GET, HEAD, POST")),
        (
            "access-control-allow-headers",
            Some("authorization, content-type, sse-attribute"),
        ),
        ("access-control-max-age", Some("3600")),
        ("access-control-allow-private-network", None),
    ] {
        assert_eq!(allowed.header(name), value, "{name}");
    }
    let private = preflight(FROM_APP, &["Access-Control-Request-Private-Network: true"]);
    assert_eq!(
        private.header("access-control-allow-private-network"),
        Some("true")
    );
    let refused = preflight(FROM_ELSEWHERE, &[]);
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (403, "cross-origin")
    );
    assert_shared(&refused, None);
}

#[test]
fn everybody_may_read_where_the_configuration_says_so_and_no_cache_keeps_it_apart() {
    let relay = relay_with(&["*"], false);
    for origin in [FROM_APP, "Origin: null", "X-None: 1"] {
        let answer = relay.request("HEAD", "/v1/events?channel=public.a", &[origin], b"");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("vary"), None);
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[test]
fn without_origins_nothing_is_said_for_a_proxy_may_say_it() {
    let relay = relay_with(&[], false);
    let preflight = ["Access-Control-Request-Method: GET", FROM_APP];
    let mut stream = relay.connect();
    stream.send(request(
        "GET",
        "/v1/events?channel=public.a",
        &[FROM_APP],
        b"",
    ));
    for answer in [
        relay.request("GET", "/health", &[FROM_APP], b""),
        relay.request("OPTIONS", "/v1/status", &preflight, b""),
        stream.head(),
    ] {
        let said = answer
            .headers
            .iter()
            .any(|(name, _)| name.starts_with("access-control-") || name == "vary");
        assert!(!said, "{answer:?}");
    }
}

#[test]
fn an_open_relay_serves_its_own_pages_and_those_that_are_named() {
    let cors = json!({"origins": [APP, "*"]}).to_string();
    let relay = Relay::start_with(&[("SSE_RELAY_CORS", &cors)], &[]);
    let publish = |origin: &str| {
        relay.request(
            "POST",
            "/v1/channels/c/events",
            &[origin, "Sec-Fetch-Site: cross-site"],
            b"x",
        )
    };
    assert_eq!(publish(FROM_APP).status, 201);
    let refused = publish(FROM_ELSEWHERE);
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (403, "cross-origin")
    );
    assert_eq!(relay.stored(), 1);
}

#[test]
fn what_is_refused_before_it_is_understood_can_be_read_too() {
    let relay = relay();
    let long = format!("X-Long: {}", "x".repeat(20_000));
    for (origin, shared) in [(FROM_APP, Some(APP)), (FROM_ELSEWHERE, None)] {
        for (line, status) in [(&*long, 431), ("X-Control: \u{1}", 400)] {
            let head = format!("GET /v1/events HTTP/1.1\r\nHost: x\r\n{origin}\r\n{line}\r\n\r\n");
            let answer = relay.raw(head);
            assert_eq!(answer.status, status, "{answer:?}");
            assert_shared(&answer, shared);
        }
    }
}
