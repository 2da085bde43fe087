//! Limits, against the real relay: what is refused, how it is said, and that nobody else notices.

mod support;

use serde_json::{Value, json};
use sse_relay::auth::hash_of;
use std::time::Instant;
use support::{Answer, Connection, LIMIT, Relay, request};

const ANN: &str = "Authorization: Bearer ann-secret";
const BOB: &str = "Authorization: Bearer bob-secret";
const JSON: &str = "Content-Type: application/json";
const BROWSER: &str = "Sec-Fetch-Mode: cors";
const STREAM: &str = "/v1/events?channel=c";

fn limited(limits: Value) -> Relay {
    let token = |name: &str| {
        json!({"name": name, "sha256": hash_of(&format!("{name}-secret")),
               "publish": ["**"], "subscribe": ["**"], "manage": ["observe"]})
    };
    let boss = json!({"name": "boss", "sha256": hash_of("boss-secret"), "manage": ["disconnect"]});
    let auth =
        json!({"tokens": [token("ann"), token("bob"), boss], "anonymous": {"subscribe": ["**"]}});
    let env = [
        ("SSE_RELAY_AUTH", auth.to_string()),
        ("SSE_RELAY_LIMITS", limits.to_string()),
        (
            "SSE_RELAY_PROXIES",
            json!({"trusted": ["127.0.0.1"]}).to_string(),
        ),
    ];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, &**value)).collect();
    Relay::start_with(&env, &[])
}

fn open(relay: &Relay, headers: &[&str]) -> (Connection, Answer) {
    let mut stream = relay.connect();
    stream.send(request("GET", STREAM, headers, b""));
    let head = stream.head();
    (stream, head)
}

fn opened(relay: &Relay, headers: &[&str]) -> Connection {
    let (mut stream, head) = open(relay, headers);
    assert_eq!(head.status, 200, "{head:?}");
    stream.until("id: ");
    stream
}

/// Fails unless it is refused with this status, problem and a time to come back.
fn assert_refused(answer: &Answer, status: u16, problem: &str) {
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (status, problem)
    );
    let wait = answer
        .header("retry-after")
        .and_then(|wait| wait.parse().ok());
    assert!(wait.is_some_and(|wait: u64| wait >= 1), "{answer:?}");
}

fn refused(relay: &Relay, headers: &[&str]) -> Answer {
    relay.request(
        "GET",
        STREAM,
        &[headers, &["Connection: close"]].concat(),
        b"",
    )
}

fn publish(relay: &Relay, token: &str, body: &[u8]) -> Answer {
    relay.request("POST", "/v1/channels/c/events", &[token], body)
}

#[test]
fn who_tries_too_many_credentials_waits_and_nobody_else_does() {
    let relay = limited(json!({"authFailuresPerSecond": 1, "burst": "3s"}));
    let from = |address: &str| format!("X-Forwarded-For: {address}");
    let (bad, good) = (from("192.0.2.1"), from("192.0.2.2"));
    let mut stream = opened(&relay, &[&bad, ANN]);
    let mut answers = Vec::new();
    for number in 0..8 {
        let token = format!("Authorization: Bearer guess-{number}");
        let target = ["/v1/status", STREAM][number % 2];
        let headers = [&*bad, &*token, "Connection: close"];
        answers.push(relay.request("GET", target, &headers, b""));
    }
    let tried = answers.iter().filter(|answer| answer.status == 401).count();
    assert!((3..6).contains(&tried), "{answers:?}");
    let last = answers.last().unwrap();
    assert_refused(last, 429, "limit-reached");
    assert!(last.body.contains("too many credentials"), "{last:?}");
    // no credential of that address is looked at, the right one included
    let right = relay.request("GET", "/v1/status", &[&bad, ANN], b"");
    assert_refused(&right, 429, "limit-reached");
    assert_refused(&refused(&relay, &[&bad, ANN]), 429, "limit-reached");
    let browser = refused(&relay, &[&bad, ANN, BROWSER]);
    assert_eq!(browser.status, 200);
    // what needs none goes on, so do others, and streams that are open
    opened(&relay, &[&bad]);
    opened(&relay, &[&good, BOB]);
    let published = relay.request("POST", "/v1/channels/c/events", &[&good, BOB], b"x");
    assert_eq!(published.status, 201);
    stream.until("data: x");
    assert!(
        scraped(
            &relay,
            "sse_relay_limited_total{limit=\"address-failures\"}"
        ) >= 4.0
    );
    wait_for("it is calm again", || {
        relay.request("GET", "/v1/status", &[&bad, ANN], b"").status == 200
    });
}

