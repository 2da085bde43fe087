//! The archive's statements: no state, no retry.

use super::{
    coverage::{Coverage, Hole, Span},
    error::ArchiveError,
    row::{self, Archived, Columns, Damaged, bigint, integer},
    tables::Range,
};
use crate::{
    channel::{ChannelName, Selector},
    cursor::{Epoch, EventId, Partition},
    event_log::gap::Certainty,
    frame::GapReason,
    label::Label,
    postgres::Session,
};
use futures_util::TryStreamExt;
use relay_config::ChannelPattern;
use std::{collections::HashSet, pin::pin, time::Duration};
use tokio_postgres::{Row, Transaction, types::ToSql, types::Type};

/// Spans and holes of a partition that are looked at; older ones count as not there.
const MAX_FACTS: i64 = 10_000;
/// Rows that a purge deletes in one statement.
const PURGE_STEP: i64 = 5_000;
/// How long tables are waited for that somebody reads, before it is tried again later.
const TABLE_LOCK: &str = "SET LOCAL lock_timeout = '2s'";
/// Held by whoever writes or purges, to the end of the transaction.
const WRITE_LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 1))";

/// What the newest span of a partition says of the writer.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    pub number: i32,
    pub partitions: usize,
    pub epoch: Epoch,
    pub through: EventId,
    pub channels: Vec<String>,
    /// The epoch had nothing more.
    pub is_closed: bool,
}

/// A partition's part of a batch.
#[derive(Clone, PartialEq, Debug)]
pub struct Advance {
    pub partition: Partition,
    /// The span that is gone on with, and up to where it was written.
    pub number: i32,
    pub expected: EventId,
    pub through: EventId,
}

/// A span that begins, and the number of the one before it.
pub struct Begin<'a> {
    pub partition: Partition,
    pub after: Option<i32>,
    pub partitions: usize,
    pub epoch: Epoch,
    pub from: EventId,
    pub channels: &'a [String],
}

fn id(value: i64, what: &'static str) -> Result<EventId, Damaged> {
    let id = u64::try_from(value).ok().and_then(EventId::new);
    id.ok_or(Damaged(what))
}

fn epoch(value: i32) -> Result<Epoch, Damaged> {
    let bits = u32::try_from(value).map_err(|_| Damaged("a span's epoch"))?;
    Ok(Epoch::from_random(bits))
}

fn number(partition: Partition) -> i16 {
    partition.get().into()
}

fn count(partitions: usize) -> i16 {
    i16::try_from(partitions).unwrap_or(i16::MAX)
}

async fn rows(
    session: &Session,
    statement: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, ArchiveError> {
    let rows = session.timed(session.query_typed(statement, parameters));
    Ok(rows.await?)
}

/// Takes or keeps the right to write for `lease`; the term of it, if it is this replica's.
///
/// # Errors
/// PostgreSQL's.
pub async fn lead(
    session: &Session,
    holder: &str,
    lease: Duration,
) -> Result<Option<i64>, ArchiveError> {
    const STATEMENT: &str = "\
INSERT INTO writer AS w (holder, until) VALUES ($1, now() + $2 * interval '1 millisecond')
ON CONFLICT (one) DO UPDATE SET
    holder = excluded.holder, until = excluded.until,
    term = w.term + CASE WHEN w.holder = excluded.holder THEN 0 ELSE 1 END
WHERE w.holder = excluded.holder OR w.until < now()
RETURNING term";
    let millis = lease.as_millis() as f64;
    let found = rows(
        session,
        STATEMENT,
        &[(&holder, Type::TEXT), (&millis, Type::FLOAT8)],
    )
    .await?;
    Ok(found.first().map(|row| row.get(0)))
}

/// Gives that right up, so that another replica has it at once.
///
/// # Errors
/// PostgreSQL's.
pub async fn resign(session: &Session, holder: &str) -> Result<(), ArchiveError> {
    const STATEMENT: &str = "UPDATE writer SET until = now() WHERE holder = $1";
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&holder, Type::TEXT)];
    let done = session.execute_typed(STATEMENT, &parameters);
    session.timed(done).await?;
    Ok(())
}

