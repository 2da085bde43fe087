//! The log in Redis, against real servers.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "redis_log/fixture.rs"]
mod fixture;
#[path = "support/redis.rs"]
mod servers;

#[path = "redis_log/appending.rs"]
mod appending;
#[path = "redis_log/attaching.rs"]
mod attaching;
#[path = "redis_log/epochs.rs"]
mod epochs;
#[path = "redis_log/keeping.rs"]
mod keeping;
#[path = "redis_log/roles.rs"]
mod roles;
#[path = "redis_log/watching.rs"]
mod watching;
