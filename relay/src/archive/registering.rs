//! Receivers that gave themselves a name, written down: who they are, since when, and what they got.
//!
//! Each replica writes its own streams, now and then while they are open, and when they have ended.

use super::{Archive, error::ArchiveError, stats::Operation};
use crate::{
    hub::{
        Hub,
        clients::{Departed, Got},
        inbox::{ListQuery, StreamReport},
        open::StreamInfo,
    },
    postgres::Session,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::watch;
use tokio_postgres::types::{ToSql, Type};

/// How often streams are written down.
const EVERY: Duration = Duration::from_secs(5);
/// Streams that are written down at most, the earliest first.
const MOST: usize = 100_000;
/// Rows of one statement.
const STEP: usize = 1_000;
/// A stream that nobody has seen for so long ended with its replica.
const GONE_AFTER: &str = "1 minute";

const UPSERT: &str = "\
INSERT INTO clients AS c (connection, name, subject, address, replica, channels, connected, seen,
                          ended, delivered, filtered, dropped)
SELECT r.connection, r.name, r.subject, r.address, $1, string_to_array(r.channels, E'\\n'),
       r.connected, r.seen, r.ended, r.delivered, r.filtered, r.dropped
FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
     AS r (connection, name, subject, address, channels, connected, seen, ended, delivered,
           filtered, dropped)
ON CONFLICT (connection) DO UPDATE SET
    seen = excluded.seen, ended = excluded.ended, delivered = excluded.delivered,
    filtered = excluded.filtered, dropped = excluded.dropped
WHERE c.ended IS NULL";

/// A stream as it is written down.
struct Row<'a> {
    info: &'a StreamInfo,
    got: Got,
    seen: SystemTime,
    ended: Option<SystemTime>,
}

/// Writes the streams of a process down until it is told to stop, and then once more.
pub async fn register(archive: Arc<Archive>, hub: Arc<Hub>, mut stop: watch::Receiver<bool>) {
    hub.departures.keep();
    loop {
        let stopping = *stop.borrow();
        if let Err(error) = write(&archive, &hub).await
            && !matches!(error, ArchiveError::NotReady)
        {
            archive.failed(Operation::Register, &error);
        }
        if stopping {
            return;
        }
        let told = stop.wait_for(|stop| *stop);
        if let Ok(Err(_)) = tokio::time::timeout(EVERY, told).await {
            return; // nobody is left who could say it
        }
    }
}

async fn write(archive: &Archive, hub: &Hub) -> Result<(), ArchiveError> {
    let line = archive.line().await?;
    let (departed, forgotten) = hub.departures.take();
    archive.stats().clients_lost.add(forgotten);
    let open = hub.list(everything()).await;
    let written = write_all(&line, &archive.holder, &open, &departed).await;
    if written.is_err() {
        hub.departures.put_back(departed);
    }
    written?;
    let millis = archive.retention_millis() as f64;
    let tidy = format!(
        "UPDATE clients SET ended = seen WHERE ended IS NULL AND seen < now() - interval '{GONE_AFTER}'; \
         DELETE FROM clients WHERE seen < now() - {millis} * interval '1 millisecond'"
    );
    Ok(line.run(&tidy).await?)
}

fn everything() -> ListQuery {
    ListQuery {
        limit: MOST,
        ..ListQuery::default()
    }
}

async fn write_all(
    session: &Session,
    replica: &str,
    open: &[StreamReport],
    departed: &[Departed],
) -> Result<(), ArchiveError> {
    let now = SystemTime::now();
    let open = open.iter().map(|stream| Row {
        info: &stream.info,
        got: Got {
            delivered: stream.delivered,
            filtered: stream.filtered,
            dropped: stream.dropped,
        },
        seen: now,
        ended: None,
    });
    let departed = departed.iter().map(|stream| Row {
        info: &stream.info,
        got: stream.got,
        seen: stream.at,
        ended: Some(stream.at),
    });
    let rows: Vec<Row<'_>> = open
        .chain(departed)
        .filter(|row| row.info.client.is_some())
        .collect();
    for rows in rows.chunks(STEP) {
        upsert(session, replica, rows).await?;
    }
    Ok(())
}

async fn upsert(session: &Session, replica: &str, rows: &[Row<'_>]) -> Result<(), ArchiveError> {
    fn each<T>(rows: &[Row<'_>], of: impl Fn(&Row<'_>) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let names = each(rows, |row| {
        row.info.client.as_deref().unwrap_or_default().to_owned()
    });
    let connections = each(rows, |row| row.info.id().to_string());
    let subjects = each(rows, |row| {
        row.info.who.subject.as_ref().map(ToString::to_string)
    });
    let addresses = each(rows, |row| {
        row.info.remote.map(|remote| remote.ip().to_string())
    });
    let channels = each(rows, |row| {
        let asked: Vec<String> = row.info.asked().map(ToString::to_string).collect();
        asked.join("\n") // no name has a line end
    });
    let connected = each(rows, |row| row.info.opened);
    let (seen, ended) = (each(rows, |row| row.seen), each(rows, |row| row.ended));
    let delivered = each(rows, |row| count(row.got.delivered));
    let filtered = each(rows, |row| count(row.got.filtered));
    let dropped = each(rows, |row| count(row.got.dropped));
    let parameters: [(&(dyn ToSql + Sync), Type); 12] = [
        (&replica, Type::TEXT),
        (&connections, Type::TEXT_ARRAY),
        (&names, Type::TEXT_ARRAY),
        (&subjects, Type::TEXT_ARRAY),
        (&addresses, Type::TEXT_ARRAY),
        (&channels, Type::TEXT_ARRAY),
        (&connected, Type::TIMESTAMPTZ_ARRAY),
        (&seen, Type::TIMESTAMPTZ_ARRAY),
        (&ended, Type::TIMESTAMPTZ_ARRAY),
        (&delivered, Type::INT8_ARRAY),
        (&filtered, Type::INT8_ARRAY),
        (&dropped, Type::INT8_ARRAY),
    ];
    session
        .timed(session.execute_typed(UPSERT, &parameters))
        .await?;
    Ok(())
}
