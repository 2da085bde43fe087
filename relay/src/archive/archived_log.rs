//! A log with its archive behind it: the same contract, with a longer memory.

use super::{
    Archive,
    error::ArchiveError,
    filling::{self, Lack},
    keeping,
    reading::Ask,
};
use crate::{
    channel::{ChannelName, Selector},
    cursor::{Cursor, Places},
    event_log::{
        AppendError, Completeness, Earlier, EventLog, Origin, Page, Purged, Read, ReadError,
        gap::MAX_CHANNELS, layer::Layer, resume::Start,
    },
    frame::GapReason,
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// How long the end of the process waits for what is not archived yet.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Parts of a read without an event in them, until a page may be empty.
const EMPTY_PARTS: usize = 64;

/// An [`EventLog`] whose reads reach past its end.
pub struct ArchivedLog {
    log: Arc<dyn EventLog>,
    archive: Arc<Archive>,
    /// Who works for it, in the order in which they began.
    tasks: Mutex<Vec<Worker>>,
    /// Held by the tasks; gone when one of them is.
    alive: Mutex<Option<oneshot::Receiver<Infallible>>>,
}

/// A task that is told to stop, and ends when it is done.
struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    async fn finish(mut self, within: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!(
                event = "archive.unfinished",
                "the process ends before all was archived; a log that is kept has it for the next one"
            );
        }
    }
}

impl Drop for ArchivedLog {
    fn drop(&mut self) {
        for worker in self.tasks.get_mut() {
            worker.task.abort();
        }
    }
}

impl ArchivedLog {
    /// Begins to write the archive.
    pub fn new(archive: Arc<Archive>, log: Arc<dyn EventLog>) -> ArchivedLog {
        let (held, alive) = oneshot::channel::<Infallible>();
        let archived = ArchivedLog {
            log: log.clone(),
            archive,
            tasks: Mutex::default(),
            alive: Mutex::new(Some(alive)),
        };
        archived.also(|archive, stop| async move {
            keeping::keep(archive, log, stop).await;
            drop(held);
        });
        archived
    }

    /// Begins something that works with the archive until it is told to stop.
    pub fn also<F: Future<Output = ()> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Archive>, watch::Receiver<bool>) -> F,
    ) {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(work(self.archive.clone(), stopped));
        self.tasks.lock().push(Worker { stop, task });
    }

    /// Ready when nobody keeps the archive any more. `None` the second time.
    pub fn keeper_ended(&self) -> Option<oneshot::Receiver<Infallible>> {
        self.alive.lock().take()
    }

    async fn page(&self, read: Read) -> Result<Page, ReadError> {
        if !self.archive.concerns(&read.selectors) {
            return self.log.read(read).await;
        }
        let mut read = read;
        for _ in 0..EMPTY_PARTS {
            let page = self.part(&read).await?;
            let stands = page.next.iter().zip(&read.from);
            let moved = stands
                .into_iter()
                .any(|(next, from)| next.after != from.after);
            let more = page.completeness == Completeness::More;
            if !page.entries.is_empty() || page.gap.is_some() || !more || !moved {
                return Ok(page);
            }
            read.from = page.next;
        }
        self.part(&read).await
    }

    async fn part(&self, read: &Read) -> Result<Page, ReadError> {
        let page = self.log.read(filling::asked(read)).await?;
        let lacks = filling::lacks(read, &page);
        let purged = page
            .gap
            .as_ref()
            .is_some_and(|gap| gap.reason == GapReason::Purged);
        if lacks.is_empty() || purged {
            return Ok(filling::unfilled(read, page));
        }
        let mut found = BTreeMap::new();
        for lack in lacks {
            match self.find(read, &page, lack).await {
                Ok(part) => {
                    found.insert(lack.partition, part);
                }
                Err(ArchiveError::Busy) => {
                    return Err(ReadError::Unavailable(ArchiveError::Busy.to_string()));
                }
                Err(error) => {
                    tracing::debug!(event = "archive.unread", %error, "a gap is told instead");
                    return Ok(filling::unanswered(read, page));
                }
            }
        }
        Ok(filling::filled(read, page, &found))
    }

    async fn find(
        &self,
        read: &Read,
        page: &Page,
        lack: Lack,
    ) -> Result<super::Found, ArchiveError> {
        let named = page.gap.as_ref().map_or(&[][..], |gap| &gap.channels);
        let all_named = (1..MAX_CHANNELS).contains(&named.len());
        let lacking: Vec<Selector> = match all_named {
            true => named.iter().cloned().map(Selector::Channel).collect(),
            false => read.selectors.to_vec(),
        };
        let ask = Ask {
            selectors: &read.selectors,
            lacking: &lacking,
            beginning: lack.beginning,
            partition: lack.partition,
            after: lack.after,
            until: lack.until,
            max_events: read.max_events,
            max_bytes: read.max_bytes,
        };
        self.archive.read(&ask).await
    }

    async fn past(&self, earlier: &Earlier) -> Result<Page, ReadError> {
        match self.archive.earlier(earlier).await {
            Ok(page) => Ok(page),
            Err(ArchiveError::Busy) => Err(ReadError::Unavailable(ArchiveError::Busy.to_string())),
            Err(error) => {
                tracing::debug!(event = "archive.unread", %error, "a gap is told instead");
                Ok(filling::unknown_past(earlier))
            }
        }
    }

    async fn purge_both(&self, channel: &ChannelName) -> Result<Purged, AppendError> {
        let purged = self.log.purge(channel).await?;
        // whether it is one that is archived now says nothing of what was archived once
        let partition = self.log.partitioning().of(channel);
        let until = match purged.until {
            Some(until) => until.id,
            None => self.log.heads().id(partition),
        };
        let deleted = self.archive.purge(channel, until).await.map_err(|error| {
            let why = format!("the log's events are gone, those of the archive are not: {error}");
            AppendError::Unavailable(why)
        })?;
        Ok(Purged {
            events: purged.events.max(deleted),
            ..purged
        })
    }

    async fn finish(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        // who keeps the connection goes last
        while let Some(worker) = tasks.pop() {
            worker.finish(LAST_WORDS).await;
        }
    }
}

impl Layer for ArchivedLog {
    fn below(&self) -> &dyn EventLog {
        &*self.log
    }

    fn purge(&self, channel: &ChannelName) -> BoxFuture<'_, Result<Purged, AppendError>> {
        let channel = channel.clone();
        Box::pin(async move { self.purge_both(&channel).await })
    }

    fn resume(&self, cursor: &Cursor, joined: &Places, origin: Origin) -> Start {
        let start = self.log.resume(cursor, joined, origin);
        self.archive.resumed(cursor, joined, start)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(self.page(read))
    }

    fn earlier(&self, earlier: Earlier) -> BoxFuture<'_, Result<Page, ReadError>> {
        match self.archive.concerns(&earlier.selectors) {
            true => Box::pin(async move { self.past(&earlier).await }),
            false => self.log.earlier(earlier),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            // nothing is appended any more, and everything can still be read
            let closed = self.log.close().await;
            self.finish().await;
            closed
        })
    }
}
