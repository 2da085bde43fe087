//! Reading what messages did not bring, and what a new epoch means.

use super::{Listener, RETRY};
use crate::{
    channel::ChannelName,
    cursor::{Epoch, EventId, Place},
    event::Ending,
    event_log::{
        Completeness, Loss, Whose,
        gap::Certainty,
        redis::{
            epochs::{Change, Lineage, PutBack, before, change, lineage},
            partition::random_epoch,
            scripts::Adoption,
            store::{Bounds, EndedEpoch, Head, Missing, Orphan, StoreError, Wanted},
        },
    },
    frame::GapReason,
};
use std::time::{Duration, Instant};

/// How long a log may stay in an epoch that ended before ours began, until it is taken for another one.
/// The next canary ends that epoch.
const SET_BACK: Duration = Duration::from_secs(10);

/// Entries and bytes that are read at once.
const ENTRIES: usize = 1000;
const BYTES: usize = 1 << 20;
/// Up to so many attached channels are asked for one by one; above it the index is read.
pub(super) const ONE_BY_ONE: usize = 500;

impl Listener {
    pub(super) async fn catch_up(&mut self) {
        // what is held came before the head that is read now, but for the last of it
        let partition = self.log.store.partition().get();
        match self.read_all().await {
            Ok(()) if self.seats.unconfirmed().is_empty() => {
                self.behind = false;
                let at = self.log.view.lock().place();
                let at = at.map(|at| at.to_string()).unwrap_or_default();
                let held = self.held.len();
                tracing::debug!(event = "log.caught-up", partition, at, held, "all was read");
            }
            Ok(()) => {
                self.patience = Instant::now() + super::POLL;
                let unconfirmed = self.seats.unconfirmed().len();
                tracing::debug!(
                    event = "log.polled",
                    partition,
                    unconfirmed,
                    "all was read, but not all is subscribed to"
                );
            }
            Err(error) => {
                tracing::debug!(event = "log.behind", partition, %error, "the partition cannot be read");
                self.patience = Instant::now() + RETRY.mul_f64(0.5 + rand::random::<f64>());
            }
        }
    }

    async fn read_all(&mut self) -> Result<(), StoreError> {
        let began = Instant::now();
        let (head, ended) = match self.log.store.epochs().await? {
            (Some(head), ended) => (head, ended),
            (None, ended) => (self.log.store.open(random_epoch()).await?, ended),
        };
        self.log.ended.lock().set(&ended, began);
        if !self.follow(&head, &ended).await? {
            self.begin(head.epoch, head.last);
            self.settle(head.epoch, &ended);
            self.told.know(&before(head.epoch, &ended));
            return Ok(());
        }
        self.settle(head.epoch, &ended);
        self.note_purges(head.purges);
        self.log.looked(began, &head);
        self.read_to(head.epoch, head.last).await
    }

    /// Goes from epoch to epoch, up to that of the head; false if it was in none.
    async fn follow(&mut self, head: &Head, ended: &[EndedEpoch]) -> Result<bool, StoreError> {
        // each step is one of them
        for _ in 0..=ended.len() {
            let (ours, seen) = {
                let view = self.log.view.lock();
                (view.epoch(), view.seen())
            };
            let Some(ours) = ours else {
                return Ok(false);
            };
            match change(ours, seen, head, ended) {
                Change::Forked { next, fork, ended } => {
                    self.fork((ours, seen), next, fork, ended).await?;
                }
                Change::Same => {
                    self.put_back((ours, seen), head, ended).await?;
                    self.adopt_acknowledged(head, ended).await?;
                    self.tell_losses(&before(ours, ended));
                    return Ok(true);
                }
                Change::Unknown => {
                    self.put_back((ours, seen), head, ended).await?;
                    break;
                }
            }
        }
        self.begin_unknown(head, ended);
        Ok(true)
    }

    /// The log is in this epoch, which others led to.
    fn settle(&mut self, epoch: Epoch, ended: &[EndedEpoch]) {
        let mut now = before(epoch, ended);
        for one in &mut now {
            // what was reported from here may not have been read there yet
            let known = self.history.iter().find(|known| known.epoch == one.epoch);
            one.lost = one.lost.max(known.and_then(|known| known.lost));
        }
        self.history = now;
        self.set_back = None;
    }