/// Where the writer stands in a partition; `None` before the first event.
///
/// # Errors
/// PostgreSQL's.
pub async fn standing(
    session: &Session,
    partition: Partition,
) -> Result<Option<Standing>, ArchiveError> {
    const STATEMENT: &str = "\
SELECT number, partitions, epoch, through_id, channels, closed FROM spans
WHERE partition = $1 ORDER BY number DESC LIMIT 1";
    let found = rows(session, STATEMENT, &[(&number(partition), Type::INT2)]).await?;
    let read = |row: &Row| {
        Ok::<_, Damaged>(Standing {
            number: row.get(0),
            partitions: usize::try_from(row.get::<_, i16>(1)).unwrap_or_default(),
            epoch: epoch(row.get(2))?,
            through: id(row.get(3), "where a span ends")?,
            channels: row.get(4),
            is_closed: row.get(5),
        })
    };
    Ok(found.first().map(read).transpose()?)
}

/// The log in memory ends, and all that it had is written.
///
/// # Errors
/// PostgreSQL's.
pub async fn close_spans(session: &Session) -> Result<(), ArchiveError> {
    const STATEMENT: &str = "\
UPDATE spans s SET closed = true
WHERE NOT EXISTS (SELECT FROM spans n WHERE n.partition = s.partition AND n.number > s.number)";
    Ok(session.run(STATEMENT).await?)
}

/// The epochs of which there are events, and their partitions.
///
/// # Errors
/// PostgreSQL's.
pub async fn epochs(session: &Session) -> Result<HashSet<(Partition, Epoch)>, ArchiveError> {
    let found = rows(session, "SELECT DISTINCT partition, epoch FROM spans", &[]).await?;
    let read = |row: &Row| {
        let partition = u8::try_from(row.get::<_, i16>(0))
            .ok()
            .and_then(Partition::new);
        let partition = partition.ok_or(Damaged("a span's partition"))?;
        Ok::<_, Damaged>((partition, epoch(row.get(1))?))
    };
    Ok(found.iter().map(read).collect::<Result<_, _>>()?)
}

/// All that is known of a partition of a log with so many of them.
///
/// # Errors
/// PostgreSQL's.
pub async fn coverage(
    session: &Session,
    partition: Partition,
    partitions: usize,
) -> Result<Coverage, ArchiveError> {
    const SPANS: &str = "\
SELECT epoch, from_id, through_id, channels FROM
    (SELECT * FROM spans WHERE partition = $1 AND partitions = $2 ORDER BY number DESC LIMIT $3) s
ORDER BY number";
    const HOLES: &str = "\
SELECT after_id, until_id, reason, certain, channels FROM holes
WHERE partition = $1 ORDER BY until_id DESC LIMIT $2";
    let of = number(partition);
    let spans = rows(
        session,
        SPANS,
        &[
            (&of, Type::INT2),
            (&count(partitions), Type::INT2),
            (&MAX_FACTS, Type::INT8),
        ],
    )
    .await?;
    let spans = spans.iter().map(span).collect::<Result<_, _>>()?;
    let holes = rows(
        session,
        HOLES,
        &[(&of, Type::INT2), (&MAX_FACTS, Type::INT8)],
    )
    .await?;
    let forgotten = i64::try_from(holes.len()).is_ok_and(|len| len >= MAX_FACTS);
    let mut holes: Vec<Hole> = holes.iter().map(hole).collect::<Result<_, _>>()?;
    if let Some(oldest) = holes.last().filter(|_| forgotten) {
        let until = oldest.until;
        holes.push(Hole {
            after: EventId::ZERO,
            until,
            certainty: Certainty::Possible,
            reason: GapReason::Trimmed,
            channels: Vec::new(),
        });
    }
    Ok(Coverage {
        spans,
        holes,
        dropped: dropped(session).await?,
    })
}

fn span(row: &Row) -> Result<Span, Damaged> {
    let channels: Vec<String> = row.get(3);
    let channels = channels.iter().map(|text| ChannelPattern::parse(text));
    Ok(Span {
        epoch: epoch(row.get(0))?,
        from: id(row.get(1), "where a span begins")?,
        through: id(row.get(2), "where a span ends")?,
        channels: channels
            .collect::<Result<_, _>>()
            .map_err(|_| Damaged("a span's channels"))?,
    })
}

