//! The thread that writes the journal before anything becomes visible.
//!
//! It takes all publishes that wait, writes each with one call, syncs once for all of them if the
//! policy asks for it, and only then hands them to the tail and answers (group commit). A sync that no
//! answer waits for runs beside it.

use super::{
    AppendError, Appended, Clock, Publication, Purged,
    state::{Entries, State},
};
use crate::{
    channel::ChannelName,
    event_log::Entry,
    journal::{DoneSync, Finished, Fsync, Idempotency, Journal, JournalError, Record},
};
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use std::{
    convert::Infallible,
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
/// What was purged is taken out of the file by rewriting it, so often at most.
const REWRITE_EVERY: Duration = Duration::from_secs(60);

const WRITER_STOPPED: &str = "the journal's writer stopped";
const CLOSED: &str = "the journal is closed";

/// How often the writer looks at a sync that runs beside it, at most.
const SHORTEST: Duration = Duration::from_millis(1);

type Answer = Result<Appended, AppendError>;

enum Job {
    Append(Box<Publication>, oneshot::Sender<Answer>),
    Purge(ChannelName, oneshot::Sender<Result<Purged, AppendError>>),
    Close(oneshot::Sender<Result<(), AppendError>>),
}

pub struct Committer {
    jobs: SyncSender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
    ended: Mutex<Option<oneshot::Receiver<Infallible>>>,
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
            purges: Purges::default(),
            syncing: None,
            synced: Instant::now(),
            unsynced: false,
        };
        let (life, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                let _life: oneshot::Sender<Infallible> = life;
                writer.run(&waiting);
            })
            .expect("a process that starts can have one more thread");
        Committer {
            jobs,
            thread: Mutex::new(Some(thread)),
            ended: Mutex::new(Some(ended)),
        }
    }

    /// Ready when the writer's thread has ended: after a close, or by a panic. Given once.
    pub fn ended(&self) -> Option<oneshot::Receiver<Infallible>> {
        self.ended.lock().take()
    }

    pub fn append(&self, publication: Publication) -> BoxFuture<'static, Answer> {
        let (answer, answered) = oneshot::channel();
        let sent = self
            .jobs
            .try_send(Job::Append(Box::new(publication), answer));
        Box::pin(async move {
            match sent {
                Ok(()) => answered
                    .await
                    .unwrap_or_else(|_| Err(AppendError::OutcomeUnknown(WRITER_STOPPED.into()))),
                Err(error) => Err(not_taken(&error)),
            }
        })
    }

    pub fn purge(&self, channel: ChannelName) -> BoxFuture<'static, Result<Purged, AppendError>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.jobs.try_send(Job::Purge(channel, answer));
        Box::pin(async move {
            match sent {
                Ok(()) => answered
                    .await
                    .unwrap_or_else(|_| Err(AppendError::OutcomeUnknown(WRITER_STOPPED.into()))),
                Err(error) => Err(not_taken(&error)),
            }
        })
    }

    /// Only the first call closes; what was published before it is written first.
    pub fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        let Some(thread) = self.thread.lock().take() else {
            return Box::pin(ready(Ok(()))); // closed before
        };
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.clone();
        Box::pin(async move {
            // on a thread of its own, since the queue may be full
            let joined = tokio::task::spawn_blocking(move || {
                let _ = jobs.send(Job::Close(answer)); // a writer that is gone answers by that
                drop(jobs);
                thread.join()
            });
            let result = answered.await;
            let _ = joined.await;
            result.unwrap_or_else(|_| Err(AppendError::Unavailable(WRITER_STOPPED.into())))
        })
    }
}

/// Purges, of which the file still has what was purged until it is rewritten.
#[derive(Default)]
struct Purges {
    made: u64,
    /// So many of them the compaction leaves out that runs.
    rewriting: u64,
    rewritten: u64,
    /// When the file was last rewritten for their sake.
    at: Option<Instant>,
}

impl Purges {
    fn want_rewriting(&self) -> bool {
        self.made > self.rewritten && self.at.is_none_or(|at| at.elapsed() >= REWRITE_EVERY)
    }
}

struct Writer {
    journal: Journal,
    fsync: Fsync,
    state: Arc<Mutex<State>>,
    clock: Clock,
    compaction: Option<JoinHandle<Result<Finished, JournalError>>>,
    purges: Purges,
    /// A sync beside the appends.
    syncing: Option<JoinHandle<DoneSync>>,
    /// When the last sync began.
    synced: Instant,
    /// Whether something was written since then.
    unsynced: bool,
}

