//! Sources in PostgreSQL, against a real one: an outbox loses and doubles nothing, whatever is killed.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "routes/capture.rs"]
mod capture;
#[path = "support/sse_relay_server.rs"]
mod package;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "sources/pulled.rs"]
mod pulled;
#[path = "support/redis.rs"]
mod redis;

#[path = "postgres_sources/check.rs"]
mod check;
#[path = "postgres_sources/listen.rs"]
mod listen;
#[path = "postgres_sources/on_demand.rs"]
mod on_demand;
#[path = "postgres_sources/outbox.rs"]
mod outbox;
#[path = "postgres_sources/stand_in.rs"]
mod stand_in;
#[path = "postgres_sources/tls.rs"]
mod tls;

use postgres::Server;
use pulled::{
    dropped, sample, seen_until, until, wait_for, wait_until_connected, wait_until_disconnected,
};
use serde_json::{Value, json};
use support::Relay;

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn relay(sources: &Value, env: &[(&str, &str)]) -> Relay {
    let sources = sources.to_string();
    let env = [&[("SSE_RELAY_SOURCES", sources.as_str())], env].concat();
    Relay::start_with(&env, &[])
}

/// A source `pg` that listens.
fn listening(server: &Server, more: Value) -> Value {
    let mut listen = json!({"postgres": {"url": server.url()}});
    for (key, value) in more.as_object().unwrap() {
        listen[key] = value.clone();
    }
    json!([{"name": "pg", "postgresListen": listen}])
}
