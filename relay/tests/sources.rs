//! Sources, each against its real server: whatever fails, what is acknowledged becomes an event once,
//! and what is dropped is counted.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/sse_relay_server.rs"]
mod package;
#[path = "support/redis.rs"]
mod servers;
mod support;

#[path = "tls/authority.rs"]
#[allow(dead_code, reason = "the tests of TLS use more of it")]
mod authority;
#[path = "routes/capture.rs"]
mod capture;
#[path = "sources/check.rs"]
mod check;
#[path = "sources/django_channels.rs"]
mod django_channels;
#[path = "sources/django_eventstream.rs"]
mod django_eventstream;
#[path = "sources/mercure.rs"]
mod mercure;
#[path = "sources/pulled.rs"]
mod pulled;
#[path = "sources/redis_pub_sub.rs"]
mod redis_pub_sub;
#[path = "sources/redis_stream.rs"]
mod redis_stream;
#[path = "sources/replicas.rs"]
mod replicas;
#[path = "sources/resp.rs"]
mod resp;
#[path = "sources/sse.rs"]
mod sse;
#[path = "sources/stand_in.rs"]
mod stand_in;
