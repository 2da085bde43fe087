//! How soon the system notices that the other end of a connection is gone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timespan::Timespan;

/// How soon the system notices that the other end of a connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Tcp {
    /// Time without a byte in either direction after which the other end is asked whether it is
    /// still there.
    pub keep_alive: Timespan,
    /// Time that what was sent may stay without an acknowledgement, or the other end without
    /// room for more, until the connection is given up.
    pub user_timeout: Timespan,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            keep_alive: Timespan::from_secs(30),
            user_timeout: Timespan::from_secs(60),
        }
    }
}
