//! The archive: a long-term copy of events in PostgreSQL (decision record 0043).
//!
//! One replica writes it from the log (`keeping`, `writer`). Any replica reads it: what the log no
//! longer has when a stream resumes or history is asked for comes from here ([`archived_log`]).
//! Nothing waits for it: without PostgreSQL events are delivered all the same, and what a reader
//! misses is told as the gap that it would be without an archive.

pub mod archived_log;
pub mod checkup;
pub mod coverage;
pub mod error;
pub mod filling;
pub mod keeping;
mod migrating;
mod reading;
pub mod registering;
mod row;
pub mod stats;
mod store;
mod tables;
mod writer;

pub use reading::{Ask, Found};

use crate::{
    channel::{ChannelName, Selector},
    cursor::{Cursor, Epoch, EventId, Partition, Place, Places, UnixMillis},
    event_log::{Gaps, Standing, resume::Start},
    partition::Partitioning,
    postgres::Postgres,
    stats::Stats,
};
use error::ArchiveError;
use parking_lot::Mutex;
use reading::Pool;
use relay_config::{ChannelPattern, Problem};
use stats::{ArchiveStats, Operation};
use std::{
    collections::HashSet,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
};
use tables::Range;
use tokio::sync::watch;

/// What is known of the archive in this process, and its connections.
pub struct Archive {
    settings: relay_config::Archive,
    postgres: Postgres,
    selectors: Arc<[Selector]>,
    patterns: Vec<ChannelPattern>,
    partitioning: Partitioning,
    stats: Arc<Stats>,
    /// This replica, as the others see it.
    holder: String,
    /// Before this process published anything.
    began: UnixMillis,
    past: Past,
    /// Epochs of the log that the archive has something of.
    epochs: Mutex<HashSet<(Partition, Epoch)>>,
    /// Whether the tables are there, in this version.
    is_ready: AtomicBool,
    /// Whether that was tried at all since the process began.
    tried: watch::Sender<bool>,
    tables: Mutex<Vec<Range>>,
    pool: Pool,
}

/// Whether a log knows what it had in an earlier process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Past {
    Kept,
    /// It is in memory.
    Forgotten,
}

/// What an archive is made for.
pub struct Surroundings {
    pub partitioning: Partitioning,
    pub stats: Arc<Stats>,
    pub replica: String,
    /// Before this process published anything.
    pub began: UnixMillis,
    pub past: Past,
}

impl Archive {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(
        settings: &relay_config::Archive,
        around: Surroundings,
    ) -> Result<Archive, Vec<Problem>> {
        let postgres = Postgres::new(&settings.postgres, "archive.postgres")?;
        let wrong = |index: usize, message: String| {
            vec![Problem {
                path: format!("archive.channels[{index}]"),
                message,
            }]
        };
        let mut selectors = Vec::new();
        let mut patterns = Vec::new();
        for (index, text) in settings.channels.iter().enumerate() {
            let selector = Selector::parse(text).map_err(|why| wrong(index, why.to_string()))?;
            selectors.push(selector);
            let pattern = ChannelPattern::parse(text);
            patterns.push(pattern.map_err(|why| wrong(index, why.to_string()))?);
        }
        Ok(Archive {
            pool: reading::pool(settings, &postgres),
            settings: settings.clone(),
            postgres,
            selectors: selectors.into(),
            patterns,
            partitioning: around.partitioning,
            stats: around.stats,
            holder: around.replica,
            began: around.began,
            past: around.past,
            epochs: Mutex::default(),
            is_ready: AtomicBool::new(false),
            tried: watch::Sender::new(false),
            tables: Mutex::default(),
        })
    }

    fn stats(&self) -> &ArchiveStats {
        &self.stats.archive
    }

    fn ready(&self) {
        if !self.is_ready.swap(true, Ordering::AcqRel) {
            let target = self.postgres.target();
            tracing::info!(event = "archive.ready", %target, "the archive's tables are there");
        }
        self.stats().connected.set(1);
        self.decided();
    }

    /// It is known whether PostgreSQL answers.
    fn decided(&self) {
        self.tried
            .send_if_modified(|tried| !std::mem::replace(tried, true));
    }

    fn failed(&self, operation: Operation, error: &ArchiveError) {
        self.stats().failures.of(operation).add(1);
        tracing::warn!(
            event = "archive.failed",
            operation = operation.as_str(),
            reason = error.reason(),
            %error,
            "the archive does not work now; nothing waits for it"
        );
    }

    fn retention_millis(&self) -> u64 {
        self.settings.retention.as_millis()
    }

    /// Whether any of these channels could be here.
    pub fn concerns(&self, selectors: &[Selector]) -> bool {
        selectors.iter().any(|selector| match selector {
            Selector::Channel(name) => self.patterns.iter().any(|pattern| name.is_in(pattern)),
            Selector::Pattern(_) => true,
        })
    }

    /// Where a subscription starts whose cursor is of a life of the log that the log itself knows
    /// nothing of any more: where it stood, if the archive has something of that life. What is missing
    /// since is found by reading.
    fn resumed(&self, cursor: &Cursor, joined: &Places, mut start: Start) -> Start {
        let Cursor::After(places) = cursor else {
            return start;
        };
        let epochs = self.epochs.lock();
        let mut all = true;
        for standing in &mut start.from {
            let partition = standing.after.partition;
            let unknown = standing.gaps == Gaps::Ignore && standing.after.id == EventId::ZERO;
            let place = places.in_partition(partition);
            let ours = place.filter(|place| epochs.contains(&(partition, place.epoch)));
            match ours {
                Some(place) if unknown => {
                    let id = place.id.min(joined.id(partition));
                    *standing = Standing {
                        after: Place {
                            id,
                            ..standing.after
                        },
                        gaps: Gaps::Report,
                    };
                }
                _ if unknown => all = false,
                _ => {}
            }
        }
        if all
            && start
                .lost
                .as_ref()
                .is_some_and(|lost| lost.after.is_empty())
        {
            start.lost = None;
        }
        start
    }

    /// Deletes what a channel has up to an id. Answers how many events there were.
    ///
    /// # Errors
    /// Then a part may be left.
    pub async fn purge(&self, channel: &ChannelName, until: EventId) -> Result<u64, ArchiveError> {
        let purged = async {
            let mut line = self.line().await?;
            let partition = self.partitioning.of(channel);
            store::purge(&mut line, channel, partition, until).await
        };
        purged
            .await
            .inspect_err(|error| self.failed(Operation::Purge, error))
    }
}
