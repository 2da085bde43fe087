//! Events for one stream, and for all streams of a subject.

use super::*;

const JSON: &str = "Content-Type: application/json";
const TEXT: &str = "Content-Type: text/plain";

fn direct(relay: &Relay, connection: &str, data: &str) -> Value {
    let target = format!("/v1/connections/{connection}/events");
    let answer = relay.request("POST", &target, &[OPERATOR, TEXT], data.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn to_subject(relay: &Relay, subject: &str, headers: &[&str], body: &str) -> Answer {
    let target = format!("/v1/subjects/{subject}/events");
    relay.request("POST", &target, headers, body.as_bytes())
}

fn id_of(relay: &Relay, query: &str) -> String {
    let streams = listed(relay, query);
    assert_eq!(streams.len(), 1, "{query}");
    streams[0]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn an_event_for_one_stream_reaches_it_alone_in_order_and_without_an_id() {
    let relay = relay();
    let mut one = open(&relay, "channel=orders.eu&client=one", &[ANN]);
    let mut other = open(&relay, "channel=orders.eu&client=other", &[ANN]);
    let id = id_of(&relay, "client=one");
    publish(&relay, "orders.eu", "first");
    assert_eq!(direct(&relay, &id, "between"), json!({"delivered": true}));
    publish(&relay, "orders.eu", "last");
    let got = one.until("data: last\n");
    assert!(got.contains("data: first\n\n\r\n"), "{got}");
    let (_, between) = got.split_once("data: first\n\n\r\n").unwrap();
    let (_, between) = between.split_once("\r\n").unwrap();
    assert!(between.starts_with("data: between\n\n\r\n"), "{got}");
    assert!(!other.until("data: last\n").contains("between"));
    let stream = &listed(&relay, "client=one")[0];
    assert_eq!(stream["delivered"], 3);
}

#[test]
fn the_answer_says_when_there_is_no_such_stream() {
    let relay = relay();
    let mut ann = open(&relay, "channel=orders.eu", &[ANN]);
    let id = id_of(&relay, "subject=ann");
    delete(&relay, &format!("/v1/connections/{id}"));
    ann.rest();
    let gone = json!({"delivered": false, "reason": "gone"});
    for connection in [id.as_str(), "x", "x-1", "-"] {
        assert_eq!(direct(&relay, connection, "x"), gone, "{connection}");
    }
    let line = "sse_relay_direct_events_total{outcome=\"gone\"} 4\n";
    assert!(relay.scrape().contains(line));
}

#[test]
fn what_waits_for_one_stream_is_bounded_and_comes_in_order() {
    let relay = Relay::start_with(
        &[
            ("SSE_RELAY_AUTH", &auth().to_string()),
            ("SSE_RELAY_STREAM__MAX_QUEUE_BYTES", "256Ki"),
        ],
        &[],
    );
    let mut slow = open(&relay, "channel=orders.eu", &[ANN]);
    let id = id_of(&relay, "subject=ann");
    let filling = "x".repeat(100_000);
    let mut delivered = 0;
    loop {
        let answer = direct(&relay, &id, &format!("{delivered}\n{filling}"));
        if answer["delivered"] == false {
            assert_eq!(answer["reason"], "slow");
            break;
        }
        delivered += 1;
        assert!(
            delivered < 1000,
            "a socket does not take a hundred megabytes"
        );
        // what its channels bring comes in between, and is bounded with it
        publish(&relay, "orders.eu", &format!("event {delivered}"));
    }
    for number in 0..delivered {
        let got = slow.until(&format!("data: {number}\ndata: xxx"));
        assert!(number == 0 || got.contains(&format!("data: event {number}\n")));
    }
    slow.until(&format!("data: event {delivered}\n"));
    assert_eq!(direct(&relay, &id, "again"), json!({"delivered": true}));
    slow.until("data: again\n");
}

#[test]
fn a_stream_that_another_carries_gets_its_event_too() {
    let relay = relay();
    let mut old = relay.connect();
    old.send(format!(
        "GET /v1/events?channel=orders.eu HTTP/1.0\r\n{ANN}\r\n\r\n"
    ));
    old.until("retry: ");
    let id = id_of(&relay, "subject=ann");
    assert_eq!(direct(&relay, &id, "hello"), json!({"delivered": true}));
    old.until("data: hello\n\n");
}

#[test]
fn what_is_no_event_for_a_stream_is_refused() {
    let relay = relay();
    let _ann = open(&relay, "channel=orders.eu", &[ANN]);
    let target = format!("/v1/connections/{}/events", id_of(&relay, ""));
    let lines = "Content-Type: application/x-ndjson";
    for (headers, body, status) in [
        (vec![TEXT], "x", 401),
        (vec![BACKEND, TEXT], "x", 403),
        (vec![ANN, TEXT], "x", 403),
        (vec![OPERATOR, JSON], "{", 400),
        (vec![OPERATOR, JSON], r#"{"data": 1, "event": "gap"}"#, 400),
        (vec![OPERATOR, JSON], r#"{"data": 1, "end": true}"#, 400),
        (vec![OPERATOR, TEXT, "Idempotency-Key: k"], "x", 400),
        (vec![OPERATOR, lines], "{\"data\":1}\n", 415),
    ] {
        let answer = relay.request("POST", &target, &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{headers:?} {body}: {answer:?}");
    }
    assert_eq!(listed(&relay, "")[0]["delivered"], 0);
}

#[test]
fn an_event_for_a_subject_reaches_all_its_streams_and_no_other() {
    let relay = relay();
    let mut one = open(&relay, "channel=orders.eu", &[ANN]);
    let mut filtered = open(&relay, "channel=orders.*&filter.kind=never", &[ANN]);
    let mut bob = open(&relay, "channel=orders.eu", &[BOB]);
    let mut all = open(&relay, "channel=**", &[OPERATOR]);
    assert_eq!(
        to_subject(&relay, "ann", &[OPERATOR, TEXT], "for ann").status,
        201
    );
    one.until("data: for ann\n");
    filtered.until("data: for ann\n");
    publish(&relay, "orders.eu", "for all");
    for stream in [&mut bob, &mut all] {
        assert!(!stream.until("data: for all\n").contains("for ann"));
    }
    assert_eq!(
        listed(&relay, "subject=bob")[0]["channels"],
        json!(["orders.eu"])
    );
    for target in [
        "/v1/events?channel=@subject/ann",
        "/v1/channels/@subject%2Fann/events",
    ] {
        for token in [OPERATOR, BOB, ANN] {
            let answer = relay.request("GET", target, &[token], b"");
            assert_eq!(answer.problem(), "invalid-channel", "{target}");
        }
    }
    for (subject, headers, status) in [
        ("ann", vec![TEXT], 401),
        ("ann", vec![BACKEND, TEXT], 403),
        ("ann", vec![OPERATOR, TEXT, "Sse-End: true"], 400),
        ("%0A", vec![OPERATOR, TEXT], 400),
        ("%FF", vec![OPERATOR, TEXT], 400),
    ] {
        let answer = to_subject(&relay, subject, &headers, "x");
        assert_eq!(answer.status, status, "{subject} {headers:?}: {answer:?}");
    }
    let names = relay
        .request("GET", "/v1/channels", &[OPERATOR], b"")
        .json();
    assert_eq!(names["channels"][0]["name"], "@subject/ann");
}

#[test]
fn an_event_for_a_subject_is_resumed_even_after_a_restart() {
    let folder = tempfile::TempDir::new().unwrap();
    let args = ["--data-dir", folder.path().to_str().unwrap()];
    let start = || Relay::start_with(&[("SSE_RELAY_AUTH", &auth().to_string())], &args);
    let relay = start();
    let id = to_subject(&relay, "a%2Fb%20%C3%A9", &[OPERATOR, TEXT], "x").json();
    assert!(id["id"].is_string(), "a subject is any text: {id}");
    let first = to_subject(&relay, "ann", &[OPERATOR, TEXT], "seen").json();
    let key = [OPERATOR, TEXT, "Idempotency-Key: k"];
    assert_eq!(to_subject(&relay, "ann", &key, "missed").status, 201);
    assert!(relay.stop().success());
    let relay = start();
    assert_eq!(
        to_subject(&relay, "ann", &key, "missed").status,
        200,
        "a repeat"
    );
    let query = format!(
        "channel=orders.eu&lastEventId={}",
        first["id"].as_str().unwrap()
    );
    let mut ann = open(&relay, &query, &[ANN]);
    let got = ann.until("data: missed\n");
    assert!(!got.contains("gap") && !got.contains("seen"), "{got}");
    let mut bob = open(&relay, &query, &[BOB]);
    publish(&relay, "orders.eu", "now");
    assert!(!bob.until("data: now\n").contains("missed"));
}

#[test]
fn a_stream_ends_with_its_channels_and_gets_what_its_subject_still_has() {
    let relay = relay();
    let mut ann = open(&relay, "channel=orders.eu", &[ANN]);
    let end = br#"{"end": true}"#;
    let ended = relay.request(
        "POST",
        "/v1/channels/orders.eu/events",
        &[BACKEND, JSON],
        end,
    );
    assert_eq!(ended.status, 201);
    ann.rest();
    let id = ended.json()["id"].as_str().unwrap().to_owned();
    let again = |id: &str| {
        let target = format!("/v1/events?channel=orders.eu&lastEventId={id}");
        let mut connection = relay.connect();
        connection.send(support::request("GET", &target, &[ANN], b""));
        connection
    };
    assert_eq!(again(&id).head().status, 204);
    let pending = to_subject(&relay, "ann", &[OPERATOR, TEXT], "still for you").json();
    let mut last = again(&id);
    assert_eq!(last.head().status, 200);
    let rest = String::from_utf8(last.rest()).unwrap();
    assert!(rest.contains("data: still for you\n") && rest.ends_with("0\r\n\r\n"));
    assert_eq!(again(pending["id"].as_str().unwrap()).head().status, 204);
}
