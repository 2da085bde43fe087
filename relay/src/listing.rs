//! What is told about streams: rows of lists. Each replica writes those of its own streams, and the one
//! that was asked puts them together. Pure.

mod clients;
mod routed;
mod streams;

pub use clients::{ClientRow, clients_of, merge_clients};
pub use routed::{RouteStreams, merge_routes, route_streams_of};
pub use streams::{MAX_BYTES, StreamRow, Streams, streams_of};

/// A part of a list, from all replicas that answered.
#[derive(Debug)]
pub struct Listed<T> {
    pub rows: Vec<T>,
    /// Whether more follow.
    pub more: bool,
    /// Replicas that did not answer in time: what they have is missing.
    pub unanswered: Vec<Box<str>>,
}
