//! What a relay made of what it pulled.

use crate::{
    servers::until,
    support::{Connection, Relay, request},
};
use serde_json::Value;

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