    /// Puts back what this replica knows of the epochs before its own and the log does not; an error if
    /// there was an epoch among it, since all is to be read anew then.
    async fn put_back(
        &mut self,
        ours: (Epoch, EventId),
        head: &Head,
        ended: &[EndedEpoch],
    ) -> Result<(), StoreError> {
        let put_back = match lineage(ours, &self.history, head, ended) {
            Lineage::PutBack(put_back) => put_back,
            Lineage::NotYet => {
                let since = *self.set_back.get_or_insert_with(Instant::now);
                return match since.elapsed() < SET_BACK {
                    true => Err(StoreError::OtherEpoch),
                    false => Ok(()),
                };
            }
            Lineage::Strange => return Ok(()),
        };
        let mut adopted = false;
        for one in put_back {
            match one {
                PutBack::Witness(epoch, seen) => {
                    self.report(epoch, seen).await?;
                }
                PutBack::Adopt(orphan) => {
                    adopted |= self.log.store.adopt(orphan).await? == Adoption::Known;
                }
            }
        }
        if !adopted {
            return Ok(());
        }
        tracing::warn!(
            event = "log.adopted",
            partition = self.log.store.partition().get(),
            "Redis has lost what it knew of epochs that ended; it is told again"
        );
        Err(StoreError::OtherEpoch)
    }

    /// What this process had acknowledged in an epoch that began nowhere else, and is lost.
    async fn adopt_acknowledged(
        &self,
        head: &Head,
        ended: &[EndedEpoch],
    ) -> Result<(), StoreError> {
        let ahead = self.log.view.lock().acknowledged_ahead().to_vec();
        let Some(last) = before(head.epoch, ended).pop() else {
            return Ok(());
        };
        for (epoch, seen) in ahead.into_iter().filter(|(epoch, _)| *epoch != head.epoch) {
            if ended.iter().any(|ended| ended.epoch == epoch) {
                self.report(epoch, seen).await?;
            } else {
                // from where on it differs nobody here knows
                let orphan = Orphan {
                    epoch,
                    before: last.epoch,
                    had: EventId::ZERO,
                    seen,
                };
                if self.log.store.adopt(orphan).await? == Adoption::Current {
                    continue; // it has begun since the head was read
                }
            }
            self.log.view.lock().forget_ahead(epoch);
        }
        Ok(())
    }

    fn begin(&self, epoch: Epoch, id: EventId) {
        self.log.view.lock().begin(epoch, id);
        self.tail.epoch(self.at(epoch, id));
    }

    fn at(&self, epoch: Epoch, id: EventId) -> Place {
        Place {
            partition: self.log.store.partition(),
            epoch,
            id,
        }
    }

    /// Another epoch followed ours: what survived of ours is delivered first, then what is lost is told.
    async fn fork(
        &mut self,
        (ours, seen): (Epoch, EventId),
        next: Epoch,
        fork: EventId,
        mut ended: Vec<EndedEpoch>,
    ) -> Result<(), StoreError> {
        for one in &mut ended {
            let seen = match one.epoch == ours {
                true => Some(seen),
                false => self.log.view.lock().acknowledged_in(one.epoch),
            };
            if let Some(seen) = seen.filter(|seen| *seen > one.fork)
                && let Some(known) = self.report(one.epoch, seen).await?
            {
                *one = known;
            }
            self.log.view.lock().forget_ahead(one.epoch);
        }
        self.read_to(ours, fork).await?;
        self.begin(next, fork);
        // with those before, of which more may be known by now
        let mut all = self.history.clone();
        all.retain(|one| ended.iter().all(|ended| ended.epoch != one.epoch));
        all.extend(ended);
        self.tell_losses(&all);
        self.history = all;
        Ok(())
    }

    /// Reports the highest id of an ended epoch that was seen here.
    async fn report(&self, epoch: Epoch, seen: EventId) -> Result<Option<EndedEpoch>, StoreError> {
        let known = self.log.store.witness(epoch, seen).await?;
        if let Some(known) = known {
            self.log.ended.lock().learn(known);
        }
        Ok(known)
    }

    fn tell_losses(&mut self, before: &[EndedEpoch]) {
        for (epoch, after, until) in self.told.tell(before) {
            self.tell_loss(epoch, after, until);
        }
    }

