//! Where a source hands over what it pulled.

use super::{
    DropReason, Fault, FaultReason, Health, Lag, Message, Promise,
    demand::Demand,
    election::Tenure,
    mapping::{Mapped, Mapping, Misfit},
};
use crate::{
    event_log::{AppendError, Appended, IdempotencyKey, Publication, in_order::Outcome},
    http::App,
};
use parking_lot::Mutex;
use std::{fmt::Write, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// Pause before an append is tried again. It doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often it is kept how far a source has come.
const KEEP_EVERY: Duration = Duration::from_millis(500);
/// Events and bytes of one publication of messages that have no id.
const MAX_EVENTS: usize = 64;
const MAX_BYTES: usize = 256 * 1024;

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// The log has it.
    Appended,
    /// The log had it before.
    Repeated,
    /// It becomes no event, now or ever. To be acknowledged too, or it would come for ever.
    Dropped(DropReason),
}

/// Where a source hands over what it pulled. It lives as long as this replica is elected.
pub struct Intake {
    pub(super) app: Arc<App>,
    pub(super) health: Arc<Health>,
    pub(super) mapping: Arc<Mapping>,
    pub(super) demand: Option<Arc<Demand>>,
    pub(super) places: Mutex<Places>,
    pub(super) tenure: Tenure,
}

/// How far the source has come, and how far of that is kept.
#[derive(Default)]
pub(super) struct Places {
    kept_at: Option<Instant>,
    /// Not kept yet.
    next: Option<String>,
}

/// Events that wait to be appended.
struct Waiting {
    publication: Publication,
    /// Of their messages, in the order of the call.
    indices: Vec<usize>,
    bytes: usize,
}

impl Intake {
    /// The source hears its server from here on.
    pub fn connected(&self) {
        self.health.connected();
    }

    /// How far the source is behind.
    pub fn lag(&self, lag: Lag) {
        self.health.lag(lag);
    }

    /// How far the source had come, of one whose server does not remember it: what was told to
    /// [`Intake::keep_place`] last, by whichever replica, or shortly before.
    pub async fn place(&self) -> Result<Option<String>, Fault> {
        let place = self.app.progress.place(self.source()).await;
        place.map_err(|why| Fault::new(FaultReason::Log, format!("how far it had come: {why}")))
    }

    /// All up to here was appended. It is kept twice a second at most, so after a crash some comes
    /// again, and has to be recognised by its id.
    pub async fn keep_place(&self, place: &str) -> Result<(), Fault> {
        {
            let mut places = self.places.lock();
            places.next = Some(place.to_owned());
            let recent = places.kept_at.is_some_and(|at| at.elapsed() < KEEP_EVERY);
            if recent {
                return Ok(());
            }
        }
        self.keep_last_place().await
    }

    pub(super) async fn keep_last_place(&self) -> Result<(), Fault> {
        let Some(place) = self.places.lock().next.take() else {
            return Ok(());
        };
        let kept = self.app.progress.keep(self.source(), &place).await;
        self.places.lock().kept_at = Some(Instant::now());
        kept.map_err(|why| Fault::new(FaultReason::Log, format!("how far it has come: {why}")))
    }

    /// What streams want, of a source that listens on demand.
    pub fn demand(&self) -> Option<&Demand> {
        self.demand.as_deref()
    }

    /// The name that the configuration gives the source.
    pub fn source(&self) -> &str {
        &self.health.name
    }

    /// This process, among the replicas of the log. Another after each start.
    pub fn replica(&self) -> &str {
        &self.app.replica
    }

    /// Counts a message that cannot be handed over: one that is no text, or cannot be decoded.
    /// `detail` says why, without what is in the message.
    pub fn refuse(&self, reason: DropReason, detail: impl Into<String>) -> Taken {
        self.health.received.add(1);
        self.drop_it(&Misfit {
            reason,
            detail: detail.into(),
        })
    }

    /// Hands over a message; see [`Intake::append_all`].
    pub async fn append(&self, message: Message) -> Taken {
        let taken = self.append_all(vec![message]).await;
        taken.into_iter().next().expect("one was handed over")
    }

