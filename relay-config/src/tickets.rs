//! Tickets: short-lived credentials for the address of a stream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timespan::Timespan;

/// Short-lived credentials for the address of a stream (`POST /v1/tickets`), since a browser's
/// `EventSource` sends no headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Tickets {
    /// Time in which a ticket must be used for the first time.
    pub redeem_within: Timespan,
    /// Time after the end of its stream in which a ticket opens it again.
    pub reopen_within: Timespan,
    /// What tells another client from the one that used a ticket first. An empty list lets anybody
    /// who has seen the ticket take its stream over.
    pub bind: Vec<TicketBinding>,
    /// Number of tickets at once, those of open streams included.
    pub max: usize,
}

/// What a client is recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TicketBinding {
    /// Its IP address; of IPv6, the network of 64 bits.
    Address,
    /// Its header `User-Agent`.
    UserAgent,
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            redeem_within: Timespan::from_secs(30),
            reopen_within: Timespan::from_secs(60),
            bind: vec![TicketBinding::Address, TicketBinding::UserAgent],
            max: 100_000,
        }
    }
}
