//! `examples/routes/sse-relay-server.yaml`, byte for byte against a capture of sse-relay-server 1.0.14.

use super::example::{Example, last, text};
use super::support::Connection;
use serde_json::json;

const CAPTURE: &[u8] = include_bytes!("golden/sse-relay-server.http1-chunked.bin");

/// What was published while the capture was taken.
const PUBLISHED: [&str; 14] = [
    r#"{"event": "NEW_NOTIFICATION", "id": 1, "data": "{\"message\": \"A new notification\"}"}"#,
    r#"{"data": "line1\nline2\r\nline3\rline4\n"}"#,
    r#"{"data": {"k": "v", "n": null, "b": true}}"#,
    r#"{"data": ["a", 1]}"#,
    r#"{"data": 12.5}"#,
    r#"{"data": ""}"#,
    r#"{"data": null, "event": "only"}"#,
    "{}",
    r#"{"retry": 3000, "data": "r", "comment": "c1\nc2", "id": "a\nb", "event": "e\r\nf"}"#,
    r#"{"retry": true, "data": "boolretry"}"#,
    r#"{"data": "x", "sep": "\n", "event": "lf"}"#,
    r#"{"comment": "just comment"}"#,
    r#"{"id": 0, "event": "", "data": "\u00e9 \u2603 \ud83d\ude00"}"#,
    r#"{"event": "STOP", "data": "bye"}"#,
];

/// What is different on purpose: JSON instead of Python's notation, no `retry` that is no number, and
/// nothing at all instead of an empty line.
const DIFFERENT: [(&str, &str); 4] = [
    (
        "data: {'k': 'v', 'n': None, 'b': True}\r\n",
        "data: {\"k\":\"v\",\"n\":null,\"b\":true}\r\n",
    ),
    ("data: ['a', 1]\r\n", "data: [\"a\",1]\r\n"),
    ("retry: True\r\n", ""),
    ("event: only\r\n\r\n\r\n", "event: only\r\n\r\n"),
];

fn open(auth_more: &str) -> Example {
    let yaml = text("sse-relay-server.yaml").replace("${data.id|id}", auth_more);
    Example::start(&yaml, json!({"anonymous": {"subscribe": ["**"]}}))
}

/// The body of the capture.
fn captured() -> String {
    let start = CAPTURE
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .unwrap()
        + 4;
    let (mut rest, mut body) = (&CAPTURE[start..], Vec::new());
    while let Some(end) = rest.windows(2).position(|part| part == b"\r\n") {
        let length = std::str::from_utf8(&rest[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 2 + length + 2..];
    }
    String::from_utf8(body).unwrap()
}

/// The blocks until a text came, without pings, which come when they are due.
fn events(stream: &mut Connection, until: &str) -> String {
    let mut events = String::new();
    while !events.contains(until) {
        let blocks = stream.body_until("\r\n\r\n");
        let (pings, others): (Vec<&str>, Vec<&str>) = blocks
            .split_inclusive("\r\n\r\n")
            .partition(|block| block.starts_with(": ping - "));
        assert!(
            pings.iter().all(|ping| ping.lines().count() == 2),
            "{blocks}"
        );
        events.extend(others);
    }
    events
}

/// A text with its digits replaced.
fn shape(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "0")
}

#[test]
fn what_was_published_then_has_the_same_bytes() {
    let example = open("${data.id}");
    let mut stream = example.stream("/NOTIFICATIONS", &[]);
    for payload in PUBLISHED {
        example.publish_data("NOTIFICATIONS", payload);
    }
    let events = events(&mut stream, "bye\r\n\r\n");
    let captured = captured();
    let (expected, ping) = captured.split_at(captured.find(": ping").unwrap());
    let expected = DIFFERENT
        .iter()
        .fold(expected.to_owned(), |text, (theirs, ours)| {
            assert!(text.contains(theirs), "{theirs:?}");
            text.replace(theirs, ours)
        });
    assert_eq!(events, expected);
    let pinged = stream.body_until(": ping - ");
    let pinged = &pinged[pinged.find(": ping").unwrap()..];
    assert_eq!(shape(pinged), shape(ping));
}

#[test]
fn a_channel_is_one_segment_under_each_of_its_names() {
    let example = open("${data.id|id}");
    let targets = [
        "/caf%C3%A9%20x",
        "/channel=caf%C3%A9%20x",
        "/caf%C3%A9%20x/?a=b",
    ];
    let mut streams = targets.map(|target| example.stream(target, &[]));
    example.publish_data("caf%C3%A9%20x", r#"{"data": "utf8 chan"}"#);
    for stream in &mut streams {
        events(stream, "data: utf8 chan\r\n\r\n");
    }
    for (target, status) in [("/a%2Fb/c", 404), ("/", 200)] {
        assert_eq!(example.relay.get(target).status, status, "{target}");
    }
    let health = example.relay.get("/health");
    assert_eq!(
        health.json(),
        json!({"status": "ok"}),
        "a path of the relay's own"
    );
    let posted = example.relay.request("POST", "/a", &[], b"x");
    assert_eq!(posted.status, 405);
    assert_eq!(posted.header("allow"), Some("GET,HEAD,OPTIONS"));
    let head = example.relay.request("HEAD", "/a", &[], b"");
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("text/event-stream; charset=utf-8"))
    );
}

#[test]
fn a_bad_payload_is_dropped_and_counted_and_cuts_no_stream() {
    let example = open("${data.id}");
    let mut stream = example.stream("/a", &[]);
    for bad in ["no json", "[1]", "null", "5", r#"{"unknown": 1}"#] {
        example.publish_data("a", bad);
    }
    example.publish_data("a", r#"{"data": "good"}"#);
    assert_eq!(events(&mut stream, "good"), "data: good\r\n\r\n");
    let scrape = example.relay.scrape();
    assert!(
        scrape.contains("sse_relay_events_unwritten_total 5\n"),
        "{scrape}"
    );
}

#[test]
fn who_comes_back_with_an_id_of_the_relay_misses_nothing() {
    let example = open("${data.id|id}");
    let mut stream = example.stream("/a", &[]);
    example.publish_data("a", r#"{"data": "one"}"#);
    let one = events(&mut stream, "one\r\n\r\n");
    drop(stream);
    example.publish_data("a", r#"{"data": "two"}"#);
    example.publish_data("a", r#"{"data": "three", "id": "theirs"}"#);
    let header = format!("Last-Event-ID: {}", last(&one, "id"));
    let missed = events(&mut example.stream("/a", &[&header]), "three\r\n\r\n");
    assert!(
        missed.starts_with("id: ") && missed.contains("data: two\r\n\r\nid: theirs\r\ndata: three"),
        "{missed:?}"
    );
    // an id that a publisher made up is no fault, and means nothing
    let mut later = example.stream("/a", &["Last-Event-ID: theirs"]);
    example.publish_data("a", r#"{"data": "four", "id": 4}"#);
    assert_eq!(
        events(&mut later, "four\r\n\r\n"),
        "id: 4\r\ndata: four\r\n\r\n"
    );
}

#[test]
fn nobody_publishes_without_a_token() {
    let example = open("${data.id}");
    let answer = example
        .relay
        .request("POST", "/v1/channels/a/events", &[], b"x");
    assert_eq!(answer.status, 401);
}
