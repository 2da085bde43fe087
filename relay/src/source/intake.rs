//! Where a source hands over what it pulled.

use super::{
    DropReason, Fault, Health, Lag, Message, Promise,
    election::Tenure,
    mapping::{Mapped, Mapping, Misfit},
};
use crate::{
    channel::ChannelName,
    event::Event,
    event_log::{AppendError, Appended, IdempotencyKey, Publication},
    http::App,
};
use futures_util::future::join_all;
use std::{fmt::Write, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Pause before an append is tried again. It doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
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
    pub(super) tenure: Tenure,
}

/// An event that waits to be appended.
struct Waiting {
    /// Of its message, in the order of the call.
    index: usize,
    event: Event,
    key: Option<IdempotencyKey>,
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
        let mut lanes: Vec<(ChannelName, Vec<Waiting>)> = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            match self.map(message) {
                Ok(mapped) => {
                    let waiting = Waiting {
                        index,
                        event: mapped.event,
                        key: mapped.key.map(|key| self.key(&key)),
                    };
                    let lane = lanes.iter_mut().find(|(known, _)| *known == mapped.channel);
                    match lane {
                        Some((_, lane)) => lane.push(waiting),
                        None => lanes.push((mapped.channel, vec![waiting])),
                    }
                }
                Err(misfit) => taken[index] = Some(self.drop_it(&misfit)),
            }
        }
        let lanes = lanes
            .into_iter()
            .map(|(channel, lane)| self.append_lane(channel, lane));
        for (index, became) in join_all(lanes).await.into_iter().flatten() {
            taken[index] = Some(became);
        }
        let each = taken.into_iter();
        each.map(|taken| taken.expect("each is in a lane or was dropped"))
            .collect()
    }

    /// Messages of one channel, one publication after the other.
    async fn append_lane(&self, channel: ChannelName, lane: Vec<Waiting>) -> Vec<(usize, Taken)> {
        let mut became = Vec::with_capacity(lane.len());
        let mut lane = lane.into_iter().peekable();
        while let Some(first) = lane.next() {
            let (mut indices, mut bytes) = (vec![first.index], first.event.size());
            let mut events = vec![first.event];
            // without an id nothing is recognised, so several can be one publication
            while first.key.is_none()
                && events.len() < MAX_EVENTS
                && let Some(next) = lane
                    .next_if(|next| next.key.is_none() && bytes + next.event.size() <= MAX_BYTES)
            {
                bytes += next.event.size();
                indices.push(next.index);
                events.push(next.event);
            }
            let publication = Publication {
                channel: channel.clone(),
                events,
                idempotency: first.key,
                fence: self.tenure.fence.clone(),
            };
            let taken = self.append_one(publication).await;
            became.extend(indices.into_iter().map(|index| (index, taken)));
        }
        became
    }

    async fn append_one(&self, publication: Publication) -> Taken {
        let count = publication.events.len() as u64;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.app.log.append(publication.clone()).await {
                Ok(appended) => return self.count(&appended, count),
                Err(error) => error,
            };
            match after(
                &error,
                self.health.promise,
                publication.idempotency.is_some(),
            ) {
                After::Lost => {
                    self.tenure.lose();
                    return std::future::pending().await; // the runner drops it
                }
                After::Taken => return self.count(&Appended::New(Vec::new()), count),
                After::Known => return self.count(&Appended::Repeat(Vec::new()), count),
                After::Drop(reason) => {
                    for _ in 1..count {
                        self.health.dropped.of(reason).add(1);
                    }
                    let detail = error.to_string();
                    return self.drop_it(&Misfit { reason, detail });
                }
                After::Again => {
                    self.health.retried.add(count);
                    tracing::debug!(event = "source.waits", source = %self.health.name, %error, "the log does not take a message, which is tried again");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
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

    /// Whether what was pulled is worth going on with: not when another replica has taken over.
    pub(super) async fn until_over(&self) {
        self.tenure.over().await;
    }
}

impl From<AppendError> for Fault {
    fn from(error: AppendError) -> Fault {
        Fault::new(super::FaultReason::Log, error.to_string())
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
