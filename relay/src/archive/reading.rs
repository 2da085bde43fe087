//! Reading the archive, over a few connections that readers share.

use super::{
    Archive,
    coverage::{Beginning, Coverage, Missing},
    error::ArchiveError,
    filling, migrating,
    stats::ReadOutcome,
    store::{self, Selection},
};
use crate::{
    channel::Selector,
    cursor::{EventId, Partition, Place, Places},
    event_log::{Completeness, Earlier, Entry, Page, Standings, gap::Gap},
    postgres::{Postgres, Session},
};
use deadpool::{
    Runtime,
    managed::{self, Metrics, PoolError, RecycleError, RecycleResult, TimeoutType},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long the first try to connect is waited for, once in the life of a process.
const FIRST_TRY: Duration = Duration::from_secs(5);
/// How long a reader waits for its turn.
const TURN: Duration = Duration::from_secs(2);
/// How long what is on its way from the log to the archive is waited for.
const CATCH_UP: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(25);

pub type Pool = managed::Pool<Lines>;

/// Makes the connections of readers.
#[derive(Debug)]
pub struct Lines {
    postgres: Postgres,
    schema: String,
}

impl managed::Manager for Lines {
    type Type = Session;
    type Error = ArchiveError;

    async fn create(&self) -> Result<Session, ArchiveError> {
        let session = self.postgres.connect().await?;
        migrating::find(&session, &self.schema).await?;
        Ok(session)
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<ArchiveError> {
        match session.is_over() {
            true => Err(RecycleError::message("the connection has ended")),
            false => Ok(()),
        }
    }
}

pub fn pool(settings: &relay_config::Archive, postgres: &Postgres) -> Pool {
    let lines = Lines {
        postgres: postgres.clone(),
        schema: settings.schema.clone(),
    };
    Pool::builder(lines)
        .max_size(settings.readers)
        .wait_timeout(Some(TURN))
        .runtime(Runtime::Tokio1)
        .build()
        .expect("it has a runtime for its timeout")
}

/// What is asked of one partition.
pub struct Ask<'a> {
    /// Whose events are read.
    pub selectors: &'a [Selector],
    /// Of which of them something is missing.
    pub lacking: &'a [Selector],
    pub beginning: Beginning,
    pub partition: Partition,
    pub after: EventId,
    pub until: EventId,
    pub max_events: usize,
    pub max_bytes: usize,
}

/// What the archive has of it.
#[derive(Clone, Debug)]
pub struct Found {
    pub entries: Vec<Arc<Entry>>,
    /// Up to where these are all.
    pub through: EventId,
    /// What is not here, of the whole that was asked for.
    pub missing: Option<Missing>,
}

impl Archive {
    /// Events that the log no longer has.
    ///
    /// # Errors
    /// At once, while PostgreSQL is known to be away.
    pub async fn read(&self, ask: &Ask<'_>) -> Result<Found, ArchiveError> {
        let found = self.find(ask).await;
        let outcome = match &found {
            Ok(found) if found.missing.is_none() => ReadOutcome::Filled,
            Ok(_) => ReadOutcome::Partial,
            Err(ArchiveError::Busy) => ReadOutcome::Busy,
            Err(_) => ReadOutcome::Failed,
        };
        self.stats().reads.of(outcome).add(1);
        found
    }

    async fn find(&self, ask: &Ask<'_>) -> Result<Found, ArchiveError> {
        let line = self.line().await?;
        let partitions = self.partitioning.count();
        let began = Instant::now();
        let mut coverage = store::coverage(&line, ask.partition, partitions).await?;
        while coverage.through() < ask.until && began.elapsed() < CATCH_UP {
            tokio::time::sleep(LOOK).await;
            coverage = store::coverage(&line, ask.partition, partitions).await?;
        }
        let selection = Selection {
            selectors: ask.selectors,
            partition: ask.partition,
            after: ask.after,
            until: ask.until,
            max_events: ask.max_events,
            max_bytes: ask.max_bytes,
        };
        let rows = store::events(&line, &selection).await?;
        // tables that were dropped while they were read; what was written meanwhile does no harm
        coverage.dropped = store::dropped(&line).await?;
        let ours = rows
            .events
            .into_iter()
            .filter(|row| coverage.belongs(row.epoch, row.entry.id));
        Ok(Found {
            entries: ours.map(|row| Arc::new(row.entry)).collect(),
            through: rows.through,
            missing: coverage.missing(ask.lacking, ask.after, ask.until, ask.beginning),
        })
    }

    /// The last events before a place.
    ///
    /// # Errors
    /// As [`Archive::read`].
    pub async fn earlier(&self, earlier: &Earlier) -> Result<Page, ArchiveError> {
        let found = self.find_earlier(earlier).await;
        let outcome = match &found {
            Ok(page) if page.gap.is_none() => ReadOutcome::Filled,
            Ok(_) => ReadOutcome::Partial,
            Err(ArchiveError::Busy) => ReadOutcome::Busy,
            Err(_) => ReadOutcome::Failed,
        };
        self.stats().reads.of(outcome).add(1);
        found
    }

    async fn find_earlier(&self, earlier: &Earlier) -> Result<Page, ArchiveError> {
        let line = self.line().await?;
        let partition = earlier.before.partition;
        let coverage = store::coverage(&line, partition, self.partitioning.count()).await?;
        let mut entries = Vec::new();
        let mut until = filling::before(earlier.before.id);
        // more than once only where what is found belongs to nobody any more
        let completeness = loop {
            let selection = Selection {
                selectors: &earlier.selectors,
                partition,
                after: EventId::ZERO,
                until,
                max_events: earlier.max_events,
                max_bytes: earlier.max_bytes,
            };
            let rows = store::last_events(&line, &selection).await?;
            let ours = rows.events.into_iter().map(|row| (row.epoch, row.entry));
            let ours = ours.filter(|(epoch, entry)| coverage.belongs(*epoch, entry.id));
            entries.extend(ours.map(|(_, entry)| Arc::new(entry)));
            until = filling::before(rows.through);
            match (rows.through == EventId::ZERO, entries.is_empty()) {
                (true, _) => break Completeness::Complete,
                (false, false) => break Completeness::More,
                (false, true) => {}
            }
        };
        let coverage = Coverage {
            dropped: store::dropped(&line).await?,
            ..coverage
        };
        Ok(page(earlier, entries, completeness, &coverage))
    }

    /// A connection of the readers', as soon as it is this one's turn.
    pub(super) async fn line(&self) -> Result<managed::Object<Lines>, ArchiveError> {
        // clients come back at once to a replica that has just begun
        let mut tried = self.tried.subscribe();
        let _ = timeout(FIRST_TRY, tried.wait_for(|tried| *tried)).await;
        if !self.is_ready.load(Ordering::Acquire) || self.stats().connected.get() == 0 {
            return Err(ArchiveError::NotReady);
        }
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => ArchiveError::Busy,
            _ => ArchiveError::NotReady,
        })
    }
}

/// What was found before a place, latest first, in order, with what is missing among it.
fn page(
    earlier: &Earlier,
    mut entries: Vec<Arc<Entry>>,
    completeness: Completeness,
    coverage: &Coverage,
) -> Page {
    entries.reverse();
    let at = |id| {
        Places::one(Place {
            id,
            ..earlier.before
        })
    };
    let first = entries
        .first()
        .filter(|_| completeness == Completeness::More);
    let after = first.map_or(EventId::ZERO, |entry| entry.id);
    let until = filling::before(earlier.before.id);
    let missing = coverage.missing(&earlier.selectors, after, until, Beginning::First);
    Page {
        gap: missing.map(|missing| Gap {
            certainty: missing.certainty,
            reason: missing.reason,
            after: at(after),
            until: at(missing.until),
            channels: Vec::new(),
        }),
        entries,
        next: Standings::new(),
        completeness,
    }
}