fn hole(row: &Row) -> Result<Hole, Damaged> {
    let (reason, channels): (&str, Vec<&str>) = (row.get(2), row.get(4));
    let channels = channels.into_iter().map(ChannelName::restore);
    Ok(Hole {
        after: id(row.get(0), "where a hole begins")?,
        until: id(row.get(1), "where a hole ends")?,
        certainty: match row.get(3) {
            true => Certainty::Certain,
            false => Certainty::Possible,
        },
        reason: GapReason::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == reason)
            .ok_or(Damaged("a hole's reason"))?,
        channels: channels
            .collect::<Result<_, _>>()
            .map_err(|_| Damaged("a hole's channels"))?,
    })
}

/// Up to where events were dropped since they are too old.
///
/// # Errors
/// PostgreSQL's.
pub async fn dropped(session: &Session) -> Result<EventId, ArchiveError> {
    let found = rows(session, "SELECT until_id FROM dropped", &[]).await?;
    let until = found.first().map(|row| id(row.get(0), "what was dropped"));
    Ok(until.transpose()?.unwrap_or_default())
}

/// Which events are read.
pub struct Selection<'a> {
    pub selectors: &'a [Selector],
    pub partition: Partition,
    pub after: EventId,
    pub until: EventId,
    /// The event that reaches one of these is the last.
    pub max_events: usize,
    pub max_bytes: usize,
}

/// Events of a selection in order, and whether these are all.
pub struct Rows {
    pub events: Vec<Archived>,
    /// Up to where they are all; the end of the selection, unless a bound was reached.
    pub through: EventId,
}

/// # Errors
/// PostgreSQL's.
pub async fn events(session: &Session, of: &Selection<'_>) -> Result<Rows, ArchiveError> {
    select(session, of, Order::Ascending).await
}

/// The last events of a selection, latest first, and down to where they are all: zero, unless a bound
/// was reached.
///
/// # Errors
/// PostgreSQL's.
pub async fn last_events(session: &Session, of: &Selection<'_>) -> Result<Rows, ArchiveError> {
    select(session, of, Order::Descending).await
}

#[derive(Clone, Copy)]
enum Order {
    Ascending,
    Descending,
}

async fn select(session: &Session, of: &Selection<'_>, order: Order) -> Result<Rows, ArchiveError> {
    let (mut names, mut prefixes) = (Vec::new(), Vec::new());
    for selector in of.selectors {
        match selector {
            Selector::Channel(name) => names.push(name.as_str()),
            // what begins like the pattern, from which those that match are taken here
            Selector::Pattern(pattern) => {
                let text = pattern.as_str();
                prefixes.push(text.split('*').next().unwrap_or(text));
            }
        }
    }
    let which = match prefixes.is_empty() {
        true => "channel = ANY($4)",
        false => {
            "(channel = ANY($4) OR EXISTS \
             (SELECT FROM unnest($6) AS p (text) WHERE starts_with(channel, p.text)))"
        }
    };
    let (direction, end) = match order {
        Order::Ascending => ("ASC", of.until),
        Order::Descending => ("DESC", of.after),
    };
    let statement = format!(
        "SELECT {} FROM events WHERE partition = $1 AND id > $2 AND id <= $3 AND {which} \
         ORDER BY id {direction} LIMIT $5",
        row::COLUMNS
    );
    let limit = i64::try_from(of.max_events.max(1)).unwrap_or(i64::MAX);
    let (after, until) = (bigint(of.after), bigint(of.until));
    let partition = number(of.partition);
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&partition, Type::INT2),
        (&after, Type::INT8),
        (&until, Type::INT8),
        (&names, Type::TEXT_ARRAY),
        (&limit, Type::INT8),
    ];
    if !prefixes.is_empty() {
        parameters.push((&prefixes, Type::TEXT_ARRAY));
    }
    let read = session.timed(async {
        let rows = session.query_typed_raw(&statement, parameters).await?;
        let mut rows = pin!(rows);
        let (mut events, mut bytes, mut seen) = (Vec::new(), 0, 0);
        let mut through = end;
        while let Some(row) = rows.try_next().await? {
            let event = match row::read(&row, of.partition) {
                Ok(event) => event,
                Err(damaged) => return Ok(Err(damaged)),
            };
            seen += 1;
            bytes += event.entry.event.size();
            let last = event.entry.id;
            if of
                .selectors
                .iter()
                .any(|selector| selector.matches(&event.entry.channel))
            {
                events.push(event);
            }
            if seen >= of.max_events.max(1) || bytes >= of.max_bytes {
                through = last;
                break; // what is left of the rows is thrown away as it comes
            }
        }
        Ok(Ok(Rows { events, through }))
    });
    Ok(read.await??)
}

