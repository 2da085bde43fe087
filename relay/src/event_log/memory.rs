//! The embedded log: channels in this process's memory, kept in a file if a directory is given.
//!
//! One lock a partition guards the order: ids are assigned, entries stored and handed to the tail
//! under it. With a journal, one thread (`committer`) writes before anything becomes visible.
//!
//! It serves with one partition. With several it is what everything that must do with several is
//! tested with: each has a clock of its own, so ids are unique in a partition only.

mod committer;
mod dedup;
mod history;
mod state;

use super::*;
use crate::cursor::Epoch;
use crate::journal::{Journal, JournalError, Options, Tail as FileTail};
use committer::Committer;
use futures_util::future::ready;
use parking_lot::Mutex;
use resume::{Ahead, EndedEpoch, Epochs};
use state::{Bounds, State};
use std::convert::Infallible;
use tokio::sync::oneshot;

/// Channels that a log holds at most unless told otherwise.
pub const MAX_CHANNELS: usize = 1_000_000;

/// Reads the wall clock, in milliseconds. An argument, so that tests decide what time it is.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Limits of the embedded log.
#[derive(Clone)]
pub struct MemoryOptions {
    /// Limits of a channel, by its name.
    pub retention: Arc<dyn Fn(&str) -> Retention + Send + Sync>,
    /// All channels of a partition together; past it the oldest events give way.
    pub max_bytes: usize,
    /// Past so many channels of a partition new ones are refused; existing ones go on.
    pub max_channels: usize,
    /// How long an `Idempotency-Key` is remembered, and how many keys.
    pub idempotency_window: Duration,
    pub max_idempotency_keys: usize,
    pub clock: Clock,
}

/// The embedded [`EventLog`].
pub struct MemoryLog {
    partitioning: Partitioning,
    /// By the partition's number.
    states: Box<[Arc<Mutex<State>>]>,
    /// Epochs before this life; none is added to it.
    ended: Vec<EndedEpoch>,
    committer: Option<Committer>,
    options: MemoryOptions,
}

/// What opening a directory found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    pub events: usize,
    pub channels: usize,
    pub tail: FileTail,
}

impl MemoryLog {
    /// A log that a restart forgets. `epoch` is random.
    pub fn new(options: MemoryOptions, epoch: Epoch, tail: Arc<dyn Tail>) -> MemoryLog {
        MemoryLog::partitioned(Partitioning::SINGLE, options, |_| epoch, tail)
    }

    /// A log that a restart forgets, of which somebody else keeps what was before this id: all that
    /// is older counts as forgotten, and ids go on after it.
    pub fn after(
        begin: EventId,
        options: MemoryOptions,
        epoch: Epoch,
        tail: Arc<dyn Tail>,
    ) -> MemoryLog {
        let state = State::new(Partition::ONLY, epoch, options.clone(), tail);
        let state = state.after(begin);
        state.begin();
        MemoryLog {
            partitioning: Partitioning::SINGLE,
            states: Box::new([Arc::new(Mutex::new(state))]),
            ended: Vec::new(),
            committer: None,
            options,
        }
    }

    /// The same in several partitions, each with an epoch of its own.
    pub fn partitioned(
        partitioning: Partitioning,
        options: MemoryOptions,
        epoch: impl Fn(Partition) -> Epoch,
        tail: Arc<dyn Tail>,
    ) -> MemoryLog {
        let states = partitioning.all().iter().map(|partition| {
            let state = State::new(partition, epoch(partition), options.clone(), tail.clone());
            state.begin();
            Arc::new(Mutex::new(state))
        });
        MemoryLog {
            partitioning,
            states: states.collect(),
            ended: Vec::new(),
            committer: None,
            options,
        }
    }

