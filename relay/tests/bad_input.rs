//! Hostile and broken requests: refused with the right status, problem and sentence, nothing
//! half-done, and the relay goes on.

mod support;

use rustix::process::Signal;
use serde_json::json;
use std::{
    io::Write,
    process::Command,
    time::{Duration, Instant},
};
use support::{Connection, LIMIT, Relay, request};

const PUBLISH: &str = "/v1/channels/c/events";
const JSON: &str = "Content-Type: application/json";

/// Fails unless the relay still publishes and streams.
fn still_serves(relay: &Relay) {
    let mut stream = relay.subscribe("channel=alive");
    stream.until("retry: ");
    let id = relay.publish("alive", "yes");
    stream.until(&format!("id: {id}\ndata: yes\n\n"));
}

#[test]
fn illegal_channel_names_are_refused_wherever_they_stand() {
    let relay = Relay::start(&[]);
    let long = "n".repeat(201);
    for (name, says) in [
        ("", "empty"),
        (long.as_str(), "200 bytes"),
        ("a%0Ab", "control"),
        ("a%00", "control"),
        ("%C2%85", "control"),
        ("@x", "reserved"),
        ("*", "channels in a subscription"),
        ("%2E", "URL"),
        ("..", "URL"),
        (".%2e", "URL"),
        ("%FF", "UTF-8"),
    ] {
        for (method, target) in [
            ("POST", format!("/v1/channels/{name}/events")),
            ("GET", format!("/v1/channels/{name}/events")),
            ("GET", format!("/v1/channels/{name}")),
            ("GET", format!("/v1/events?channel={name}")),
        ] {
            let of_query = target.contains('?');
            // the list of channels, a pattern, and the query's own decoding
            if name.is_empty() && target == "/v1/channels/"
                || of_query && ["*", "%FF"].contains(&name)
            {
                continue;
            }
            let answer = relay.request(method, &target, &[], b"x");
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (400, "invalid-channel"),
                "{method} {target}"
            );
            assert!(answer.body.contains(says), "{target}: {answer:?}");
        }
    }
    assert_eq!(relay.stored(), 0);
    relay.publish("a%2Fb", "a slash is a letter of a name");
    relay.publish("...", "and so are three dots");
    assert_eq!(relay.get("/v1/channels/a%2Fb").json()["name"], "a/b");
}

