//! How soon lost connections are noticed, and how long revocations hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Span;

/// How soon the system notices that the other end of a connection is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tcp {
    /// Time without a byte in either direction after which the other end is asked whether it is still
    /// there; 30s, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Span>,
    /// Time that what was sent may stay without an acknowledgement until the connection is given up;
    /// 60s, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_timeout: Option<Span>,
}

/// Credentials that are refused before they end (`POST /v1/revocations`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revocations {
    /// How long a revocation holds that does not say it; 720h, if it is left out. At least as long as
    /// the longest life of your tokens, or a revoked one is good again before it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
    /// Number of revocations at once; 10000, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: Option<i32>,
}
