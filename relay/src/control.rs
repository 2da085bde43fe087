//! Control over live streams: commands, what they do here, and who spreads them.
//!
//! A command is data ([`Command`]), so that it can go to other replicas; each replica applies it to its
//! own streams and stores and answers with an [`Outcome`], and outcomes add up.

pub mod command;
pub mod revocation;
pub mod revocations;

use crate::{
    cursor::UnixMillis,
    frame::Frame,
    hub::{Hub, open::EndReason, select::StreamSelector},
    who::Who,
};
pub use command::{Command, Outcome};
use parking_lot::RwLock;
use relay_config::Config;
use revocation::{Revocation, RevocationId};
use revocations::{Full, Revocations};
use std::sync::Arc;

/// Who carries commands out. Only this process, as long as there is one replica.
pub struct Control {
    hub: Arc<Hub>,
    /// This process, as the ids of its streams begin.
    replica: Box<str>,
    revocations: RwLock<Revocations>,
}

/// Why a command did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ControlError {
    #[error(transparent)]
    TooManyRevocations(#[from] Full),
}

impl Control {
    pub fn new(hub: Arc<Hub>, replica: &str, config: &Config) -> Control {
        Control {
            hub,
            replica: replica.into(),
            revocations: RwLock::new(Revocations::new(config.revocations.max)),
        }
    }

    /// Carries a command out on every replica, and adds up what each of them did.
    pub async fn spread(&self, command: Command, now: UnixMillis) -> Result<Outcome, ControlError> {
        self.apply(command, now).await
    }

    /// What this replica does with a command, wherever it comes from.
    pub async fn apply(&self, command: Command, now: UnixMillis) -> Result<Outcome, ControlError> {
        match command {
            Command::End { streams, reason } => Ok(self.end(streams, reason).await),
            Command::Revoke { revocation } => {
                let streams = revocation.revoked.streams();
                // before its streams end, so that none of them comes back in between
                self.revocations.write().add(revocation, now)?;
                Ok(self.end(streams, EndReason::Revoked).await)
            }
            Command::Direct { connection, event } => {
                let Some(number) = self.number_of(&connection) else {
                    return Ok(Outcome::default());
                };
                let frame = Frame::from_text(&event);
                Ok(self.hub.direct(number, &frame).await.into())
            }
            Command::Restore { id } => {
                self.revocations.write().remove(&id, now);
                Ok(Outcome::default())
            }
        }
    }

    async fn end(&self, streams: StreamSelector, reason: EndReason) -> Outcome {
        Outcome {
            streams: self.hub.end(streams, reason).await,
            ..Outcome::default()
        }
    }

    /// The number in a connection's id; `None` for one that this replica never gave.
    pub fn number_of(&self, connection: &str) -> Option<u64> {
        let number = connection.strip_prefix(&*self.replica)?.strip_prefix('-')?;
        number.parse().ok()
    }

    /// Whether somebody's credential is refused now.
    pub fn refuses(&self, who: &Who, now: UnixMillis) -> bool {
        self.revocations.read().refuse(who, now)
    }

    /// Revocations that hold, in order of their ids, after one, at most `limit`.
    pub fn revocations(
        &self,
        after: Option<&RevocationId>,
        limit: usize,
        now: UnixMillis,
    ) -> Vec<(RevocationId, Revocation)> {
        self.revocations.read().list(after, limit, now)
    }

    pub fn count_revocations(&self, now: UnixMillis) -> usize {
        self.revocations.read().count(now)
    }
}
