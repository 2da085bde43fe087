//! One partition: its store, what this process knows of it, and how a batch gets into it.

use super::{
    appender::{Novelty, Sent, Span},
    canary::{Canary, Others, RECENT},
    checkup::Checkup,
    entry::{Part, encode_event},
    epochs::Ended,
    gate::Gate,
    keys::CANARY,
    options::RedisOptions,
    ring::Ring,
    scripts::{Answer, Outcome},
    store::{Attempt, Batch, Head, Portion, Store, StoreError},
    view::View,
};
use crate::{
    channel::ChannelName,
    cursor::{Epoch, EventId, Partition, Place},
    event_log::AppendError,
    redis::{CommandError, Lost, Redis, Session, Wrote, preflight},
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How long a publish is tried, when the server surely did not execute it or its connection broke. A
/// publisher has its answer within a second or little more.
const PATIENCE: Duration = Duration::from_millis(900);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// What Redis said when it was asked.
#[derive(Clone, Copy)]
struct Look {
    asked: Instant,
    epoch: Epoch,
    last: EventId,
}

/// What Redis knows of a place that this process does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Judgement {
    Known,
    /// It is not one of this log.
    Strange,
    /// Redis is to be asked.
    NotSure,
}

/// `confirmed` is from when on the server that is asked is the primary that there was at `since`, or a
/// later one. One that was replaced may not know it yet, and answers all the same: what others have
/// from its successor is no stranger.
fn judge(
    place: Place,
    look: Option<Look>,
    confirmed: Option<Instant>,
    since: Instant,
) -> Judgement {
    match (look, confirmed) {
        (Some(look), Some(confirmed)) if look.asked > since && look.asked >= confirmed => {
            match look.epoch == place.epoch && look.last >= place.id {
                true => Judgement::Known,
                false => Judgement::Strange,
            }
        }
        _ => Judgement::NotSure,
    }
}

/// One partition of the log.
pub struct PartitionLog {
    pub store: Store,
    pub view: Mutex<View>,
    /// Epochs that ended, as Redis last told.
    pub ended: Mutex<Ended>,
    pub canary: Mutex<Canary>,
    /// When Redis was last asked for its epochs, and answered.
    looked: Mutex<Option<Look>>,
    /// Since when there is no usable connection.
    down: Mutex<Option<Instant>>,
    /// Why Redis refused the last append, if it did.
    refused: Mutex<Option<&'static str>>,
    checkup: Arc<Checkup>,
    /// Rings when the head should be looked at: something of another epoch was seen.
    pub look: Notify,
    pub gate: Arc<Gate>,
}

pub fn random_epoch() -> Epoch {
    Epoch::from_random(rand::random())
}

impl PartitionLog {
    pub fn new(
        redis: &Redis,
        partition: Partition,
        options: Arc<RedisOptions>,
        gate: Arc<Gate>,
        checkup: Arc<Checkup>,
    ) -> PartitionLog {
        let ring_bytes = options.ring_bytes / options.partitioning.count();
        PartitionLog {
            store: Store::new(redis, partition, options),
            view: Mutex::new(View::new(partition, Ring::new(ring_bytes))),
            ended: Mutex::default(),
            canary: Mutex::new(Canary::new(rand::random())),
            looked: Mutex::default(),
            down: Mutex::default(),
            refused: Mutex::default(),
            checkup,
            look: Notify::new(),
            gate,
        }
    }

    /// Redis was asked for its head and epochs at this time, and answered.
    pub fn looked(&self, asked: Instant, head: &Head) {
        *self.looked.lock() = Some(Look {
            asked,
            epoch: head.epoch,
            last: head.last,
        });
    }

    /// Whether nobody can have a place in this log that is past all that this process knows, of this
    /// epoch or of one that it does not know: Redis was asked since `since`, and does not know it
    /// either. Has Redis asked, if that is not sure.
    pub fn is_strange(&self, place: Place, since: Instant) -> bool {
        let look = *self.looked.lock();
        match judge(place, look, self.store.primary().confirmed(since), since) {
            Judgement::Strange => true,
            Judgement::Known => false,
            Judgement::NotSure => {
                self.look.notify_one();
                false
            }
        }
    }

