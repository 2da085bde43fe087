//! A command on its way to all replicas, or to the one whose stream it is for.

use super::{
    Command, Control, Outcome,
    revocation::{Revocation, RevocationId},
    revocations::Full,
};
use crate::{
    cursor::UnixMillis,
    fleet::{
        Answers, Fleet, Unreached,
        message::{Answer, Order},
        revoking,
        roster::Pulse,
    },
    hub::open::EndReason,
};

/// What replicas did, and how many of them are known to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spread {
    pub outcome: Outcome,
    /// Replicas that have carried it out.
    pub confirmed: usize,
    /// Living replicas that it is for.
    pub replicas: usize,
    pub sent: Sent,
}

/// Whether the others were told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    Yes,
    /// Redis did not say so.
    Unsure,
}

impl Spread {
    /// There is no other replica that it is for.
    fn here(outcome: Outcome) -> Spread {
        Spread {
            outcome,
            confirmed: 1,
            replicas: 1,
            sent: Sent::Yes,
        }
    }

    /// What the others answered, besides what was done here.
    fn of(here: Outcome, others: &Answers) -> Spread {
        let (mut outcome, mut confirmed) = (here, 1);
        for (_, answer) in &others.answers {
            if let Answer::Outcome(there) = answer {
                outcome = outcome + *there;
                confirmed += 1;
            }
        }
        Spread {
            outcome,
            confirmed,
            replicas: 1 + others.answers.len() + others.silent.len(),
            sent: Sent::Yes,
        }
    }

    /// Whether every living replica has carried it out.
    pub fn is_complete(&self) -> bool {
        self.sent == Sent::Yes && self.confirmed == self.replicas
    }
}

/// Why a command did nothing, or may have done nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ControlError {
    #[error(transparent)]
    TooManyRevocations(#[from] Full),
    #[error("nothing was done: {0}")]
    Unreachable(String),
    #[error("{0}")]
    Silent(String),
}

impl From<Unreached> for ControlError {
    fn from(why: Unreached) -> ControlError {
        match why {
            Unreached::Silent => ControlError::Silent(format!(
                "{why}; look at /v1/connections whether the stream is still there, and repeat it if need be"
            )),
            Unreached::Nobody | Unreached::Refused(_) => ControlError::Unreachable(why.to_string()),
            Unreached::Redis(error) if error.is_undone() => {
                ControlError::Unreachable(error.to_string())
            }
            Unreached::Redis(error) => ControlError::Silent(error.to_string()),
        }
    }
}

/// The stream that a command is for, if it is for one alone.
fn stream_of(command: &Command) -> Option<&str> {
    match command {
        Command::Direct { connection, .. } | Command::Extend { connection, .. } => Some(connection),
        Command::End { streams, .. } => streams.connection.as_deref(),
        Command::Revoke { .. } | Command::Restore { .. } => None,
    }
}

/// The replica in a connection's id.
pub fn replica_of(connection: &str) -> Option<&str> {
    let (replica, number) = connection.rsplit_once('-')?;
    number.parse::<u64>().ok()?;
    Some(replica).filter(|replica| !replica.is_empty())
}

impl Control {
    /// Carries a command out on every replica that it is for, and adds up what each of them did.
    ///
    /// # Errors
    /// When nothing was done, or nobody knows whether something was.
    pub async fn spread(&self, command: Command, now: UnixMillis) -> Result<Spread, ControlError> {
        let Some(fleet) = self.fleet.clone() else {
            return Ok(Spread::here(self.apply(command, now).await?));
        };
        match command {
            Command::Revoke { revocation } => self.revoke(&fleet, revocation, now).await,
            Command::Restore { id } => self.restore(&fleet, id, now).await,
            command if stream_of(&command).is_some() => self.to_one(&fleet, command, now).await,
            command => {
                let order = Order::Command(command.clone());
                let (here, others) = tokio::join!(self.apply(command, now), fleet.ask_all(&order));
                Ok(Spread::of(here?, &others))
            }
        }
    }