    /// Hands over messages; what became of each, in their order. Those that go to one channel are
    /// appended in their order.
    ///
    /// For a source that acknowledges it answers only once nothing has to be done for these messages
    /// any more: while the log cannot be written it waits, and a message that came before is recognised
    /// by its id. For one that is lossy, what the log cannot take now is dropped and counted.
    ///
    /// When another replica has taken over it never answers: the source is about to be dropped.
    pub async fn append_all(&self, messages: Vec<Message>) -> Vec<Taken> {
        self.health.received.add(messages.len() as u64);
        let mut taken = vec![None; messages.len()];
        let mut waiting: Vec<Waiting> = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            match self.map(message) {
                Ok(mapped) => self.queue(&mut waiting, index, mapped),
                Err(misfit) => taken[index] = Some(self.drop_it(&misfit)),
            }
        }
        let mut pause = FIRST_PAUSE;
        while !waiting.is_empty() {
            let publications = waiting.iter().map(|one| one.publication.clone());
            let outcomes = self.app.log.append_all(publications.collect()).await;
            let before = waiting.len();
            waiting = self.settle(waiting, outcomes, &mut taken).await;
            if waiting.len() < before {
                pause = FIRST_PAUSE;
            }
            if !waiting.is_empty() {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        let each = taken.into_iter();
        each.map(|taken| taken.expect("each was appended or dropped"))
            .collect()
    }

    /// A message waits for its publication to be appended: one of its own, so that it is recognised when it
    /// comes again. Without an id nothing is recognised, so several can be one publication.
    fn queue(&self, waiting: &mut Vec<Waiting>, index: usize, mapped: Mapped) {
        let size = mapped.event.size();
        let mut of_channel = waiting.iter_mut().rev();
        let last = of_channel.find(|one| one.publication.channel == mapped.channel);
        if mapped.key.is_none()
            && let Some(last) = last
            && last.publication.idempotency.is_none()
            && last.indices.len() < MAX_EVENTS
            && last.bytes + size <= MAX_BYTES
        {
            last.publication.events.push(mapped.event);
            last.indices.push(index);
            last.bytes += size;
            return;
        }
        waiting.push(Waiting {
            publication: Publication {
                channel: mapped.channel,
                events: vec![mapped.event],
                idempotency: mapped.key.map(|key| self.key(&key)),
                fence: self.tenure.fence.clone(),
            },
            indices: vec![index],
            bytes: size,
        });
    }

    /// Counts what has become something; what is left is to be tried again, in its order.
    async fn settle(
        &self,
        waiting: Vec<Waiting>,
        outcomes: Vec<Outcome>,
        taken: &mut [Option<Taken>],
    ) -> Vec<Waiting> {
        let mut again: Vec<Waiting> = Vec::new();
        for (one, outcome) in waiting.into_iter().zip(outcomes) {
            let count = one.indices.len() as u64;
            let became = match outcome {
                Ok(appended) => self.count(&appended, count),
                Err(error) => {
                    let keyed = one.publication.idempotency.is_some();
                    // what was not tried because of one before it waits as that one does
                    let channel = &one.publication.channel;
                    let is_behind = matches!(error, AppendError::Unavailable(_))
                        && again.iter().any(|one| one.publication.channel == *channel);
                    match after(&error, self.health.promise, keyed) {
                        After::Lost => {
                            self.tenure.lose();
                            std::future::pending().await // the runner drops it
                        }
                        After::Again => {
                            self.wait_with(&mut again, one, &error);
                            continue;
                        }
                        After::Drop(_) if is_behind => {
                            self.wait_with(&mut again, one, &error);
                            continue;
                        }
                        After::Taken => self.count(&Appended::New(Vec::new()), count),
                        After::Known => self.count(&Appended::Repeat(Vec::new()), count),
                        After::Drop(reason) => {
                            for _ in 1..count {
                                self.health.dropped.of(reason).add(1);
                            }
                            let detail = error.to_string();
                            self.drop_it(&Misfit { reason, detail })
                        }
                    }
                }
            };
            for index in one.indices {
                taken[index] = Some(became);
            }
        }
        again
    }

    fn wait_with(&self, again: &mut Vec<Waiting>, one: Waiting, error: &AppendError) {
        self.health.retried.add(one.indices.len() as u64);
        tracing::debug!(event = "source.waits", source = %self.health.name, %error, "the log does not take a message, which is tried again");
        again.push(one);
    }

    fn count(&self, appended: &Appended, count: u64) -> Taken {
        match appended {
            Appended::New(_) => {
                self.health.appended.add(count);
                self.app.hub.stats.published.add(count);
                Taken::Appended
            }
            Appended::Repeat(_) => {
                self.health.repeated.add(count);
                Taken::Repeated
            }
        }
    }

    fn drop_it(&self, misfit: &Misfit) -> Taken {
        self.health.dropped(misfit);
        Taken::Dropped(misfit.reason)
    }

    fn map(&self, message: &Message) -> Result<Mapped, Misfit> {
        let config = self.app.config();
        let most = config.event.max_bytes.as_usize();
        let most = config.channels.iter().fold(most, |most, rule| {
            let own = rule.max_event_bytes.map_or(0, |size| size.as_usize());
            most.max(own)
        });
        let mapped = self.mapping.map(message, most)?;
        let max = config.effective(mapped.channel.as_str()).max_event_bytes;
        let size = mapped.event.size();
        if size > max.as_usize() {
            let detail = format!("it takes {size} bytes; an event of its channel may have {max}");
            let reason = DropReason::TooLarge;
            return Err(Misfit { reason, detail });
        }
        let (count, max) = (mapped.event.attributes.len(), config.event.max_attributes);
        if count > max {
            let detail = format!("it has {count} attributes; an event may have {max}");
            let reason = DropReason::BadAttribute;
            return Err(Misfit { reason, detail });
        }
        Ok(mapped)
    }

    /// Unlike any of a publisher: those have no empty line in them. What is recognised is the id
    /// alone, whatever the mapping makes of the message by now.
    fn key(&self, identity: &[u8; 32]) -> IdempotencyKey {
        let mut key = format!("{}\n\n", self.health.name);
        for byte in identity {
            let _ = write!(key, "{byte:02x}"); // a String takes it
        }
        IdempotencyKey {
            key: key.into(),
            fingerprint: [0; 32],
        }
    }

    /// The source was dropped, or has ended.
    pub(super) fn deaf(&self) {
        if let Some(demand) = &self.demand {
            demand.deaf();
        }
    }

    /// Whether what was pulled is worth going on with: not when another replica has taken over.
    pub(super) async fn until_over(&self) {
        self.tenure.over().await;
    }
}

impl From<AppendError> for Fault {
    fn from(error: AppendError) -> Fault {
        Fault::new(FaultReason::Log, error.to_string())
    }
}

/// What to do after an append that did not say that it did it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Again,
    Drop(DropReason),
    /// The log has it, or nobody can do more about it.
    Taken,
    /// The log had it before.
    Known,
    /// Another replica has taken over.
    Lost,
}