    /// Appends batches, each of another channel, or says why they were not, within about a second; if they
    /// were, what became of each portion of each.
    pub async fn send(&self, batches: &[Batch]) -> Sent {
        let since = self.view.lock().known();
        let deadline = Instant::now() + PATIENCE;
        let mut attempt = Attempt::First;
        loop {
            let error = match self.try_send(batches, attempt, deadline).await {
                Ok(Answer::Recheck {
                    epoch,
                    confirmed_on,
                }) => match self.begin_epoch(epoch, &confirmed_on).await {
                    Ok(()) if Instant::now() < deadline => continue,
                    Ok(()) => {
                        return Err(given_up(
                            attempt,
                            "Redis has just become another primary".into(),
                        ));
                    }
                    Err(error) => error,
                },
                Ok(Answer::OtherPartitions(theirs)) => {
                    let why = self.store.other_partitions(theirs).to_string();
                    return Err(AppendError::Unavailable(why));
                }
                Ok(Answer::Settled(outcomes)) => {
                    if !outcomes
                        .iter()
                        .any(|outcome| matches!(outcome, Outcome::Failed(_)))
                    {
                        *self.refused.lock() = None;
                    }
                    let channels = batches
                        .iter()
                        .flat_map(|batch| batch.portions.iter().map(|_| &batch.channel));
                    return Ok(outcomes
                        .into_iter()
                        .zip(channels)
                        .map(|(outcome, channel)| self.settle(outcome, channel))
                        .collect());
                }
                Err(error) => error,
            };
            self.note_refusal(&error);
            attempt = match after(&error, attempt, since) {
                Next::Again(attempt) if Instant::now() + PAUSE < deadline => attempt,
                Next::Again(attempt) => return Err(given_up(attempt, error.to_string())),
                Next::GiveUp(error) => return Err(error),
            };
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_send(
        &self,
        batches: &[Batch],
        attempt: Attempt,
        deadline: Instant,
    ) -> Result<Answer, StoreError> {
        let session = self.session(deadline).await?;
        let began = Instant::now();
        let outcome = self
            .store
            .append(&session, batches, attempt, random_epoch())
            .await;
        if let Err(StoreError::Command(CommandError::Unknown(Lost::TimedOut))) = &outcome {
            // who waits behind this one has waited as long
            self.down.lock().get_or_insert(began);
        }
        outcome
    }

    /// A connection; waits for one until the deadline, but no longer than the first who waited: what
    /// has been down for a while is refused at once.
    async fn session(&self, deadline: Instant) -> Result<Arc<Session>, StoreError> {
        let primary = self.store.primary();
        let session = match primary.session() {
            Ok(session) => session,
            Err(_) => {
                let now = Instant::now();
                let since = *self.down.lock().get_or_insert(now);
                let until = deadline.min(since + PATIENCE);
                primary.wait(until.saturating_duration_since(now)).await?
            }
        };
        *self.down.lock() = None;
        Ok(session)
    }

    /// Ends an epoch that was confirmed on another primary than this one.
    pub async fn begin_epoch(&self, old: Epoch, confirmed_on: &str) -> Result<(), StoreError> {
        let session = self.store.primary().session()?;
        let seen = {
            let view = self.view.lock();
            match view.epoch() == Some(old) {
                true => view.seen(),
                false => EventId::ZERO,
            }
        };
        let new = random_epoch();
        let begun = self
            .store
            .begin_epoch(&session, old, confirmed_on, new, seen)
            .await?;
        tracing::info!(
            event = "log.epoch",
            partition = self.store.partition().get(),
            ?begun,
            "Redis is another primary, or the same in another life: a new epoch begins"
        );
        self.look.notify_one();
        Ok(())
    }

    /// What Redis refuses for good is logged when it begins, with what to do.
    fn note_refusal(&self, error: &StoreError) {
        let StoreError::Command(why @ CommandError::Refused { .. }) = error else {
            return;
        };
        let before = self.refused.lock().replace(why.reason());
        if before != Some(why.reason()) {
            tracing::error!(
                event = "log.append_refused",
                partition = self.store.partition().get(),
                reason = why.reason(),
                "publishes are refused: {why}; {}",
                preflight::remedy(why)
            );
            self.checkup.look_soon();
        }
    }

    fn settle(&self, outcome: Outcome, channel: &ChannelName) -> Result<Span, AppendError> {
        match outcome {
            Outcome::Appended { epoch, first, last } => {
                let mut view = self.view.lock();
                if view.epoch() != Some(epoch) {
                    self.look.notify_one();
                }
                if channel.as_str() != CANARY {
                    view.acknowledged(epoch, last);
                }
                Ok(Span {
                    epoch,
                    first,
                    novelty: Novelty::New,
                })
            }
            Outcome::Repeated { epoch, first, .. } => Ok(Span {
                epoch,
                first,
                novelty: Novelty::Repeat,
            }),
            Outcome::Fenced => Err(AppendError::Fenced),
            Outcome::KeyReused => Err(AppendError::KeyReused),
            Outcome::Ended => Err(AppendError::Ended(channel.clone())),
            Outcome::TooManyChannels => {
                Err(AppendError::TooManyChannels(self.store.max_channels()))
            }
            Outcome::NotFound => Err(AppendError::OutcomeUnknown(
                "its answer was lost, and too much was published since to find it".into(),
            )),
            Outcome::Failed(text) => {
                let error = CommandError::caught(&text);
                let why = AppendError::OutcomeUnknown(error.to_string());
                self.note_refusal(&error.into());
                Err(why)
            }
        }
    }

    /// Publishes a canary: the same script, user and way as for every other event. If one before it has
    /// not come back, looks whether other replicas hear theirs.
    pub async fn send_canary(&self) -> Result<(), AppendError> {
        let sent = self.publish_canary().await;
        let others = match &sent {
            Ok(at) if self.canary.lock().is_waiting() => self.others(*at).await,
            Ok(_) | Err(_) => Others::NotKnownToBeWell,
        };
        self.canary.lock().note(others);
        sent.map(drop)
    }

    /// How other replicas are that sent a canary before this one.
    async fn others(&self, at: EventId) -> Others {
        let millis = u64::try_from(RECENT.as_millis()).expect("a few seconds");
        let since = EventId::before(at.unix_millis().saturating_sub(millis));
        let Ok(recent) = self.store.canaries_after(since).await else {
            return Others::NotKnownToBeWell;
        };
        let canary = self.canary.lock();
        match recent
            .iter()
            .any(|event| canary.is_of_another_that_is_well(event))
        {
            true => Others::Well,
            false => Others::NotKnownToBeWell,
        }
    }

    async fn publish_canary(&self) -> Result<EventId, AppendError> {
        let event = self.canary.lock().send(Instant::now());
        let batch = Batch {
            channel: ChannelName::canary(),
            portions: vec![Portion {
                events: vec![encode_event(&event, Part::Begins)],
                idempotency: None,
                fence: None,
                token: rand::random(),
            }],
            ends: false,
        };
        let mut sent = self.send(&[batch]).await?;
        sent.pop().expect("one was sent").map(|span| span.first)
    }
}

enum Next {
    Again(Attempt),
    GiveUp(AppendError),
}

/// What to do after an error. Nothing that may have been executed is ever sent again as if it were new.
fn after(error: &StoreError, attempt: Attempt, since: EventId) -> Next {
    use CommandError::{NotExecuted, NotSent, Refused, Unknown};
    match error {
        StoreError::Command(NotSent(_) | NotExecuted { .. }) => Next::Again(attempt),
        StoreError::Command(Unknown(_)) => Next::Again(Attempt::Again(since)),
        StoreError::Command(Refused {
            wrote: Wrote::Nothing,
            ..
        }) => Next::GiveUp(given_up(attempt, error.to_string())),
        StoreError::Command(Refused {
            wrote: Wrote::Perhaps,
            ..
        })
        | StoreError::Undecodable(_) => {
            Next::GiveUp(AppendError::OutcomeUnknown(error.to_string()))
        }
        StoreError::OtherPartitions { .. }
        | StoreError::OtherLayout(_)
        | StoreError::Moved
        | StoreError::OtherEpoch => Next::GiveUp(given_up(attempt, error.to_string())),
    }
}

/// The answer to a publish that is not tried any longer.
fn given_up(attempt: Attempt, why: String) -> AppendError {
    match attempt {
        Attempt::First => AppendError::Unavailable(why),
        Attempt::Again(_) => AppendError::OutcomeUnknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::{Lost, NotExecuted, Refusal};

    #[test]
    fn only_who_is_surely_the_primary_calls_a_place_strange() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let look = |asked, epoch, last| Look {
            asked: at(asked),
            epoch: Epoch::from_random(epoch),
            last: EventId::new(last).unwrap(),
        };
        let place = Place {
            partition: Partition::ONLY,
            epoch: Epoch::from_random(2),
            id: EventId::new(50).unwrap(),
        };
        let since = at(10);
        let of = |look, confirmed: Option<u64>| judge(place, look, confirmed.map(at), since);
        // the primary that was replaced still says epoch 1, whenever it is asked
        assert_eq!(of(Some(look(11, 1, 90)), None), Judgement::NotSure);
        assert_eq!(of(Some(look(11, 1, 90)), Some(12)), Judgement::NotSure);
        assert_eq!(of(None, Some(12)), Judgement::NotSure);
        assert_eq!(of(Some(look(9, 1, 90)), Some(8)), Judgement::NotSure);
        // who was asked after it was confirmed
        assert_eq!(of(Some(look(13, 1, 90)), Some(12)), Judgement::Strange);
        assert_eq!(of(Some(look(13, 2, 49)), Some(12)), Judgement::Strange);
        assert_eq!(of(Some(look(13, 2, 50)), Some(12)), Judgement::Known);
    }

    #[test]
    fn what_may_have_been_executed_is_never_sent_as_if_it_were_new() {
        let since = EventId::new(7).unwrap();
        let lost = StoreError::Command(CommandError::Unknown(Lost::ConnectionLost));
        assert!(
            matches!(after(&lost, Attempt::First, since), Next::Again(Attempt::Again(at)) if at == since)
        );
        let moved = StoreError::Command(CommandError::NotExecuted {
            why: NotExecuted::TryAgain,
            text: "TRYAGAIN".into(),
        });
        assert!(matches!(
            after(&moved, Attempt::First, since),
            Next::Again(Attempt::First)
        ));
        assert!(matches!(
            after(&moved, Attempt::Again(since), since),
            Next::Again(Attempt::Again(_))
        ));
        let refused = |wrote| {
            StoreError::Command(CommandError::Refused {
                why: Refusal::OutOfMemory,
                wrote,
                text: "OOM".into(),
            })
        };
        let result = |error, attempt| match after(&error, attempt, since) {
            Next::GiveUp(error) => error,
            Next::Again(_) => panic!("tried again"),
        };
        assert!(matches!(
            result(refused(Wrote::Nothing), Attempt::First),
            AppendError::Unavailable(_)
        ));
        assert!(matches!(
            result(refused(Wrote::Nothing), Attempt::Again(since)),
            AppendError::OutcomeUnknown(_)
        ));
        assert!(matches!(
            result(refused(Wrote::Perhaps), Attempt::First),
            AppendError::OutcomeUnknown(_)
        ));
    }
}
