//! The append-only file that keeps the embedded event log over restarts (`--data-dir`).
//!
//! The log calls [`Journal::append`] before an event becomes visible and, under [`Fsync::Always`],
//! [`Journal::sync`] before it is acknowledged. After any crash [`Journal::open`] gives back every
//! batch that was appended, whole and once, or says in [`Tail`] that some may be missing; then a new
//! [`Epoch`] has begun, which is how subscribers learn of it.
//!
//! # Format 1.0
//!
//! A directory (mode 0700) holds `lock`, which one process at a time has (flock), and files
//! `log-NNNNNNNN.sse` (mode 0600), numbered in the order of their making. `*.tmp` is unfinished and
//! removed at the next opening. Numbers are little-endian; a *varint* is LEB128; a *text* is its
//! length as a varint and UTF-8.
//!
//! **Header**, 68 bytes, on the disk before the file has its name:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | `F5` `SSELOG` `0A` |
//! | 8 | 2 + 2 | format: major (another one is refused), minor |
//! | 12 | 1 + 3 | kind: 0 live, 1 snapshot; zeros |
//! | 16 | 8 | this file's number |
//! | 24 | 8 + 8 | number of the file before it, how many bytes of that file count; zeros in the first |
//! | 40 | 21 | life: epoch (4), boot id of the machine (16), fsync policy (1): 0 always, 1 interval, 2 never |
//! | 61 | 3 | zeros |
//! | 64 | 4 | CRC-32 of the 64 bytes before |
//!
//! Then **batches**, one for each append, valid as a whole or not at all:
//!
//! | bytes | |
//! |---|---|
//! | 4 | `F5` `SSE`; F5 occurs in no UTF-8 |
//! | 4 | length of the content, at most 64 MiB |
//! | 4 | CRC-32 (IEEE) of file number (8), offset of the batch (8), length (4), content |
//! | varint | content starts: how many bytes before the batch were not known to be synced |
//! | … | records, each a kind (1) and its fields |
//!
//! **Records**: 1 event: flags (1), channel (text), id, predecessor's id (varints), then as flags
//! say type (text), data (text), attributes (count, then name and value each), retry (varint), time
//! (seconds and nanoseconds, zigzag varints), idempotency (key, 32 bytes, count, index). Flags from
//! bit 0: predecessor is only an upper bound, has type, data, attributes, retry, time, ends the
//! channel, has idempotency. 2 head: last, forgotten. 3 epoch ended: epoch, fork. 4 channel: name,
//! last, ending (1). 5 key: channel, key (texts), 32 bytes, time in milliseconds, count, ids. 6
//! purged: channel, until. 128 opened: life (21). 129 closed. 130 end of a snapshot. A kind that this
//! release does not know is an error, never skipped.
//!
//! An event of 256 bytes takes 34 bytes and its channel's name more than its data when it is
//! appended alone, 21 in a large batch (a test holds both).
//!
//! # Recovery
//!
//! From the file with the highest number back over what each header names, up to a snapshot or the
//! first; other files are left from an interrupted compaction or cut, and removed. Damage counts as
//! a torn tail only in the last live file, behind its header or in one that is cut off, and only if
//! no whole batch follows, or if the machine has been rebooted and the batches that follow did not
//! yet know the place to be synced (a power loss may leave holes). Any other damage is an error. A cut does not change the old file first:
//! a new file says how much of the old one counts, so that a crash during recovery is met again.
//!
//! # Compaction
//!
//! With file N in use, [`Journal::begin_compaction`] syncs it and lets appends go to N+2.
//! [`Compaction::write`] makes the snapshot N+1 and removes the files up to N;
//! [`Journal::finish_compaction`] counts the bytes. Until N+1 has its name the old files count,
//! from then on N+1 does.

mod batch;
mod compaction;
#[cfg(test)]
mod crash_tests;
mod directory;
mod error;
mod file;
mod opening;
mod record;
mod recovery;
mod sync;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::batch::{BatchWriter, MAX_BODY};
pub use self::compaction::{Compaction, Finished};
use self::directory::Lock;
pub use self::error::JournalError;
use self::error::io_error;
use self::file::Life;
use self::record::Entry;
pub use self::record::{Idempotency, Record};
use self::recovery::Summary;
pub use self::sync::{DoneSync, PendingSync};
use crate::cursor::{Epoch, EventId};

const MAJOR: u16 = 1;
const MINOR: u16 = 0;
/// Most bytes that the records of one append may take. A little less than a batch can hold, so that
/// a snapshot can hold whatever was appended.
pub const MAX_BATCH: usize = MAX_BODY - (1 << 20);
/// Ended epochs that are remembered. A cursor of an older one gets a possible gap.
pub const MAX_ENDED_EPOCHS: usize = 16;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Made if it is not there. No two relays may share it.
    pub dir: PathBuf,
    pub fsync: Fsync,
    /// Bytes of all files below which compaction is not worth while.
    pub compact_at: u64,
    pub repair: Repair,
}

/// When what was appended goes to the disk. The caller does it with [`Journal::sync`]; the journal
/// needs to know, to judge after a power loss what may be missing.
///
/// Under every policy all that was appended survives the end of the process, kill -9 included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fsync {
    /// Before each acknowledgement: nothing acknowledged is lost by a power loss.
    Always,
    /// Every so often: a power loss costs at most this much, and is a new epoch.
    Interval(Duration),
    /// When the system likes.
    Never,
}

