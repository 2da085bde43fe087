//! The thread that writes the journal before anything becomes visible.
//!
//! It takes all publishes that wait, writes each with one call, syncs once for all of them if the
//! policy asks for it, and only then hands them to the tail and answers (group commit).

use super::{AppendError, Appended, Clock, Publication, state::State};
use crate::{
    event_log::Entry,
    journal::{Compaction, Finished, Fsync, Idempotency, Journal, JournalError, Record},
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Publishes that wait for the writer at most; past it they are refused as unavailable.
const MAX_WAITING: usize = 65_536;
/// Publishes of one group at most.
const MAX_GROUP: usize = 1024;
/// How often the writer looks at the file's size when nothing is published.
const IDLE: Duration = Duration::from_secs(1);

type Answer = Result<Appended, AppendError>;

enum Job {
    Append(Box<Publication>, oneshot::Sender<Answer>),
    Close(oneshot::Sender<Result<(), AppendError>>),
}

pub struct Committer {
    jobs: SyncSender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    pub fn start(
        journal: Journal,
        fsync: Fsync,
        state: Arc<Mutex<State>>,
        clock: Clock,
    ) -> Committer {
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let writer = Writer {
            journal,
            fsync,
            state,
            clock,
            compaction: None,
            synced: Instant::now(),
            unsynced: false,
        };
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&waiting))
            .expect("a process that starts can have one more thread");
        Committer {
            jobs,
            thread: Mutex::new(Some(thread)),
        }
    }

    pub fn append(&self, publication: Publication) -> BoxFuture<'static, Answer> {
        let (answer, answered) = oneshot::channel();
        let sent = self
            .jobs
            .try_send(Job::Append(Box::new(publication), answer));
        Box::pin(async move {
            match sent {
                Ok(()) => answered.await.unwrap_or_else(|_| {
                    Err(AppendError::OutcomeUnknown(
                        "the journal's writer stopped".into(),
                    ))
                }),
                Err(TrySendError::Full(_)) => Err(AppendError::Unavailable(
                    "too many publishes wait for the disk".into(),
                )),
                Err(TrySendError::Disconnected(_)) => {
                    Err(AppendError::Unavailable("the journal is closed".into()))
                }
            }
        })
    }

    pub fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.jobs.try_send(Job::Close(answer));
        Box::pin(async move {
            if sent.is_err() {
                return Ok(()); // closed before
            }
            let result = answered.await.unwrap_or(Ok(()));
            let thread = self.thread.lock().take();
            if let Some(thread) = thread {
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
            result
        })
    }
}

struct Writer {
    journal: Journal,
    fsync: Fsync,
    state: Arc<Mutex<State>>,
    clock: Clock,
    compaction: Option<JoinHandle<Result<Finished, JournalError>>>,
    synced: Instant,
    /// Whether something was written since the last sync.
    unsynced: bool,
}

