//! Reading the archive, over a few connections that readers share.

use super::{
    Archive,
    coverage::Missing,
    error::ArchiveError,
    migrating,
    stats::ReadOutcome,
    store::{self, Selection},
};
use crate::{
    channel::Selector,
    cursor::{EventId, Partition},
    event_log::Entry,
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
            missing: coverage.missing(ask.lacking, ask.after, ask.until),
        })
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
