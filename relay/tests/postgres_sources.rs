//! Sources in PostgreSQL, against a real one: an outbox loses and doubles nothing, whatever is killed.

mod support;

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/redis.rs"]
mod redis;

#[path = "postgres_sources/listen.rs"]
mod listen;
#[path = "postgres_sources/outbox.rs"]
mod outbox;

use postgres::Server;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Connection, Relay};

/// Everything that is waited for comes within this, also on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);

fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
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
fn sample(relay: &Relay, name: &str) -> f64 {
    let scrape = relay.scrape();
    let value = scrape
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().expect("a number"))
}

fn wait_for(relay: &Relay, name: &str, least: f64) {
    until(name, || (sample(relay, name) >= least).then_some(()));
}

fn connected(relay: &Relay, source: &str, connected: bool) {
    let name = format!("sse_relay_source_connected{{source=\"{source}\"}}");
    until("a source that is as it should be", || {
        ((sample(relay, &name) >= 1.0) == connected).then_some(())
    });
}

fn dropped(source: &str, reason: &str) -> String {
    format!("sse_relay_source_dropped_total{{source=\"{source}\",reason=\"{reason}\"}}")
}

/// The data of events of a stream, until one has this text.
fn seen_until(stream: &mut Connection, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut text = String::new();
    loop {
        let chunk = stream.chunk();
        assert!(!chunk.is_empty(), "it ended, after {seen:?}");
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
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

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn relay(sources: &Value, env: &[(&str, &str)]) -> Relay {
    let sources = sources.to_string();
    let env = [&[("SSE_RELAY_SOURCES", sources.as_str())], env].concat();
    Relay::start_with(&env, &[])
}
