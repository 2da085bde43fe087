//! What a relay made of what it pulled.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use crate::support::{Connection, Relay, request};
use serde_json::Value;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Everything comes within this, however busy the machine is: a lease lasts five seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The value of a sample in a scrape; 0 if it is not there.
pub fn sample(relay: &Relay, sample: &str) -> f64 {
    let scrape = relay.scrape();
    let mut lines = scrape.lines();
    let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until a sample has at least this value.
pub fn wait_for(relay: &Relay, name: &str, least: f64) {
    until(name, || (sample(relay, name) >= least).then_some(()));
}

pub fn wait_until_connected(relay: &Relay, source: &str) {
    let name = format!("sse_relay_source_connected{{source=\"{source}\"}}");
    wait_for(relay, &name, 1.0);
}

/// Waits until a source is not connected.
pub fn wait_until_disconnected(relay: &Relay, source: &str) {
    let name = format!("sse_relay_source_connected{{source=\"{source}\"}}");
    until("a source that is not connected", || {
        (sample(relay, &name) < 1.0).then_some(())
    });
}

/// The name of the sample that counts what a source dropped.
pub fn dropped(source: &str, reason: &str) -> String {
    format!("sse_relay_source_dropped_total{{source=\"{source}\",reason=\"{reason}\"}}")
}

/// The data of events of a stream, until one has this text; gaps as `gap:REASON`.
pub fn seen_until(stream: &mut Connection, last: &str) -> Vec<String> {
    let (mut seen, start) = (Vec::new(), Instant::now());
    let mut text = String::new();
    loop {
        // heartbeats come all the same
        assert!(start.elapsed() < LIMIT, "no {last:?} came, but {seen:?}");
        let chunk = stream.chunk();
        assert!(!chunk.is_empty(), "it ended, after {seen:?}");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some(end) = text.find("\n\n") {
            let block: String = text.drain(..end + 2).collect();
            let data = block.lines().find_map(|line| line.strip_prefix("data: "));
            let Some(data) = data else {
                continue;
            };
            if block.contains("event: gap\n") {
                let gap: Value = serde_json::from_str(data).unwrap();
                seen.push(format!("gap:{}", gap["reason"].as_str().unwrap()));
                continue;
            }
            seen.push(data.to_owned());
            if data == last {
                return seen;
            }
        }
    }
}

/// So that a stream that begins before its channel is listened to is told.
pub const TOLD: (&str, &str) = ("SSE_RELAY_LOGGING__LEVEL", "debug");

/// What is sent once reaches a stream that has begun, over a source that keeps nothing. Only where this
/// machine took longer for the confirmation than streams wait for it, which the relays tell, is it sent
/// again.
pub fn hears(relays: &[&Relay], stream: &mut Connection, text: &str, send: impl Fn() + Sync) {
    let is_late = || {
        let mut relays = relays.iter();
        relays.any(|relay| relay.output().contains("source.late"))
    };
    send();
    let seen = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            while !seen.load(Ordering::Relaxed) && began.elapsed() < LIMIT {
                std::thread::sleep(Duration::from_millis(50));
                if is_late() {
                    send();
                }
            }
        });
        let got = seen_until(stream, text);
        seen.store(true, Ordering::Relaxed);
        assert!(is_late() || got == [text], "{got:?}");
    });
}

/// Data of the events of a channel from the first on, as many as are asked for.
pub fn events(relay: &Relay, channel: &str, count: usize) -> Vec<String> {
    let mut stream = relay.subscribe(&format!("channel={channel}&from=earliest"));
    let mut found = Vec::new();
    while found.len() < count {
        let body = stream.body_until("\n\n");
        found.extend(
            body.lines()
                .filter_map(|line| line.strip_prefix("data: ").map(str::to_owned)),
        );
    }
    found
}

/// What the admin port says of the first source.
pub fn check(relay: &Relay) -> Value {
    let mut connection = Connection::to(relay.admin);
    connection.send(request("GET", "/checks", &["Connection: close"], b""));
    connection.answer().json()["sources"][0].clone()
}
