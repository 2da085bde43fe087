//! Control over live streams, against the real relay.

mod support;

#[path = "control/audit.rs"]
mod audit;
#[path = "control/clients.rs"]
mod clients;
#[path = "control/direct.rs"]
mod direct;
#[path = "control/disconnect.rs"]
mod disconnect;
#[path = "control/extending.rs"]
mod extending;
#[path = "control/purge.rs"]
mod purge;
#[path = "control/revocations.rs"]
mod revocations;
#[path = "control/tickets.rs"]
mod tickets;

use serde_json::{Value, json};
use sse_relay::auth::hash_of;
use support::{Answer, Connection, Relay};

const BACKEND: &str = "Authorization: Bearer backend-secret";
const OPERATOR: &str = "Authorization: Bearer operator-secret";
const ANN: &str = "Authorization: Bearer ann-secret";
const BOB: &str = "Authorization: Bearer bob-secret";

/// Tokens of a publisher, of somebody who may do everything else, and of two users.
fn auth() -> Value {
    json!({
        "anonymous": {"subscribe": ["public.**"]},
        "tokens": [
            {"name": "backend", "sha256": hash_of("backend-secret"), "publish": ["**"]},
            {"name": "operator", "sha256": hash_of("operator-secret"), "subscribe": ["**"], "manage": rights()},
            {"name": "page-ann", "sha256": hash_of("ann-secret"), "subscribe": ["orders.*"], "subject": "ann"},
            {"name": "page-bob", "sha256": hash_of("bob-secret"), "subscribe": ["orders.*"], "subject": "bob"},
        ],
    })
}

fn rights() -> Vec<&'static str> {
    relay_config::Right::ALL.map(|right| right.as_str()).into()
}

fn relay() -> Relay {
    Relay::start_with(&[("SSE_RELAY_AUTH", &auth().to_string())], &[])
}

/// Opens a stream and reads its first block.
fn open(relay: &Relay, query: &str, headers: &[&str]) -> Connection {
    let mut stream = relay.connect();
    stream.send(support::request(
        "GET",
        &format!("/v1/events?{query}"),
        headers,
        b"",
    ));
    assert_eq!(stream.head().status, 200);
    stream.until("retry: ");
    stream.until("\n\n");
    stream
}

fn publish(relay: &Relay, channel: &str, data: &str) {
    let target = format!("/v1/channels/{channel}/events");
    let answer = relay.request("POST", &target, &[BACKEND], data.as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
}

fn delete(relay: &Relay, target: &str) -> Answer {
    relay.request("DELETE", target, &[OPERATOR], b"")
}

/// The streams that are listed for a query.
fn listed(relay: &Relay, query: &str) -> Vec<Value> {
    let target = format!("/v1/connections?{query}");
    let answer = relay.request("GET", &target, &[OPERATOR], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    let connections = answer.json()["connections"].take();
    connections.as_array().expect("a list").clone()
}
