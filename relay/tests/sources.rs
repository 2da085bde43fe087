//! Sources, each against its real server: whatever fails, what is acknowledged becomes an event once,
//! and what is dropped is counted.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/redis.rs"]
mod servers;
mod support;

#[path = "sources/django_channels.rs"]
mod django_channels;
#[path = "sources/pulled.rs"]
mod pulled;
#[path = "sources/redis_stream.rs"]
mod redis_stream;
#[path = "sources/replicas.rs"]
mod replicas;
#[path = "sources/resp.rs"]
mod resp;
