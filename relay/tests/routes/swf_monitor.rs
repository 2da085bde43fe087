//! `examples/routes/swf-monitor.yaml`, against a capture of swf-monitor's view and the rules of its
//! receiver's parser. The monitor, which alone knows its tokens and sessions, is a stand-in.

use super::{
    application::{Application, Reply},
    example::{Example, events_until, text},
};
use serde_json::{Value, json};

const CAPTURE: &str = include_str!("golden/swf-monitor.stream.txt");
const STREAM: &str = "/swf-monitor/api/messages/stream/";
const TOKEN: &str = "Authorization: Token 0123abcd";

fn start(monitor: &Application) -> Example {
    let yaml = text("swf-monitor.yaml").replace("interval: 30s", "interval: 1s");
    let forward =
        json!({"url": monitor.url(), "cache": "0s", "grant": {"subscribe": ["workflow_events"]}});
    Example::start(&yaml, json!({"forward": forward}))
}

/// A monitor that knows whoever asks.
fn monitor() -> Application {
    Application::start(Reply::Json(json!({"connected_clients": 0})))
}

/// What swf-testbed's receiver makes of a stream: it reads lines, knows a field only with its space,
/// keeps the last data of a block, and takes a block without data for a message.
#[derive(Default)]
struct Receiver {
    kind: String,
    data: String,
    other: bool,
    said: Vec<(String, Value)>,
}

impl Receiver {
    fn read(&mut self, body: &str) {
        for line in body.split('\n') {
            assert!(!line.contains('\r'));
            if let Some(kind) = line.strip_prefix("event: ") {
                self.kind = kind.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                self.data = data.to_owned();
            } else if line.is_empty()
                && !(self.kind.is_empty() && self.data.is_empty() && !self.other)
            {
                let data = serde_json::from_str(&self.data)
                    .expect("it says `Non-JSON message` of anything else");
                self.said.push((std::mem::take(&mut self.kind), data));
                (self.data, self.other) = (String::new(), false);
            } else {
                self.other |= !line.is_empty();
            }
        }
    }
}

