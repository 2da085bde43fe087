//! The embedded log: channels in this process's memory, kept in a file if a directory is given.
//!
//! One lock guards the order: ids are assigned, entries stored and handed to the tail under it. With
//! a journal, one thread (`committer`) writes before anything becomes visible.

mod committer;
mod dedup;
mod history;
mod state;

use super::*;
use crate::journal::{Journal, JournalError, Options, Tail as FileTail};
use committer::Committer;
use futures_util::future::ready;
use parking_lot::Mutex;
use state::State;
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
    /// All channels together; past it the oldest events give way.
    pub max_bytes: usize,
    /// Past so many channels new ones are refused; existing ones go on.
    pub max_channels: usize,
    /// How long an `Idempotency-Key` is remembered, and how many keys.
    pub idempotency_window: Duration,
    pub max_idempotency_keys: usize,
    pub clock: Clock,
}

/// The embedded [`EventLog`].
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
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
        let state = State::new(epoch, options.clone(), tail);
        MemoryLog {
            state: Arc::new(Mutex::new(state)),
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
        let mut state = State::new(epoch, options.clone(), tail);
        let (journal, recovered) = Journal::open(file, epoch, |record| state.restore(record, now))?;
        state.restored(&recovered, now);
        let totals = state.totals();
        let opened = Opened {
            events: totals.events,
            channels: totals.channels,
            tail: recovered.tail,
        };
        let state = Arc::new(Mutex::new(state));
        let committer = Committer::start(journal, fsync, state.clone(), options.clock.clone());
        Ok((
            MemoryLog {
                state,
                committer: Some(committer),
                options,
            },
            opened,
        ))
    }
}

impl MemoryLog {
    /// Ready when the thread that writes the file has ended, after which nothing can be appended any
    /// more. `None` for a log without a file, and the second time.
    pub fn writer_ended(&self) -> Option<oneshot::Receiver<Infallible>> {
        self.committer.as_ref()?.ended()
    }
}

impl EventLog for MemoryLog {
    fn append(&self, publication: Publication) -> BoxFuture<'_, Result<Appended, AppendError>> {
        match &self.committer {
            Some(committer) => Box::pin(committer.append(publication)),
            None => {
                let mut state = self.state.lock();
                let now = (self.options.clock)();
                let appended = state.prepare(&publication, now).map(|prepared| {
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

    fn attach(&self, _: &[Selector]) -> BoxFuture<'_, Result<EventId, ReadError>> {
        Box::pin(ready(Ok(self.head())))
    }

    fn resume(&self, cursor: &Cursor, joined: EventId) -> Start {
        let state = self.state.lock();
        resume::resume(cursor, joined, state.epoch, &state.ended)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        let page = self.state.lock().read(&read);
        Box::pin(ready(Ok(page)))
    }

    fn finished(&self, selectors: &[Selector], after: EventId) -> bool {
        self.state.lock().finished(selectors, after)
    }

    fn place(&self, id: EventId) -> Place {
        self.state.lock().place(id)
    }

    fn head(&self) -> EventId {
        self.state.lock().delivered
    }

    fn channels(&self, after: Option<&str>, limit: usize) -> Vec<ChannelInfo> {
        self.state.lock().list(after, limit, (self.options.clock)())
    }

    fn channel(&self, name: &ChannelName) -> Option<ChannelInfo> {
        self.state.lock().info(name, (self.options.clock)())
    }

    fn totals(&self) -> LogTotals {
        self.state.lock().totals()
    }

    fn sweep(&self) {
        self.state.lock().sweep((self.options.clock)());
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        match &self.committer {
            Some(committer) => Box::pin(committer.close()),
            None => {
                self.state.lock().close();
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
        fn deliver(&self, _: Epoch, _: &[Arc<Entry>]) {
            panic!("as a fault of ours would");
        }
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
        });
        assert!(matches!(
            appended.await,
            Err(AppendError::OutcomeUnknown(_))
        ));
        assert!(ended.await.is_err());
    }
}