    /// A log kept in a directory. `epoch` is random and used if one must start.
    pub fn open(
        options: MemoryOptions,
        file: Options,
        epoch: Epoch,
        tail: Arc<dyn Tail>,
    ) -> Result<(MemoryLog, Opened), JournalError> {
        let fsync = file.fsync;
        let now = (options.clock)();
        let mut state = State::new(Partition::ONLY, epoch, options.clone(), tail);
        let (journal, recovered) = Journal::open(file, epoch, |record| state.restore(record, now))?;
        state.restored(&recovered, now);
        let totals = state.totals();
        let opened = Opened {
            events: totals.events,
            channels: totals.channels,
            tail: recovered.tail,
        };
        state.begin();
        let ended = state.ended.clone();
        let state = Arc::new(Mutex::new(state));
        let committer = Committer::start(journal, fsync, state.clone(), options.clock.clone());
        let log = MemoryLog {
            partitioning: Partitioning::SINGLE,
            states: Box::new([state]),
            ended,
            committer: Some(committer),
            options,
        };
        Ok((log, opened))
    }
}

impl MemoryLog {
    /// Ready when the thread that writes the file has ended, after which nothing can be appended any
    /// more. `None` for a log without a file, and the second time.
    pub fn writer_ended(&self) -> Option<oneshot::Receiver<Infallible>> {
        self.committer.as_ref()?.ended()
    }

    fn state_of(&self, channel: &ChannelName) -> &Mutex<State> {
        &self.states[self.partitioning.of(channel).index()]
    }

    /// The selectors that a partition's channels can match.
    fn selected(&self, selectors: &Arc<[Selector]>, partition: Partition) -> Arc<[Selector]> {
        if self.partitioning == Partitioning::SINGLE {
            return selectors.clone();
        }
        let concerns = |selector: &&Selector| match selector {
            Selector::Channel(name) => self.partitioning.of(name) == partition,
            Selector::Pattern(_) => true,
        };
        selectors.iter().filter(concerns).cloned().collect()
    }

    fn page(&self, read: &Read) -> Result<Page, ReadError> {
        let mut bounds = Bounds {
            bytes: read.max_bytes,
            events: read.max_events,
        };
        let mut parts = Vec::with_capacity(read.from.len());
        for from in &read.from {
            let partition = from.after.partition;
            let Some(state) = self.states.get(partition.index()) else {
                continue; // what another log had
            };
            let state = state.lock();
            let upto = match read.upto.in_partition(partition) {
                Some(upto) if upto.epoch == state.epoch => upto.id,
                None => state.delivered,
                Some(_) => return Err(ReadError::EpochChanged),
            };
            if from.after.epoch != state.epoch {
                return Err(ReadError::EpochChanged);
            }
            let selectors = self.selected(&read.selectors, partition);
            parts.push(state.read(&selectors, *from, upto, bounds));
        }
        Ok(merge::merge(parts, |entry| bounds.reached_with(entry)))
    }
}

impl EventLog for MemoryLog {
    fn partitioning(&self) -> Partitioning {
        self.partitioning
    }

