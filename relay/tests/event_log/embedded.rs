//! The embedded log, as the suite gets it.

use crate::subject::{Ahead, Clock, Implementation, Limits, Opened, Reopening, Together};
use futures_util::future::{BoxFuture, ready};
use sse_relay::{
    cursor::Epoch,
    event_log::{
        EventLog, Tail,
        memory::{MemoryLog, MemoryOptions},
    },
    journal::{Fsync, JournalError, Options, Repair},
    partition::Partitioning,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub struct Embedded {
    partitioning: Partitioning,
    file: Option<(TempDir, Fsync)>,
}

impl Embedded {
    pub fn in_memory() -> Embedded {
        Embedded::in_partitions(1)
    }

    pub fn in_partitions(count: usize) -> Embedded {
        Embedded {
            partitioning: Partitioning::new(count).unwrap(),
            file: None,
        }
    }

    pub fn in_a_directory(fsync: Fsync) -> Embedded {
        Embedded {
            partitioning: Partitioning::SINGLE,
            file: Some((tempfile::tempdir().unwrap(), fsync)),
        }
    }

    fn start(&self, options: MemoryOptions, tail: Arc<dyn Tail>) -> Arc<dyn EventLog> {
        let epoch = Epoch::from_random(rand::random());
        let Some((dir, fsync)) = &self.file else {
            let epoch = |_| Epoch::from_random(rand::random());
            let log = MemoryLog::partitioned(self.partitioning, options, epoch, tail);
            return Arc::new(log);
        };
        let file = Options {
            dir: dir.path().to_owned(),
            fsync: *fsync,
            compact_at: 20_000,
            repair: Repair::Refuse,
        };
        // a log that was dropped lets go of its directory when its threads end
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match MemoryLog::open(options.clone(), file.clone(), epoch, tail.clone()) {
                Ok((log, _)) => return Arc::new(log),
                Err(JournalError::Locked(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Implementation for Embedded {
    fn open(&self, limits: Limits, clock: Clock, tail: Arc<dyn Tail>) -> BoxFuture<'_, Opened> {
        let options = MemoryOptions {
            retention: limits.retention,
            max_bytes: limits.max_bytes,
            max_channels: limits.max_channels,
            idempotency_window: limits.idempotency_window,
            max_idempotency_keys: limits.max_idempotency_keys,
            clock: Arc::new(move || clock.now()),
        };
        Box::pin(async move {
            Opened {
                log: self.start(options, tail),
                settle: Box::new(|| Box::pin(ready(()))),
                count: Box::new(|| Box::pin(ready(()))),
            }
        })
    }

    fn reopening(&self) -> Reopening {
        match self.file {
            Some(_) => Reopening::KeepsAll,
            None => Reopening::KeepsNothing,
        }
    }

    fn ahead(&self) -> Ahead {
        Ahead::Forgotten
    }

    fn together(&self) -> Together {
        Together::Bounded
    }
}
