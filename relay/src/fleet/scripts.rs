//! The fleet's Lua scripts, and what they answer. They stand in `scripts/`, one file each.

use super::roster::{Member, Roster};
use crate::redis::{CommandError, Reply, lua_script};

lua_script!(BEAT, "beat.lua");
lua_script!(LEASE, "lease.lua");
lua_script!(ORDER, "order.lua");
lua_script!(PUT_BACK, "put_back.lua");
lua_script!(REVOKE, "revoke.lua");
lua_script!(SHARES, "shares.lua");
lua_script!(SHED, "shed.lua");
lua_script!(STREAMS, "streams.lua");
lua_script!(TICKET, "ticket.lua");

/// Why Redis did not do it, or did not say that it did.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FleetError {
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Keys under our prefix were written by somebody else.
    #[error("what replicas share in Redis is damaged, or of a release that this one does not know")]
    Strange,
}

impl FleetError {
    /// Whether it was surely not done.
    pub fn is_undone(&self) -> bool {
        matches!(
            self,
            FleetError::Command(CommandError::NotSent(_) | CommandError::NotExecuted { .. })
        )
    }
}

/// What a beat is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beat {
    pub epoch: String,
    /// The last change of revocations.
    pub change: u64,
    pub tickets: u64,
    pub roster: Roster,
}

/// What became of a revocation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kept {
    Kept(Roster),
    Full,
    Known,
}

pub fn number(reply: &Reply) -> Result<u64, FleetError> {
    let number = reply.integer().and_then(|n| u64::try_from(n).ok());
    number.ok_or(FleetError::Strange)
}

/// The end of an answer: the time, and each replica with its last beat.
fn roster(items: &[Reply]) -> Result<Roster, FleetError> {
    let (now, members) = items.split_first().ok_or(FleetError::Strange)?;
    let member = |pair: &[Reply]| match pair {
        [id, seen] => Ok(Member {
            id: id.text().ok_or(FleetError::Strange)?.into(),
            seen: number(seen)?,
        }),
        _ => Err(FleetError::Strange),
    };
    let members: Result<_, _> = members.chunks(2).map(member).collect();
    Ok(Roster::new(number(now)?, members?))
}

impl Beat {
    pub fn parse(reply: &Reply) -> Result<Beat, FleetError> {
        let [epoch, change, tickets, rest @ ..] = reply.list().unwrap_or_default() else {
            return Err(FleetError::Strange);
        };
        Ok(Beat {
            epoch: epoch.text().ok_or(FleetError::Strange)?.to_owned(),
            change: number(change)?,
            tickets: number(tickets)?,
            roster: roster(rest)?,
        })
    }
}

impl Kept {
    pub fn parse(reply: &Reply) -> Result<Kept, FleetError> {
        let [status, rest @ ..] = reply.list().unwrap_or_default() else {
            return Err(FleetError::Strange);
        };
        match status.text() {
            Some("ok") => Ok(Kept::Kept(roster(rest)?)),
            Some("full") => Ok(Kept::Full),
            Some("known") => Ok(Kept::Known),
            _ => Err(FleetError::Strange),
        }
    }
}

/// Who an order was sent to.
pub fn ordered(reply: &Reply) -> Result<Roster, FleetError> {
    match Kept::parse(reply)? {
        Kept::Kept(roster) => Ok(roster),
        Kept::Full | Kept::Known => Err(FleetError::Strange),
    }
}
