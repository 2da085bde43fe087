//! `examples/routes/sse-relay-server.yaml`, byte for byte against a capture of sse-relay-server 1.0.14.

use super::capture::{PUBLISHED, captured, events, expected};
use super::example::{Example, last, text};
use serde_json::json;

fn open(auth_more: &str) -> Example {
    let yaml = text("sse-relay-server.yaml").replace("${data.id|id}", auth_more);
    Example::start(&yaml, json!({"anonymous": {"subscribe": ["**"]}}))
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
    assert_eq!(events, expected());
    let captured = captured();
    let (_, ping) = captured.split_at(captured.find(": ping").unwrap());
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
