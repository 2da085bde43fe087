//! Control over live streams: commands, what they do here, and who spreads them.
//!
//! A command is data ([`Command`]), so that it can go to other replicas; each replica applies it to its
//! own streams and stores and answers with an [`Outcome`], and outcomes add up.

pub mod command;
pub mod held_tickets;
mod looking;
pub mod recent;
pub mod revocation;
pub mod revocations;
pub mod spreading;
pub mod ticket;
pub mod ticket_record;
pub mod ticketing;
pub mod tickets;

use crate::{
    cursor::UnixMillis,
    fleet::Fleet,
    frame::Frame,
    hub::{Hub, direct_event::DirectEvent, open::EndReason, select::StreamSelector},
    who::Who,
};
pub use command::{Command, Outcome};
use parking_lot::{Mutex, RwLock};
use relay_config::Config;
use revocation::{Revocation, RevocationId};
use revocations::{Full, Revocations};
pub use spreading::{ControlError, Spread, replica_of};
use std::{collections::HashSet, sync::Arc};
use tickets::Tickets;

/// Who carries commands out: this process, and the others of its fleet if it has one.
pub struct Control {
    hub: Arc<Hub>,
    /// This process, as the ids of its streams begin.
    replica: Box<str>,
    revocations: RwLock<Revocations>,
    max_revocations: usize,
    /// Revocations that the fleet may not know yet; each of them is among those above.
    unsaved: Mutex<Vec<Revocation>>,
    tickets: Mutex<Tickets>,
    fleet: Option<Arc<Fleet>>,
}

impl Control {
    pub fn new(hub: Arc<Hub>, replica: &str, config: &Config) -> Control {
        Control {
            hub,
            replica: replica.into(),
            revocations: RwLock::new(Revocations::new(config.revocations.max)),
            max_revocations: config.revocations.max,
            unsaved: Mutex::default(),
            tickets: Mutex::new(Tickets::new(&config.tickets)),
            fleet: None,
        }
    }

    /// The same, with other replicas.
    pub fn join(&mut self, fleet: Arc<Fleet>) {
        self.fleet = Some(fleet);
    }

    pub fn fleet(&self) -> Option<&Arc<Fleet>> {
        self.fleet.as_ref()
    }

    /// What this replica does with a command, wherever it comes from.
    pub async fn apply(&self, command: Command, now: UnixMillis) -> Result<Outcome, Full> {
        match command {
            Command::End { streams, reason } => Ok(self.end(streams, reason).await),
            Command::Revoke { revocation } => {
                let streams = revocation.revoked.streams();
                // before its streams end, so that none of them comes back in between
                self.revocations.write().add(revocation, now)?;
                Ok(self.end(streams, EndReason::Revoked).await)
            }
            Command::Direct {
                connection,
                event,
                attributes,
                time,
            } => {
                let Some(number) = self.number_of(&connection) else {
                    return Ok(Outcome::default());
                };
                let event = DirectEvent {
                    frame: Frame::from_text(&event),
                    attributes,
                    time,
                };
                Ok(self.hub.direct(number, event).await.into())
            }
            Command::Extend {
                connection,
                extension,
            } => {
                let extended = match self.number_of(&connection) {
                    Some(number) => self.hub.extend(number, *extension).await,
                    None => None,
                };
                Ok(Outcome {
                    extended,
                    ..Outcome::default()
                })
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

    /// Forgets what is over; called about once a second.
    pub fn sweep(&self, now: UnixMillis) {
        self.tickets.lock().sweep(now);
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

    /// Takes what others have revoked, and what they took back; streams that are refused now end.
    pub async fn learn_revocations(
        &self,
        held: Vec<Revocation>,
        gone: &[RevocationId],
        now: UnixMillis,
    ) {
        let learned = {
            let mut revocations = self.revocations.write();
            for id in gone {
                revocations.remove(id, now);
            }
            let mut learned = 0;
            for revocation in held {
                if revocation.until <= now || revocations.holds(&revocation) {
                    continue;
                }
                match revocations.add(revocation, now) {
                    Ok(()) => learned += 1,
                    Err(full) => {
                        tracing::error!(
                            event = "revocations.full",
                            "a revocation of another replica does not hold here: {full}"
                        );
                    }
                }
            }
            learned
        };
        if learned > 0 {
            let ended = self.hub.end_refused().await;
            tracing::info!(
                event = "revocations.learned",
                learned,
                ended,
                "other replicas have revoked credentials"
            );
        }
    }

    /// Those that hold here and are not among these; what the others may not know yet is left out.
    pub fn revocations_besides(&self, known: &HashSet<RevocationId>) -> Vec<Revocation> {
        let unsaved = self.unsaved.lock().clone();
        let besides = self.revocations.read().besides(known);
        let unknown = besides.into_iter().filter(|one| !unsaved.contains(one));
        unknown.collect()
    }

    pub fn forget_revocations(&self, gone: &[Revocation], now: UnixMillis) {
        let mut revocations = self.revocations.write();
        for revocation in gone {
            revocations.remove(&revocation.revoked.id(), now);
        }
    }

    /// Whether a later revocation of the same credentials holds here.
    pub fn has_later(&self, than: &Revocation) -> bool {
        self.revocations.read().has_later(than)
    }

    /// Whether there is a revocation of this id that the others do not know yet, made after this one.
    pub fn has_unsaved(&self, id: &RevocationId, than: Option<&Revocation>) -> bool {
        let unsaved = self.unsaved.lock();
        let after = |one: &Revocation| than.is_none_or(|than| one.at > than.at);
        unsaved
            .iter()
            .any(|one| one.revoked.id() == *id && after(one))
    }

    fn note_unsaved(&self, revocation: Revocation) {
        self.unsaved.lock().push(revocation);
    }

    pub fn unsaved_revocations(&self) -> Vec<Revocation> {
        self.unsaved.lock().clone()
    }

    /// It is kept for all replicas, or not wanted any more.
    pub fn is_saved(&self, revocation: &Revocation) {
        self.unsaved.lock().retain(|unsaved| unsaved != revocation);
    }

    pub fn count_revocations(&self, now: UnixMillis) -> usize {
        self.revocations.read().count(now)
    }
}
