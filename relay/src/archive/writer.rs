//! Who writes the archive: one replica at a time, from the log, by cursor.
//!
//! Where it stands is kept in the same transaction as the events, so whoever goes on, after a restart
//! or in the place of another replica, neither repeats nor skips one. What the log no longer has when
//! it is read is a hole that is kept too.

use super::{
    Archive,
    coverage::Hole,
    error::ArchiveError,
    stats::Operation,
    store::{self, Advance, Batch, Begin},
    tables,
};
use crate::{
    clock::unix_millis,
    cursor::{Cursor, EventId, Partition, Place, Places, UnixMillis},
    event_log::{
        Completeness, EventLog, Gaps, Origin, Page, Read, ReadError, Standing, Standings,
        gap::{Certainty, Gap, MAX_CHANNELS},
        resume::Start,
    },
    frame::GapReason,
    postgres::Session,
};
use std::{sync::Arc, time::Duration};

/// Bytes of events that are written together.
const BATCH_BYTES: usize = 4 << 20;

/// Where the writer stands in one partition.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Position {
    standing: Standing,
    /// Of the span that it goes on with; `None`: one begins with the next batch.
    span: Option<Going>,
    /// The newest span that there is.
    newest: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Going {
    number: i32,
    through: EventId,
}

/// Whether there is more to write at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Round {
    CaughtUp,
    More,
}

/// A replica that writes; it forgets where it stood when it fails.
pub struct Writer {
    archive: Arc<Archive>,
    log: Arc<dyn EventLog>,
    positions: Vec<Position>,
    /// Before this process published anything.
    began: UnixMillis,
}

impl Writer {
    pub fn new(archive: Arc<Archive>, log: Arc<dyn EventLog>, began: UnixMillis) -> Writer {
        Writer {
            archive,
            log,
            positions: Vec::new(),
            began,
        }
    }

    /// What follows is read from where the archive says that it stands.
    pub fn forget(&mut self) {
        self.positions.clear();
    }

    /// Writes one page of the log.
    ///
    /// # Errors
    /// Then nothing of it was written.
    pub async fn write(&mut self, session: &mut Session) -> Result<Round, ArchiveError> {
        if self.positions.is_empty() {
            self.positions = self.find(session).await?;
        }
        let from: Standings = self.positions.iter().map(|at| at.standing).collect();
        let read = Read {
            selectors: self.archive.selectors.clone(),
            from,
            upto: Places::default(),
            max_bytes: BATCH_BYTES,
            max_events: self.archive.settings.batch_events,
        };
        let page = match self.log.read(read).await {
            Ok(page) => page,
            Err(ReadError::EpochChanged) => {
                self.forget();
                return Ok(Round::More);
            }
            Err(error) => return Err(ArchiveError::Log(error.to_string())),
        };
        let moved = self.store(session, &page).await?;
        let at_head = page.completeness == Completeness::Complete;
        self.report(&page, at_head);
        Ok(match at_head || !moved {
            true => Round::CaughtUp,
            false => Round::More,
        })
    }

    /// Whether anything was written.
    async fn store(&mut self, session: &mut Session, page: &Page) -> Result<bool, ArchiveError> {
        let archive = self.archive.clone();
        let next = advanced(&self.positions, page);
        let oldest = unix_millis().saturating_sub(archive.retention_millis());
        let mut batch = described(&self.positions, &next, page, &archive);
        let mut ids = Vec::new();
        for entry in &page.entries {
            let at = next
                .iter()
                .find(|at| at.standing.after.partition == entry.partition);
            // what is too old by now would be dropped at once
            if let Some(at) = at.filter(|_| entry.id.unix_millis() > oldest) {
                batch.columns.push(entry, at.standing.after.epoch);
                ids.push(entry.id);
            }
        }
        if !is_worth_writing(&batch) {
            for (at, next) in self.positions.iter_mut().zip(&next) {
                at.standing = next.standing;
            }
            return Ok(false);
        }
        let existing = archive.tables.lock().clone();
        let missing = tables::missing(ids, archive.settings.table_span.std(), &existing);
        if !missing.is_empty() {
            store::make_tables(session, &missing).await?;
            archive.tables.lock().extend(missing);
        }
        let new = store::write(session, &batch).await?;
        archive.stats().events.add(new);
        archive.stats().holes.add(batch.holes.len() as u64);
        batch.holes.iter().for_each(|(_, hole)| tell(hole));
        self.positions = next;
        Ok(true)
    }

