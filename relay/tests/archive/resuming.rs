//! History and streams that reach past the log's end.

use super::*;

const LITTLE: [(&str, &str); 1] = [("SSE_RELAY_RETENTION__EVENTS", "20")];

#[test]
fn history_goes_on_in_the_archive() {
    let server = Server::start();
    let relay = relay(&server, &LITTLE);
    let ids = publish_slowly(&relay, &server, "a", 0..300, 10);
    let (texts, gap) = history(&relay, "a", &format!("after={}", ids[0]));
    assert_eq!((texts, gap), (numbers(1..300), None));
    let (texts, gap) = history(&relay, "a", "from=2026-01-01T00:00:00Z");
    assert_eq!(texts, numbers(0..300), "{gap:?}");
    let both = relay.get(&format!(
        "/v1/channels/a/events?from=2026-01-01T00:00:00Z&after={}",
        ids[0]
    ));
    assert_eq!(
        (both.status, both.problem().as_str()),
        (400, "invalid-query")
    );
    let wrong = relay.get("/v1/channels/a/events?from=yesterday");
    assert_eq!(
        (wrong.status, wrong.problem().as_str()),
        (400, "invalid-query")
    );
}

#[test]
fn a_stream_that_resumes_before_the_logs_end_gets_all_once_and_in_order_and_goes_on_live() {
    let server = Server::start();
    let relay = relay(&server, &LITTLE);
    let ids = publish_slowly(&relay, &server, "a", 0..1500, 20);
    let query = format!("channel=a&lastEventId={}", ids[2]);
    let mut streams: Vec<Connection> = (0..8).map(|_| relay.subscribe(&query)).collect();
    // while they read what was
    publish_slowly(&relay, &server, "a", 1500..1700, 20);
    for stream in &mut streams {
        assert_eq!(seen_until(stream, "1699"), numbers(3..1700));
    }
    publish(&relay, "a", 1700..1701);
    for stream in &mut streams {
        assert_eq!(seen_until(stream, "1700"), ["1700"]);
    }
    assert!(figure(&relay, "sse_relay_archive_reads_total{outcome=\"filled\"}") >= 8.0);
    assert_eq!(
        figure(&relay, "sse_relay_gaps_total{reason=\"trimmed\"}"),
        0.0
    );
}

#[test]
fn a_pattern_gets_all_channels_in_one_order() {
    let server = Server::start();
    let relay = relay(&server, &LITTLE);
    let begin = publish(&relay, "o.begin", 0..1);
    let mut published = 0;
    for round in 0..30 {
        for channel in ["o.a", "o.b", "o.c"] {
            // of different lengths, so that what the log has begins elsewhere in each
            let events = match channel {
                "o.a" => 7,
                "o.b" => 2,
                _ => usize::from(round == 3),
            };
            let lines: String = (0..events)
                .map(|n| format!("{{\"data\":\"{}\"}}\n", published + n))
                .collect();
            if events > 0 {
                let target = format!("/v1/channels/{channel}/events");
                let headers = ["Content-Type: application/x-ndjson"];
                relay.request("POST", &target, &headers, lines.as_bytes());
            }
            published += events;
        }
        until("what is archived", || {
            let channels = ["o.a", "o.b", "o.c"].into_iter();
            let counts: Option<Vec<usize>> = channels.map(|name| count(&server, name)).collect();
            (counts?.into_iter().sum::<usize>() >= published).then_some(())
        });
    }
    let last = (published - 1).to_string();
    let mut stream = relay.subscribe(&format!("channel=o.*&lastEventId={}", begin[0]));
    assert_eq!(seen_until(&mut stream, &last), numbers(0..published));
    let mut filtered =
        relay.subscribe(&format!("channel=o.b&channel=o.c&lastEventId={}", begin[0]));
    let seen = seen_until(&mut filtered, &last);
    assert_eq!(seen.len(), 61, "{seen:?}");
}

#[test]
fn without_postgresql_a_stream_is_told_the_gap_as_it_always_was() {
    let mut server = Server::start();
    let relay = relay(&server, &LITTLE);
    let ids = publish_slowly(&relay, &server, "a", 0..100, 10);
    server.stop();
    let mut stream = relay.subscribe(&format!("channel=a&lastEventId={}", ids[0]));
    let expected: Vec<String> = ["gap:trimmed".to_owned()]
        .into_iter()
        .chain(numbers(80..100))
        .collect();
    assert_eq!(seen_until(&mut stream, "99"), expected);
    server.run();
    let seen = until("an archive that answers", || {
        let mut stream = relay.subscribe(&format!("channel=a&lastEventId={}", ids[0]));
        let seen = seen_until(&mut stream, "99");
        (!seen.contains(&"gap:trimmed".to_owned())).then_some(seen)
    });
    assert_eq!(seen, numbers(1..100));
}

#[test]
fn from_a_time_before_the_logs_end_a_stream_begins_in_the_archive() {
    let server = Server::start();
    let relay = relay(&server, &LITTLE);
    publish_slowly(&relay, &server, "a", 0..60, 10);
    let time: String = server
        .execute("SELECT to_char(to_timestamp((id/4096+1600000000000)/1000.0), 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM sse_relay.events WHERE convert_from(data, 'UTF8') = '10'")
        .remove(0);
    let mut stream = relay.subscribe(&format!("channel=a&from={time}"));
    assert_eq!(seen_until(&mut stream, "59"), numbers(10..60));
    let (texts, gap) = history(&relay, "a", &format!("from={time}"));
    assert_eq!((texts, gap), (numbers(10..60), None));
}

