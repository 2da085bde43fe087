//! Leases: of what only one replica does at a time.

use super::{
    Fleet,
    scripts::{self, FleetError},
};
use crate::{event_log::Fence, redis::Reply};
use std::time::Duration;

/// How long a lease lasts that is not renewed, by Redis' clock.
pub const TERM: Duration = Duration::from_secs(5);
/// How long giving one back may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a replica that asks for a lease is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// It has it, under this token.
    Held(u64),
    /// Another one has it.
    Taken,
}

impl Fleet {
    /// Asks for a lease that nobody holds. Its token is greater than all before, and at least this.
    pub async fn ask_for(&self, name: &str, at_least: u64) -> Result<Asked, FleetError> {
        self.lease("ask", name, at_least).await
    }

    /// Begins the term of a lease anew.
    pub async fn renew(&self, fence: &Fence) -> Result<Asked, FleetError> {
        self.lease("renew", &fence.name, fence.token).await
    }

    /// Lets another replica have it at once, if Redis can be told.
    pub async fn give_back(&self, fence: &Fence) {
        let giving = self.lease("give", &fence.name, fence.token);
        if !matches!(tokio::time::timeout(FAREWELL, giving).await, Ok(Ok(_))) {
            tracing::debug!(event = "fleet.lease", name = %fence.name, "a lease was not given back");
        }
    }

    async fn lease(&self, what: &str, name: &str, token: u64) -> Result<Asked, FleetError> {
        let leases = self.keys.leases();
        let (token, term) = (token.to_string(), TERM.as_millis().to_string());
        let args = [what, name, &self.me, &token, &term].map(str::as_bytes);
        let keys = [leases.as_bytes()];
        let reply = self.primary.script(&scripts::LEASE, &keys, &args).await?;
        parse(&reply)
    }
}

fn parse(reply: &Reply) -> Result<Asked, FleetError> {
    let [status, token] = reply.list().unwrap_or_default() else {
        return Err(FleetError::Strange);
    };
    match status.text() {
        Some("held") => Ok(Asked::Held(scripts::number(token)?)),
        Some("taken") => Ok(Asked::Taken),
        _ => Err(FleetError::Strange),
    }
}
