//! The load generator: one thread, one epoll, thousands of streams, every event accounted for.

pub mod books;
pub mod endpoint;
pub mod generator;
pub mod histogram;
pub mod http;
pub mod http2;
pub mod ledger;
pub mod outcome;
pub mod pace;
pub mod publisher;
pub mod sse;
pub mod stream;
pub mod subscribers;
pub mod tally;
pub mod wire;