#[test]
fn a_relay_in_memory_that_was_restarted_goes_on_where_its_clients_were() {
    let server = Server::start();
    let first = relay(&server, &[]);
    let ids = publish(&first, "a", 0..100);
    assert!(first.stop().success());
    let second = relay(&server, &[]);
    until("an archive that goes on", || {
        (server.number("SELECT count(*) FROM sse_relay.spans") == 2).then_some(())
    });
    let mut early = second.subscribe(&format!("channel=a&lastEventId={}", ids[2]));
    let mut last = second.subscribe(&format!("channel=a&lastEventId={}", ids[99]));
    let more = publish(&second, "a", 100..110);
    assert_eq!(seen_until(&mut early, "109"), numbers(3..110));
    assert_eq!(seen_until(&mut last, "109"), numbers(100..110));
    archived(&server, "a", 110);
    let (texts, gap) = history(&second, "a", &format!("after={}", ids[0]));
    assert_eq!((texts, gap), (numbers(1..110), None));
    second.signal(rustix::process::Signal::KILL);
    drop(second);
    // what came at the end of a crashed one may be lost: that is said, once, where it may be
    let third = relay(&server, &[]);
    until("an archive that writes", || {
        (figure(&third, "sse_relay_archive_writing") == 1.0).then_some(())
    });
    publish(&third, "a", 110..120);
    archived(&server, "a", 120);
    let mut stream = third.subscribe(&format!("channel=a&lastEventId={}", more[4]));
    let seen = seen_until(&mut stream, "119");
    assert_eq!(
        seen.iter().filter(|text| text.starts_with("gap")).count(),
        1,
        "{seen:?}"
    );
    let events: Vec<String> = seen
        .into_iter()
        .filter(|text| !text.starts_with("gap"))
        .collect();
    assert_eq!(events, numbers(105..120));
}

/// Texts of a channel's last pages, from an id back to the first of all, and the gaps on the way.
fn backwards(relay: &Relay, channel: &str, before: &str) -> (Vec<String>, Vec<String>) {
    let (mut texts, mut gaps) = (Vec::new(), Vec::new());
    let mut before = before.to_owned();
    loop {
        let answer = relay.get(&format!(
            "/v1/channels/{channel}/events?limit=70&before={before}"
        ));
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        gaps.extend(page["gap"]["reason"].as_str().map(str::to_owned));
        let events = page["events"].as_array().expect("events");
        let Some(first) = events.first() else {
            texts.reverse();
            return (texts, gaps);
        };
        before = first["id"].as_str().expect("an id").to_owned();
        let data = |event: &serde_json::Value| event["data"].as_str().expect("data").to_owned();
        texts.extend(events.iter().rev().map(data));
    }
}

#[test]
fn from_earliest_is_from_the_first_event_of_the_archive() {
    let server = Server::start();
    let relay = relay(&server, &LITTLE);
    let ids = publish_slowly(&relay, &server, "a", 0..300, 10);
    let mut stream = relay.subscribe("channel=a&from=earliest");
    publish_slowly(&relay, &server, "a", 300..320, 10);
    assert_eq!(seen_until(&mut stream, "319"), numbers(0..320));
    for query in ["from=earliest", "limit=90"] {
        assert_eq!(
            history(&relay, "a", query),
            (numbers(0..320), None),
            "{query}"
        );
    }
    let between = relay.get(&format!(
        "/v1/channels/a/events?from=earliest&before={}&limit=5",
        ids[3]
    ));
    let events = between.json()["events"].as_array().map(Vec::len);
    assert_eq!(events, Some(3), "{between:?}");
}

#[test]
fn pages_before_an_id_go_back_to_the_first_event_of_the_archive() {
    let server = Server::start();
    let relay = relay(&server, &LITTLE);
    let ids = publish_slowly(&relay, &server, "a", 0..300, 10);
    for last in [299, 290, 150] {
        let (texts, gaps) = backwards(&relay, "a", &ids[last]);
        assert_eq!((texts, gaps.len()), (numbers(0..last), 0), "{gaps:?}");
    }
}

#[test]
fn while_postgresql_is_away_all_that_there_is_begins_with_a_gap() {
    let mut server = Server::start();
    let relay = relay(&server, &LITTLE);
    let ids = publish_slowly(&relay, &server, "a", 0..100, 10);
    server.stop();
    let mut stream = relay.subscribe("channel=a&from=earliest");
    let seen = seen_until(&mut stream, "99");
    assert_eq!(seen[0], "gap:trimmed");
    assert_eq!(seen[1..], numbers(80..100));
    let (texts, gaps) = backwards(&relay, "a", &ids[95]);
    assert_eq!(texts, numbers(80..95));
    assert!(!gaps.is_empty());
    server.run();
    until("an archive that answers", || {
        let mut stream = relay.subscribe("channel=a&from=earliest");
        (seen_until(&mut stream, "99") == numbers(0..100)).then_some(())
    });
}