/// A stored publish whose answer waits for the sync.
struct Pending {
    entries: Vec<Arc<Entry>>,
    answer: oneshot::Sender<Answer>,
    appended: Appended,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Job>) {
        loop {
            match waiting.recv_timeout(self.until_sync()) {
                Ok(job) => {
                    if let Some(closed) = self.group(job, waiting) {
                        self.finish_compaction(Wait::Yes);
                        let result = self.journal.close().map_err(|error| unavailable(&error));
                        let _ = closed.send(result);
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.sync_if_due();
            self.compact_if_worthwhile();
        }
    }

    fn until_sync(&self) -> Duration {
        match self.fsync {
            Fsync::Interval(every) if self.unsynced => {
                every.saturating_sub(self.synced.elapsed()).min(IDLE)
            }
            _ => IDLE,
        }
    }

    /// Commits the first job and those that wait with it; the answer to a close, if one is among them.
    fn group(
        &mut self,
        first: Job,
        waiting: &Receiver<Job>,
    ) -> Option<oneshot::Sender<Result<(), AppendError>>> {
        let mut pending = Vec::new();
        let mut closed = None;
        for job in std::iter::once(first)
            .chain(waiting.try_iter())
            .take(MAX_GROUP)
        {
            match job {
                Job::Append(publication, answer) => {
                    pending.extend(self.write(&publication, answer))
                }
                Job::Close(answer) => {
                    closed = Some(answer);
                    break;
                }
            }
        }
        self.settle(pending);
        closed
    }

    fn write(
        &mut self,
        publication: &Publication,
        answer: oneshot::Sender<Answer>,
    ) -> Option<Pending> {
        let now = (self.clock)();
        let prepared = match self.state.lock().prepare(publication, now) {
            Ok(prepared) => prepared,
            Err(error) => {
                let _ = answer.send(Err(error));
                return None;
            }
        };
        if let Err(error) = self
            .journal
            .append(&records(&prepared.entries, publication))
        {
            tracing::error!(event = "journal.failed", %error, "a publish was not written");
            let _ = answer.send(Err(unavailable(&error)));
            return None;
        }
        self.unsynced = true;
        let entries = prepared.entries.clone();
        let mut state = self.state.lock();
        let appended = state.store(prepared, publication, now);
        if matches!(self.fsync, Fsync::Always) {
            return Some(Pending {
                entries,
                answer,
                appended,
            });
        }
        state.deliver(&entries);
        drop(state);
        let _ = answer.send(Ok(appended));
        None
    }

    fn settle(&mut self, pending: Vec<Pending>) {
        if pending.is_empty() {
            return;
        }
        let synced = self.journal.sync();
        self.unsynced = synced.is_err();
        for Pending {
            entries,
            answer,
            appended,
        } in pending
        {
            self.state.lock().deliver(&entries);
            let _ = answer.send(match &synced {
                Ok(()) => Ok(appended),
                Err(error) => Err(AppendError::OutcomeUnknown(error.to_string())),
            });
        }
    }

    fn sync_if_due(&mut self) {
        if let Fsync::Interval(every) = self.fsync
            && self.unsynced
            && self.synced.elapsed() >= every
        {
            match self.journal.sync() {
                Ok(()) => self.unsynced = false,
                Err(error) => {
                    tracing::error!(event = "journal.failed", %error, "the journal was not synced")
                }
            }
            self.synced = Instant::now();
        }
    }

    fn compact_if_worthwhile(&mut self) {
        self.finish_compaction(Wait::No);
        let live = self.state.lock().totals().bytes as u64;
        if self.compaction.is_some() || !self.journal.wants_compaction(live) {
            return;
        }
        let compaction: Compaction = match self.journal.begin_compaction() {
            Ok(compaction) => compaction,
            Err(error) => {
                return tracing::error!(event = "journal.failed", %error, "the journal was not compacted");
            }
        };
        let snapshot = self.state.lock().snapshot();
        let thread = std::thread::Builder::new().name("compaction".into());
        match thread.spawn(move || compaction.write(snapshot.into_records())) {
            Ok(thread) => self.compaction = Some(thread),
            Err(error) => {
                tracing::error!(event = "journal.failed", %error, "the journal was not compacted")
            }
        }
    }

    fn finish_compaction(&mut self, wait: Wait) {
        let Some(thread) = self
            .compaction
            .take_if(|thread| wait == Wait::Yes || thread.is_finished())
        else {
            return;
        };
        let finished = match thread.join() {
            Ok(Ok(finished)) => self.journal.finish_compaction(finished),
            Ok(Err(error)) => {
                self.journal.abandon_compaction();
                Err(error)
            }
            Err(_) => {
                return tracing::error!(
                    event = "journal.failed",
                    "the compaction's thread panicked"
                );
            }
        };
        match finished {
            Ok(()) => tracing::info!(
                event = "journal.compacted",
                "the journal was rewritten without what is trimmed"
            ),
            Err(error) => {
                tracing::error!(event = "journal.failed", %error, "the journal was not compacted")
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

fn records(entries: &[Arc<Entry>], publication: &Publication) -> Vec<Record> {
    let count = entries.len() as u32;
    let record = |(index, entry): (usize, &Arc<Entry>)| Record::Event {
        channel: entry.channel.clone(),
        id: entry.id,
        predecessor: entry.predecessor,
        event: entry.event.clone(),
        idempotency: publication.idempotency.as_ref().map(|key| Idempotency {
            key: key.key.to_string(),
            fingerprint: key.fingerprint,
            count,
            index: index as u32,
        }),
    };
    entries.iter().enumerate().map(record).collect()
}

fn unavailable(error: &JournalError) -> AppendError {
    AppendError::Unavailable(error.to_string())
}
