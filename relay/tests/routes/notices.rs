//! What a route's streams may be told besides events, where its dialect has words for it.

use super::example::Example;
use serde_json::json;

const TOLD: &str = "
routes:
  - paths: [/told]
    channels: [news]
    dialect:
      lineEnd: crlf
      greeting: [[{event: hello}, {data: '${client.id}'}]]
      event: [{event: '${type}'}, {json: '{\"site\": ${attributes.site}, \"at\": ${time:isoformat}, \"body\": ${data}}'}]
      expiring: [{event: session}, {json: '{\"ends\": ${expires:unix}, \"now\": ${now:unix}}'}]
  - paths: [/untold]
    channels: [news]
    dialect:
      greeting: [[{event: hello}, {data: '${client.id}'}]]
      event: [{event: '${type}'}, {data: '${data}'}]
";

fn start(seconds: i64) -> Example {
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let reader = json!({
        "name": "reader", "sha256": sse_relay::auth::hash_of("reader"), "subscribe": ["news"], "subject": "ann",
        "expires": format!("{ends:.0}"),
    });
    Example::start(TOLD, json!({"tokens": [reader]}))
}

const READER: &str = "Authorization: Bearer reader";

#[test]
fn an_event_for_one_stream_or_one_subject_has_its_attributes_and_its_time_in_a_dialect() {
    let example = start(600);
    let mut stream = example.stream("/told", &[READER]);
    let hello = stream.body_until("\r\n\r\n");
    let client = hello.trim_end().rsplit(' ').next().unwrap();
    let event = json!({"event": "note", "data": {"n": 1}, "attributes": {"site": "eu"}, "time": "2026-11-21T07:00:20.349575Z"});
    let target = format!("/v1/connections/{client}/events");
    let answer = example.post(&target, "application/json", &event.to_string());
    assert_eq!(answer.json(), json!({"delivered": true}));
    let told = stream.body_until("\r\n\r\n");
    let written = "event: note\r\ndata: {\"site\": \"eu\", \"at\": \"2026-11-21T07:00:20.349575+00:00\", \"body\": {\"n\":1}}\r\n\r\n";
    assert_eq!(told, written);
    // so has one for all streams of a subject
    example.post(
        "/v1/subjects/ann/events",
        "application/json",
        &event.to_string(),
    );
    assert_eq!(stream.body_until("\r\n\r\n"), written);
}

#[test]
fn who_has_words_for_it_is_told_that_its_credential_ends_and_nobody_else() {
    // a machine that is busy with other things may take longer to open both streams than the credential holds
    let opened = [10, 60, 360].into_iter().find_map(|seconds| {
        let example = start(seconds);
        let (told, told_head) = example.open("/told", &[READER]);
        let (untold, untold_head) = example.open("/untold", &[READER]);
        let is_open = (told_head.status, untold_head.status) == (200, 200);
        is_open.then_some((example, told, untold, seconds))
    });
    let (_example, mut told, mut untold, seconds) = opened.expect("streams in time");
    let mut said = told.body_until("event: session\r\n");
    while !said.ends_with("}\r\n\r\n") {
        said += &told.body_until("\r\n\r\n");
    }
    assert!(said.starts_with("event: hello\r\n"), "{said}");
    let mut lines = said.lines().rev();
    let data = lines.find_map(|line| line.strip_prefix("data: ")).unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let left = data["ends"].as_f64().unwrap() - data["now"].as_f64().unwrap();
    assert!(left > 0.0 && left < seconds as f64, "{data}");
    let rest = String::from_utf8_lossy(&untold.rest()).into_owned();
    assert!(
        rest.contains("event: hello\n") && !rest.contains("session"),
        "{rest}"
    );
    assert!(!rest.contains("expiring"), "{rest}");
}
