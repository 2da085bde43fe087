//! What is known of a ticket: its hash, and by whom it was made.

use super::Evidence;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The hash of a ticket: all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TicketId([u8; 32]);

impl TicketId {
    pub fn of(ticket: &str) -> TicketId {
        TicketId(Sha256::digest(ticket).into())
    }

    /// As it stands in keys.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// How a ticket's use is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Minted {
    pub id: TicketId,
    /// What its maker showed; never a ticket itself.
    pub by: Evidence,
}
