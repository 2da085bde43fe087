//! The tickets that are good now. Pure: no clock, no lock, so that a shared store can take its place.

use super::ticket::{Fingerprint, Shape, Ticket, Use};
use crate::{auth::TicketId, cursor::UnixMillis, grant::Grant};
use relay_config::Tickets as Settings;
use std::{collections::HashMap, sync::Arc};

/// Bounded. What is over is forgotten when its room is needed, and means nothing before that.
pub struct Tickets {
    tickets: HashMap<TicketId, Ticket>,
    max: usize,
    /// Milliseconds after a stream's end in which its ticket opens it again.
    reopen: u64,
}

/// No room for another ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} tickets are good, the limit; retry in a moment, or raise `tickets.max`")]
pub struct Full(pub usize);

/// Why a ticket opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TicketRefusal {
    /// It is not known, or not any more.
    Unknown,
    /// Another client used it first, or it opened another stream.
    Reused,
}

/// What using a ticket did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Redeemed {
    First,
    /// It opened this stream before, which the new one takes the place of.
    Again(Box<str>),
}

impl Tickets {
    pub fn new(settings: &Settings) -> Tickets {
        Tickets {
            tickets: HashMap::new(),
            max: settings.max,
            reopen: settings.reopen_within.as_millis(),
        }
    }

    pub fn add(&mut self, ticket: Ticket, now: UnixMillis) -> Result<(), Full> {
        if self.tickets.len() >= self.max {
            let reopen = self.reopen;
            self.tickets
                .retain(|_, ticket| !ticket.is_over(reopen, now));
        }
        if self.tickets.len() >= self.max {
            return Err(Full(self.max));
        }
        self.tickets.insert(ticket.minted.id, ticket);
        Ok(())
    }

    /// A ticket that this client may use now, for some stream.
    pub fn look(
        &self,
        id: &TicketId,
        client: Fingerprint,
        now: UnixMillis,
    ) -> Result<&Ticket, TicketRefusal> {
        let ticket = self.tickets.get(id).ok_or(TicketRefusal::Unknown)?;
        ticket.look(client, self.reopen, now)?;
        Ok(ticket)
    }

    /// Opens the stream `connection`: from now on the ticket is this client's, for this stream alone.
    pub fn redeem(
        &mut self,
        id: &TicketId,
        client: Fingerprint,
        shape: Shape,
        connection: &str,
        now: UnixMillis,
    ) -> Result<Redeemed, TicketRefusal> {
        let ticket = self.tickets.get_mut(id).ok_or(TicketRefusal::Unknown)?;
        ticket.redeem(client, shape, connection, self.reopen, now)
    }

    /// Its stream has begun.
    pub fn opened(&mut self, id: &TicketId, connection: &str) {
        self.of(id, connection, |used| used.idle_since = None);
    }

    /// Its stream has ended. One whose place another took has no say any more.
    pub fn closed(&mut self, id: &TicketId, connection: &str, now: UnixMillis) {
        self.of(id, connection, |used| used.idle_since = Some(now));
    }

    fn of(&mut self, id: &TicketId, connection: &str, change: impl Fn(&mut Use)) {
        let ticket = self.tickets.get_mut(id);
        let used = ticket.and_then(|ticket| ticket.used.as_mut());
        if let Some(used) = used.filter(|used| *used.connection == *connection) {
            change(used);
        }
    }

    /// The grant of its stream was extended to this end.
    pub fn extended(&mut self, id: &TicketId, expires: Option<UnixMillis>) {
        if let Some(ticket) = self.tickets.get_mut(id) {
            ticket.grant = Arc::new(Grant {
                expires,
                ..Grant::clone(&ticket.grant)
            });
        }
    }

    /// Forgets what is over.
    pub fn sweep(&mut self, now: UnixMillis) {
        let reopen = self.reopen;
        self.tickets
            .retain(|_, ticket| !ticket.is_over(reopen, now));
    }

    pub fn max(&self) -> usize {
        self.max
    }

