//! Moves a log from one Redis to another: events, idempotency keys, epochs, with the ids that they have.
//!
//! The old log refuses publishes from the beginning on, and keeps all that it has. The new one refuses
//! everything until all is there: a head with no partitions stands for both ([`MOVED`]). A move that was
//! interrupted is begun again by the same command.
//!
//! A log of as many partitions has the same epochs, and goes on in a new one that follows them, as after
//! any change of primary. One of a single server becomes one of a Cluster: every partition gets all ended
//! epochs, so that a cursor's one place is exact in each (see [`crate::event_log::resume`]).

use super::{
    keys::{CANARY, Keys, channel_named},
    options::partitioning,
    partition::random_epoch,
    store::{LAYOUT, MOVED, StoreError},
};
use crate::{
    channel::ChannelName,
    clock::unix_millis,
    cursor::Partition,
    partition::Partitioning,
    redis::{Command, CommandError, Primary, Redis, Reply, Slot},
};
use std::{collections::BTreeMap, time::Duration};

/// How long is waited for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Channels, or keys, that are read at once.
const PAGE: usize = 500;
/// Events that are read at once, and written: each may be a megabyte.
const EVENTS: usize = 64;
/// An epoch that ended before this is waited for by nobody, in milliseconds.
const LONG_AGO: u64 = 120_000;
/// Idempotency keys that nobody uses again expire after this, in milliseconds.
const KEYS_LAST: &str = "86400000";

/// What was moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moved {
    pub channels: u64,
    pub events: u64,
    pub keys: u64,
}

/// Why a log was not moved. The old one takes publishes again, unless [`MoveError::Open`] says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("{0}")]
    Settings(String),
    #[error("the Redis that is moved {whence}: {why}")]
    Unreachable {
        whence: &'static str,
        why: CommandError,
    },
    #[error("there is no log under this prefix: check `redis` of the old configuration")]
    Nothing,
    #[error("both configurations name the same log")]
    Same,
    #[error(
        "there is a log under this prefix at the new Redis: choose another `redis.prefix`, or delete its keys"
    )]
    Taken,
    #[error(
        "a log of a Cluster cannot become one of a single server, since ids of its partitions may coincide: move it to a Cluster, or begin a new log"
    )]
    FewerPartitions,
    #[error(
        "the new log has {found:?} and should have {moved:?}: does something else write there?"
    )]
    Recount { moved: Moved, found: Moved },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{why}; and the old log still refuses publishes ({cause}): run the command again")]
    Open {
        why: Box<MoveError>,
        cause: CommandError,
    },
}

impl From<CommandError> for MoveError {
    fn from(why: CommandError) -> MoveError {
        MoveError::Store(why.into())
    }
}

/// One partition's keys, and the server that has them.
struct Share {
    keys: Keys,
    primary: Primary,
}

/// A log at one of the two ends.
struct End {
    partitioning: Partitioning,
    shares: Vec<Share>,
}

/// What a head says.
struct Head {
    epoch: String,
    confirmed_on: String,
    last: String,
    forgotten: String,
    purges: String,
    layout: String,
    partitions: u64,
}

/// Moves the log that `from` names to where `to` names.
pub async fn move_log(
    from: &relay_config::Redis,
    to: &relay_config::Redis,
) -> Result<Moved, MoveError> {
    if from == to {
        return Err(MoveError::Same);
    }
    let old = End::connect(from, "from").await?;
    let new = End::connect(to, "to").await?;
    if old.partitioning != new.partitioning && old.partitioning != Partitioning::SINGLE {
        return Err(MoveError::FewerPartitions);
    }
    old.check_whole().await?;
    new.check_free().await?;
    new.clear().await?;
    // from here on nothing is appended to the old log, and nothing yet to the new one
    new.refuse_appends().await?;
    old.refuse_appends().await?;
    match copy(&old, &new).await {
        Ok(moved) => Ok(moved),
        Err(why) => match old.accept_appends().await {
            Ok(()) => Err(why),
            Err(cause) => Err(MoveError::Open {
                why: Box::new(why),
                cause,
            }),
        },
    }
}

