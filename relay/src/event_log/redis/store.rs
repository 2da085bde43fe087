//! One partition's log in Redis: each operation, and what it needs of the server. No state, no retry.

mod append;
pub mod read;
mod survey;

pub use read::{Bounds, Cause, Collected, Missing, Wanted};
pub use survey::Kept;

use super::{
    entry::Undecodable,
    keys::{CANARY, Keys},
    options::{RedisOptions, limit, millis},
    scripts::{self, Adoption, Begun, PurgeOutcome, parse_count, parse_epoch, parse_id},
};
use crate::{
    channel::ChannelName,
    cursor::{Epoch, EventId, Partition, UnixMillis},
    event_log::{Fence, IdempotencyKey, Retention},
    partition::Partitioning,
    redis::{Command, CommandError, Primary, Redis, Reply, Session, Slot},
};
use std::{sync::Arc, time::Duration};

/// Epochs that are remembered after their end.
pub const MAX_ENDED_EPOCHS: usize = 16;
/// What is kept of canaries.
const OF_CANARIES: Retention = Retention {
    events: CANARIES,
    age: Duration::from_secs(60),
    bytes: usize::MAX,
};
/// How long fences are kept that nobody raises: longer than anybody is frozen and comes back.
const KEEP_FENCES: Duration = Duration::from_secs(86_400);
/// Names that one command carries.
const NAMES: usize = 1000;
/// The layout of keys that this release reads and writes.
pub const LAYOUT: &str = "1";
/// What stands for the number of partitions in a log that was moved away: no release appends to it.
pub const MOVED: u64 = 0;
/// Canaries that are kept, for who looks which replicas are well.
const CANARIES: usize = 64;

/// Why an operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("what Redis answered cannot be understood: {0}")]
    Undecodable(#[from] Undecodable),
    #[error(
        "the log in Redis has {theirs} partition(s), and this relay is configured for {ours} (1 for one server, 8 for a Cluster): \
         use the mode that the log was begun with, or another `redis.prefix`"
    )]
    OtherPartitions { theirs: u64, ours: usize },
    #[error(
        "the log in Redis has layout {0}, which this release does not know: use the release that wrote it, or another `redis.prefix`"
    )]
    OtherLayout(String),
    #[error(
        "the log was moved to another Redis by `sse-relay redis-move`, or is just being moved: configure `redis` for \
         the new one, and wait until the move has ended"
    )]
    Moved,
    #[error("the log is in another epoch")]
    OtherEpoch,
}

impl StoreError {
    /// Why a log of this layout and with so many partitions is not one for this relay.
    pub fn of_another_log(layout: &str, theirs: u64, ours: Partitioning) -> Option<StoreError> {
        if layout != LAYOUT {
            return Some(StoreError::OtherLayout(layout.to_owned()));
        }
        (theirs != ours.count() as u64).then(|| StoreError::other_partitions(theirs, ours))
    }

    fn other_partitions(theirs: u64, ours: Partitioning) -> StoreError {
        match theirs {
            MOVED => StoreError::Moved,
            _ => StoreError::OtherPartitions {
                theirs,
                ours: ours.count(),
            },
        }
    }
}

/// The head of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub epoch: Epoch,
    pub last: EventId,
    /// The highest id among channels that the index has forgotten.
    pub forgotten: EventId,
    /// How many purges there were.
    pub purges: u64,
}

/// An epoch that ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndedEpoch {
    pub epoch: Epoch,
    /// The highest id of it that survived.
    pub fork: EventId,
    /// The highest id of it that is known to have been lost, if any was.
    pub lost: Option<EventId>,
    /// The epoch that followed.
    pub next: Epoch,
    pub at: UnixMillis,
    /// The log's last id when the latest of what is lost was reported: whoever stands after it has heard.
    pub told: EventId,
}

/// An epoch that is lost with all its events, and that replicas still know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Orphan {
    pub epoch: Epoch,
    /// The epoch before it.
    pub before: Epoch,
    /// The highest id of that one that it had.
    pub had: EventId,
    /// The highest id of it that was acknowledged or delivered.
    pub seen: EventId,
}