#[test]
fn a_body_over_the_limit_is_answered_however_it_comes() {
    let relay = Relay::start(&[]);
    let large = vec![b'x'; 10 << 20];
    let answer = relay.request("POST", PUBLISH, &[], &large);
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (413, "body-too-large")
    );

    let mut waiting = relay.connect();
    waiting.send(format!(
        "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        large.len()
    ));
    assert_eq!(
        waiting.answer().problem(),
        "body-too-large",
        "without 100 Continue"
    );

    let mut chunked = relay.connect();
    chunked.send(format!(
        "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for part in large.chunks(1 << 16) {
        chunked.send(format!("{:x}\r\n", part.len()));
        chunked.send(part);
        chunked.send("\r\n");
    }
    chunked.send("0\r\n\r\n");
    assert_eq!(chunked.answer().problem(), "body-too-large");
    chunked.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(chunked.answer().status, 200, "the connection goes on");

    let mut polite = relay.connect();
    polite.send(format!(
        "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(polite.head().status, 100);
    polite.send("ok");
    assert_eq!(polite.answer().status, 201);
    assert_eq!(relay.stored(), 1);
}

#[test]
fn no_text_becomes_a_field_or_a_header() {
    let relay = Relay::start(&[]);
    for bad in ["a\nb", "a\rb", "a\r\nb", "a\0b"] {
        for event in [
            json!({"data": 1, "event": bad}),
            json!({"data": 1, "attributes": {bad: "x"}}),
            json!({"data": 1, "attributes": {"k": bad}}),
            json!({"data": 1, "time": bad}),
        ] {
            let answer = relay.request("POST", PUBLISH, &[JSON], event.to_string().as_bytes());
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (400, "invalid-event"),
                "{event}"
            );
        }
        for header in [
            "Sse-Event",
            "Sse-Attribute",
            "Idempotency-Key",
            "ce-type",
            "Host",
            "Last-Event-ID",
        ] {
            if bad.contains('\n') {
                continue; // that is the header's end
            }
            let head = format!(
                "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\n{header}: k={bad}\r\nContent-Length: 1\r\n\r\nx"
            );
            assert_eq!(relay.raw(head).status, 400, "{header} {bad:?}");
        }
    }
    assert_eq!(relay.stored(), 0);
    for (channel, data) in [
        ("lf", "a\nevent: gap\n\nid: 1"),
        ("cr", "a\revent: gap\r\rid: 1"),
    ] {
        relay.publish(channel, data);
        let mut stream = relay.subscribe(&format!("channel={channel}&from=earliest"));
        stream.until("data: a\ndata: event: gap\ndata: \ndata: id: 1\n\n");
    }
}

#[test]
fn what_is_not_utf_8_or_not_json_is_refused() {
    let relay = Relay::start(&[]);
    let cases: [(&[&str], &[u8], u16, &str); 21] = [
        (&[], b"\xff", 400, "invalid-encoding"),
        (&[JSON], b"{\"data\":\"\xff\"}", 400, "invalid-encoding"),
        (
            &["Content-Type: application/x-ndjson"],
            b"\xff\n\xfe",
            400,
            "invalid-batch",
        ),
        (
            &["Content-Type: application/cloudevents+json"],
            b"\xff",
            400,
            "invalid-encoding",
        ),
        (
            &["Content-Type: application/cloudevents-batch+json"],
            b"\xff",
            400,
            "invalid-encoding",
        ),
        (
            &["Content-Type: application/cloudevents-batch+json"],
            b"[]",
            400,
            "invalid-batch",
        ),
        (
            &["Content-Type: application/cloudevents+json"],
            b"[1]",
            400,
            "invalid-json",
        ),
        (&[JSON], b"", 400, "invalid-json"),
        (&[JSON], b"{\"data\":1", 400, "invalid-json"),
        (&[JSON], b"{\"data\":1}{}", 400, "invalid-json"),
        (&[JSON], b"{\"data\":1,\"data\":2}", 400, "invalid-json"),
        (&[JSON], b"{\"data\":NaN}", 400, "invalid-json"),
        (&["Sse-Retry: -1"], b"x", 400, "invalid-header"),
        (&["Sse-Attribute: k"], b"x", 400, "invalid-header"),
        (
            &["Sse-Attribute: k=1", "Sse-Attribute: k=2"],
            b"x",
            400,
            "invalid-event",
        ),
        (&["Sse-Time: now"], b"x", 400, "invalid-event"),
        (&["Idempotency-Key: "], b"x", 400, "invalid-header"),
        (
            &["Content-Type: multipart/form-data; boundary=x"],
            b"x",
            415,
            "unsupported-media-type",
        ),
        (
            &["Content-Encoding: gzip"],
            b"x",
            415,
            "unsupported-media-type",
        ),
        (&["ce-specversion: 1.0"], b"x", 400, "invalid-event"),
        (
            &[
                "ce-specversion: 2",
                "ce-id: 1",
                "ce-source: s",
                "ce-type: t",
            ],
            b"x",
            400,
            "invalid-event",
        ),
    ];
    for (headers, body, status, problem) in cases {
        let answer = relay.request("POST", PUBLISH, headers, body);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, problem),
            "{headers:?} {body:?}"
        );
    }
    let form = relay.request(
        "POST",
        PUBLISH,
        &["Content-Type: application/x-www-form-urlencoded"],
        b"a=b",
    );
    assert!(
        form.status == 415 && form.body.contains("curl -d"),
        "{form:?}"
    );
    assert_eq!(relay.stored(), 0);
    still_serves(&relay);
}

#[test]
fn deep_json_is_data_and_overflows_no_stack() {
    let relay = Relay::start(&[]);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = relay.request(
        "POST",
        PUBLISH,
        &[JSON],
        format!("{{\"data\":{deep}}}").as_bytes(),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    let cloud = "Content-Type: application/cloudevents+json";
    let event = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","ext":{deep}}}"#);
    let answer = relay.request("POST", PUBLISH, &[cloud], event.as_bytes());
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "invalid-event")
    );
    still_serves(&relay);
}

