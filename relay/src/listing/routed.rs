//! Streams of a route, for its status.

use crate::{filter::Filter, hub::inbox::StreamReport};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Streams that a status lists.
pub const LISTED: usize = 1000;
/// Bytes that one replica tells of them: what they chose may be long.
const MAX_BYTES: usize = 1 << 20;

/// Streams of a route at some replicas.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RouteStreams {
    /// The first of them, by when they opened.
    pub rows: Vec<RouteRow>,
    /// When the last of all opened.
    pub newest: Option<Timestamp>,
}

/// A stream of a route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouteRow {
    pub id: String,
    /// What it chose.
    pub wanted: Filter,
    pub opened: Timestamp,
}

/// Of all streams that a replica has of a route, in the order in which they opened.
pub fn route_streams_of(reports: &[StreamReport]) -> RouteStreams {
    let opened = |stream: &StreamReport| {
        Timestamp::try_from(stream.info.opened).unwrap_or(Timestamp::UNIX_EPOCH)
    };
    let rows = reports.iter().map(|stream| {
        let voice = stream.info.voice.as_ref();
        RouteRow {
            id: stream.info.id(),
            wanted: voice.map_or_else(Filter::default, |voice| (*voice.wanted).clone()),
            opened: opened(stream),
        }
    });
    RouteStreams {
        rows: bounded(rows),
        newest: reports.last().map(opened),
    }
}

/// The first rows, within the bounds.
fn bounded(rows: impl Iterator<Item = RouteRow>) -> Vec<RouteRow> {
    let mut bytes = 0;
    let within = |row: &RouteRow| {
        let terms = row.wanted.terms().iter();
        let values = terms.map(|(name, values)| {
            name.len() + values.iter().map(|value| value.len() + 3).sum::<usize>()
        });
        bytes += row.id.len() + 64 + values.sum::<usize>();
        bytes <= MAX_BYTES
    };
    rows.take(LISTED).take_while(within).collect()
}

/// Those of several replicas together.
pub fn merge_routes(parts: impl IntoIterator<Item = RouteStreams>) -> RouteStreams {
    let mut all = RouteStreams::default();
    for part in parts {
        all.rows.extend(part.rows);
        all.newest = all.newest.max(part.newest);
    }
    all.rows
        .sort_by(|a, b| (a.opened, &a.id).cmp(&(b.opened, &b.id)));
    all.rows.truncate(LISTED);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, second: i64, value: &str) -> RouteRow {
        let mut wanted = Filter::default();
        wanted.accept("a", [value.into()]);
        RouteRow {
            id: id.to_owned(),
            wanted,
            opened: Timestamp::from_second(second).unwrap(),
        }
    }

    fn part(rows: Vec<RouteRow>) -> RouteStreams {
        RouteStreams {
            newest: rows.last().map(|row| row.opened),
            rows,
        }
    }

    #[test]
    fn streams_of_several_replicas_stand_in_the_order_in_which_they_opened() {
        let one = part(vec![row("r-1", 1, "x"), row("r-2", 5, "x")]);
        let other = part(vec![row("s-1", 3, "y"), row("s-2", 4, "y")]);
        let all = merge_routes([one, RouteStreams::default(), other]);
        let ids: Vec<&str> = all.rows.iter().map(|row| &*row.id).collect();
        assert_eq!(ids, ["r-1", "s-1", "s-2", "r-2"]);
        assert_eq!(all.newest, Timestamp::from_second(5).ok());
    }

    #[test]
    fn more_than_the_bounds_is_not_told() {
        let many = (0..3000).map(|n| row(&format!("r-{n}"), n, "x"));
        assert_eq!(bounded(many).len(), LISTED);
        let long = "x".repeat(10_000);
        let large = (0..3000).map(|n| row(&format!("r-{n}"), n, &long));
        assert_eq!(bounded(large).len(), MAX_BYTES / (10_000 + 71));
        let merged = merge_routes((0..3).map(|replica| {
            let rows = (0..1000).map(|n| row(&format!("{replica}-{n}"), n, "x"));
            part(rows.collect())
        }));
        assert_eq!(merged.rows.len(), LISTED);
        assert_eq!(
            merged.rows[999].opened,
            Timestamp::from_second(333).unwrap()
        );
    }
}