/// The tables of events that there are.
///
/// # Errors
/// PostgreSQL's.
pub async fn tables(session: &Session) -> Result<Vec<Range>, ArchiveError> {
    let found = rows(session, "SELECT from_id, to_id FROM event_tables", &[]).await?;
    let read = |row: &Row| {
        Ok::<_, Damaged>(Range {
            from: id(row.get(0), "where a table begins")?.get(),
            to: u64::try_from(row.get::<_, i64>(1)).map_err(|_| Damaged("where a table ends"))?,
        })
    };
    Ok(found.iter().map(read).collect::<Result<_, _>>()?)
}

/// # Errors
/// PostgreSQL's.
pub async fn make_tables(session: &mut Session, ranges: &[Range]) -> Result<(), ArchiveError> {
    for range in ranges {
        let (name, from, to) = (range.name(), range.from, range.to);
        // all three are made of numbers
        let statements = format!(
            "BEGIN; {TABLE_LOCK}; \
             CREATE TABLE {name} PARTITION OF events FOR VALUES FROM ({from}) TO ({to}); \
             INSERT INTO event_tables VALUES ('{name}', {from}, {to}); COMMIT"
        );
        whole(session, &statements).await?;
    }
    Ok(())
}

/// Drops tables, and what was known of their events.
///
/// # Errors
/// PostgreSQL's.
pub async fn drop_tables(session: &mut Session, ranges: &[Range]) -> Result<(), ArchiveError> {
    for range in ranges {
        let (name, until) = (range.name(), range.to.saturating_sub(1));
        let statements = format!(
            "BEGIN; {TABLE_LOCK}; DROP TABLE IF EXISTS {name}; \
             DELETE FROM event_tables WHERE name = '{name}'; \
             UPDATE dropped SET until_id = greatest(until_id, {until}); \
             DELETE FROM holes WHERE until_id <= {until}; \
             DELETE FROM purges WHERE until_id <= {until}; \
             DELETE FROM spans s WHERE through_id <= {until} AND EXISTS \
             (SELECT FROM spans n WHERE n.partition = s.partition AND n.number > s.number); COMMIT"
        );
        whole(session, &statements).await?;
    }
    Ok(())
}

/// Statements of one transaction, which ends whatever happens.
async fn whole(session: &Session, statements: &str) -> Result<(), ArchiveError> {
    let done = session.run(statements).await;
    if done.is_err() {
        session.run("ROLLBACK").await?;
    }
    Ok(done?)
}

/// Everything that is written together.
#[derive(Default)]
pub struct Batch<'a> {
    pub columns: Columns<'a>,
    pub begins: Vec<Begin<'a>>,
    pub advances: Vec<Advance>,
    pub holes: Vec<(Partition, Hole)>,
}

/// Writes a batch, or nothing of it. Answers how many events were new.
///
/// # Errors
/// [`ArchiveError::Displaced`] when another replica wrote meanwhile.
pub async fn write(session: &mut Session, batch: &Batch<'_>) -> Result<u64, ArchiveError> {
    let within = session.within();
    let written = tokio::time::timeout(within, write_whole(session, batch)).await;
    match written {
        Ok(written) => written,
        Err(_) => {
            session.abort(); // nobody knows how far it is
            Err(crate::postgres::SqlError::Timeout(within).into())
        }
    }
}

async fn write_whole(session: &mut Session, batch: &Batch<'_>) -> Result<u64, ArchiveError> {
    let tx = session.transaction().await?;
    tx.batch_execute(WRITE_LOCK).await?;
    let mut new = 0;
    if !batch.columns.is_empty() {
        new = tx
            .execute_typed(row::INSERT, &batch.columns.parameters())
            .await?;
    }
    for begin in &batch.begins {
        begin_span(&tx, begin).await?;
    }
    for advance in &batch.advances {
        go_on(&tx, advance).await?;
    }
    for (partition, hole) in &batch.holes {
        add_hole(&tx, *partition, hole).await?;
    }
    tx.commit().await?;
    Ok(new)
}

