//! What a relay made of what it pulled.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use crate::support::{Connection, Relay, request};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Everything comes within this, however busy the machine is: a lease lasts five seconds.
const LIMIT: Duration = Duration::from_secs(60);

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

/// The data of events of a stream, until one has this text.
pub fn seen_until(stream: &mut Connection, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut text = String::new();
    loop {
        let chunk = stream.chunk();
        assert!(!chunk.is_empty(), "it ended, after {seen:?}");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some(end) = text.find("\n\n") {
            let block: String = text.drain(..end + 2).collect();
            if let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: ")) {
                seen.push(data.to_owned());
                if data == last {
                    return seen;
                }
            }
        }
    }
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
