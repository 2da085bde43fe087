//! A relay that pulls from brokers, and what it made of it.

use crate::{
    broker::{Broker, PASSWORD, USER, until},
    support::{Connection, Relay, request},
};
use serde_json::{Value, json};

/// The variable that the relay reads its password from.
pub const VARIABLE: &str = "TEST_BROKER_PASSWORD";

/// A relay with these sources.
pub fn relay(sources: &Value) -> Relay {
    relay_with(sources, &[])
}

/// The same with more environment variables.
pub fn relay_with(sources: &Value, env: &[(&str, &str)]) -> Relay {
    let sources = sources.to_string();
    let own = [
        ("SSE_RELAY_SOURCES", sources.as_str()),
        ("SSE_RELAY_HTTP__THREADS", "2"),
        (VARIABLE, PASSWORD),
    ];
    Relay::start_with(&[&own, env].concat(), &[])
}

/// What is spoken with a broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speech {
    Rabbitmq,
    Stomp,
    Amqp,
}

impl Speech {
    pub fn kind(self) -> &'static str {
        match self {
            Speech::Rabbitmq => "rabbitmq",
            Speech::Stomp => "stomp",
            Speech::Amqp => "amqp",
        }
    }
}

/// The section `broker` of a source.
pub fn section(broker: &Broker, speech: Speech) -> Value {
    let url = match speech {
        Speech::Rabbitmq | Speech::Amqp => format!("amqp://127.0.0.1:{}", broker.at.ports.amqp),
        Speech::Stomp => format!("stomp://127.0.0.1:{}", broker.at.ports.stomp),
    };
    json!({
        "url": url,
        "credentials": {"username": USER, "passwordVariable": VARIABLE},
        "connectTimeout": "20s",
        "heartbeat": "2s",
    })
}

/// The value of a sample in a scrape; 0 if it is not there.
pub fn sample(relay: &Relay, sample: &str) -> f64 {
    let scrape = relay.scrape();
    let mut lines = scrape.lines();
    let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

pub fn wait_until_connected(relay: &Relay, source: &str) {
    let name = format!("sse_relay_source_connected{{source=\"{source}\"}}");
    until(
        &format!("a connection of {source}: {}", relay.output()),
        || (sample(relay, &name) >= 1.0).then_some(()),
    );
}

/// Waits until a source has failed for this reason.
pub fn wait_for_fault(relay: &Relay, source: &str, reason: &str) {
    until(
        &format!("{reason} of {source}; it said: {}", relay.output()),
        || {
            let about = check(relay, source);
            (about["reason"] == reason
                || relay.output().lines().any(|line| {
                    line.contains("source.failed") && line.contains(source) && line.contains(reason)
                }))
            .then_some(())
        },
    );
}

/// Waits until the source has dropped a message for this reason.
pub fn wait_for_drop(relay: &Relay, source: &str, reason: &str) {
    let name = format!("sse_relay_source_dropped_total{{source=\"{source}\",reason=\"{reason}\"}}");
    until(&name, || (sample(relay, &name) >= 1.0).then_some(()));
}

/// What the admin port says of a source.
pub fn check(relay: &Relay, source: &str) -> Value {
    let mut connection = Connection::to(relay.admin);
    connection.send(request("GET", "/checks", &["Connection: close"], b""));
    let checks = connection.answer().json();
    let mut sources = checks["sources"].as_array().into_iter().flatten();
    let found = sources.find(|about| about["name"] == source);
    found.cloned().unwrap_or_default()
}

/// Data of the events of a channel from the first on, up to the one that says this.
pub fn events_until(relay: &Relay, channel: &str, last: &str) -> Vec<String> {
    let mut stream = relay.subscribe(&format!("channel={channel}&from=earliest"));
    let mut found = Vec::new();
    until(&format!("{last:?} in {channel}"), || {
        // a sign of life, if nothing else comes
        let blocks = stream.body_until("\n\n");
        let data = blocks
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        found.extend(data.map(str::to_owned));
        found.iter().any(|text| text == last).then_some(())
    });
    found
}
