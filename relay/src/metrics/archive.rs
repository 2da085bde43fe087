//! Figures of the archive.

use super::exposition::Metric;
use crate::archive::stats::ArchiveStats;

/// All of them, also where there is no archive.
pub fn metrics(stats: &ArchiveStats) -> Vec<Metric> {
    let ArchiveStats {
        connected,
        writing,
        lag,
        events,
        holes,
        dropped,
        clients_lost,
        failures,
        reads,
    } = stats;
    vec![
        Metric::gauge(
            "sse_relay_archive_connected",
            "Whether the archive's PostgreSQL answers this replica.",
            connected.get(),
        ),
        Metric::gauge(
            "sse_relay_archive_writing",
            "Whether this replica is the one that writes the archive.",
            writing.get(),
        ),
        Metric::gauge(
            "sse_relay_archive_lag_seconds",
            "How long ago what is archived now was published; 0 where another replica writes.",
            lag.get() as f64 / 1000.0,
        ),
        Metric::counter(
            "sse_relay_archive_events",
            "Events that this replica wrote to the archive.",
            events,
        ),
        Metric::counter(
            "sse_relay_archive_holes",
            "Times that the log no longer had all events when it was read for the archive.",
            holes,
        ),
        Metric::counter(
            "sse_relay_archive_tables_dropped",
            "Tables of events that were dropped, since all in them was too old.",
            dropped,
        ),
        Metric::counter(
            "sse_relay_archive_clients_lost",
            "Streams of named receivers that ended and were not written down.",
            clients_lost,
        ),
        Metric::family(
            "sse_relay_archive_failures",
            "What the archive could not do, by operation; each is tried again.",
            "operation",
            failures,
        ),
        Metric::family(
            "sse_relay_archive_reads",
            "Looks into the archive for events that the log no longer has, by what came of them.",
            "outcome",
            reads,
        ),
    ]
}
