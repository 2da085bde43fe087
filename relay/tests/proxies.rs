//! What is believed of proxies, against the real relay: this machine's address is the proxy's.

mod support;

use serde_json::{Value, json};
use support::{Connection, Relay, request};

const STREAM: &str = "/v1/events?channel=c";

fn relay(proxies: Value) -> Relay {
    let proxies = proxies.to_string();
    Relay::start_with(&[("SSE_RELAY_PROXIES", &proxies)], &["--insecure-open"])
}

/// The addresses that the open streams are listed with, the oldest first.
fn listed(relay: &Relay) -> Vec<String> {
    let connections = relay.get("/v1/connections").json();
    let connections = connections["connections"].as_array().expect("a list");
    let address = |connection: &Value| connection["remoteAddr"].as_str().unwrap_or("").to_owned();
    connections.iter().map(address).collect()
}

/// Opens a stream in each of the ways there are.
fn streams(relay: &Relay, headers: &[&str]) -> [Connection; 3] {
    let mut fresh = relay.connect();
    fresh.send(request("GET", STREAM, headers, b""));
    fresh.until("retry: ");
    let mut used = relay.connect();
    used.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(used.answer().status, 200);
    used.send(request("GET", STREAM, headers, b""));
    used.until("retry: ");
    let mut carried = relay.connect();
    let lines = headers.join("\r\n");
    carried.send(format!("GET {STREAM} HTTP/1.0\r\n{lines}\r\n\r\n"));
    carried.until("retry: ");
    [fresh, used, carried]
}

#[test]
fn a_client_is_whom_a_trusted_proxy_vouches_for() {
    let relay = relay(json!({"trusted": ["127.0.0.0/8", "10.0.0.0/8"]}));
    let headers = [
        "X-Forwarded-For: 1.1.1.1",
        "X-Forwarded-For: 192.0.2.7, 10.9.9.9",
        "Forwarded: for=2.2.2.2",
    ];
    let _streams = streams(&relay, &headers);
    assert_eq!(listed(&relay), ["192.0.2.7"; 3]);
}

#[test]
fn the_standards_header_is_read_where_the_configuration_says_so() {
    let relay = relay(json!({"trusted": ["127.0.0.1"], "header": "Forwarded"}));
    let headers = [
        "Forwarded: for=1.1.1.1, for=\"[2001:db8::7]:4711\"",
        "X-Forwarded-For: 2.2.2.2",
    ];
    let _streams = streams(&relay, &headers);
    assert_eq!(listed(&relay), ["[2001:db8::7]:4711"; 3]);
}

#[test]
fn what_others_say_is_ignored_and_garbage_is_no_error() {
    let untrusted = relay(json!({"trusted": ["10.0.0.0/8"], "plaintext": "refuse"}));
    let headers = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http"];
    let _streams = streams(&untrusted, &headers);
    let trusted = relay(json!({"trusted": ["127.0.0.1"]}));
    let long = format!("X-Forwarded-For: {}", "1.1.1.1,".repeat(1000));
    for garbage in [
        "X-Forwarded-For: \u{e4}\u{1F980}, ,,",
        "X-Forwarded-For: unknown",
        &long,
    ] {
        let _streams = streams(&trusted, &[garbage, "X-Forwarded-Proto: gopher"]);
        assert!(
            listed(&trusted)
                .iter()
                .all(|address| address.starts_with("127.0.0.1:"))
        );
    }
    assert!(
        listed(&untrusted)
            .iter()
            .all(|address| address.starts_with("127.0.0.1:"))
    );
    let counted = |relay: &Relay| {
        let scraped = relay.scrape();
        let mut lines = scraped.lines();
        let name = "sse_relay_forwarded_disbelieved_total ";
        lines
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        counted(&untrusted),
        "3",
        "each stream of the spoofer, in each way"
    );
    assert_eq!(counted(&trusted), "0");
}

#[test]
fn browsers_that_came_by_tls_are_told_to_stay_with_it() {
    let proxies = json!({"trusted": ["127.0.0.1"]}).to_string();
    let env = [
        ("SSE_RELAY_PROXIES", &*proxies),
        ("SSE_RELAY_HTTP__HSTS", "365d"),
    ];
    let relay = Relay::start_with(&env, &["--insecure-open"]);
    for (said, told) in [
        ("X-Forwarded-Proto: https", Some("max-age=31536000")),
        ("X-Forwarded-Proto: http", None),
        ("X-None: 1", None),
    ] {
        let mut stream = relay.connect();
        stream.send(request("GET", STREAM, &[said], b""));
        for answer in [
            stream.head(),
            relay.request("GET", "/", &[said], b""),
            relay.request("POST", "/v1/channels/c/events", &[said], b"x"),
        ] {
            assert_eq!(
                answer.header("strict-transport-security"),
                told,
                "{answer:?}"
            );
        }
    }
}

#[test]
fn plaintext_is_refused_where_the_configuration_says_so() {
    let relay = relay(json!({"trusted": ["127.0.0.1"], "plaintext": "refuse"}));
    let plain = ["X-Forwarded-Proto: http", "Origin: https://app.example"];
    for (method, target) in [
        ("GET", STREAM),
        ("POST", "/v1/channels/c/events"),
        ("GET", "/v1/status"),
        ("GET", "/"),
    ] {
        let answer = relay.request(method, target, &plain, b"x");
        let told = (answer.status, answer.problem());
        assert_eq!(told, (403, "plaintext-refused".to_owned()), "{target}");
    }
    assert_eq!(relay.request("GET", "/health", &plain, b"").status, 200);
    let _streams = streams(&relay, &["X-Forwarded-Proto: https"]);
    relay.publish("c", "without a proxy");
    assert_eq!(relay.stored(), 1);
}

#[test]
fn what_only_reads_is_led_to_https_where_the_configuration_says_so() {
    let relay = relay(json!({"trusted": ["127.0.0.1"], "plaintext": "redirect"}));
    let plain = ["X-Forwarded-Proto: http"];
    for target in [STREAM, "/"] {
        let answer = relay.request("GET", target, &plain, b"");
        assert_eq!(answer.status, 308, "{answer:?}");
        let location = format!("https://localhost{target}");
        assert_eq!(answer.header("location"), Some(location.as_str()));
    }
    let publish = relay.request("POST", "/v1/channels/c/events", &plain, b"x");
    assert_eq!(publish.problem(), "plaintext-refused");
    assert_eq!(relay.stored(), 0);
}
