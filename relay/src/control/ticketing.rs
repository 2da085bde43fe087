//! Tickets of this replica alone, or of all: the same decisions, about one ticket at a time.

use super::{
    Control,
    spreading::replica_of,
    ticket::{Fingerprint, Shape, Ticket},
    tickets::{self, Redeemed, TicketRefusal},
};
use crate::{
    auth::{Evidence, TicketId},
    cursor::UnixMillis,
    fleet::{Fleet, roster::Pulse, ticketing::Written},
    grant::Grant,
    hub::open::{Life, StreamInfo},
};
use std::sync::Arc;

/// How often a ticket is looked at again that somebody else changed meanwhile.
const TRIES: usize = 4;

/// Why a ticket was not made, or opens nothing now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TicketTrouble {
    Refused(TicketRefusal),
    /// What replicas share cannot be reached.
    Unavailable(String),
}

/// Why a ticket was not made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotMade {
    Full(tickets::Full),
    Unavailable(String),
}

impl From<TicketRefusal> for TicketTrouble {
    fn from(refusal: TicketRefusal) -> TicketTrouble {
        TicketTrouble::Refused(refusal)
    }
}

fn away(error: impl std::fmt::Display) -> TicketTrouble {
    TicketTrouble::Unavailable(error.to_string())
}

impl Control {
    /// Whether somebody must be waited for to tell whether a ticket is good.
    pub fn shares_tickets(&self) -> bool {
        self.fleet.is_some()
    }

    pub async fn add_ticket(&self, ticket: Ticket, now: UnixMillis) -> Result<(), NotMade> {
        let Some(fleet) = &self.fleet else {
            let added = self.tickets.lock().add(ticket, now);
            return added.map_err(NotMade::Full);
        };
        let max = self.tickets.lock().max();
        match fleet
            .write_ticket(None, &ticket, self.reopen(), Some(max), now)
            .await
        {
            Ok(Written::Done) => Ok(()),
            Ok(Written::Full) => Err(NotMade::Full(tickets::Full(max))),
            // 256 random bits are not there already
            Ok(Written::Changed) => Err(NotMade::Unavailable("try again".to_owned())),
            Err(error) => Err(NotMade::Unavailable(error.to_string())),
        }
    }

    fn reopen(&self) -> u64 {
        self.tickets.lock().reopen()
    }

    /// The ticket, if this client may use it now for some stream. Ready at once unless it is shared.
    pub async fn ticket(
        &self,
        id: &TicketId,
        client: Fingerprint,
        now: UnixMillis,
    ) -> Result<Ticket, TicketTrouble> {
        let Some(fleet) = &self.fleet else {
            return Ok(self.tickets.lock().look(id, client, now).cloned()?);
        };
        let (ticket, _) = shared(fleet, id, now).await?;
        ticket.look(client, self.reopen(), now)?;
        Ok(ticket)
    }

    /// Uses a ticket for the stream `connection`; the stream that it opened before ends. Ready at once
    /// unless it is shared.
    pub async fn redeem(
        &self,
        id: &TicketId,
        client: Fingerprint,
        shape: Shape,
        connection: &str,
        now: UnixMillis,
    ) -> Result<Redeemed, TicketTrouble> {
        let redeemed = match &self.fleet {
            None => {
                let mut tickets = self.tickets.lock();
                tickets.redeem(id, client, shape, connection, now)?
            }
            Some(fleet) => {
                let redeem = |ticket: &mut Ticket| {
                    ticket.redeem(client, shape, connection, self.reopen(), now)
                };
                self.change(fleet, id, now, redeem).await?
            }
        };
        if let Redeemed::Again(before) = &redeemed {
            self.end_replaced(before);
        }
        Ok(redeemed)
    }

    /// Changes a shared ticket, as it is when it is changed.
    async fn change<T>(
        &self,
        fleet: &Fleet,
        id: &TicketId,
        now: UnixMillis,
        change: impl Fn(&mut Ticket) -> Result<T, TicketRefusal>,
    ) -> Result<T, TicketTrouble> {
        for _ in 0..TRIES {
            let (mut ticket, record) = shared(fleet, id, now).await?;
            let outcome = change(&mut ticket)?;
            ticket.changes += 1;
            let written = fleet
                .write_ticket(Some(&record), &ticket, self.reopen(), None, now)
                .await
                .map_err(away)?;
            match written {
                Written::Done => return Ok(outcome),
                Written::Changed | Written::Full => {}
            }
        }
        Err(away("the ticket is being used by others at the same time"))
    }

    /// Is told what happens to streams: a ticket is good as long as its stream.
    pub fn watch(&self, stream: &StreamInfo, life: Life, now: UnixMillis) {
        let Evidence::Ticket(minted) = &stream.who.evidence else {
            return;
        };
        let Some(fleet) = &self.fleet else {
            let mut tickets = self.tickets.lock();
            match life {
                Life::Opened => tickets.opened(&minted.id, &stream.id()),
                Life::Extended(expires) => tickets.extended(&minted.id, expires),
                Life::Closed => tickets.closed(&minted.id, &stream.id(), now),
            }
            return;
        };
        match life {
            Life::Opened => fleet.held().opened(minted.id, &stream.id(), now),
            Life::Closed => fleet.held().closed(minted.id, &stream.id(), now),
            Life::Extended(expires) => fleet.held().extended(minted.id, expires),
        }
    }

    /// Takes an extended life of a stream to the others: its ticket is good as long.
    pub async fn extend_shared_ticket(
        &self,
        fleet: &Fleet,
        id: &TicketId,
        expires: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<(), TicketTrouble> {
        let extend = |ticket: &mut Ticket| {
            ticket.grant = Arc::new(Grant {
                expires,
                ..Grant::clone(&ticket.grant)
            });
            Ok(())
        };
        self.change(fleet, id, now, extend).await
    }

    pub fn count_tickets(&self) -> usize {
        match &self.fleet {
            None => self.tickets.lock().len(),
            Some(fleet) => fleet.count_tickets(),
        }
    }
}

/// A ticket as all replicas know it, and as it is written. One whose replica died is not in use since
/// that was heard of last.
async fn shared(
    fleet: &Fleet,
    id: &TicketId,
    now: UnixMillis,
) -> Result<(Ticket, String), TicketTrouble> {
    if !fleet.is_current() {
        return Err(away("this replica is not in touch with the others"));
    }
    let read = fleet.read_ticket(id).await.map_err(away)?;
    let (mut ticket, record) = read.ok_or(TicketRefusal::Unknown)?;
    if let Some(used) = &mut ticket.used
        && used.idle_since.is_none()
    {
        let replica = replica_of(&used.connection).unwrap_or_default();
        match fleet.pulse(replica) {
            Pulse::Alive => {}
            Pulse::Dead(silence) => used.idle_since = Some(now.saturating_sub(silence)),
            // it may have begun a moment ago
            Pulse::Unknown if fleet.is_there(replica).await.map_err(away)? => {}
            Pulse::Unknown => return Err(TicketRefusal::Unknown.into()),
        }
    }
    Ok((ticket, record))
}