async fn begin_span(tx: &Transaction<'_>, begin: &Begin<'_>) -> Result<(), ArchiveError> {
    const STATEMENT: &str = "\
INSERT INTO spans (partition, number, partitions, epoch, from_id, through_id, channels)
SELECT $1, $2, $3, $4, $5, $5, $6
WHERE coalesce((SELECT max(number) FROM spans WHERE partition = $1), 0) = $2 - 1
ON CONFLICT DO NOTHING";
    let number = begin.after.map_or(1, |after| after.saturating_add(1));
    let begun = tx
        .execute_typed(
            STATEMENT,
            &[
                (&self::number(begin.partition), Type::INT2),
                (&number, Type::INT4),
                (&count(begin.partitions), Type::INT2),
                (&integer(begin.epoch), Type::INT4),
                (&bigint(begin.from), Type::INT8),
                (&begin.channels, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    one(begun)
}

async fn go_on(tx: &Transaction<'_>, advance: &Advance) -> Result<(), ArchiveError> {
    const STATEMENT: &str = "\
UPDATE spans SET through_id = greatest(through_id, $4)
WHERE partition = $1 AND number = $2 AND through_id = $3
  AND NOT EXISTS (SELECT FROM spans WHERE partition = $1 AND number > $2)";
    let moved = tx
        .execute_typed(
            STATEMENT,
            &[
                (&number(advance.partition), Type::INT2),
                (&advance.number, Type::INT4),
                (&bigint(advance.expected), Type::INT8),
                (&bigint(advance.through), Type::INT8),
            ],
        )
        .await?;
    one(moved)
}

/// A place that is not where this writer left it was moved by another one.
fn one(changed: u64) -> Result<(), ArchiveError> {
    match changed {
        1 => Ok(()),
        _ => Err(ArchiveError::Displaced),
    }
}

async fn add_hole(
    tx: &Transaction<'_>,
    partition: Partition,
    hole: &Hole,
) -> Result<(), ArchiveError> {
    const STATEMENT: &str = "\
INSERT INTO holes (partition, after_id, until_id, reason, certain, channels)
VALUES ($1, $2, $3, $4, $5, $6)";
    let channels: Vec<&str> = hole.channels.iter().map(ChannelName::as_str).collect();
    tx.execute_typed(
        STATEMENT,
        &[
            (&number(partition), Type::INT2),
            (&bigint(hole.after), Type::INT8),
            (&bigint(hole.until), Type::INT8),
            (&hole.reason.as_str(), Type::TEXT),
            (&(hole.certainty == Certainty::Certain), Type::BOOL),
            (&channels, Type::TEXT_ARRAY),
        ],
    )
    .await?;
    Ok(())
}

/// Deletes what a channel has up to an id, in whichever partition it was then, and keeps the writer
/// from writing it again. Answers how many events there were.
///
/// # Errors
/// PostgreSQL's; a part may be deleted by then.
pub async fn purge(
    session: &mut Session,
    channel: &ChannelName,
    partition: Partition,
    until: EventId,
) -> Result<u64, ArchiveError> {
    const MARK: &str = "\
INSERT INTO purges AS p (channel, until_id) VALUES ($1, $2)
ON CONFLICT (channel) DO UPDATE SET until_id = greatest(p.until_id, $2), at = now()";
    const DELETE: &str = "\
DELETE FROM events WHERE channel = $1 AND id IN
    (SELECT id FROM events WHERE channel = $1 AND id <= $2 ORDER BY id LIMIT $3)";
    let which = [
        (&channel.as_str() as &(dyn ToSql + Sync), Type::TEXT),
        (&bigint(until), Type::INT8),
    ];
    let within = session.within();
    let marked = tokio::time::timeout(within, async {
        let tx = session.transaction().await?;
        tx.batch_execute(WRITE_LOCK).await?;
        tx.execute_typed(MARK, &which).await?;
        let hole = Hole {
            after: EventId::ZERO,
            until,
            certainty: Certainty::Possible,
            reason: GapReason::Purged,
            channels: vec![channel.clone()],
        };
        add_hole(&tx, partition, &hole).await?;
        Ok::<_, ArchiveError>(tx.commit().await?)
    });
    match marked.await {
        Ok(marked) => marked?,
        Err(_) => {
            session.abort();
            return Err(crate::postgres::SqlError::Timeout(within).into());
        }
    }
    let mut deleted = 0;
    let [channel, until] = which;
    let parameters = [
        channel,
        until,
        (&PURGE_STEP as &(dyn ToSql + Sync), Type::INT8),
    ];
    loop {
        let step = session.timed(session.execute_typed(DELETE, &parameters));
        match step.await? {
            0 => return Ok(deleted),
            step => deleted += step,
        }
    }
}