#[test]
fn tokens_that_were_good_once_lock_nobody_out() {
    let relay = limited(json!({"authFailuresPerSecond": 1, "burst": "1s"}));
    let boss = "Authorization: Bearer boss-secret";
    let body = json!({"token": "ann"}).to_string();
    let revoked = relay.request("POST", "/v1/revocations", &[boss, JSON], body.as_bytes());
    assert_eq!(revoked.status, 200, "{revoked:?}");
    for _ in 0..20 {
        let status = relay.request("GET", "/v1/status", &[ANN], b"").status;
        assert_eq!(status, 401, "revoked, which is no try");
        let status = relay.request("GET", "/v1/status", &[], b"").status;
        assert_eq!(status, 401, "nothing was shown");
    }
    assert_eq!(relay.request("GET", "/v1/status", &[BOB], b"").status, 200);
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn scraped(relay: &Relay, sample: &str) -> f64 {
    let scrape = relay.scrape();
    let line = scrape.lines().find_map(|line| line.strip_prefix(sample));
    let value = line.unwrap_or_else(|| panic!("no {sample}"));
    value.trim().parse().expect("a number")
}

#[test]
fn a_subject_has_its_streams_and_no_more_until_one_ends() {
    let relay = limited(json!({"perSubject": {"streams": 2}}));
    let first = opened(&relay, &[ANN]);
    let mut carried = relay.connect();
    carried.send(format!("GET {STREAM} HTTP/1.0\r\n{ANN}\r\n\r\n"));
    carried.until("id: ");
    assert_refused(&refused(&relay, &[ANN]), 429, "limit-reached");
    let _bob = opened(&relay, &[BOB]);
    drop(first);
    wait_for("the place is free again", || {
        let (_, head) = open(&relay, &[ANN]);
        head.status == 200
    });
    assert!(scraped(&relay, "sse_relay_limited_total{limit=\"subject-streams\"}") >= 1.0);
    assert!(relay.output().contains("limits.reached"));
}

#[test]
fn a_refusal_on_a_used_connection_lets_it_go_on() {
    let relay = limited(json!({"perSubject": {"streams": 1}}));
    let _held = opened(&relay, &[ANN]);
    let mut used = relay.connect();
    used.send(request("GET", STREAM, &[ANN], b""));
    assert_refused(&used.answer(), 429, "limit-reached");
    used.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(used.answer().status, 200);
    assert_eq!(
        scraped(&relay, "sse_relay_limited_total{limit=\"subject-streams\"}"),
        1.0,
        "however often it was looked at"
    );
}

#[test]
fn an_address_is_the_one_that_a_trusted_proxy_vouches_for() {
    let relay = limited(json!({"perAddress": {"streams": 1}}));
    let _one = opened(&relay, &["X-Forwarded-For: 192.0.2.1"]);
    let _other = opened(&relay, &["X-Forwarded-For: 192.0.2.2"]);
    let _network = opened(&relay, &["X-Forwarded-For: 2001:db8::1"]);
    for taken in ["192.0.2.1", "9.9.9.9, 192.0.2.1", "2001:db8::ffff:1"] {
        let header = format!("X-Forwarded-For: {taken}");
        assert_refused(&refused(&relay, &[&header]), 429, "limit-reached");
    }
}

#[test]
fn a_browser_is_told_when_to_come_back_and_others_get_the_status() {
    let limits = |to_browsers: &str| json!({"total": {"streams": 1}, "toBrowsers": to_browsers});
    let relay = limited(limits("retry"));
    let _held = opened(&relay, &[]);
    assert_refused(&refused(&relay, &[]), 503, "overloaded");
    let told = refused(&relay, &[BROWSER, "Sec-Fetch-Site: same-origin"]);
    assert_eq!(told.status, 200);
    let retry = told.body.strip_prefix("retry: ").expect("nothing else");
    let millis: u64 = retry.trim_end().parse().expect("a number");
    assert!(
        (8_000..=10_000).contains(&millis),
        "5 s, and 3 s with jitter: {millis}"
    );
    assert_eq!(
        told.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(
        scraped(&relay, "sse_relay_limited_total{limit=\"total-streams\"}"),
        2.0
    );

    let strict = limited(limits("status"));
    let _held = opened(&strict, &[]);
    assert_refused(&refused(&strict, &[BROWSER]), 503, "overloaded");
}

#[test]
fn streams_are_opened_no_faster_than_they_may_be() {
    let relay = limited(json!({"perSubject": {"opensPerSecond": 1}, "burst": "5m"}));
    let streams: Vec<_> = (0..300).map(|_| opened(&relay, &[ANN])).collect();
    let mut allowed = streams.len();
    let last = loop {
        let (stream, head) = open(&relay, &[ANN]);
        if head.status != 200 {
            break head;
        }
        drop(stream);
        allowed += 1;
        assert!(allowed < 1000, "never refused");
    };
    assert_eq!(last.status, 429);
    let _bob = opened(&relay, &[BOB]);
}

#[test]
fn publishers_have_their_rate_and_others_do_not_notice() {
    let limits = json!({
        "perSubject": {"publishesPerSecond": 1, "publishBytesPerSecond": "1Mi"},
        "burst": "10s",
    });
    let relay = limited(limits);
    let batch = "{\"data\":1}\n".repeat(600);
    let lines = ["Content-Type: application/x-ndjson", ANN];
    let published = relay.request("POST", "/v1/channels/c/events", &lines, batch.as_bytes());
    assert_eq!(published.status, 201, "what is there is let through");
    assert_refused(&publish(&relay, ANN, b"x"), 429, "limit-reached");
    assert_eq!(publish(&relay, BOB, b"x").status, 201);
    assert_eq!(relay.stored_by(&[ANN]), 601, "nothing of what was refused");
    let refused = "sse_relay_publishes_total{outcome=\"refused\"}";
    assert_eq!(scraped(&relay, refused), 1.0);
}

#[test]
fn bytes_count_whether_or_not_they_were_announced() {
    let limits = json!({"perSubject": {"publishBytesPerSecond": 1}, "burst": "0s"});
    let relay = limited(limits);
    assert_eq!(publish(&relay, ANN, &[b'x'; 500]).status, 201);
    assert_refused(&publish(&relay, ANN, b"x"), 429, "limit-reached");
    let mut chunked = relay.connect();
    chunked.send(format!(
        "POST /v1/channels/c/events HTTP/1.1\r\nHost: x\r\n{BOB}\r\nTransfer-Encoding: chunked\r\n\r\n\
         1f4\r\n{}\r\n0\r\n\r\n",
        "x".repeat(500)
    ));
    assert_eq!(chunked.answer().status, 201);
    let refused = publish(&relay, BOB, b"x");
    assert_refused(&refused, 429, "limit-reached");
    assert!(refused.body.contains("more bytes"), "{refused:?}");
}

#[test]
fn a_connection_counts_once_whatever_it_carries() {
    let relay = limited(json!({}));
    let before = scraped(&relay, "sse_relay_connections ");
    let mut carried = relay.connect();
    carried.send(format!("GET {STREAM} HTTP/1.0\r\n\r\n"));
    carried.until("id: ");
    assert_eq!(scraped(&relay, "sse_relay_connections "), before + 1.0);
    assert_eq!(scraped(&relay, "sse_relay_streams "), 1.0);
    drop(carried);
    wait_for("both are gone", || {
        scraped(&relay, "sse_relay_connections ") == before
            && scraped(&relay, "sse_relay_streams ") == 0.0
    });
}

/// Tokens of two users, and of one who sends to streams.
fn with_tickets(limits: Value) -> Relay {
    let token = |name: &str, more: Value| {
        let mut token =
            json!({"name": name, "sha256": hash_of(&format!("{name}-secret")), "subscribe": ["c"]});
        for (field, value) in more.as_object().expect("an object") {
            token[field] = value.clone();
        }
        token
    };
    let auth = json!({"tokens": [
        token("ann", json!({"subject": "ann"})),
        token("bob", json!({"publish": ["c"], "manage": ["observe", "direct"]})),
    ]});
    let env = [
        ("SSE_RELAY_AUTH", auth.to_string()),
        ("SSE_RELAY_LIMITS", limits.to_string()),
    ];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, &**value)).collect();
    Relay::start_with(&env, &[])
}

