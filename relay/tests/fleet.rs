//! Several relays on one Redis: what one of them is asked, all of them do.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/redis.rs"]
mod servers;
mod support;

#[path = "fleet/counting.rs"]
mod counting;
#[path = "fleet/cut_off.rs"]
mod cut_off;
#[path = "fleet/elsewhere.rs"]
mod elsewhere;
#[path = "fleet/limits.rs"]
mod limits;
#[path = "fleet/looking.rs"]
mod looking;
#[path = "fleet/lost.rs"]
mod lost;
#[path = "fleet/orders.rs"]
mod orders;
#[path = "fleet/purging.rs"]
mod purging;
#[path = "fleet/rights.rs"]
mod rights;
#[path = "fleet/tickets.rs"]
mod tickets;

use serde_json::{Value, json};
use servers::{Cluster, SENTINEL_PASSWORD, SERVICE, Sentinels, Server, releases, until};
use sse_relay::auth::hash_of;
use support::{Answer, Connection, Relay};

const OPERATOR: &str = "Authorization: Bearer operator-secret";
const BACKEND: &str = "Authorization: Bearer backend-secret";
const ANN: &str = "Authorization: Bearer ann-secret";
const BOB: &str = "Authorization: Bearer bob-secret";
const JSON: &str = "Content-Type: application/json";

fn auth() -> String {
    let rights = relay_config::Right::ALL.map(|right| right.as_str());
    json!({"tokens": [
        {"name": "backend", "sha256": hash_of("backend-secret"), "publish": ["**"]},
        {"name": "operator", "sha256": hash_of("operator-secret"), "subscribe": ["**"], "manage": rights},
        {"name": "page-ann", "sha256": hash_of("ann-secret"), "subscribe": ["orders.*"], "subject": "ann"},
        {"name": "page-bob", "sha256": hash_of("bob-secret"), "subscribe": ["orders.*"], "subject": "bob"},
    ]})
    .to_string()
}

/// A relay with credentials on this Redis.
fn relay_on(redis: &[(&str, &str)]) -> Relay {
    let auth = auth();
    let own = [
        ("SSE_RELAY_AUTH", auth.as_str()),
        ("SSE_RELAY_DRAIN__PROPAGATION", "1ms"),
        ("SSE_RELAY_DRAIN__WINDOW", "1ms"),
    ];
    let settings = [&own, redis].concat();
    Relay::start_at(None, &settings)
}

/// So many relays on one Redis, which know each other.
fn relays<const N: usize>(redis: &[(&str, &str)]) -> [Relay; N] {
    let relays = [(); N].map(|()| relay_on(redis));
    until_known(&relays.each_ref(), N);
    relays
}

/// Until each of them counts so many replicas.
fn until_known(relays: &[&Relay], count: usize) {
    for relay in relays {
        until("replicas that know each other", || {
            let status = get(relay, "/v1/status").json();
            (status["replicas"].as_array()?.len() == count).then_some(())
        });
    }
}

fn get(relay: &Relay, target: &str) -> Answer {
    let answer = relay.request("GET", target, &[OPERATOR], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn post(relay: &Relay, target: &str, body: &Value) -> Answer {
    relay.request(
        "POST",
        target,
        &[OPERATOR, JSON],
        body.to_string().as_bytes(),
    )
}

/// Opens a stream; its id.
fn open(relay: &Relay, query: &str, headers: &[&str]) -> (Connection, String) {
    let mut stream = relay.connect();
    let target = format!("/v1/events?connected=true&{query}");
    stream.send(support::request("GET", &target, headers, b""));
    assert_eq!(stream.head().status, 200);
    stream.until("event: connected\n");
    stream.until("data: ");
    let line = stream.until("\n");
    let connected: Value = serde_json::from_str(line.trim_end()).unwrap();
    // the rest of the empty line; what is told next stays
    stream.until("\n");
    let id = connected["connection"].as_str().unwrap().to_owned();
    (stream, id)
}

/// What a stream is still told.
fn rest(mut stream: Connection) -> String {
    String::from_utf8(stream.rest()).unwrap()
}

fn publish(relay: &Relay, channel: &str, data: &str) {
    let target = format!("/v1/channels/{channel}/events");
    let answer = relay.request("POST", &target, &[BACKEND], data.as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
}
