//! The conformance suite of `EventLog`: every implementation passes the very same cases.
//!
//! The cases are in `event_log/suite/`, written against the trait; an implementation says in
//! [`subject::Implementation`] how a fresh log is made, and is listed at the end of this file.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod event_log {
    pub mod embedded;
    pub mod in_redis;
    pub mod subject;
    #[macro_use]
    pub mod suite;
}

#[path = "support/redis.rs"]
mod servers;

use event_log::{embedded::Embedded, in_redis::InRedis, subject, suite};
use sse_relay::journal::Fsync;
use std::time::Duration;

conformance!(in_memory, Embedded::in_memory());
conformance!(in_eight_partitions, Embedded::in_partitions(8));
conformance!(synced_always, Embedded::in_a_directory(Fsync::Always));
conformance!(
    synced_at_intervals,
    Embedded::in_a_directory(Fsync::Interval(Duration::from_millis(3)))
);
conformance!(in_redis, InRedis::standalone());
conformance!(in_a_redis_cluster, InRedis::cluster());
conformance!(synced_never, Embedded::in_a_directory(Fsync::Never));