    fn tell_loss(&self, epoch: Epoch, after: EventId, until: EventId) {
        tracing::warn!(
            event = "log.lost",
            partition = self.log.store.partition().get(),
            "Redis has lost events that were acknowledged; streams are told"
        );
        self.tail.lost(Loss {
            reason: GapReason::Epoch,
            certain: true,
            partition: self.log.store.partition(),
            whose: Whose::Any,
            after: Some(self.at(epoch, after)),
            until: Some(self.at(epoch, until)),
        });
    }

    /// Nothing is known of our epoch: the log was flushed, and all that it has is new; or too many
    /// epochs came since, and nobody can tell what is.
    fn begin_unknown(&mut self, head: &Head, ended: &[EndedEpoch]) {
        self.told.know(&before(head.epoch, ended));
        let at = match ended.is_empty() {
            true => EventId::ZERO,
            false => head.last,
        };
        self.begin(head.epoch, at);
        tracing::warn!(
            event = "log.lost",
            partition = self.log.store.partition().get(),
            "the log in Redis is another one than before; streams are told that events may be missing"
        );
        self.tail.lost(Loss {
            reason: GapReason::Epoch,
            certain: false,
            partition: self.log.store.partition(),
            whose: Whose::Any,
            after: None,
            until: None,
        });
    }

    /// Delivers all that attached channels have up to an id and that was not delivered.
    async fn read_to(&mut self, epoch: Epoch, upto: EventId) -> Result<(), StoreError> {
        let mut wanted = self.moved(upto).await?;
        while !wanted.is_empty() {
            let bounds = Bounds {
                upto,
                max_bytes: BYTES,
                max_events: ENTRIES,
            };
            let collected = self.log.store.collect(wanted.clone(), bounds).await?;
            for missing in &collected.missing {
                self.tell_missing(epoch, missing);
            }
            for entry in &collected.entries {
                self.deliver(epoch, std::slice::from_ref(entry));
            }
            if collected.completeness == Completeness::Complete {
                break;
            }
            let view = self.log.view.lock();
            for one in &mut wanted {
                one.after = view
                    .delivered_of(&one.channel)
                    .unwrap_or(upto)
                    .max(one.after);
            }
            wanted.retain(|one| one.after < one.last);
        }
        self.log.view.lock().verify(upto);
        self.tail.advance(self.at(epoch, upto));
        Ok(())
    }

    fn tell_missing(&self, epoch: Epoch, missing: &Missing) {
        let mut view = self.log.view.lock();
        let after = view.delivered_of(&missing.channel);
        view.pass(&missing.channel, missing.until);
        drop(view);
        self.tail.lost(Loss {
            reason: missing.cause.reason(),
            certain: missing.certainty == Certainty::Certain,
            partition: self.log.store.partition(),
            whose: Whose::These(vec![missing.channel.clone()]),
            after: after.map(|after| self.at(epoch, after)),
            until: Some(self.at(epoch, missing.until)),
        });
    }

    /// Channels that have more than was delivered, as the index tells. Those that match a pattern and
    /// are not attached yet are from now on.
    pub(super) async fn moved(&mut self, upto: EventId) -> Result<Vec<Wanted>, StoreError> {
        let (by_index, verified, attached) = {
            let view = self.log.view.lock();
            let attached: Vec<ChannelName> =
                view.delivered().map(|(name, _)| name.clone()).collect();
            let by_index = view.has_patterns() || attached.len() > ONE_BY_ONE;
            (by_index, view.verified(), attached)
        };
        let log = self.log.clone();
        let last_ids: Vec<(ChannelName, EventId)> = if by_index {
            let needed = |name: &ChannelName| {
                let view = log.view.lock();
                view.is_attached(name) || view.needs_by_pattern(name)
            };
            log.store.moved_after(verified, needed).await?
        } else {
            let ids = log.store.last_ids(&attached).await?;
            let known = attached.into_iter().zip(ids);
            known.filter_map(|(name, id)| Some((name, id?))).collect()
        };
        let mut wanted = Vec::new();
        for (channel, last) in last_ids {
            let delivered = self.log.view.lock().delivered_of(&channel);
            let after = match delivered {
                Some(after) => after,
                None => {
                    let mut view = self.log.view.lock();
                    view.attach(channel.clone(), verified, Ending::Continues);
                    drop(view);
                    self.place(&channel);
                    verified
                }
            };
            if last > after && after < upto {
                wanted.push(Wanted {
                    channel,
                    after,
                    last,
                });
            }
        }
        Ok(wanted)
    }
}