    fn report(&self, page: &Page, at_head: bool) {
        let oldest = page.next.iter().map(|next| next.after.id.unix_millis());
        let lag = match at_head {
            true => 0,
            false => oldest
                .min()
                .map_or(0, |at| unix_millis().saturating_sub(at)),
        };
        self.archive.stats().lag.set(lag);
    }

    /// Where the archive says that it stands, in each partition of the log.
    async fn find(&self, session: &mut Session) -> Result<Vec<Position>, ArchiveError> {
        *self.archive.tables.lock() = store::tables(session).await?;
        let heads = self.log.heads();
        let partitioning = self.archive.partitioning;
        let mut positions = Vec::with_capacity(partitioning.count());
        for partition in partitioning.all().iter() {
            let head = heads.in_partition(partition);
            let head = head.ok_or_else(|| ArchiveError::Log("it has not answered yet".into()))?;
            let known = store::standing(session, partition).await?;
            let Some(known) = known else {
                positions.push(Position {
                    standing: Standing {
                        after: Place {
                            id: EventId::ZERO,
                            ..head
                        },
                        gaps: Gaps::Report,
                    },
                    span: None,
                    newest: None,
                });
                continue;
            };
            let place = Place {
                partition,
                epoch: known.epoch,
                id: known.through,
            };
            let cursor = Cursor::After(Places::one(place));
            let start = self.log.resume(&cursor, &Places::one(head), Origin::Here);
            let (position, hole) = taken_up(&known, place, head, &start, &self.archive, self.began);
            if let Some(hole) = hole {
                self.note(session, partition, hole).await?;
            }
            positions.push(position);
        }
        Ok(positions)
    }

    async fn note(
        &self,
        session: &mut Session,
        partition: Partition,
        hole: Hole,
    ) -> Result<(), ArchiveError> {
        let batch = Batch {
            holes: vec![(partition, hole)],
            ..Batch::default()
        };
        store::write(session, &batch).await?;
        self.archive.stats().holes.add(1);
        Ok(())
    }

    /// Drops what is too old.
    pub async fn drop_expired(&self, session: &mut Session) {
        let archive = &self.archive;
        let retention = Duration::from_millis(archive.retention_millis());
        let expired = tables::expired(&archive.tables.lock(), unix_millis(), retention);
        if expired.is_empty() {
            return;
        }
        match store::drop_tables(session, &expired).await {
            Ok(()) => {
                archive
                    .tables
                    .lock()
                    .retain(|range| !expired.contains(range));
                archive.stats().dropped.add(expired.len() as u64);
                tracing::info!(
                    event = "archive.dropped",
                    tables = expired.len(),
                    "events that are too old were dropped"
                );
            }
            // somebody reads them for longer than is waited; the next time will do
            Err(error) => archive.failed(Operation::Tables, &error),
        }
    }
}

fn tell(hole: &Hole) {
    if hole.reason != GapReason::Purged {
        tracing::warn!(
            event = "archive.hole",
            after = hole.after.get(),
            until = hole.until.get(),
            certain = hole.certainty == Certainty::Certain,
            "the log no longer had all events when they were to be archived: raise its retention, or see why PostgreSQL was away for so long"
        );
    }
}

/// A place that moves while nothing is published is written now and then only.
const STEP_MILLIS: u64 = 2_000;

fn is_worth_writing(batch: &Batch<'_>) -> bool {
    let moved = |advance: &Advance| {
        advance.through.unix_millis() - advance.expected.unix_millis() >= STEP_MILLIS
    };
    !batch.columns.is_empty()
        || !batch.begins.is_empty()
        || !batch.holes.is_empty()
        || batch.advances.iter().any(moved)
}