    /// Milliseconds after a stream's end in which its ticket opens it again.
    pub fn reopen(&self) -> u64 {
        self.reopen
    }

    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{Evidence, Minted},
        filter::Filter,
    };
    use relay_config::{TicketBinding, Timespan};

    const TEXT: &str = "sseticket_x";

    fn store(max: usize) -> Tickets {
        Tickets::new(&Settings {
            max,
            reopen_within: Timespan::from_millis(50),
            ..Settings::default()
        })
    }

    fn ticket(text: &str, expires: Option<UnixMillis>) -> Ticket {
        let grant = Grant {
            expires,
            ..Grant::default()
        };
        let minted = Minted {
            id: TicketId::of(text),
            by: Evidence::Token("page".into()),
        };
        Ticket::new(grant, minted, 100)
    }

    fn client(agent: &str) -> Fingerprint {
        Fingerprint::of(&[TicketBinding::UserAgent], None, Some(agent))
    }

    fn shape(channel: &str) -> Shape {
        let selector = crate::channel::Selector::parse(channel).unwrap();
        Shape::of(&[selector], &Filter::default())
    }

    fn redeem(
        tickets: &mut Tickets,
        agent: &str,
        channel: &str,
        connection: &str,
        now: u64,
    ) -> Result<Redeemed, TicketRefusal> {
        let id = TicketId::of(TEXT);
        tickets.redeem(&id, client(agent), shape(channel), connection, now)
    }

    #[test]
    fn a_ticket_opens_its_own_stream_again_and_nothing_else() {
        let mut tickets = store(10);
        tickets.add(ticket(TEXT, None), 1).unwrap();
        assert_eq!(
            redeem(&mut tickets, "a", "c", "r-1", 99),
            Ok(Redeemed::First)
        );
        assert_eq!(
            redeem(&mut tickets, "b", "c", "r-2", 99),
            Err(TicketRefusal::Reused)
        );
        assert_eq!(
            redeem(&mut tickets, "a", "d", "r-2", 99),
            Err(TicketRefusal::Reused)
        );
        let again = redeem(&mut tickets, "a", "c", "r-2", 99);
        assert_eq!(again, Ok(Redeemed::Again("r-1".into())));
    }

    #[test]
    fn it_is_good_as_long_as_its_stream_and_shortly_after() {
        let (mut tickets, id) = (store(10), TicketId::of(TEXT));
        tickets.add(ticket(TEXT, None), 1).unwrap();
        redeem(&mut tickets, "a", "c", "r-1", 10).unwrap();
        tickets.opened(&id, "r-1");
        assert!(tickets.look(&id, client("a"), 1_000_000).is_ok());
        redeem(&mut tickets, "a", "c", "r-2", 1000).unwrap();
        tickets.opened(&id, "r-2");
        tickets.closed(&id, "r-1", 1001); // another has its place
        assert!(tickets.look(&id, client("a"), 2000).is_ok());
        tickets.closed(&id, "r-2", 2000);
        assert!(tickets.look(&id, client("a"), 2049).is_ok());
        let over = tickets.look(&id, client("a"), 2050).unwrap_err();
        assert_eq!(over, TicketRefusal::Unknown);
        tickets.sweep(2050);
        assert!(tickets.is_empty());
    }

    #[test]
    fn it_must_be_used_in_time_and_a_stream_that_never_begins_does_not_keep_it() {
        let mut tickets = store(10);
        tickets.add(ticket(TEXT, None), 1).unwrap();
        assert_eq!(
            redeem(&mut tickets, "a", "c", "r-1", 100),
            Err(TicketRefusal::Unknown)
        );
        tickets.add(ticket(TEXT, None), 1).unwrap();
        redeem(&mut tickets, "a", "c", "r-1", 99).unwrap();
        assert_eq!(
            redeem(&mut tickets, "a", "c", "r-1", 149),
            Err(TicketRefusal::Unknown)
        );
    }

    #[test]
    fn it_is_never_good_past_its_grant_unless_that_is_extended() {
        let (mut tickets, id) = (store(10), TicketId::of(TEXT));
        tickets.add(ticket(TEXT, Some(50)), 1).unwrap();
        redeem(&mut tickets, "a", "c", "r-1", 1).unwrap();
        tickets.opened(&id, "r-1");
        assert!(tickets.look(&id, client("a"), 49).is_ok());
        assert!(tickets.look(&id, client("a"), 50).is_err());
        tickets.extended(&id, Some(80));
        assert!(tickets.look(&id, client("a"), 79).is_ok());
        assert!(tickets.look(&id, client("a"), 80).is_err());
    }

    #[test]
    fn past_the_bound_one_is_refused_unless_another_is_over() {
        let mut tickets = store(1);
        tickets.add(ticket("one", None), 1).unwrap();
        assert_eq!(tickets.add(ticket("two", None), 99), Err(Full(1)));
        tickets.add(ticket("two", None), 100).unwrap();
        assert_eq!(tickets.len(), 1);
    }
}
