//! Protocols, deadlines and limits of HTTP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_size::ByteSize;
use crate::timespan::Timespan;

/// Protocols, deadlines and limits of HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Http {
    /// Whether HTTP/1.1 is spoken.
    pub http1: bool,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// Number of requests that may be open at once on one HTTP/2 connection; each stream is one.
    pub max_concurrent_streams: u32,
    /// Time in which a request's head must have arrived.
    pub head_timeout: Timespan,
    /// Time after which a connection without a request is closed.
    pub idle_timeout: Timespan,
    /// Time in which a request's body must have arrived, however steadily it comes.
    pub body_timeout: Timespan,
    /// How long browsers are told to use nothing but https for this host
    /// (`Strict-Transport-Security`), where they came by TLS; not told by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Timespan>,
    /// Bytes of a request's head.
    pub max_head_bytes: ByteSize,
    /// Bytes of a request's body.
    pub max_body_bytes: ByteSize,
    /// Number of events in one batch.
    pub max_batch_events: usize,
    /// Number of delivery threads; by default one per core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            http1: true,
            http2: true,
            max_concurrent_streams: 10_000,
            head_timeout: Timespan::from_secs(10),
            idle_timeout: Timespan::from_secs(75),
            body_timeout: Timespan::from_secs(60),
            hsts: None,
            max_head_bytes: ByteSize::from_kib(16),
            max_body_bytes: ByteSize::from_mib(1),
            max_batch_events: 1_000,
            threads: None,
        }
    }
}