/// Where a span begins that goes on from a position: the first of all has what the log has whole.
fn beginning(at: &Position, page: &Page) -> EventId {
    let hole = page.gap.as_ref();
    let hole = hole.and_then(|gap| hole_of(gap, at.standing.after.partition));
    match (at.newest, hole) {
        (None, Some(hole)) => hole.until,
        _ => at.standing.after.id,
    }
}

/// What is written of a page beside its events.
fn described<'a>(
    before: &[Position],
    after: &[Position],
    page: &Page,
    archive: &'a Archive,
) -> Batch<'a> {
    let mut batch = Batch::default();
    for (before, after) in before.iter().zip(after) {
        let place = after.standing.after;
        let Some(going) = after.span else {
            continue;
        };
        let from = before
            .span
            .map_or_else(|| beginning(before, page), |span| span.through);
        if before.span.is_none() {
            batch.begins.push(Begin {
                partition: place.partition,
                after: before.newest,
                partitions: archive.partitioning.count(),
                epoch: place.epoch,
                from,
                channels: &archive.settings.channels,
            });
        }
        if going.through > from {
            batch.advances.push(Advance {
                partition: place.partition,
                number: going.number,
                expected: from,
                through: going.through,
            });
        }
        let hole = page
            .gap
            .as_ref()
            .and_then(|gap| hole_of(gap, place.partition));
        if let Some(hole) = hole.filter(|_| before.newest.is_some()) {
            batch.holes.push((place.partition, hole));
        }
    }
    batch
}

/// Where each partition stands after a page.
fn advanced(positions: &[Position], page: &Page) -> Vec<Position> {
    let after = |at: &Position| {
        let of = at.standing.after.partition;
        let next = page.next.iter().find(|next| next.after.partition == of);
        let Some(next) = next else {
            return *at;
        };
        let number = at.newest.map_or(1, |newest| newest.saturating_add(1));
        let through = next.after.id;
        let span = match at.span {
            Some(going) => Going {
                through: going.through.max(through),
                ..going
            },
            None => Going {
                number,
                through: through.max(beginning(at, page)),
            },
        };
        Position {
            standing: *next,
            newest: Some(span.number),
            span: Some(span),
        }
    };
    positions.iter().map(after).collect()
}

fn hole_of(gap: &Gap, partition: Partition) -> Option<Hole> {
    let until = gap.until.in_partition(partition)?.id;
    let all_named = gap.channels.len() < MAX_CHANNELS;
    Some(Hole {
        after: gap.after.id(partition).min(until),
        until,
        certainty: gap.certainty,
        reason: gap.reason,
        channels: match all_named {
            true => gap.channels.clone(),
            false => Vec::new(),
        },
    })
}

/// How a partition is gone on with: with the newest span, or, where the log's epoch or what is chosen
/// is another by now, with a new one. A life of the log that this one knows nothing of (in memory, of
/// an earlier process) may have ended before all of it was written.
fn taken_up(
    known: &store::Standing,
    place: Place,
    head: Place,
    start: &Start,
    archive: &Archive,
    began: UnixMillis,
) -> (Position, Option<Hole>) {
    let fresh = |id| Standing {
        after: Place { id, ..head },
        gaps: Gaps::Report,
    };
    let (standing, hole) = match start.from.first() {
        Some(from) if place.epoch == head.epoch => (fresh(place.id.min(from.after.id)), None),
        Some(from) if from.gaps != Gaps::Ignore => (fresh(from.after.id), None),
        _ => {
            let until = EventId::before(began).max(place.id);
            let hole = (until > place.id && !known.is_closed).then(|| Hole {
                after: place.id,
                until,
                certainty: Certainty::Possible,
                reason: GapReason::Epoch,
                channels: Vec::new(),
            });
            let standing = Standing {
                gaps: Gaps::ReportAfter(until),
                ..fresh(place.id)
            };
            (standing, hole)
        }
    };
    let same = known.epoch == head.epoch
        && known.partitions == archive.partitioning.count()
        && known.channels == archive.settings.channels;
    let position = Position {
        standing,
        span: same.then_some(Going {
            number: known.number,
            through: known.through,
        }),
        newest: Some(known.number),
    };
    (position, hole)
}
