//! `examples/routes/sai-dashboard.yaml`.

use super::example::{Example, last, text, without_ids};
use rustix::process::Signal;
use serde_json::{Value, json};

const STREAM: &str = "/dashboard/api/events?token=ann";

fn start(changes: &[(&str, &str)]) -> Example {
    let yaml = changes
        .iter()
        .fold(text("sai-dashboard.yaml"), |yaml, (from, to)| {
            assert!(yaml.contains(from), "{from}");
            yaml.replace(from, to)
        });
    let user = |name: &str| {
        let hash = sse_relay::auth::hash_of(name);
        json!({"name": name, "sha256": hash, "subscribe": ["sai"], "subject": name})
    };
    Example::start(&yaml, json!({"tokens": [user("ann"), user("ben")]}))
}

fn data(blocks: &str) -> Value {
    serde_json::from_str(last(blocks, "data")).unwrap()
}

#[test]
fn a_stream_begins_as_its_page_expects() {
    let example = start(&[]);
    let (mut stream, head) = example.open(STREAM, &["Origin: https://elsewhere.example"]);
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(
        head.header("access-control-allow-origin"),
        None,
        "the proxy says it"
    );
    assert_eq!(head.header("vary"), None);
    let first = stream.body_until("event: connection\n");
    let first = format!(
        "{first}{}",
        if first.ends_with("\n\n") {
            String::new()
        } else {
            stream.body_until("\n\n")
        }
    );
    assert!(first.starts_with("data: \n\n"), "{first:?}");
    let hello = data(&first);
    assert_eq!(
        hello["message"],
        "Connected to SAI Dashboard real-time updates"
    );
    assert!(hello["clientId"].is_string());
    let time = hello["timestamp"].as_str().unwrap();
    assert!(
        time.len() == "2026-11-21T07:00:20.349Z".len() && time.ends_with('Z'),
        "{time}"
    );
}

#[test]
fn events_come_to_all_to_one_user_and_to_one_client() {
    let example = start(&[]);
    let mut ann = example.stream(STREAM, &[]);
    let mut ben = example.stream("/dashboard/api/events", &["Authorization: Bearer ben"]);
    let hello = ann.body_until("real-time updates\"}\n\n");
    let client = data(&hello)["clientId"].as_str().unwrap().to_owned();
    ben.body_until("real-time updates\"}\n\n");
    let event = json!({"event": "execution:new", "data": {"execution": {"id": 1}}}).to_string();
    example.post("/v1/channels/sai/events", "application/json", &event);
    let got = ann.body_until("}}\n\n");
    assert_eq!(
        without_ids(&got),
        "event: execution:new\ndata: {\"execution\":{\"id\":1}}\n\n"
    );
    ben.body_until("}}\n\n");
    let to_user = json!({"event": "system:health", "data": "for ben"}).to_string();
    example.post("/v1/subjects/ben/events", "application/json", &to_user);
    assert_eq!(
        without_ids(&ben.body_until("\n\n")),
        "event: system:health\ndata: for ben\n\n"
    );
    let to_client = json!({"event": "health:test", "data": "line 1\nline 2"}).to_string();
    let target = format!("/v1/connections/{client}/events");
    let sent = example.post(&target, "application/json", &to_client);
    assert_eq!(sent.json()["delivered"], true);
    assert_eq!(
        ann.body_until("\n\n"),
        "event: health:test\ndata: line 1\ndata: line 2\n\n"
    );
}

#[test]
fn a_heartbeat_and_the_status_say_how_many_there_are() {
    let example = start(&[("interval: 30s", "interval: 1s")]);
    let mut ann = example.stream(STREAM, &[]);
    let ben = example.stream("/dashboard/api/events?token=ben", &[]);
    let beat = ann.body_until("\"clients\":2}\n\n");
    assert!(
        beat.contains("event: heartbeat\ndata: {\"timestamp\":\"20"),
        "{beat}"
    );
    let status = |target: &str| example.relay.get(target).json();
    let told = status("/dashboard/api/events/status?token=ann");
    let told = &told["data"];
    assert_eq!(
        (&told["clients"], &told["enabled"], &told["maxClients"]),
        (&json!(2), &json!(true), &json!(100))
    );
    assert!(
        told["oldestConnection"].as_str() <= told["newestConnection"].as_str(),
        "{told}"
    );
    drop(ben);
    ann.body_until("\"clients\":1}\n\n");
    let missing = example.relay.get("/dashboard/api/events/status");
    assert_eq!(missing.status, 401);
    assert_eq!(missing.json()["error"]["code"], "MISSING_TOKEN");
}

#[test]
fn a_stream_lives_as_long_as_the_route_says_and_goes_on_where_it_ended() {
    let example = start(&[("lifetime: 5m", "lifetime: 1s")]);
    let mut stream = example.stream(STREAM, &[]);
    let mut body = String::new();
    loop {
        let chunk = stream.chunk();
        if chunk.is_empty() {
            break; // whole: the last chunk came
        }
        body += std::str::from_utf8(&chunk).unwrap();
    }
    assert!(!body.contains("shutting down"), "{body}");
    example.publish("sai", &json!({"event": "execution:new", "data": "missed"}));
    let header = format!("Last-Event-ID: {}", last(&body, "id"));
    example
        .stream(STREAM, &[&header])
        .body_until("data: missed\n\n");
}

#[test]
fn too_many_are_told_so_and_a_drain_says_goodbye() {
    let example = start(&[
        ("streams: 100", "streams: 1"),
        ("cors: off", "cors: off\n    overflow: dropOldest"),
    ]);
    let mut stream = example.stream(STREAM, &[]);
    stream.body_until("real-time updates\"}\n\n");
    let more = example
        .relay
        .request("GET", STREAM, &["Sec-Fetch-Mode: cors"], b"");
    assert_eq!(more.status, 503);
    assert_eq!(more.json()["error"]["code"], "SSE_LIMIT_EXCEEDED");
    let forged = example.relay.get("/dashboard/api/events?token=forged");
    assert_eq!(
        (forged.status, &forged.json()["error"]["code"]),
        (401, &json!("INVALID_TOKEN"))
    );
    example.relay.signal(Signal::TERM);
    let bye = stream.body_until("shutting down");
    assert!(
        bye.contains("event: connection\ndata: {\"message\":\"Server is shutting down"),
        "{bye}"
    );
}
