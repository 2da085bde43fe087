//! What is counted of the archive.

use crate::{
    label::labels,
    stats::{Counter, Family},
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that goes up and down.
#[derive(Default, Debug)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What is done with PostgreSQL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Connecting, and bringing the tables to this version.
    Connect,
    Write,
    Read,
    Purge,
    /// Making and dropping tables.
    Tables,
    /// Writing down who receives.
    Register,
}

labels!(Operation {
    Connect => "connect",
    Write => "write",
    Read => "read",
    Purge => "purge",
    Tables => "tables",
    Register => "register",
});

/// What came of looking for events that the log no longer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadOutcome {
    /// All of them are there.
    Filled,
    /// Some are missing; the gap was told.
    Partial,
    /// PostgreSQL did not answer; the gap was told.
    Failed,
    /// Too many read at once; it is asked again.
    Busy,
}

labels!(ReadOutcome {
    Filled => "filled",
    Partial => "partial",
    Failed => "failed",
    Busy => "busy",
});

#[derive(Default, Debug)]
pub struct ArchiveStats {
    /// 1 while PostgreSQL answers.
    pub connected: Gauge,
    /// 1 while this replica writes.
    pub writing: Gauge,
    /// Of what is written now, in milliseconds; 0 where another replica writes.
    pub lag: Gauge,
    pub events: Counter,
    /// Gaps that the log had when it was read.
    pub holes: Counter,
    /// Tables dropped, since their events were too old.
    pub dropped: Counter,
    /// Streams that ended and were not written down, since too many waited.
    pub clients_lost: Counter,
    pub failures: Family<Operation>,
    pub reads: Family<ReadOutcome>,
}