#[test]
fn a_ticket_opens_its_stream_anew_though_its_subject_may_have_only_one() {
    let relay = with_tickets(json!({"perSubject": {"streams": 1}}));
    let minted = relay.request(
        "POST",
        "/v1/tickets",
        &[ANN, "Content-Type: application/json"],
        b"{}",
    );
    let target = format!(
        "/v1/events?ticket={}",
        minted.json()["ticket"].as_str().expect("a ticket")
    );
    let reopen = || {
        let mut stream = relay.connect();
        stream.send(request("GET", &target, &[], b""));
        assert_eq!(stream.head().status, 200);
        stream.until("id: ");
        stream
    };
    let mut stream = reopen();
    for _ in 0..3 {
        // the old connection is not known to be gone
        let again = reopen();
        stream.until("{\"reason\":\"replaced\"}");
        stream = again;
        assert_refused(&refused(&relay, &[ANN]), 429, "limit-reached");
    }
    drop(stream);
    wait_for("its place is free", || open(&relay, &[ANN]).1.status == 200);
}

#[test]
fn how_often_a_ticket_opens_its_stream_is_bounded_as_for_everybody() {
    let relay = with_tickets(json!({"perSubject": {"opensPerSecond": 1}, "burst": "3s"}));
    let minted = relay.request(
        "POST",
        "/v1/tickets",
        &[ANN, "Content-Type: application/json"],
        b"{}",
    );
    let target = format!(
        "/v1/events?ticket={}",
        minted.json()["ticket"].as_str().expect("a ticket")
    );
    wait_for("it is refused", || {
        let mut stream = relay.connect();
        stream.send(request("GET", &target, &[], b""));
        stream.head().status == 429
    });
}

