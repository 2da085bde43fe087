//! Which table an event goes into: tables of events cover spans of time. Pure.

use crate::cursor::{CLOCK_START, EventId, PER_MILLISECOND, UnixMillis};
use std::time::Duration;

/// The ids that one table has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    pub from: u64,
    /// Not included.
    pub to: u64,
}

impl Range {
    pub fn name(self) -> String {
        format!("events_{}", self.from)
    }

    fn has(self, id: u64) -> bool {
        (self.from..self.to).contains(&id)
    }
}

/// The first id of a millisecond. Ids are never negative as PostgreSQL's `bigint`.
fn first_id(time: UnixMillis) -> u64 {
    match EventId::before(time).get() {
        0 => 0,
        before => before + 1,
    }
}

/// The tables that are missing for these ids: of `span`, cut where tables of another length are.
pub fn missing(
    ids: impl IntoIterator<Item = EventId>,
    span: Duration,
    existing: &[Range],
) -> Vec<Range> {
    let mut made: Vec<Range> = Vec::new();
    for id in ids.into_iter().map(EventId::get) {
        let is_there = |range: &Range| range.has(id);
        if !existing.iter().any(is_there) && !made.iter().any(is_there) {
            made.push(range_for(id, span, existing.iter().chain(&made)));
        }
    }
    made
}

fn range_for<'a>(id: u64, span: Duration, others: impl Iterator<Item = &'a Range>) -> Range {
    let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
    let since = id / PER_MILLISECOND;
    let begin = since / span * span;
    let mut range = Range {
        from: first_id(CLOCK_START + begin),
        to: first_id(CLOCK_START.saturating_add(begin).saturating_add(span)),
    };
    for other in others {
        if other.to <= id {
            range.from = range.from.max(other.to);
        } else if other.from > id {
            range.to = range.to.min(other.from);
        }
    }
    range
}

/// Tables whose events are all older than `retention`.
pub fn expired(existing: &[Range], now: UnixMillis, retention: Duration) -> Vec<Range> {
    let retention = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let oldest = first_id(now.saturating_sub(retention));
    let is_past = |range: &&Range| range.to <= oldest;
    existing.iter().filter(is_past).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(millis: u64) -> EventId {
        EventId::new(millis * 4096 + 7).unwrap()
    }

    #[test]
    fn a_table_covers_a_span_of_time_and_is_made_once() {
        let hour = 3_600_000;
        let made = missing([at(1), at(2), at(hour), at(3 * hour - 1)], HOUR, &[]);
        let from: Vec<u64> = made.iter().map(|range| range.from / 4096 / hour).collect();
        assert_eq!(from, [0, 1, 2]);
        assert!(
            made.iter()
                .all(|range| range.to - range.from == hour * 4096)
        );
        assert_eq!(missing([at(1)], HOUR, &made), []);
        assert_eq!(made[1].name(), format!("events_{}", hour * 4096));
    }

    #[test]
    fn tables_of_another_length_are_not_overlapped() {
        let minute = 60_000;
        let existing = missing([at(10 * minute), at(20 * minute)], HOUR / 60, &[]);
        let made = missing([at(15 * minute), at(30 * minute)], HOUR, &existing);
        assert_eq!(made[0].from, existing[0].to);
        assert_eq!(made[0].to, existing[1].from);
        assert_eq!(made[1].from, existing[1].to);
        assert_eq!(made[1].to, 60 * minute * 4096);
    }

    #[test]
    fn a_table_is_dropped_when_its_last_event_is_too_old() {
        let hour = 3_600_000;
        let existing = missing([at(0), at(hour)], HOUR, &[]);
        let now = |millis| CLOCK_START + millis;
        assert_eq!(expired(&existing, now(2 * hour - 1), HOUR), []);
        assert_eq!(expired(&existing, now(2 * hour), HOUR), [existing[0]]);
        assert_eq!(expired(&existing, now(0), HOUR), []);
    }
}