    async fn to_one(
        &self,
        fleet: &Fleet,
        command: Command,
        now: UnixMillis,
    ) -> Result<Spread, ControlError> {
        let nothing = Ok(Spread::here(Outcome::default()));
        let Some(replica) = stream_of(&command).and_then(replica_of) else {
            return nothing;
        };
        if *replica == *fleet.me {
            return Ok(Spread::here(self.apply(command, now).await?));
        }
        let pulse = fleet.pulse(replica);
        if matches!(pulse, Pulse::Dead(_)) {
            return nothing;
        }
        let ends = matches!(command, Command::End { .. });
        let replica = replica.to_owned();
        match fleet.ask(&replica, &Order::Command(command)).await {
            Ok(Answer::Outcome(outcome)) => Ok(Spread::here(outcome)),
            // one that just began is not known yet, but it hears
            Err(Unreached::Nobody) if pulse == Pulse::Unknown => nothing,
            Err(_) if ends => Ok(Spread {
                confirmed: 0,
                ..Spread::here(Outcome::default())
            }),
            Err(why) => Err(why.into()),
            Ok(_) => Err(Unreached::Refused("it answered something else".to_owned()).into()),
        }
    }

    /// In force here at once, whatever becomes of the others: those that are not reached learn it when
    /// they read again what is kept.
    async fn revoke(
        &self,
        fleet: &Fleet,
        revocation: Revocation,
        now: UnixMillis,
    ) -> Result<Spread, ControlError> {
        self.note_unsaved(revocation.clone());
        let command = Command::Revoke {
            revocation: revocation.clone(),
        };
        let here = match self.apply(command, now).await {
            Ok(here) => here,
            Err(full) => {
                self.is_saved(&revocation);
                return Err(full.into());
            }
        };
        match fleet.revoke(&revocation, self.max_revocations).await {
            Ok(revoking::Revoked::Told(others)) => {
                self.is_saved(&revocation);
                Ok(Spread::of(here, &others))
            }
            Ok(revoking::Revoked::Full) => {
                self.is_saved(&revocation);
                self.revocations
                    .write()
                    .remove(&revocation.revoked.id(), now);
                Err(Full(self.max_revocations).into())
            }
            Err(error) => {
                tracing::warn!(event = "revocation.unsaved", %error, "a revocation holds here alone until it can be kept in Redis");
                Ok(Spread {
                    outcome: here,
                    confirmed: 1,
                    replicas: 1 + fleet.others().len(),
                    sent: Sent::Unsure,
                })
            }
        }
    }

    async fn restore(
        &self,
        fleet: &Fleet,
        id: RevocationId,
        now: UnixMillis,
    ) -> Result<Spread, ControlError> {
        match fleet.restore(&id, now).await {
            Ok(revoking::Revoked::Told(others)) => {
                let here = self.apply(Command::Restore { id }, now).await?;
                Ok(Spread::of(here, &others))
            }
            Ok(revoking::Revoked::Full) => Err(Full(self.max_revocations).into()),
            Err(error) => Err(Unreached::Redis(error).into()),
        }
    }

    /// Ends the stream that a ticket opened before, wherever it is. Does not wait until it has ended.
    pub(super) fn end_replaced(&self, connection: &str) {
        let streams = crate::hub::select::StreamSelector::connection(connection);
        let here = replica_of(connection).is_none_or(|replica| *replica == *self.replica);
        match &self.fleet {
            Some(fleet) if !here => {
                let (fleet, connection) = (fleet.clone(), connection.to_owned());
                tokio::spawn(async move {
                    let replica = replica_of(&connection).unwrap_or_default();
                    let order = Order::Command(Command::End {
                        streams,
                        reason: EndReason::Replaced,
                    });
                    if let Err(error) = fleet.ask(replica, &order).await {
                        tracing::info!(event = "ticket.replacing", %error, connection, "the stream that a ticket opened before may live on for a moment");
                    }
                });
            }
            _ => self.hub.order_end(&streams, EndReason::Replaced),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_id_names_its_replica() {
        assert_eq!(replica_of("abc-12"), Some("abc"));
        for other in ["abc", "abc-", "abc-x", "-1", ""] {
            assert_eq!(replica_of(other), None, "{other}");
        }
    }

    #[test]
    fn who_did_not_answer_is_counted_and_not_confirmed() {
        let done = |streams| Outcome {
            streams,
            ..Outcome::default()
        };
        let answers = |silent: &[&str]| Answers {
            answers: vec![("b".into(), Answer::Outcome(done(2)))],
            silent: silent.iter().map(|id| (*id).into()).collect(),
        };
        let all = Spread::of(done(1), &answers(&[]));
        assert_eq!((all.outcome, all.confirmed, all.replicas), (done(3), 2, 2));
        assert!(all.is_complete());
        let some = Spread::of(done(1), &answers(&["c"]));
        assert_eq!((some.confirmed, some.replicas), (2, 3));
        assert!(!some.is_complete());
        assert!(
            !Spread {
                sent: Sent::Unsure,
                ..all
            }
            .is_complete()
        );
    }
}