async fn copy(old: &End, new: &End) -> Result<Moved, MoveError> {
    let mut moved = Moved::default();
    let mut heads = Vec::new();
    for share in &old.shares {
        let head = share.head().await?.ok_or(MoveError::Nothing)?;
        share.copy_channels(new, &mut moved).await?;
        share.copy_keys(new, &mut moved).await?;
        heads.push((head, share.epochs().await?));
    }
    let found = new.count().await?;
    if found != moved {
        return Err(MoveError::Recount { moved, found });
    }
    for (index, share) in new.shares.iter().enumerate() {
        // one partition's head begins all of them, or each its own
        let (head, epochs) = &heads[index.min(heads.len() - 1)];
        share.begin(head, epochs, old, new).await?;
    }
    Ok(moved)
}

impl End {
    async fn connect(
        settings: &relay_config::Redis,
        whence: &'static str,
    ) -> Result<End, MoveError> {
        let wrong = |problems: Vec<relay_config::Problem>| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            MoveError::Settings(lines.join("\n"))
        };
        let target = settings.target().map_err(wrong)?;
        let redis = Redis::start(settings).map_err(wrong)?;
        let partitioning = partitioning(&target.mode);
        let mut shares = Vec::new();
        for partition in partitioning.all().iter() {
            let keys = Keys::new(&settings.prefix, partition);
            let primary = redis.primary(Slot::of(keys.head().as_bytes()));
            let session = primary.wait(PATIENCE).await;
            session.map_err(|why| MoveError::Unreachable { whence, why })?;
            shares.push(Share { keys, primary });
        }
        Ok(End {
            partitioning,
            shares,
        })
    }

    fn share(&self, partition: Partition) -> &Share {
        &self.shares[partition.index()]
    }

    /// Every partition is one of a log that this release can read.
    async fn check_whole(&self) -> Result<(), MoveError> {
        for share in &self.shares {
            let head = share.head().await?.filter(|head| !head.epoch.is_empty());
            let head = head.ok_or(MoveError::Nothing)?;
            let interrupted = head.partitions == MOVED;
            let partitions = if interrupted {
                self.partitioning.count() as u64
            } else {
                head.partitions
            };
            if let Some(error) =
                StoreError::of_another_log(&head.layout, partitions, self.partitioning)
            {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// No partition has a log, but for one that a move began.
    async fn check_free(&self) -> Result<(), MoveError> {
        for share in &self.shares {
            match share.head().await? {
                Some(head) if head.partitions != MOVED => return Err(MoveError::Taken),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Takes away what a move that was interrupted left.
    async fn clear(&self) -> Result<(), MoveError> {
        for share in &self.shares {
            loop {
                let page = share.index_after("-inf").await?;
                if page.is_empty() {
                    break;
                }
                let names = page.iter().map(|(name, _)| name.as_str());
                let streams = names.clone().map(|name| share.keys.stream(name));
                let index = Command::new("ZREM").arg(share.keys.index()).args(names);
                let delete = |stream| Command::new("DEL").arg(stream);
                share.all(&streams.map(delete).collect::<Vec<_>>()).await?;
                share.one(index).await?;
            }
            let keys = &share.keys;
            let rest = [
                keys.channels(),
                keys.names(),
                keys.epochs(),
                keys.purges(),
                keys.used_keys(),
                keys.outcomes(),
            ];
            share.one(Command::new("DEL").args(rest)).await?;
        }
        Ok(())
    }

    async fn refuse_appends(&self) -> Result<(), MoveError> {
        let none = MOVED.to_string();
        for share in &self.shares {
            // a head that is only this is one of a log that is still to be filled
            share.set_head(&["v", LAYOUT, "n", &none]).await?;
        }
        Ok(())
    }

    async fn accept_appends(&self) -> Result<(), CommandError> {
        let count = self.partitioning.count().to_string();
        for share in &self.shares {
            share.set_head(&["n", &count]).await?;
        }
        Ok(())
    }

    /// What the log has.
    async fn count(&self) -> Result<Moved, MoveError> {
        let mut found = Moved::default();
        for share in &self.shares {
            found.keys += share
                .number(Command::new("ZCARD").arg(share.keys.used_keys()))
                .await?;
            let mut after = "-inf".to_owned();
            loop {
                let page = share.index_after(&after).await?;
                let Some((_, last)) = page.last() else {
                    break;
                };
                after = format!("({last}");
                for (name, _) in &page {
                    let stream = share.keys.stream(name);
                    found.channels += 1;
                    found.events += share.number(Command::new("XLEN").arg(stream)).await?;
                }
            }
        }
        Ok(found)
    }
}

impl Share {
    /// The answer of each command; the first that is refused is the error of all.
    async fn all(&self, commands: &[Command]) -> Result<Vec<Reply>, CommandError> {
        let replies = self.primary.pipeline(commands).await?;
        replies.into_iter().collect()
    }

    async fn one(&self, command: Command) -> Result<Reply, CommandError> {
        let mut replies = self.all(&[command]).await?;
        Ok(replies.pop().unwrap_or(Reply::Nil))
    }

    async fn number(&self, command: Command) -> Result<u64, CommandError> {
        let reply = self.one(command).await?;
        Ok(reply.integer().unwrap_or(0).unsigned_abs())
    }

    async fn head(&self) -> Result<Option<Head>, MoveError> {
        let fields = ["e", "r", "i", "f", "v", "n", "p"];
        let reply = self.one(Command::new("HMGET").arg(self.keys.head()).args(fields));
        let reply = reply.await?;
        let text = |index: usize| reply.list()?.get(index)?.text().map(str::to_owned);
        let Some(layout) = text(4) else {
            return Ok(None);
        };
        Ok(Some(Head {
            layout,
            partitions: text(5)
                .and_then(|count| count.parse().ok())
                .unwrap_or(u64::MAX),
            epoch: text(0).unwrap_or_default(),
            confirmed_on: text(1).unwrap_or_default(),
            last: text(2).unwrap_or_else(|| "0".into()),
            forgotten: text(3).unwrap_or_else(|| "0".into()),
            purges: text(6).unwrap_or_else(|| "0".into()),
        }))
    }

    async fn set_head(&self, fields: &[&str]) -> Result<(), CommandError> {
        self.one(Command::new("HSET").arg(self.keys.head()).args(fields))
            .await
            .map(drop)
    }

    async fn epochs(&self) -> Result<Vec<String>, MoveError> {
        let reply = self
            .one(Command::new("HGETALL").arg(self.keys.epochs()))
            .await?;
        let items = reply.list().unwrap_or_default().iter();
        Ok(items
            .filter_map(|item| item.text().map(str::to_owned))
            .collect())
    }

    /// Channels after a score, with theirs.
    async fn index_after(&self, after: &str) -> Result<Vec<(String, String)>, MoveError> {
        let page = Command::new("ZRANGEBYSCORE")
            .arg(self.keys.index())
            .args([after, "+inf", "WITHSCORES", "LIMIT", "0"])
            .arg(PAGE.to_string());
        let reply = self.one(page).await?;
        let pairs = reply.list().unwrap_or_default().chunks_exact(2);
        Ok(pairs
            .filter_map(|pair| Some((pair[0].text()?.to_owned(), pair[1].text()?.to_owned())))
            .collect())
    }

    async fn copy_channels(&self, new: &End, moved: &mut Moved) -> Result<(), MoveError> {
        let mut after = "-inf".to_owned();
        loop {
            let page = self.index_after(&after).await?;
            let Some((_, last)) = page.last() else {
                return Ok(());
            };
            after = format!("({last}");
            let names = page.iter().map(|(name, _)| name);
            let kept = Command::new("HMGET").arg(self.keys.channels());
            let kept = self.one(kept.args(names.clone())).await?;
            let purged = Command::new("HMGET").arg(self.keys.purges()).args(names);
            let purged = self.one(purged).await?;
            let kept = kept.list().unwrap_or_default().iter();
            let kept = kept.zip(purged.list().unwrap_or_default());
            for ((name, score), (kept, purged)) in page.iter().zip(kept) {
                let Some(channel) = channel_named(name).filter(|_| name != CANARY) else {
                    continue;
                };
                let to = new.share(new.partitioning.of(&channel));
                moved.events += self.copy_stream(name, to).await?;
                to.know(&channel, score, kept.text(), purged.text()).await?;
                moved.channels += 1;
            }
        }
    }

    async fn copy_stream(&self, name: &str, to: &Share) -> Result<u64, MoveError> {
        let (from, into) = (self.keys.stream(name), to.keys.stream(name));
        to.one(Command::new("DEL").arg(&into)).await?; // of a move that was interrupted
        let (mut after, mut events) = ("-".to_owned(), 0);
        loop {
            let page = Command::new("XRANGE")
                .arg(&from)
                .args([&after, "+", "COUNT"]);
            let page = self.one(page.arg(EVENTS.to_string())).await?;
            let mut commands = Vec::new();
            for item in page.list().unwrap_or_default() {
                let [id, fields] = item.list().unwrap_or_default() else {
                    continue;
                };
                let (Some(id), Some(fields)) = (id.text(), fields.list()) else {
                    continue;
                };
                let fields = fields.iter().filter_map(Reply::bytes);
                commands.push(Command::new("XADD").arg(&into).arg(id).args(fields));
                after = format!("({id}");
            }
            if commands.is_empty() {
                return Ok(events);
            }
            events += commands.len() as u64;
            to.all(&commands).await?;
        }
    }

    /// A channel and what is kept of it.
    async fn know(
        &self,
        channel: &ChannelName,
        score: &str,
        kept: Option<&str>,
        purged: Option<&str>,
    ) -> Result<(), MoveError> {
        let (keys, name) = (&self.keys, channel.as_str());
        let mut commands = vec![Command::new("ZADD").arg(keys.index()).args([score, name])];
        if let Some(kept) = kept {
            commands.push(Command::new("HSET").arg(keys.channels()).args([name, kept]));
        }
        if let Some(purged) = purged {
            commands.push(Command::new("HSET").arg(keys.purges()).args([name, purged]));
        }
        if !name.starts_with('@') {
            commands.push(Command::new("ZADD").arg(keys.names()).args(["0", name]));
        }
        self.all(&commands).await?;
        Ok(())
    }

    /// Idempotency keys, with what became of each.
    async fn copy_keys(&self, new: &End, moved: &mut Moved) -> Result<(), MoveError> {
        let mut start = 0;
        loop {
            let page = Command::new("ZRANGE").arg(self.keys.used_keys());
            let page = page
                .arg(start.to_string())
                .arg((start + PAGE - 1).to_string())
                .arg("WITHSCORES");
            let page = self.one(page).await?;
            let used: Vec<(&str, &str)> = page
                .list()
                .unwrap_or_default()
                .chunks_exact(2)
                .filter_map(|pair| Some((pair[0].text()?, pair[1].text()?)))
                .collect();
            if used.is_empty() {
                return Ok(());
            }
            start += PAGE;
            let outcomes = Command::new("HMGET").arg(self.keys.outcomes());
            let outcomes = outcomes.args(used.iter().map(|(key, _)| key));
            let outcomes = self.one(outcomes).await?;
            let mut commands: BTreeMap<Partition, Vec<Command>> = BTreeMap::new();
            for ((key, at), outcome) in used.iter().zip(outcomes.list().unwrap_or_default()) {
                // a key begins with its channel
                let channel = key.split('\n').next().and_then(channel_named);
                let (Some(channel), Some(outcome)) = (channel, outcome.text()) else {
                    continue;
                };
                let partition = new.partitioning.of(&channel);
                let keys = &new.share(partition).keys;
                let (times, outcomes) = (keys.used_keys(), keys.outcomes());
                commands.entry(partition).or_default().extend([
                    Command::new("ZADD").arg(&times).args([at, key]),
                    Command::new("HSET").arg(&outcomes).args([key, outcome]),
                    Command::new("PEXPIRE").args([&times, KEYS_LAST]),
                    Command::new("PEXPIRE").args([&outcomes, KEYS_LAST]),
                ]);
                moved.keys += 1;
            }
            for (partition, commands) in commands {
                new.share(partition).all(&commands).await?;
            }
        }
    }

    /// Lets the new log begin, in this partition.
    async fn begin(
        &self,
        head: &Head,
        epochs: &[String],
        old: &End,
        new: &End,
    ) -> Result<(), MoveError> {
        let mut epochs = epochs.to_vec();
        let (epoch, confirmed_on) = if old.partitioning == new.partitioning {
            // the first relay sees another primary, and begins the next epoch
            (head.epoch.clone(), head.confirmed_on.clone())
        } else {
            let next = random_epoch().get().to_string();
            // nobody has anything to report of it any more
            let at = unix_millis().saturating_sub(LONG_AGO);
            let ended = format!("{0} 0 {next} {at} {0}", head.last);
            epochs.extend([head.epoch.clone(), ended]);
            let session = self.primary.session()?;
            (next, session.replication_id().as_str().to_owned())
        };
        if !epochs.is_empty() {
            let command = Command::new("HSET").arg(self.keys.epochs());
            self.one(command.args(&epochs)).await?;
        }
        let count = new.partitioning.count().to_string();
        let fields = [
            "v",
            LAYOUT,
            "e",
            &epoch,
            "r",
            &confirmed_on,
            "i",
            &head.last,
        ];
        let fields = [
            &fields[..],
            &["f", &head.forgotten, "p", &head.purges, "n", &count],
        ]
        .concat();
        self.set_head(&fields).await?;
        Ok(())
    }
}