/// What to do about damage that no crash explains.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Repair {
    /// An error that names file and offset.
    #[default]
    Refuse,
    /// The log ends where the damage begins; all later is dropped, and a new epoch begins.
    CutFromFirstDamage,
}

/// How the log's end was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// Closed, or new.
    Clean,
    /// Not closed, but nothing acknowledged can be missing.
    Unclean,
    /// It ended in what is not whole, which was cut. A new epoch has begun.
    Torn { cut_bytes: u64 },
    /// Not closed, the machine was rebooted since (or is another one), and the policy was not
    /// [`Fsync::Always`]: acknowledged events may be missing. A new epoch has begun.
    Suspect,
}

impl Tail {
    /// As logs call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Tail::Clean => "clean",
            Tail::Unclean => "unclean",
            Tail::Torn { .. } => "torn",
            Tail::Suspect => "suspect",
        }
    }
}

/// What [`Journal::open`] found, besides the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// That the log goes on with: the one it had, or the new one.
    pub epoch: Epoch,
    /// Highest id that any record tells of. New ids must be above.
    pub last: EventId,
    pub tail: Tail,
}

/// Whether, and why, nothing may be appended any more.
#[derive(Debug)]
enum Health {
    Sound,
    Poisoned(String),
}

/// The open journal. Dropping it is a crash as far as the next opening can tell; [`Journal::close`]
/// ends it well.
#[derive(Debug)]
pub struct Journal {
    options: Options,
    lock: Arc<Lock>,
    life: Life,
    /// Shared with a sync that runs beside the appends.
    file: Arc<File>,
    path: PathBuf,
    sequence: u64,
    length: u64,
    /// Up to where the file is known to be on the disk.
    synced: u64,
    /// The files before it that count, and their lengths.
    older: Vec<(u64, u64)>,
    summary: Summary,
    batch: BatchWriter,
    health: Health,
    /// The number of the snapshot that is being written.
    compacting: Option<u64>,
    /// Bytes of all files from which on another compaction is worth trying: a quarter of
    /// [`Options::compact_at`] more after one that failed, twice its snapshot after one that did
    /// not, so that what the caller's estimate leaves out is not rewritten over and over.
    retry_above: u64,
}

impl Journal {
    /// Appends the records as one batch, which is recovered whole or not at all, with one write.
    /// After an error none of them is in the file; unless it is [`JournalError::Poisoned`] the next
    /// append may succeed (a full disk may have room again). Visible to the next opening after kill
    /// -9, but not after a power loss before [`Journal::sync`].
    pub fn append(&mut self, records: &[Record]) -> Result<(), JournalError> {
        self.check()?;
        if records.is_empty() {
            return Ok(());
        }
        let body = self.batch.start(self.length - self.synced);
        for record in records {
            record.encode(body);
        }
        self.write_batch()?;
        for record in records {
            self.summary.note(record);
        }
        Ok(())
    }

    fn append_entry(&mut self, entry: &Entry) -> Result<(), JournalError> {
        self.check()?;
        entry.encode(self.batch.start(self.length - self.synced));
        self.write_batch()
    }

    fn write_batch(&mut self) -> Result<(), JournalError> {
        let bytes = self.batch.seal(self.sequence, self.length)?;
        if bytes.len() > MAX_BATCH {
            return Err(JournalError::TooLarge { bytes: bytes.len() });
        }
        let Err(error) = self.file.write_all_at(bytes, self.length) else {
            self.length += bytes.len() as u64;
            return Ok(());
        };
        if let Err(second) = self.file.set_len(self.length) {
            let path = self.path.display();
            self.poison(format!(
                "cannot append to {path}: {error}, nor take back what was written of it: {second}"
            ));
        }
        Err(io_error("append to", &self.path)(error))
    }

    /// All that was appended is on the disk afterwards. After an error nobody knows what is, and the
    /// journal is poisoned: a second try could succeed without having written anything.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        let done = self.begin_sync()?.run();
        self.finish_sync(done)
    }

    /// The same in three steps, so that appends need not wait for the disk:
    /// [`PendingSync::run`] may be on another thread while they go on. It covers what was appended
    /// before this call.
    pub fn begin_sync(&self) -> Result<PendingSync, JournalError> {
        self.check()?;
        Ok(PendingSync {
            file: Arc::clone(&self.file),
            path: self.path.clone(),
            sequence: self.sequence,
            length: self.length,
        })
    }

    /// Takes note of how a sync went. Only after this said `Ok` is what it covers safe.
    pub fn finish_sync(&mut self, done: DoneSync) -> Result<(), JournalError> {
        if let Err(error) = done.result {
            self.poison(format!("cannot sync {}: {error}", done.path.display()));
            return Err(io_error("sync", &done.path)(error));
        }
        if done.sequence == self.sequence {
            self.synced = self.synced.max(done.length);
        }
        self.check()
    }

    fn check(&self) -> Result<(), JournalError> {
        match &self.health {
            Health::Sound => Ok(()),
            Health::Poisoned(why) => Err(JournalError::Poisoned(why.clone())),
        }
    }

    fn poison(&mut self, why: String) {
        self.health = Health::Poisoned(why);
    }

    /// Bytes of all files that count.
    pub fn bytes(&self) -> u64 {
        self.length + self.older.iter().map(|&(_, bytes)| bytes).sum::<u64>()
    }

    /// All on the disk, and marked as complete: the next opening finds [`Tail::Clean`]. Another
    /// opening has to wait for a compaction that still runs.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.sync()?;
        self.append_entry(&Entry::Closed)?;
        self.sync()
    }
}