#[test]
fn a_batch_tells_what_became_of_each_line() {
    let relay = Relay::start(&[]);
    let lines = "Content-Type: application/x-ndjson";
    let answer = relay.request(
        "POST",
        PUBLISH,
        &[lines],
        b"{\"data\":1}\n\n{oops\n{\"data\":2}",
    );
    assert_eq!(answer.status, 207);
    let json = answer.json();
    assert_eq!((&json["accepted"], &json["failed"]), (&json!(2), &json!(1)));
    let numbers: Vec<_> = json["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (result["line"].clone(), result["id"].is_string()))
        .collect();
    assert_eq!(
        numbers,
        [(json!(1), true), (json!(3), false), (json!(4), true)]
    );
    let answer = relay.request("POST", PUBLISH, &[lines], b"{oops\n\nno");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "invalid-batch")
    );
    assert_eq!(answer.json()["results"][1]["line"], 3);
    assert_eq!(relay.stored(), 2);
}

#[test]
fn lengths_that_lie_do_not_smuggle_a_request() {
    let relay = Relay::start(&[]);
    let inner = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 4",
        "Content-Length: -3",
        "Content-Length: +3",
        "Content-Length: 0x3",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding : chunked",
    ] {
        let mut connection = relay.connect();
        connection.send(format!(
            "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\nabc{inner}"
        ));
        let text = String::from_utf8(connection.rest()).unwrap();
        assert!(text.starts_with("HTTP/1.1 400"), "{head}: {text}");
        assert!(!text.contains("uptimeSeconds"), "{head}: {text}");
    }
    assert_eq!(relay.stored(), 0);
    let mut short = relay.connect();
    short.send(format!(
        "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
    ));
    short.half_close();
    assert_eq!(short.answer().problem(), "incomplete-body");
    assert_eq!(relay.stored(), 0, "half a body is no event");
    assert_eq!(refused(&relay, "malformed-request"), 9);
    assert_eq!(refused(&relay, "incomplete-body"), 1);
    still_serves(&relay);
}

/// How many requests were answered with a problem of this type.
fn refused(relay: &Relay, problem: &str) -> u64 {
    let sample = format!("sse_relay_requests_refused_total{{problem=\"{problem}\"}} ");
    let scrape = relay.scrape();
    let found = scrape.lines().find_map(|line| line.strip_prefix(&sample));
    found
        .expect("it is counted")
        .parse()
        .expect("a whole number")
}

#[test]
fn two_lengths_are_no_request_and_end_the_connection() {
    let relay = Relay::start(&[]);
    let mut stream = relay.subscribe("channel=c");
    stream.until("retry: ");
    let inner = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut count = 0;
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "Content-Length: 4\r\nX: y\r\nTransfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        for used in [0, 1, 3] {
            let mut connection = relay.connect();
            for _ in 0..used {
                let chunked = format!(
                    "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                );
                connection.send(chunked);
                assert_eq!(connection.answer().status, 201);
                stream.until("data: ok\n\n");
            }
            connection.send(format!(
                "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\n1\r\na\r\n0\r\n\r\n{inner}"
            ));
            let answer = connection.answer();
            assert_eq!(answer.problem(), "malformed-request", "{lengths} {used}");
            assert_eq!(answer.header("connection"), Some("close"));
            assert_eq!(connection.rest(), b"", "nothing of it is a request");
            count += 1;
            assert_eq!(refused(&relay, "malformed-request"), count);
        }
    }
    // what came before its answer was there is hyper's: chunked, and the end of the connection
    let mut pipelined = relay.connect();
    pipelined.send(format!(
        "GET /health HTTP/1.1\r\nHost: x\r\n\r\n\
         POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n{inner}"
    ));
    let text = String::from_utf8(pipelined.rest()).unwrap();
    assert!(!text.contains("uptimeSeconds"), "{text}");
    relay.publish("c", "live");
    stream.until("data: live\n\n");
}

