//! Credentials that are refused before they end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timespan::Timespan;

/// Credentials that are refused before they end (`POST /v1/revocations`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Revocations {
    /// How long a revocation holds that does not say it: at least as long as the longest life of
    /// your tokens, or a revoked one is good again before it ends.
    pub keep: Timespan,
    /// Number of revocations at once.
    pub max: usize,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            keep: Timespan::from_secs(30 * 86_400),
            max: 10_000,
        }
    }
}