/// Publishes of one channel that one call appends, in order.
#[derive(Clone, Debug)]
pub struct Batch {
    pub channel: ChannelName,
    pub portions: Vec<Portion>,
    /// Whether the last event ends the channel.
    pub ends: bool,
}

/// Events that are appended together or not at all.
#[derive(Clone, Debug)]
pub struct Portion {
    /// As [`super::entry::encode_event`] writes them.
    pub events: Vec<Vec<u8>>,
    pub idempotency: Option<IdempotencyKey>,
    pub fence: Option<Fence>,
    /// Tells this one from all others.
    pub token: u64,
}

/// Whether a batch was sent before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    First,
    /// It was, and the answer was lost; the last id known before.
    Again(EventId),
}

/// One partition.
pub struct Store {
    primary: Primary,
    pub(super) keys: Keys,
    partition: Partition,
    options: Arc<RedisOptions>,
    count: String,
}

impl Store {
    pub fn new(redis: &Redis, partition: Partition, options: Arc<RedisOptions>) -> Store {
        let keys = Keys::new(&options.prefix, partition);
        Store {
            primary: redis.primary(Slot::of(keys.head().as_bytes())),
            count: options.partitioning.count().to_string(),
            keys,
            partition,
            options,
        }
    }

    pub fn partition(&self) -> Partition {
        self.partition
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub fn primary(&self) -> &Primary {
        &self.primary
    }

    /// Reads the head, which begins the log if there is none, and checks that it is one that this
    /// relay can use.
    pub async fn open(&self, epoch: Epoch) -> Result<Head, StoreError> {
        let session = self.primary.session()?;
        let reply = session
            .script(
                &scripts::OPEN,
                &[self.keys.head().as_bytes()],
                &[
                    epoch.get().to_string().as_bytes(),
                    session.replication_id().as_str().as_bytes(),
                    self.count.as_bytes(),
                ],
            )
            .await?;
        let [of, _, last, forgotten, partitions, layout, purges] = reply.list().unwrap_or_default()
        else {
            return Err(Undecodable::Damaged("the head has another shape").into());
        };
        let theirs = partitions.integer().unwrap_or(i64::MAX).unsigned_abs();
        let (layout, ours) = (layout.text().unwrap_or("?"), self.options.partitioning);
        if let Some(error) = StoreError::of_another_log(layout, theirs, ours) {
            return Err(error);
        }
        Ok(Head {
            epoch: parse_epoch(of)?,
            last: parse_id(last)?,
            forgotten: parse_id(forgotten)?,
            purges: purges_of(purges)?,
        })
    }

    /// Channels that the partition holds at most.
    pub fn max_channels(&self) -> usize {
        self.options.max_channels
    }

    pub(super) fn retention(&self, channel: &str) -> Retention {
        match channel {
            CANARY => OF_CANARIES,
            _ => (self.options.retention)(channel),
        }
    }

    pub fn other_partitions(&self, theirs: u64) -> StoreError {
        StoreError::other_partitions(theirs, self.options.partitioning)
    }

    /// The head; `None` when there is none (any more).
    pub async fn head(&self) -> Result<Option<Head>, StoreError> {
        let replies = self.primary.pipeline(&[self.head_command()]).await?;
        parse_head(&first(replies)?)
    }

    /// The head, and what is kept of these channels.
    pub async fn head_and_kept(
        &self,
        channels: &[ChannelName],
    ) -> Result<(Option<Head>, Vec<Option<Kept>>), StoreError> {
        let mut commands = vec![self.head_command()];
        commands.extend(channels.chunks(NAMES).map(|names| self.kept_command(names)));
        let mut replies = self.primary.pipeline(&commands).await?.into_iter();
        let head = parse_head(&next(&mut replies)?)?;
        let mut kept = Vec::with_capacity(channels.len());
        for _ in channels.chunks(NAMES) {
            kept.extend(survey::parse_all_kept(&next(&mut replies)?)?);
        }
        Ok((head, kept))
    }

    fn head_command(&self) -> Command {
        Command::new("HMGET")
            .arg(self.keys.head())
            .args(["e", "i", "f", "p"])
    }

    /// Has appends refused that carry an older token of this fence; the highest token. Harmless again.
    pub async fn raise(&self, fence: &Fence) -> Result<u64, StoreError> {
        let (token, keep) = (fence.token.to_string(), millis(KEEP_FENCES));
        let arguments = [fence.name.as_bytes(), token.as_bytes(), keep.as_bytes()];
        let keys = [self.keys.fences()];
        let keys = keys.each_ref().map(|key| key.as_bytes());
        let session = self.primary.session()?;
        let reply = session.script(&scripts::FENCE, &keys, &arguments).await?;
        Ok(parse_count(&reply)?)
    }

    /// Ends `old`, unless somebody else was first. `seen` is the highest id of it that this replica
    /// acknowledged or delivered.
    pub async fn begin_epoch(
        &self,
        session: &Session,
        old: Epoch,
        confirmed_on: &str,
        new: Epoch,
        seen: EventId,
    ) -> Result<Begun, StoreError> {
        let reply = session
            .script(
                &scripts::EPOCH,
                &[self.keys.head().as_bytes(), self.keys.epochs().as_bytes()],
                &[
                    old.get().to_string().as_bytes(),
                    confirmed_on.as_bytes(),
                    new.get().to_string().as_bytes(),
                    session.replication_id().as_str().as_bytes(),
                    seen.get().to_string().as_bytes(),
                    self.keys.news().as_bytes(),
                    MAX_ENDED_EPOCHS.to_string().as_bytes(),
                ],
            )
            .await?;
        Ok(Begun::parse(&reply)?)
    }

    /// Reports the highest id of an ended epoch that this replica acknowledged or delivered; what is
    /// known of that epoch then, or `None` if nothing is.
    pub async fn witness(
        &self,
        ended: Epoch,
        seen: EventId,
    ) -> Result<Option<EndedEpoch>, StoreError> {
        let reply = self
            .primary
            .script(
                &scripts::WITNESS,
                &[self.keys.head().as_bytes(), self.keys.epochs().as_bytes()],
                &[
                    ended.get().to_string().as_bytes(),
                    seen.get().to_string().as_bytes(),
                    self.keys.news().as_bytes(),
                ],
            )
            .await?;
        match reply.text() {
            Some("") => Ok(None),
            Some(text) => Ok(Some(parse_ended(ended, text)?)),
            None => Err(Undecodable::Damaged("an epoch has another shape").into()),
        }
    }

    /// Makes an epoch known again. Harmless again.
    pub async fn adopt(&self, orphan: Orphan) -> Result<Adoption, StoreError> {
        let arguments = [
            orphan.before.get().to_string(),
            orphan.epoch.get().to_string(),
            orphan.had.get().to_string(),
            orphan.seen.get().to_string(),
            self.keys.news(),
            MAX_ENDED_EPOCHS.to_string(),
        ];
        let arguments = arguments.each_ref().map(|argument| argument.as_bytes());
        let keys = [self.keys.head(), self.keys.epochs()];
        let keys = keys.each_ref().map(|key| key.as_bytes());
        let reply = self
            .primary
            .script(&scripts::ADOPT, &keys, &arguments)
            .await?;
        Ok(Adoption::parse(&reply)?)
    }

    /// The head and the epochs that ended.
    pub async fn epochs(&self) -> Result<(Option<Head>, Vec<EndedEpoch>), StoreError> {
        let commands = [
            self.head_command(),
            Command::new("HGETALL").arg(self.keys.epochs()),
        ];
        let mut replies = self.primary.pipeline(&commands).await?.into_iter();
        let head = parse_head(&next(&mut replies)?)?;
        let ended = next(&mut replies)?;
        let mut epochs = Vec::new();
        for pair in ended.list().unwrap_or_default().chunks_exact(2) {
            let text = pair[1].text().unwrap_or_default();
            epochs.push(parse_ended(parse_epoch(&pair[0])?, text)?);
        }
        Ok((head, epochs))
    }

    /// Drops all events that a channel has; it stays known. Harmless again after a lost answer.
    pub async fn purge(&self, channel: &ChannelName) -> Result<PurgeOutcome, StoreError> {
        let session = self.primary.session()?;
        let keys = [
            self.keys.head(),
            self.keys.channels(),
            self.keys.purges(),
            self.keys.stream(channel.as_str()),
        ];
        let keep = millis(self.options.longest_age.saturating_mul(2));
        let arguments = [
            session.replication_id().as_str(),
            channel.as_str(),
            &self.keys.news(),
            &keep,
        ];
        let keys = keys.each_ref().map(|key| key.as_bytes());
        let arguments = arguments.map(str::as_bytes);
        let reply = session.script(&scripts::PURGE, &keys, &arguments).await?;
        Ok(PurgeOutcome::parse(&reply)?)
    }

    /// Up to where these channels were purged, if they ever were.
    pub(super) async fn purged(
        &self,
        channels: &[ChannelName],
    ) -> Result<Vec<Option<EventId>>, StoreError> {
        let names = channels.iter().map(ChannelName::as_str);
        let command = Command::new("HMGET").arg(self.keys.purges()).args(names);
        let reply = first(self.primary.pipeline(&[command]).await?)?;
        let ids = reply.list().unwrap_or_default().iter();
        let ids = ids.map(|id| (!id.is_nil()).then(|| parse_id(id)).transpose());
        Ok(ids.collect::<Result<_, _>>()?)
    }
}

/// A head that never saw a purge has no count of them.
fn purges_of(reply: &Reply) -> Result<u64, Undecodable> {
    match reply.is_nil() {
        true => Ok(0),
        false => parse_count(reply),
    }
}

fn parse_head(reply: &Reply) -> Result<Option<Head>, StoreError> {
    let [epoch, last, forgotten, purges] = reply.list().unwrap_or_default() else {
        return Err(Undecodable::Damaged("the head has another shape").into());
    };
    if epoch.is_nil() {
        return Ok(None);
    }
    Ok(Some(Head {
        epoch: parse_epoch(epoch)?,
        last: parse_id(last)?,
        forgotten: parse_id(forgotten)?,
        purges: purges_of(purges)?,
    }))
}

/// `FORK LOST NEXT TIME TOLD`, as `epoch.lua` writes it; logs that began earlier have no `TOLD`.
fn parse_ended(epoch: Epoch, text: &str) -> Result<EndedEpoch, Undecodable> {
    let strange = || Undecodable::Damaged("an ended epoch has another shape");
    let words: Vec<&str> = text.split(' ').collect();
    let (fork, lost, next, at, told) = match words[..] {
        [fork, lost, next, at, told] => (fork, lost, next, at, told),
        [fork, lost, next, at] => (fork, lost, next, at, "0"),
        _ => return Err(strange()),
    };
    let next = next.parse().map_err(|_| strange())?;
    let id = |text: &str| text.parse().ok().and_then(EventId::new).ok_or_else(strange);
    Ok(EndedEpoch {
        epoch,
        fork: id(fork)?,
        lost: Some(id(lost)?).filter(|lost| *lost > EventId::ZERO),
        next: Epoch::from_random(next),
        at: at.parse().map_err(|_| strange())?,
        told: id(told)?,
    })
}

/// Answers of a pipeline, one by one.
type Replies = std::vec::IntoIter<Result<Reply, CommandError>>;

fn next(replies: &mut Replies) -> Result<Reply, StoreError> {
    let reply = replies
        .next()
        .ok_or(Undecodable::Damaged("an answer is missing"))?;
    Ok(reply?)
}

fn first(replies: Vec<Result<Reply, CommandError>>) -> Result<Reply, StoreError> {
    next(&mut replies.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_epoch_tells_what_survived_and_what_is_lost() {
        let epoch = Epoch::from_random(7);
        let ended = parse_ended(epoch, "100 0 8 1795000000000").unwrap();
        assert_eq!((ended.fork.get(), ended.lost), (100, None));
        assert_eq!(ended.next, Epoch::from_random(8));
        let ended = parse_ended(epoch, "100 120 8 1795000000000 130").unwrap();
        assert_eq!(ended.lost, EventId::new(120));
        assert_eq!(ended.told.get(), 130);
        for other in ["", "1 2 3", "a 0 8 1", "1 2 3 4 a", "1 2 3 4 5 6"] {
            assert!(parse_ended(epoch, other).is_err(), "{other}");
        }
    }
}
