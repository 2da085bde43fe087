//! Whether the operator proves through the public address that streams stream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// With a way in from outside, the operator opens a stream through it every ten minutes, publishes an
/// event inside, and says in the condition StreamingVerified what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamingCheck {
    /// Whether it does.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for StreamingCheck {
    fn default() -> Self {
        Self { enabled: true }
    }
}

fn yes() -> bool {
    true
}
