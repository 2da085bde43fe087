//! Is the section `archive` right?

use super::{ONE_HOUR, ONE_MILLI, ONE_SECOND, Problems, check_patterns};
use crate::archive::{Archive, is_schema_name};
use crate::timespan::Timespan;

/// Most events of a batch: it is one statement.
const MAX_BATCH: usize = 10_000;
const MAX_READERS: usize = 64;

pub(super) fn check(problems: &mut Problems, archive: &Archive) {
    problems
        .0
        .extend(archive.postgres.problems("archive.postgres"));
    problems.add_if(
        !is_schema_name(&archive.schema),
        "archive.schema",
        "write a name of lower-case letters, digits and `_`, at most 63 bytes, not beginning with \
         a digit or `pg_`",
    );
    problems.add_if(
        archive.channels.is_empty(),
        "archive.channels",
        "is empty, so nothing would be kept; name patterns of channels, or remove `archive`",
    );
    check_patterns(problems, "archive.channels", &archive.channels);
    let longest = Timespan::from_secs(31 * 24 * 3600);
    problems.time(
        "archive.tableSpan",
        archive.table_span,
        ONE_SECOND..=longest,
    );
    problems.time(
        "archive.retention",
        archive.retention,
        archive.table_span..=Timespan::MAX,
    );
    problems.time("archive.interval", archive.interval, ONE_MILLI..=ONE_HOUR);
    problems.add_if(
        !(1..=MAX_BATCH).contains(&archive.batch_events),
        "archive.batchEvents",
        "write a number from 1 to 10000",
    );
    problems.add_if(
        !(1..=MAX_READERS).contains(&archive.readers),
        "archive.readers",
        "write a number from 1 to 64",
    );
    let tables = archive.retention.as_millis() / archive.table_span.as_millis().max(1);
    problems.add_if(
        tables > u64::from(MAX_TABLES) && archive.retention != Timespan::MAX,
        "archive.tableSpan",
        "would make more than 3000 tables in the time of `retention`; write a longer one",
    );
}

/// What PostgreSQL plans over in good time.
const MAX_TABLES: u32 = 3_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl FnOnce(&mut Archive)) -> String {
        let mut archive = Archive::default();
        archive.postgres.url = "postgres://db/events".into();
        change(&mut archive);
        let mut problems = Problems::default();
        check(&mut problems, &archive);
        let lines: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn an_archive_needs_no_more_than_an_address() {
        assert_eq!(said(|_| ()), "");
        assert!(said(|archive| archive.postgres.url.clear()).contains("archive.postgres.url"));
    }

    #[test]
    fn what_cannot_work_is_said() {
        for schema in ["", "A", "a-b", "1a", "pg_x", &"a".repeat(64), "x; drop"] {
            let said = said(|archive| archive.schema = schema.into());
            assert!(said.contains("archive.schema"), "{schema}");
        }
        assert!(said(|archive| archive.channels.clear()).contains("archive.channels"));
        assert!(said(|archive| archive.channels = vec!["a.**.b".into()]).contains("channels[0]"));
        assert!(said(|archive| archive.batch_events = 0).contains("batchEvents"));
        assert!(said(|archive| archive.readers = 65).contains("readers"));
        let short = |archive: &mut Archive| archive.retention = Timespan::from_secs(60);
        assert!(said(short).contains("archive.retention"));
        let many = |archive: &mut Archive| archive.table_span = Timespan::from_secs(60);
        assert!(said(many).contains("3000 tables"));
    }
}