/// A stored publish whose answer waits for the sync.
struct Pending {
    entries: Entries,
    answer: oneshot::Sender<Answer>,
    appended: Appended,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Job>) {
        loop {
            match waiting.recv_timeout(self.patience()) {
                Ok(job) => {
                    if let Some(closed) = self.group(job, waiting) {
                        let _ = closed.send(self.close());
                        return refuse(waiting);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.finish_sync(Wait::No);
            self.sync_if_due();
            self.compact_if_worthwhile();
        }
    }

    fn close(mut self) -> Result<(), AppendError> {
        self.finish_sync(Wait::Yes);
        self.finish_compaction(Wait::Yes);
        self.journal.close().map_err(|error| unavailable(&error))
    }

    /// Until a sync is due or one that runs is looked after.
    fn patience(&self) -> Duration {
        match self.fsync {
            Fsync::Interval(every) if self.syncing.is_some() => every.clamp(SHORTEST, IDLE),
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
                Job::Append(mut publication, answer) => {
                    pending.extend(self.write(&mut publication, answer))
                }
                Job::Purge(channel, answer) => {
                    // what was published before it is seen before it
                    self.settle(std::mem::take(&mut pending));
                    let _ = answer.send(self.purge(&channel));
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
        publication: &mut Publication,
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
            failed(&error, "a publish was not written");
            let _ = answer.send(Err(unavailable(&error)));
            return None;
        }
        self.unsynced |= !prepared.entries.is_empty();
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

    fn purge(&mut self, channel: &ChannelName) -> Result<Purged, AppendError> {
        let Some(until) = self.state.lock().purgeable(channel)? else {
            return Ok(Purged::default());
        };
        let record = Record::Purged {
            channel: channel.clone(),
            until,
        };
        self.journal.append(&[record]).map_err(|error| {
            failed(&error, "a purge was not written");
            unavailable(&error)
        })?;
        self.unsynced = true;
        self.purges.made += 1;
        let purged = self.state.lock().purge(channel, until);
        if matches!(self.fsync, Fsync::Always) {
            let synced = self.journal.sync();
            self.unsynced = synced.is_err();
            synced.map_err(|error| AppendError::OutcomeUnknown(error.to_string()))?;
        }
        Ok(purged)
    }

    fn settle(&mut self, pending: Vec<Pending>) {
        if pending.is_empty() {
            return;
        }
        let synced = match self.unsynced {
            true => self.journal.sync(),
            false => Ok(()), // nothing but repeats
        };
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
            && self.syncing.is_none()
        {
            self.begin_sync();
        }
    }

    fn begin_sync(&mut self) {
        let begun = self.journal.begin_sync().map_err(|error| error.to_string());
        let thread = std::thread::Builder::new().name("journal-sync".into());
        match begun.and_then(|sync| thread.spawn(move || sync.run()).map_err(|e| e.to_string())) {
            Ok(thread) => {
                self.syncing = Some(thread);
                self.unsynced = false;
            }
            Err(error) => failed(&error, "the journal was not synced"),
        }
        self.synced = Instant::now();
    }

    fn finish_sync(&mut self, wait: Wait) {
        let Some(thread) = finished(&mut self.syncing, wait) else {
            return;
        };
        let finished = match thread.join() {
            Ok(done) => self.journal.finish_sync(done),
            Err(_) => return failed("its thread panicked", "the journal was not synced"),
        };
        if let Err(error) = finished {
            failed(&error, "the journal was not synced");
        }
    }

    fn compact_if_worthwhile(&mut self) {
        self.finish_compaction(Wait::No);
        let live = self.state.lock().totals().bytes as u64;
        let wanted = self.journal.wants_compaction(live) || self.purges.want_rewriting();
        if self.compaction.is_some() || !wanted {
            return;
        }
        if let Err(error) = self.begin_compaction() {
            self.journal.abandon_compaction();
            failed(&error, "the journal was not compacted");
        }
    }

    fn begin_compaction(&mut self) -> Result<(), String> {
        let compaction = self
            .journal
            .begin_compaction()
            .map_err(|error| error.to_string())?;
        self.purges.rewriting = self.purges.made;
        self.purges.at = Some(Instant::now());
        // nothing was appended in between: only this thread appends, and it stores what it wrote
        let snapshot = self.state.lock().snapshot();
        let thread = std::thread::Builder::new()
            .name("compaction".into())
            .spawn(move || compaction.write(snapshot.into_records()))
            .map_err(|error| error.to_string())?;
        self.compaction = Some(thread);
        Ok(())
    }

    fn finish_compaction(&mut self, wait: Wait) {
        let Some(thread) = finished(&mut self.compaction, wait) else {
            return;
        };
        let written = match thread.join() {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("its thread panicked".to_owned()),
        };
        match written {
            Ok(written) => {
                self.purges.rewritten = self.purges.rewriting;
                tracing::info!(
                    event = "journal.compacted",
                    "the journal was rewritten without what is trimmed"
                );
                if let Err(error) = self.journal.finish_compaction(written) {
                    failed(&error, "a file that was compacted was not removed");
                }
            }
            Err(error) => {
                self.journal.abandon_compaction();
                failed(&error, "the journal was not compacted");
            }
        }
    }
}

/// What came after the close: surely not written.
fn refuse(waiting: &Receiver<Job>) {
    let closed = || AppendError::Unavailable(CLOSED.into());
    for job in waiting.try_iter() {
        match job {
            Job::Append(_, answer) => {
                let _ = answer.send(Err(closed()));
            }
            Job::Purge(_, answer) => {
                let _ = answer.send(Err(closed()));
            }
            Job::Close(_) => {} // it is answered by being dropped
        }
    }
}

fn not_taken(error: &TrySendError<Job>) -> AppendError {
    AppendError::Unavailable(match error {
        TrySendError::Full(_) => "too many publishes wait for the disk".into(),
        TrySendError::Disconnected(_) => CLOSED.into(),
    })
}

/// Takes a thread if it is done, or if that is waited for.
fn finished<T>(thread: &mut Option<JoinHandle<T>>, wait: Wait) -> Option<JoinHandle<T>> {
    thread.take_if(|thread| wait == Wait::Yes || thread.is_finished())
}

fn failed(error: &(impl std::fmt::Display + ?Sized), what: &str) {
    tracing::error!(event = "journal.failed", %error, "{what}");
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
