//! Control over live streams: commands, what they do here, and who spreads them.
//!
//! A command is data ([`Command`]), so that it can go to other replicas; each replica applies it to its
//! own streams and stores and answers with an [`Outcome`], and outcomes add up.

pub mod command;

use crate::hub::Hub;
pub use command::{Command, Outcome};
use std::sync::Arc;

/// Who carries commands out. Only this process, as long as there is one replica.
pub struct Control {
    hub: Arc<Hub>,
}

impl Control {
    pub fn new(hub: Arc<Hub>) -> Control {
        Control { hub }
    }

    /// Carries a command out on every replica, and adds up what each of them did.
    pub async fn spread(&self, command: Command) -> Outcome {
        self.apply(command).await
    }

    /// What this replica does with a command, wherever it comes from.
    pub async fn apply(&self, command: Command) -> Outcome {
        match command {
            Command::End { streams, reason } => Outcome {
                streams: self.hub.end(streams, reason).await,
            },
        }
    }
}
