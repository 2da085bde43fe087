//! What sse-relay-server 1.0.14 sent, and what was published to it meanwhile.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use crate::support::Connection;

const CAPTURE: &[u8] = include_bytes!("golden/sse-relay-server.http1-chunked.bin");

/// What was published while the capture was taken.
pub const PUBLISHED: [&str; 14] = [
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

/// The body of the capture.
pub fn captured() -> String {
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
pub fn events(stream: &mut Connection, until: &str) -> String {
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

/// What is expected of what was published: the capture but for what is different on purpose, and its
/// pings.
pub fn expected() -> String {
    let captured = captured();
    let (expected, _) = captured.split_at(captured.find(": ping").unwrap());
    DIFFERENT
        .iter()
        .fold(expected.to_owned(), |text, (theirs, ours)| {
            assert!(text.contains(theirs), "{theirs:?}");
            text.replace(theirs, ours)
        })
}