    fn append(&self, mut publication: Publication) -> BoxFuture<'_, Result<Appended, AppendError>> {
        match &self.committer {
            Some(committer) => Box::pin(committer.append(publication)),
            None => {
                let mut state = self.state_of(&publication.channel).lock();
                let now = (self.options.clock)();
                let appended = state.prepare(&mut publication, now).map(|prepared| {
                    let entries = prepared.entries.clone();
                    let appended = state.store(prepared, &publication, now);
                    state.deliver(&entries);
                    appended
                });
                drop(state);
                Box::pin(ready(appended))
            }
        }
    }

    fn purge(&self, channel: &ChannelName) -> BoxFuture<'_, Result<Purged, AppendError>> {
        if let Some(committer) = &self.committer {
            return Box::pin(committer.purge(channel.clone()));
        }
        let mut state = self.state_of(channel).lock();
        let purged = state.purgeable(channel).map(|until| match until {
            Some(until) => state.purge(channel, until),
            None => Purged::default(),
        });
        drop(state);
        Box::pin(ready(purged))
    }

    fn attach(&self, selectors: Arc<[Selector]>) -> BoxFuture<'_, Result<Places, ReadError>> {
        // everything is delivered, whoever wants it
        let used = self.partitioning.in_use(&selectors);
        Box::pin(ready(Ok(self.heads().within(used))))
    }

    fn detach(&self, _: &[Selector]) {}

    fn resume(&self, cursor: &Cursor, joined: &Places, _: Origin) -> Start {
        let epochs = Epochs {
            heads: &self.heads(),
            ended: &self.ended,
            ahead: Ahead::Forgotten,
        };
        resume::resume(cursor, joined, &epochs)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(ready(self.page(&read)))
    }

    fn finished(&self, selectors: &[Selector], after: &Places) -> bool {
        selectors.iter().all(|selector| match selector {
            Selector::Pattern(_) => false,
            Selector::Channel(name) => {
                let after = after.id(self.partitioning.of(name));
                self.state_of(name).lock().finished(name, after)
            }
        })
    }

    fn heads(&self) -> Places {
        let states = self.states.iter().map(|state| state.lock());
        states.map(|state| state.place(state.delivered)).collect()
    }

    fn channels(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ChannelInfo>, ReadError>> {
        let now = (self.options.clock)();
        let states = self.states.iter().map(|state| state.lock());
        let mut found: Vec<ChannelInfo> = states
            .flat_map(|state| state.list(after, limit, now))
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.truncate(limit);
        Box::pin(ready(Ok(found)))
    }

    fn channel(&self, name: &ChannelName) -> BoxFuture<'_, Result<Option<ChannelInfo>, ReadError>> {
        let info = self
            .state_of(name)
            .lock()
            .info(name, (self.options.clock)());
        Box::pin(ready(Ok(info)))
    }

    fn totals(&self) -> LogTotals {
        let states = self.states.iter().map(|state| state.lock().totals());
        states.fold(LogTotals::default(), LogTotals::and)
    }

    fn limits_changed(&self) {
        for state in &self.states {
            state.lock().limits_changed();
        }
    }

    fn lag(&self) -> Duration {
        Duration::ZERO
    }

    fn sweep(&self) -> BoxFuture<'_, ()> {
        for state in &self.states {
            state.lock().sweep((self.options.clock)());
        }
        Box::pin(ready(()))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        match &self.committer {
            Some(committer) => Box::pin(committer.close()),
            None => {
                self.states.iter().for_each(|state| state.lock().close());
                Box::pin(ready(Ok(())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Event,
        journal::{Fsync, Repair},
    };

    struct Broken;

    impl Tail for Broken {
        fn epoch(&self, _: Place) {}
        fn deliver(&self, _: Epoch, _: &[Arc<Entry>]) {
            panic!("as a fault of ours would");
        }
        fn advance(&self, _: Place) {}
        fn lost(&self, _: Loss) {}
        fn purged(&self, _: Purge) {}
        fn condition(&self, _: Condition) {}
    }

    #[tokio::test]
    async fn it_is_noticed_when_the_thread_that_writes_the_file_ends() {
        let folder = tempfile::TempDir::new().unwrap();
        let options = MemoryOptions {
            retention: Arc::new(|_| Retention {
                events: 1,
                age: Duration::from_secs(1),
                bytes: 1000,
            }),
            max_bytes: 1000,
            max_channels: 1,
            idempotency_window: Duration::from_secs(1),
            max_idempotency_keys: 1,
            clock: Arc::new(|| 1),
        };
        let file = Options {
            dir: folder.path().join("data"),
            fsync: Fsync::Never,
            compact_at: 1 << 20,
            repair: Repair::Refuse,
        };
        let epoch = Epoch::from_random(1);
        let (log, _) = MemoryLog::open(options, file, epoch, Arc::new(Broken)).unwrap();
        let ended = log.writer_ended().unwrap();
        let appended = log.append(Publication {
            channel: ChannelName::parse("c").unwrap(),
            events: vec![Event::text("x")],
            idempotency: None,
            fence: None,
        });
        assert!(matches!(
            appended.await,
            Err(AppendError::OutcomeUnknown(_))
        ));
        assert!(ended.await.is_err());
    }
}
