//! Tickets in Redis: each as it is now, and which of them have their streams here.

use super::{
    Fleet,
    scripts::{self, FleetError},
};
use crate::{
    auth::TicketId,
    clock::unix_millis,
    control::{
        held_tickets::{HeldTickets, KEPT, News, Record},
        ticket::{SLACK, Ticket},
        ticket_record,
        ticketing::TicketTrouble,
    },
    cursor::UnixMillis,
    http::App,
    hub::{open::EndReason, select::StreamSelector},
    redis::{Command, Session},
};
use parking_lot::MutexGuard;

/// Of so many tickets the others are told in one beat; of more in the next ones.
const MOST_NEWS: usize = 1000;
/// So many records are put back in one script.
const RECORDS: usize = 500;

/// What became of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    Done,
    /// Somebody else was first.
    Changed,
    Full,
}

impl Fleet {
    pub fn held(&self) -> MutexGuard<'_, HeldTickets> {
        self.held.lock()
    }

    /// A ticket, and its record as it stands in Redis.
    pub async fn read_ticket(&self, id: &TicketId) -> Result<Option<(Ticket, String)>, FleetError> {
        let read = Command::new("HGET").arg(self.keys.tickets()).arg(id.hex());
        let reply = self.primary.session()?.command(&read).await?;
        let Some(record) = reply.text() else {
            return Ok(None);
        };
        let ticket = ticket_record::decode(*id, record);
        Ok(ticket.map(|ticket| (ticket, record.to_owned())))
    }

    /// Whether a replica has said that it lives, although this one has not heard of it.
    pub async fn is_there(&self, replica: &str) -> Result<bool, FleetError> {
        let read = Command::new("HGET").arg(self.keys.replicas()).arg(replica);
        let reply = self.primary.session()?.command(&read).await?;
        Ok(!reply.is_nil())
    }

    /// Writes a ticket, if its record is still as it was before; at most so many, if that is said.
    pub async fn write_ticket(
        &self,
        before: Option<&str>,
        ticket: &Ticket,
        reopen: u64,
        max: Option<usize>,
        now: UnixMillis,
    ) -> Result<Written, FleetError> {
        let names = [self.keys.tickets(), self.keys.ticket_ends()];
        let keys = names.each_ref().map(|name| name.as_bytes());
        let record = Record {
            text: ticket_record::encode(ticket),
            changes: ticket.changes,
            kept_until: ticket.kept_until(reopen, KEPT, now),
        };
        let args = [
            ticket.minted.id.hex(),
            before.unwrap_or_default().to_owned(),
            record.text.clone(),
            record.kept_until.to_string(),
            max.map(|max| max.to_string()).unwrap_or_default(),
        ];
        let args = args.each_ref().map(|arg| arg.as_bytes());
        let reply = self.primary.script(&scripts::TICKET, &keys, &args).await?;
        match reply.text() {
            Some("ok") => {
                self.held().wrote(ticket.minted.id, record, now);
                Ok(Written::Done)
            }
            Some("changed") => Ok(Written::Changed),
            Some("full") => Ok(Written::Full),
            _ => Err(FleetError::Strange),
        }
    }

    /// Tells the others which tickets have their streams here, and whose streams have ended. A stream
    /// whose ticket has opened another one elsewhere ends.
    ///
    /// Over the connection of this beat alone: another primary may know these tickets by earlier streams,
    /// until they are put back there.
    pub(super) async fn tell_of_tickets(
        &self,
        app: &App,
        session: &Session,
    ) -> Result<(), FleetError> {
        let now = unix_millis();
        let (news, extended) = {
            let mut held = self.held();
            (held.take(now, MOST_NEWS), held.take_extended(MOST_NEWS))
        };
        self.tell_extended(app, extended, now).await;
        if news.is_empty() {
            return Ok(());
        }
        match self.tell_news(app, session, &news, now).await {
            Ok(replaced) => {
                for connection in replaced {
                    let streams = StreamSelector::connection(&connection);
                    app.hub.order_end(&streams, EndReason::Replaced);
                }
                Ok(())
            }
            Err(error) => {
                self.held().put_back(news);
                Err(error)
            }
        }
    }

    /// Those that cannot be told now are told with the next beat.
    async fn tell_extended(
        &self,
        app: &App,
        extended: Vec<(TicketId, Option<UnixMillis>)>,
        now: UnixMillis,
    ) {
        let mut extended = extended.into_iter();
        while let Some((id, expires)) = extended.next() {
            let told = app.control.extend_shared_ticket(self, &id, expires, now);
            match told.await {
                Ok(()) => {}
                Err(TicketTrouble::Unavailable(_)) => {
                    let untold = std::iter::once((id, expires)).chain(extended);
                    self.held().put_back_extended(untold.collect());
                    return;
                }
                Err(TicketTrouble::Refused(why)) => tracing::info!(
                    event = "ticket.extending",
                    ?why,
                    "a ticket ends before its stream"
                ),
            }
        }
    }

    /// Redis may have lost what it has confirmed: puts back what this replica wrote lately, unless it
    /// knows better, and lets all be told again that it was told of streams.
    pub(super) async fn restore_tickets(&self) -> Result<(), FleetError> {
        let now = unix_millis();
        let written = self.held().written(now);
        let names = [self.keys.tickets(), self.keys.ticket_ends()];
        let keys = names.each_ref().map(|name| name.as_bytes());
        for some in written.chunks(RECORDS) {
            let args = some.iter().flat_map(|(id, record)| {
                let changes = record.changes.to_string();
                let kept_until = record.kept_until.to_string();
                [id.hex(), changes, record.text.clone(), kept_until]
            });
            let args: Vec<String> = args.collect();
            let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
            self.primary
                .script(&scripts::PUT_BACK, &keys, &args)
                .await?;
        }
        self.held().tell_again(now);
        Ok(())
    }

    async fn tell_news(
        &self,
        app: &App,
        session: &Session,
        news: &[News],
        now: UnixMillis,
    ) -> Result<Vec<String>, FleetError> {
        let reopen = app.config().tickets.reopen_within.as_millis();
        let names = [self.keys.tickets(), self.keys.ticket_ends()];
        let keys = names.each_ref().map(|name| name.as_bytes());
        let mut args = Vec::with_capacity(news.len() * 4);
        for news in news {
            let kept = match news.idle_since {
                None => now.saturating_add(KEPT),
                Some(since) => since.saturating_add(reopen).saturating_add(SLACK),
            };
            args.push(news.id.hex());
            args.push(news.connection.to_string());
            args.push(news.idle_since.map_or("-".to_owned(), |at| at.to_string()));
            args.push(kept.to_string());
        }
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let reply = session.script(&scripts::STREAMS, &keys, &args).await?;
        let replaced = reply.list().ok_or(FleetError::Strange)?.iter();
        Ok(replaced
            .filter_map(|id| id.text().map(str::to_owned))
            .collect())
    }
}