#[test]
fn the_stream_is_that_of_the_capture_with_ids_and_what_is_filled_in() {
    let example = start(&monitor());
    let (mut stream, head) = example.open(STREAM, &[TOKEN]);
    assert_eq!(
        head.header("content-type"),
        Some("text/event-stream"),
        "it is compared as a whole"
    );
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    for data in [
        r#"{"msg_type": "stf_gen", "processed_by": "daq", "run_id": "run-2025-001", "filename": "stf_001.dat", "message": "caf\u00e9 \u2603"}"#,
        r#"{"msg_type": "data_ready", "processed_by": "daq", "run_id": 5}"#,
        r#"{"msg_type": "sse_test", "sender": "x"}"#,
        r#"{"run_id": "5", "note": "no msg_type"}"#,
        r#"{"msg_type": "a\nb", "multi": "l1\nl2"}"#,
    ] {
        example.publish_data("workflow_events", data);
    }
    let body = events_until(&mut stream, "event: ab\n");
    let captured = &CAPTURE[CAPTURE.find("event: connected").unwrap()..];
    let blocks = |text: &str| -> Vec<String> {
        text.split("\n\n")
            .map(str::trim)
            .filter(|block| !block.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let ours = blocks(&body);
    for (theirs, ours) in blocks(captured).iter().zip(&ours).skip(1) {
        if theirs.starts_with("event: heartbeat") {
            break;
        }
        // their type could make a field; ours cannot
        let theirs = theirs.replace("event: a\nb\n", "event: ab\n");
        let same = theirs.strip_suffix('}').unwrap();
        let rest = ours
            .strip_prefix(same)
            .unwrap_or_else(|| panic!("{theirs}\n{ours}"));
        let (filled, id) = rest.split_once("}\nid: ").unwrap();
        assert!(
            !id.is_empty() && filled.starts_with(", \"sender_agent\": "),
            "{filled}"
        );
        let sent = r#", "namespace": null, "queue_name": "epictopic", "sent_at": ""#;
        assert!(
            filled.contains(sent) && filled.ends_with("+00:00\""),
            "{filled}"
        );
    }
    assert!(
        ours[3].contains("\"sender_agent\": \"x\", \"recipient_agent\": null"),
        "{}",
        ours[3]
    );
}

#[test]
fn the_receivers_parser_understands_all_of_it() {
    let example = start(&monitor());
    let mut stream = example.stream(
        STREAM,
        &[
            TOKEN,
            "Cache-Control: no-cache",
            "Accept: text/event-stream",
        ],
    );
    example.publish_data(
        "workflow_events",
        "{\"msg_type\": \"stf_ready\", \"message\": \"\u{2028}\u{85} é\"}",
    );
    let body = events_until(&mut stream, "event: stf_ready\n");
    let body = body + &stream.body_until("event: heartbeat\n");
    let body = if body.ends_with("\n\n") {
        body
    } else {
        body + &stream.body_until("\n\n")
    };
    assert!(
        body.is_ascii(),
        "without a charset it is read as ISO 8859-1"
    );
    let mut receiver = Receiver::default();
    receiver.read(&body);
    let kinds: Vec<&str> = receiver
        .said
        .iter()
        .map(|(kind, _)| kind.as_str())
        .collect();
    assert_eq!(kinds, ["connected", "stf_ready", "heartbeat"]);
    assert_eq!(receiver.said[0].1["status"], "connected");
    assert!(receiver.said[0].1["client_id"].is_string());
    assert_eq!(receiver.said[1].1["message"], "\u{2028}\u{85} é");
    assert!(receiver.said[2].1["timestamp"].as_f64().unwrap() > 1.7e9);
}

#[test]
fn filters_match_as_they_did() {
    let example = start(&monitor());
    for (query, expected) in [
        ("msg_types=a,%20c%20", &[1, 3][..]),
        ("msg_types=A", &[]),
        ("msg_types=x&msg_types=a", &[1]),
        ("run_ids=5", &[1]),
        ("agents=,", &[2, 3]),
        ("agents=daq&run_ids=5,6", &[1]),
        ("msg_types=&other=1", &[1, 2, 3]),
    ] {
        let mut stream = example.stream(&format!("{STREAM}?{query}"), &[TOKEN]);
        for data in [
            r#"{"n": 1, "msg_type": "a", "processed_by": "daq", "run_id": "5"}"#,
            r#"{"n": 2, "msg_type": "b", "run_id": 5}"#,
            r#"{"n": 3, "msg_type": "c"}"#,
        ] {
            example.publish_data("workflow_events", data);
        }
        // what comes before the second heartbeat that is later: the first may be on its way beside an event
        let published = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
        let mut body = String::new();
        while body
            .lines()
            .filter_map(|line| {
                line.strip_prefix("data: {\"timestamp\": ")?
                    .strip_suffix('}')
            })
            .filter(|time| time.parse::<f64>().unwrap() > published)
            .count()
            < 2
        {
            body += &stream.body_until("\n\n");
        }
        let got: Vec<u64> = body
            .lines()
            .filter_map(|line| {
                serde_json::from_str::<Value>(line.strip_prefix("data: ")?).unwrap()["n"].as_u64()
            })
            .collect();
        assert_eq!(got, expected, "{query}");
    }
}

#[test]
fn the_monitor_decides_who_may_and_the_status_tells_of_all() {
    let monitor = monitor();
    let example = start(&monitor);
    let status = format!("{STREAM}status/");
    let (mut stream, _) = example.open(
        &format!("{STREAM}?msg_types=a,b"),
        &["Cookie: sessionid=s1"],
    );
    stream.body_until("\"connected\"}");
    let told = example
        .relay
        .request("GET", &status, &[TOKEN, "Accept: application/json"], b"");
    assert_eq!(told.status, 200, "{told:?}");
    let told = told.json();
    let id = told["client_ids"][0].as_str().unwrap().to_owned();
    assert_eq!(told["connected_clients"], 1);
    assert_eq!(
        told["client_filters"],
        json!({id: {"msg_types": ["a", "b"]}})
    );
    let asked = monitor.asked();
    assert!(asked[0].contains("cookie: sessionid=s1"), "{asked:?}");
    assert!(
        asked[1].contains("authorization: Token 0123abcd"),
        "{asked:?}"
    );
    for refusal in [401, 403] {
        monitor.reply(Reply::Status(refusal));
        for (target, code, detail) in [
            (STREAM, 401, "Authentication credentials were not provided."),
            (&status, 403, "Invalid token."),
        ] {
            let answer = example.relay.request("GET", target, &[TOKEN], b"");
            assert_eq!(answer.status, code, "{target}");
            assert_eq!(answer.json(), json!({ "detail": detail }));
        }
    }
    for (target, code) in [(STREAM, 401), (&status, 403)] {
        let nobody = example.relay.get(target);
        assert_eq!(nobody.status, code, "{target}");
        assert_eq!(
            nobody.json(),
            json!({"detail": "Authentication credentials were not provided."})
        );
    }
}