fn after(error: &AppendError, promise: Promise, keyed: bool) -> After {
    use Promise::{Acknowledged, Lossy};
    match (error, promise) {
        (AppendError::Fenced, _) => After::Lost,
        (AppendError::Ended(_), _) => After::Drop(DropReason::Ended),
        (AppendError::TooManyChannels(_), _) => After::Drop(DropReason::TooManyChannels),
        // under the id of this very message
        (AppendError::KeyReused, _) => After::Known,
        (AppendError::Unavailable(_), Acknowledged) => After::Again,
        (AppendError::Unavailable(_), Lossy) => After::Drop(DropReason::LogUnavailable),
        // without an id it may come twice: better than not at all
        (AppendError::OutcomeUnknown(_), Acknowledged) => After::Again,
        (AppendError::OutcomeUnknown(_), Lossy) if keyed => After::Again,
        (AppendError::OutcomeUnknown(_), Lossy) => After::Drop(DropReason::OutcomeUnknown),
        // again, it is found under its id, and waited for once more
        (AppendError::NotReplicated { .. }, Acknowledged) if keyed => After::Again,
        (AppendError::NotReplicated { .. }, _) => After::Taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_acknowledged_waits_for_the_log_and_what_is_lossy_does_not() {
        use After::{Again, Drop, Lost, Taken};
        let unavailable = AppendError::Unavailable("away".into());
        let unknown = AppendError::OutcomeUnknown("away".into());
        let not_replicated = AppendError::NotReplicated {
            places: Vec::new(),
            why: "one".into(),
        };
        for (error, promise, keyed, expected) in [
            (&unavailable, Promise::Acknowledged, true, Again),
            (&unavailable, Promise::Acknowledged, false, Again),
            (
                &unavailable,
                Promise::Lossy,
                false,
                Drop(DropReason::LogUnavailable),
            ),
            (&unknown, Promise::Acknowledged, true, Again),
            (
                &unknown,
                Promise::Lossy,
                false,
                Drop(DropReason::OutcomeUnknown),
            ),
            (&not_replicated, Promise::Acknowledged, true, Again),
            (&not_replicated, Promise::Acknowledged, false, Taken),
            (&AppendError::Fenced, Promise::Lossy, false, Lost),
            (
                &AppendError::KeyReused,
                Promise::Acknowledged,
                true,
                After::Known,
            ),
        ] {
            assert_eq!(
                after(error, promise, keyed),
                expected,
                "{error:?} {promise:?}"
            );
        }
    }
}
