//! Traces: one from a publish to its delivery, whichever replicas were involved, told to a real collector;
//! and what becomes of events when there is none.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "traces/collector.rs"]
mod collector;
#[path = "support/redis.rs"]
mod servers;
mod support;

use collector::{Collector, Manner, Span};
use servers::Server;
use std::time::{Duration, Instant};
use support::{Answer, LIMIT, Relay};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_SAMPLED: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn publish(relay: &Relay, headers: &[&str], body: &str) -> Answer {
    let headers = [&["Content-Type: text/plain"], headers].concat();
    let answer = relay.request("POST", "/v1/channels/c/events", &headers, body.as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

fn count(relay: &Relay, outcome: &str) -> u64 {
    let sample = format!("sse_relay_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let scrape = relay.scrape();
    let mut lines = scrape.lines();
    let value = lines.find_map(|line| line.strip_prefix(&sample));
    value.unwrap().parse().unwrap()
}

fn named(spans: &[Span], name: &str) -> Vec<Span> {
    let named = spans.iter().filter(|span| span.name == name);
    named.cloned().collect()
}

fn wait_for(collector: &Collector, name: &str, number: usize) -> Vec<Span> {
    until(name, || named(&collector.spans(), name).len() >= number);
    named(&collector.spans(), name)
}

/// What the history says of the attributes of the channel's only event.
fn attributes(relay: &Relay) -> serde_json::Value {
    let history = relay.get("/v1/channels/c/events").json();
    history["events"][0]["attributes"].clone()
}

#[test]
fn one_trace_leads_from_a_publish_at_one_replica_to_the_delivery_at_another() {
    let (collector, server) = (Collector::start(Manner::Takes), Server::start());
    let traces = format!("{{endpoint: '{}'}}", collector.endpoint());
    let redis = server.url();
    let env = [
        ("SSE_RELAY_TRACES", &*traces),
        ("SSE_RELAY_REDIS__URL", &redis),
    ];
    let [one, other] = [(); 2].map(|()| Relay::start_with(&env, &[]));
    let mut stream = other.subscribe("channel=c");
    stream.until("id: ");
    let answer = publish(
        &one,
        &[PARENT, "tracestate: a=1", "tracestate: b=2"],
        "hello",
    );
    stream.until("data: hello");
    let deliver = wait_for(&collector, "deliver", 1).remove(0);
    let publish = wait_for(&collector, "publish", 1).remove(0);
    assert_eq!(
        (&*publish.trace, &*publish.parent),
        (TRACE, "00f067aa0ba902b7")
    );
    assert_eq!((&*deliver.trace, &deliver.parent), (TRACE, &publish.id));
    assert_eq!((&*publish.state, &*deliver.state), ("a=1,b=2", "a=1,b=2"));
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    for span in [&publish, &deliver] {
        assert_eq!(span.attribute("messaging.destination.name"), Some("c"));
        assert_eq!(span.attribute("messaging.message.id"), Some(&*id));
        assert_eq!(span.resource("service.name"), Some("sse-relay"));
        assert!(span.nanos.0 > 0 && span.nanos.0 <= span.nanos.1);
    }
    assert_eq!(deliver.attribute("sse_relay.streams"), Some("1"));
    let replica = |span: &Span| span.resource("service.instance.id").unwrap().to_owned();
    assert_ne!(replica(&publish), replica(&deliver));
    until("they are counted", || {
        count(&one, "exported") == 1 && count(&other, "exported") == 1
    });
}

#[test]
fn the_extension_of_a_cloud_event_is_continued_and_stays_as_it_is() {
    let collector = Collector::start(Manner::Takes);
    let headers = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(headers.path(), "Authorization: Bearer collector-secret\n").unwrap();
    let traces = format!(
        "{{endpoint: '{}', headersFile: '{}'}}",
        collector.endpoint(),
        headers.path().display()
    );
    let relay = Relay::start_with(&[("SSE_RELAY_TRACES", &traces)], &[]);
    let mut stream = relay.subscribe("channel=c");
    stream.until("id: ");
    let extension = format!("ce-{PARENT}");
    let headers = [
        "ce-specversion: 1.0",
        "ce-id: 1",
        "ce-source: /x",
        "ce-type: paid",
        &extension,
    ];
    publish(&relay, &headers, "hello");
    stream.until("data: hello");
    for name in ["publish", "deliver"] {
        let span = wait_for(&collector, name, 1).remove(0);
        assert_eq!(
            (&*span.trace, &*span.parent),
            (TRACE, "00f067aa0ba902b7"),
            "{name}"
        );
        let secret = "authorization: bearer collector-secret";
        assert!(
            span.headers.iter().any(|header| header == secret),
            "{:?}",
            span.headers
        );
    }
    let kept = attributes(&relay);
    assert_eq!(
        format!("traceparent: {}", kept["traceparent"].as_str().unwrap()),
        PARENT
    );
    assert!(!relay.output().contains("collector-secret"));
}

#[test]
fn a_publisher_decides_and_without_one_the_fraction_does() {
    let collector = Collector::start(Manner::Takes);
    let base = collector.base();
    // as the variables of OpenTelemetry say it
    let env = [
        ("SSE_RELAY_TRACES", "{sampleRatio: 0}"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*base),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue"),
        ("OTEL_SERVICE_NAME", "live"),
    ];
    let relay = Relay::start_with(&env, &[]);
    for _ in 0..20 {
        publish(&relay, &[], "no");
        publish(&relay, &[NOT_SAMPLED], "no");
    }
    publish(&relay, &[PARENT], "yes");
    let spans = wait_for(&collector, "publish", 1);
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(spans[0].resource("service.name"), Some("live"));
    assert!(spans[0].headers.contains(&"x-team: blue".to_owned()));
    assert_eq!(
        attributes(&relay),
        serde_json::json!({}),
        "what is not traced carries nothing"
    );
}

#[test]
fn without_the_section_nothing_is_told_and_nothing_carried() {
    let collector = Collector::start(Manner::Takes);
    let base = collector.base();
    for env in [
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", &*base)],
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*base),
            ("SSE_RELAY_TRACES", "{}"),
            ("OTEL_SDK_DISABLED", "true"),
        ],
    ] {
        let relay = Relay::start_with(&env, &[]);
        publish(&relay, &[PARENT], "x");
        assert_eq!(attributes(&relay), serde_json::json!({}));
        assert!(relay.stop().success(), "what waits is sent before the end");
        assert_eq!(collector.asked(), 0);
    }
}

#[test]
fn what_waits_is_sent_before_the_end() {
    let collector = Collector::start(Manner::Takes);
    let traces = format!("{{endpoint: '{}'}}", collector.endpoint());
    let env = [
        ("SSE_RELAY_TRACES", &*traces),
        ("SSE_RELAY_DRAIN__PROPAGATION", "0s"),
    ];
    let relay = Relay::start_with(&env, &[]);
    for number in 0..50 {
        publish(&relay, &[], &number.to_string());
    }
    assert!(relay.stop().success());
    assert_eq!(named(&collector.spans(), "publish").len(), 50);
}

#[test]
fn a_collector_that_does_not_answer_holds_up_nothing_and_what_is_dropped_is_counted() {
    let collector = Collector::start(Manner::Silent);
    let traces = format!("{{endpoint: '{}', maxQueue: 4}}", collector.endpoint());
    let relay = Relay::start_with(&[("SSE_RELAY_TRACES", &traces)], &[]);
    publish(&relay, &[], "first");
    until("a request is open", || collector.asked() == 1);
    let mut stream = relay.subscribe("channel=c");
    stream.until("id: ");
    for number in 0..10 {
        let unsampled = if number < 5 { NOT_SAMPLED } else { PARENT };
        publish(&relay, &[unsampled], &format!("event {number}"));
    }
    stream.until("data: event 9");
    // five publishes and their deliveries, of which four spans wait
    until("they are counted", || count(&relay, "dropped") == 6);
    assert_eq!(count(&relay, "exported"), 0);
}

#[test]
fn spans_that_a_collector_does_not_take_are_counted_and_told_once() {
    // nobody listens there
    let traces = "{endpoint: 'http://127.0.0.1:1/v1/traces'}";
    let relay = Relay::start_with(&[("SSE_RELAY_TRACES", traces)], &[]);
    for round in 1..=2 {
        publish(&relay, &[], "x");
        until("it is counted", || count(&relay, "failed") == round);
    }
    assert_eq!(relay.output().matches("traces.failed").count(), 1);
}
