//! Running relays on Redis: what is said of a Redis before and while it is used, which replica is ready,
//! and what becomes of publishes and streams meanwhile.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "restart/http.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod http;
#[path = "support/redis.rs"]
mod servers;
#[path = "restart/subscriber.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod subscriber;
mod support;

#[path = "running/checks.rs"]
mod checks;
#[path = "running/faults.rs"]
mod faults;
#[path = "running/moving.rs"]
mod moving;
#[path = "running/readiness.rs"]
mod readiness;
#[path = "running/replicas.rs"]
mod replicas;
#[path = "running/secured.rs"]
mod secured;
#[path = "running/storm.rs"]
mod storm;
#[path = "running/users.rs"]
mod users;