#[test]
fn who_sends_to_one_stream_is_charged_as_for_any_publish() {
    let relay = with_tickets(
        json!({"perSubject": {"publishesPerSecond": 1, "publishBytesPerSecond": 1000}, "burst": "4s"}),
    );
    let _stream = opened(&relay, &[ANN]);
    let listed = relay.request("GET", "/v1/connections", &[BOB], b"").json();
    let id = listed["connections"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let send = |target: &str, bytes: usize| {
        let text = "Content-Type: text/plain";
        relay.request("POST", target, &[BOB, text], &vec![b'x'; bytes])
    };
    let direct = format!("/v1/connections/{id}/events");
    assert_eq!(send(&direct, 10).json(), json!({"delivered": true}));
    wait_for("it is refused", || send(&direct, 10).status == 429);
    assert!(
        scraped(
            &relay,
            "sse_relay_limited_total{limit=\"subject-publishes\"}"
        ) >= 1.0
    );
    // to all streams of a subject, and in chunks, whose size nobody has announced
    wait_for("a large one passes and is charged afterwards", || {
        let mut used = relay.connect();
        used.send(format!(
            "POST /v1/subjects/ann/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{BOB}\r\nContent-Type: text/plain\r\n\
             Transfer-Encoding: chunked\r\n\r\n2710\r\n{}\r\n0\r\n\r\n",
            "x".repeat(10_000)
        ));
        used.answer().status == 201
    });
    wait_for("and the next one is refused for its bytes", || {
        let refused = send(&direct, 10).status == 429;
        refused && scraped(&relay, "sse_relay_limited_total{limit=\"subject-bytes\"}") >= 1.0
    });
}