#[test]
fn streams_leave_descriptors_for_publishers() {
    let relay = Relay::start_with_descriptors(128);
    let mut streams = Vec::new();
    let told = loop {
        let mut stream = relay.connect();
        stream.send(request("GET", "/v1/events?channel=c", &[], b""));
        let head = stream.head();
        match head.status {
            200 => streams.push(stream),
            _ => break head,
        }
        assert!(streams.len() < 128, "as many as there are files");
    };
    assert_eq!(told.status, 503);
    assert!(told.header("retry-after").is_some());
    assert!(streams.len() > 32, "{}", streams.len());
    let sample = "sse_relay_limited_total{limit=\"total-streams\"} 1";
    assert!(relay.scrape().contains(sample), "{}", relay.scrape());
    // publishers find room, on connections of their own, and each stream gets it
    relay.publish("c", "here");
    for stream in &mut streams {
        stream.until("data: here\n\n");
    }
    // a browser is told to come back
    let browser = relay.request(
        "GET",
        "/v1/events?channel=c",
        &["Sec-Fetch-Mode: cors", "Connection: close"],
        b"",
    );
    assert_eq!(browser.status, 200);
    streams.pop();
    let begun = Instant::now();
    let closing = ["Connection: close"];
    while relay
        .request("HEAD", "/v1/events?channel=c", &closing, b"")
        .status
        != 200
    {
        assert!(begun.elapsed() < LIMIT, "{}", relay.output());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_absurd_last_event_id_is_a_gap_and_never_an_error() {
    let relay = Relay::start(&[]);
    let id = relay.publish("c", "one");
    let (future, other) = (
        format!("{}zzzzzzzzz", &id[..6]),
        format!("0-----{}", &id[6..]),
    );
    let long = "x".repeat(10_000);
    for (value, reason) in [
        (long.as_bytes(), "unknown-id"),
        (b"\xff\xfe", "unknown-id"),
        (b"-1", "unknown-id"),
        (future.as_bytes(), "unknown-id"),
        (other.as_bytes(), "epoch"),
    ] {
        let mut connection = relay.connect();
        connection.send(
            [
                b"GET /v1/events?channel=c HTTP/1.1\r\nHost: x\r\nLast-Event-ID: ",
                value,
                b"\r\n\r\n",
            ]
            .concat(),
        );
        assert_eq!(connection.head().status, 200);
        let gap = connection.until("data: one\n\n");
        assert!(
            gap.contains("event: gap\n") && gap.contains(&format!("\"reason\":\"{reason}\"")),
            "{gap}"
        );
    }
    let mut empty = relay.connect();
    empty.send(request(
        "GET",
        "/v1/events?channel=c",
        &["Last-Event-ID: "],
        b"",
    ));
    let first = empty.until("\n\n");
    assert!(
        !first.contains("gap"),
        "an empty id is none (WHATWG HTML 9.2.4): {first}"
    );
}

#[test]
fn odd_targets_are_read_as_the_standards_read_them() {
    let relay = Relay::start(&[]);
    for (target, status) in [
        ("http://localhost/v1/events?channel=c", 200),
        ("/v1/events?channel=c&_=12345", 200),
        ("/v1/events?channel=c&chanel=c", 400),
        ("/v1/events?channel", 400),
        ("/v1/events?channel=c&limit=5", 400),
        ("/v1/events/?channel=c", 404),
        ("//v1/events?channel=c", 404),
        ("/v1//events?channel=c", 404),
        ("/v1/%65vents?channel=c", 404),
        ("/V1/events?channel=c", 404),
        ("/v1/./events?channel=c", 404),
        ("*", 404),
    ] {
        let mut connection = relay.connect();
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(connection.head().status, status, "{target}");
    }
    let mut fragment = relay.subscribe("channel=c#fragment");
    relay.publish("c", "here");
    fragment.until("data: here\n\n");
    assert_eq!(
        relay.raw("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").status,
        204
    );
    for method in ["get", "FOO", "TRACE", "CONNECT", "DELETE"] {
        let answer = relay.request(method, "/v1/events?channel=c", &[], b"");
        assert_eq!(answer.problem(), "method-not-allowed", "{method}");
        assert_eq!(answer.header("allow"), Some("GET,HEAD,OPTIONS"));
    }
    for path in [
        "/",
        "/health",
        "/v1/status",
        "/v1/events?channel=c",
        "/v1/channels",
        "/v1/channels/c",
        PUBLISH,
        "/v1/connections",
        "/v1/clients",
        "/v1/openapi.json",
    ] {
        let mut connection = relay.connect();
        connection.send(format!(
            "HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ));
        let text = String::from_utf8(connection.rest()).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\n"),
            "{path}: {text}"
        );
    }
}

#[test]
fn heads_are_bounded_in_bytes_lines_and_time() {
    let relay = Relay::start_with(&[("SSE_RELAY_HTTP__HEAD_TIMEOUT", "1s")], &[]);
    let (filler, lines) = ("x".repeat(20_000), "X: y\r\n".repeat(101));
    for path in ["/v1/events?channel=c", "/health"] {
        for large in [format!("X: {filler}\r\n"), lines.clone()] {
            let answer = relay.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{large}\r\n"));
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (431, "head-too-large"),
                "{path}"
            );
        }
        for host in ["", "Host: x\r\nHost: x\r\n"] {
            let answer = relay.raw(format!("GET {path} HTTP/1.1\r\n{host}\r\n"));
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (400, "invalid-header"),
                "{path} {host:?}"
            );
        }
    }
    for garbage in [
        &b"GET /\r\n"[..],
        b"GET /v1/events?channel=c\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        b"SSH-2.0-x\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
    ] {
        assert_eq!(
            relay.raw(garbage).problem(),
            "malformed-request",
            "{garbage:?}"
        );
    }
    let mut slow = relay.connect();
    for byte in request("GET", "/v1/events?channel=c", &[], b"") {
        slow.send([byte]);
    }
    assert_eq!(slow.head().status, 200, "byte by byte, but in time");
    let (begun, mut late, mut silent) = (Instant::now(), relay.connect(), relay.connect());
    late.send("GET /v1/events?chan");
    let told = late.answer();
    assert_eq!(told.status, 408);
    assert_eq!(told.json()["status"], 408, "it says why: {told:?}");
    assert_eq!(silent.rest(), b"", "who said nothing is told nothing");
    assert!(begun.elapsed() < Duration::from_secs(4));
    still_serves(&relay);
}

#[test]
fn shapes_that_two_parsers_could_read_differently_are_no_request() {
    let relay = Relay::start(&[]);
    for path in ["/v1/events?channel=c", "/health"] {
        for head in [
            "X: a\r\n b\r\nHost: x",
            " X: a\r\nHost: x",
            "Host : x",
            "Host\t: x",
            "X: a\rb\r\nHost: x",
            "X: a\0b\r\nHost: x",
            "X\u{e4}: a\r\nHost: x",
            "no colon\r\nHost: x",
            ": a\r\nHost: x",
        ] {
            for used in [false, true] {
                let mut connection = relay.connect();
                if used {
                    connection.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
                    assert_eq!(connection.answer().status, 200);
                }
                let next = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
                connection.send(format!("GET {path} HTTP/1.1\r\n{head}\r\n\r\n{next}"));
                let text = String::from_utf8_lossy(&connection.rest()).into_owned();
                assert!(text.starts_with("HTTP/1.1 400"), "{path} {head:?}: {text}");
                assert!(!text.contains("uptimeSeconds"), "{head:?}: {text}");
            }
        }
    }
    for chunks in [
        "g\r\na\r\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "fffffffffffffffff\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
    ] {
        let mut connection = relay.connect();
        connection.send(format!(
            "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}\
             GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
        ));
        let text = String::from_utf8_lossy(&connection.rest()).into_owned();
        assert!(text.starts_with("HTTP/1.1 400"), "{chunks:?}: {text}");
        assert!(!text.contains("uptimeSeconds"), "{chunks:?}: {text}");
    }
    assert_eq!(relay.stored(), 0);
    still_serves(&relay);
}

#[test]
fn a_body_that_comes_drop_by_drop_has_its_time() {
    let relay = Relay::start_with(&[("SSE_RELAY_HTTP__BODY_TIMEOUT", "500ms")], &[]);
    let mut slow = relay.connect();
    slow.send(format!(
        "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    ));
    let mut dripping = slow.socket.try_clone().unwrap();
    let dropper = std::thread::spawn(move || {
        while dripping.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(slow.answer().problem(), "incomplete-body");
    assert_eq!(relay.stored(), 0);
    drop(slow);
    still_serves(&relay);
    dropper.join().unwrap();
}

#[test]
fn no_answer_may_be_embedded_or_run_as_a_page() {
    let relay = Relay::start(&[]);
    let mut stream = relay.subscribe_with_head("channel=c");
    let answers = [
        relay.get("/v1/status"),
        relay.get("/nowhere"),
        relay.request("POST", PUBLISH, &[], b"<script>"),
        relay.get(PUBLISH),
        relay.get("/"),
    ];
    for answer in &answers {
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'"), "{answer:?}");
        assert!(policy.contains("frame-ancestors 'none'"), "{answer:?}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
    for answer in answers.iter().chain([&stream.1]) {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("cross-origin-resource-policy");
        assert_eq!(policy, Some("same-origin"), "{answer:?}");
        assert_eq!(answer.header("strict-transport-security"), None);
    }
    stream.0.until("retry: ");
}

#[test]
fn a_body_that_stops_coming_gives_its_connection_back() {
    let relay = Relay::start_with(&[("SSE_RELAY_HTTP__IDLE_TIMEOUT", "1s")], &[]);
    let mut stalled = relay.connect();
    stalled.send(format!(
        "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
    ));
    assert_eq!(stalled.answer().problem(), "incomplete-body");
    assert_eq!(relay.stored(), 0);
}

#[test]
fn a_stream_does_not_mind_what_its_client_sends_before_and_after() {
    let relay = Relay::start(&[]);
    let mut connection = relay.connect();
    let subscribe = request("GET", "/v1/events?channel=c", &[], b"");
    connection.send(
        [
            b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
            &subscribe[..],
            b"GET /health HTTP/1.1\r\n\r\n\xff\0",
        ]
        .concat(),
    );
    assert_eq!(connection.answer().json(), json!({"status": "ok"}));
    assert_eq!(connection.head().status, 200);
    connection.send(vec![b'x'; 1_000]);
    let mut first = relay.connect();
    first.send([&subscribe[..], &vec![b'y'; 1_000]].concat());
    assert_eq!(first.head().status, 200);
    let mut http_1_0 = relay.connect();
    http_1_0.send("GET /v1/events?channel=c HTTP/1.0\r\n\r\n");
    let head = http_1_0.head();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, None));
    relay.publish("c", "live");
    for stream in [&mut connection, &mut first, &mut http_1_0] {
        stream.until("data: live\n\n");
    }
}

#[test]
fn pages_of_other_sites_and_names_are_refused_on_every_way_in() {
    let relay = Relay::start(&[]);
    let own = format!("Origin: http://{}", relay.public);
    for (host, headers, expected) in [
        (
            "localhost",
            &["Origin: http://evil.example"][..],
            "cross-origin",
        ),
        ("localhost", &["Origin: null"], "cross-origin"),
        ("localhost", &["Sec-Fetch-Site: cross-site"], "cross-origin"),
        ("localhost", &["Sec-Fetch-Site: same-site"], "cross-origin"),
        (
            "localhost",
            &["Origin: http://localhost", "Origin: http://evil.example"],
            "cross-origin",
        ),
        (
            "evil.example",
            &["Origin: http://evil.example"],
            "foreign-host",
        ),
        (
            "evil.example",
            &["Sec-Fetch-Site: same-origin"],
            "foreign-host",
        ),
        (
            "localhost.evil.example",
            &["Origin: http://localhost.evil.example"],
            "foreign-host",
        ),
        (&relay.public.to_string(), &[&own], ""),
        ("localhost", &["Sec-Fetch-Site: none"], ""),
        ("evil.example", &[], ""),
    ] {
        // with a length the head is hyper's; without one the stream is the shard's
        for start in [
            "GET /v1/events?channel=c HTTP/1.1\r\n",
            "GET /v1/events?channel=c HTTP/1.1\r\nContent-Length: 0\r\n",
            "GET /v1/events?channel=c HTTP/1.0\r\n",
            "POST /v1/channels/c/events HTTP/1.1\r\nContent-Length: 1\r\n",
            "GET /v1/status HTTP/1.1\r\n",
        ] {
            let mut connection = relay.connect();
            connection.send(
                format!("{start}Host: {host}\r\n{}\r\n\r\nx", headers.join("\r\n"))
                    .replace("\r\n\r\n\r\n", "\r\n\r\n"),
            );
            if expected.is_empty() {
                assert!(
                    [200, 201].contains(&connection.head().status),
                    "{start} {host} {headers:?}"
                );
            } else {
                let answer = connection.answer();
                assert_eq!(
                    (answer.status, answer.problem().as_str()),
                    (403, expected),
                    "{start} {host} {headers:?}"
                );
            }
        }
    }
    let mut bytes = relay.connect();
    bytes.send(
        b"GET /v1/events?channel=c HTTP/1.1\r\nHost: localhost\r\nOrigin: http://e\xe9\r\n\r\n",
    );
    assert_eq!(
        bytes.answer().problem(),
        "cross-origin",
        "an origin that is no text is one all the same"
    );
}

/// `curl` over HTTP/2 with prior knowledge: what it printed.
fn http2(relay: &Relay, target: &str, args: &[&str]) -> String {
    let output = Command::new("curl")
        .args([
            "-sN",
            "--http2-prior-knowledge",
            "--max-time",
            "2",
            "-w",
            "\n%{http_code} %{http_version}",
        ])
        .args(args)
        .arg(format!("http://{}{target}", relay.public))
        .output()
        .expect("curl is installed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn http_2_publishes_streams_and_refuses_like_http_1() {
    let relay = Relay::start(&[]);
    let published = http2(
        &relay,
        PUBLISH,
        &["-H", "Content-Type: text/plain", "-d", "two"],
    );
    assert!(published.ends_with("201 2"), "{published}");
    let own = format!("Origin: http://{}", relay.public);
    let stream = http2(&relay, "/v1/events?channel=c&from=earliest", &["-H", &own]);
    assert!(
        stream.contains("data: two\n\n") && stream.ends_with("200 2"),
        "{stream}"
    );
    let refused = http2(
        &relay,
        "/v1/events?channel=c",
        &["-H", "Origin: http://evil.example"],
    );
    assert!(
        refused.contains("problem:cross-origin") && refused.ends_with("403 2"),
        "{refused}"
    );
    let form = http2(&relay, PUBLISH, &["-d", "a=b"]);
    assert!(
        form.contains("problem:unsupported-media-type") && form.ends_with("415 2"),
        "{form}"
    );
}

#[test]
fn a_version_of_http_that_is_turned_off_is_said_to_be() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let only_2 = Relay::start_with(&[("SSE_RELAY_HTTP__HTTP1", "false")], &[]);
    let answer = only_2.get("/v1/events?channel=c");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (505, "http-version")
    );
    assert!(http2(&only_2, "/health", &[]).ends_with("200 2"));
    let only_1 = Relay::start_with(&[("SSE_RELAY_HTTP__HTTP2", "false")], &[]);
    assert_eq!(only_1.raw(preface).problem(), "http-version");
    still_serves(&only_1);
}

#[test]
fn a_burst_of_connections_is_accepted_to_its_last() {
    let relay = Relay::start(&[]);
    relay.signal(Signal::STOP);
    let mut burst: Vec<Connection> = (0..300).map(|_| relay.connect()).collect();
    for connection in &mut burst {
        connection.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    relay.signal(Signal::CONT);
    for connection in &mut burst {
        assert_eq!(connection.answer().status, 200);
    }
}

#[test]
fn without_descriptors_streams_go_on_and_newcomers_are_told() {
    let relay = Relay::start_with_descriptors(64);
    let mut stream = relay.subscribe("channel=c");
    let mut publisher = relay.connect();
    let publish = |data: &str| {
        format!(
            "POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{data}",
            data.len()
        )
    };
    publisher.send(publish("before"));
    assert_eq!(publisher.answer().status, 201);
    let mut crowd: Vec<Connection> = (0..100).map(|_| relay.connect()).collect();
    let told = String::from_utf8(crowd.last_mut().expect("a hundred").rest()).expect("UTF-8");
    assert!(
        told.contains("503") && told.contains("problem:overloaded"),
        "{told}"
    );
    publisher.send(publish("during"));
    assert_eq!(publisher.answer().status, 201);
    stream.until("data: during\n\n");
    assert!(relay.output().contains("ulimit -n"), "{}", relay.output());
    drop(crowd);
    let begun = Instant::now();
    loop {
        let mut newcomer = relay.connect();
        let _ = newcomer
            .socket
            .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        if newcomer.rest().starts_with(b"HTTP/1.1 200") {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{}", relay.output());
        std::thread::sleep(Duration::from_millis(20));
    }
    still_serves(&relay);
}
