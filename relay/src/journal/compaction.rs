//! Rewriting what is still alive, beside the appends.

use std::path::PathBuf;
use std::sync::Arc;

use super::Journal;
use super::batch::BatchWriter;
use super::directory::{Lock, sync_directory};
use super::error::{JournalError, io_error};
use super::file::{Follows, Header, Kind, NewFile, path_of};
use super::record::{Entry, Record};
use crate::cursor::EventId;

/// Bytes of records from which on a snapshot's batch is written.
const BATCH: usize = 256 << 10;

/// A compaction that has begun: appends already go to a later file. Everything slow is in
/// [`Compaction::write`], which belongs on a thread of its own.
#[derive(Debug)]
pub struct Compaction {
    pub(super) dir: PathBuf,
    /// Keeps others out of the directory while this writes to it, should the journal be gone.
    pub(super) _lock: Arc<Lock>,
    /// Of the snapshot.
    pub(super) header: Header,
    /// What the journal itself knows: ended epochs and the head.
    pub(super) known: Vec<Record>,
    pub(super) until: EventId,
    /// Files that the snapshot replaces.
    pub(super) replaces: Vec<u64>,
}

/// A compaction whose snapshot is in place.
#[derive(Debug)]
pub struct Finished {
    pub(super) sequence: u64,
    pub(super) bytes: u64,
    pub(super) removal: Result<(), JournalError>,
}

impl Compaction {
    /// The highest id that belongs into the snapshot. Later ones are in the next file.
    pub fn until(&self) -> EventId {
        self.until
    }

    /// Writes the snapshot, puts it in the place of the files before, and removes those. After an
    /// error the old files still stand, and nothing is lost.
    ///
    /// `records` are all that is alive of what was there when the compaction began. An id above
    /// [`Compaction::until`] is refused, since recovery would meet it twice. Ended epochs are left
    /// out: the journal writes them itself.
    pub fn write(
        self,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Finished, JournalError> {
        let snapshot = self.write_temporary(records)?;
        let bytes = self.publish(snapshot)?;
        Ok(Finished {
            sequence: self.header.sequence,
            bytes,
            removal: self.remove_replaced(),
        })
    }

    pub(super) fn write_temporary(
        &self,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<NewFile, JournalError> {
        let mut file = NewFile::create(&self.dir, &self.header)?;
        match self.fill(&mut file, records).and_then(|()| file.sync()) {
            Ok(()) => Ok(file),
            Err(error) => Err(file.discard(error)),
        }
    }

    fn fill(
        &self,
        file: &mut NewFile,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<(), JournalError> {
        let mut batch = BatchWriter::default();
        let mut body = batch.start(0);
        let given = records
            .into_iter()
            .filter(|record| !matches!(record, Record::EpochEnded { .. }));
        for record in self.known.iter().cloned().chain(given) {
            let id = record.highest();
            if id > self.until {
                return Err(JournalError::NotInSnapshot {
                    id,
                    until: self.until,
                });
            }
            record.encode(body);
            if body.len() >= BATCH {
                file.write(batch.seal(file.sequence, file.length)?)?;
                body = batch.start(0);
            }
        }
        Entry::SnapshotEnd.encode(body);
        file.write(batch.seal(file.sequence, file.length)?)
    }

    pub(super) fn publish(&self, snapshot: NewFile) -> Result<u64, JournalError> {
        let bytes = snapshot.length;
        snapshot.publish()?;
        Ok(bytes)
    }

    pub(super) fn remove_replaced(&self) -> Result<(), JournalError> {
        // Oldest first, so that a crash in between leaves no file without those it builds on.
        for &sequence in &self.replaces {
            remove(&self.dir, sequence)?;
        }
        sync_directory(&self.dir)
    }
}

pub(super) fn remove(dir: &std::path::Path, sequence: u64) -> Result<(), JournalError> {
    let path = path_of(dir, sequence);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_error("remove", &path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Journal {
    /// Whether to compact: no compaction runs, the files are worth it, and more than half of them
    /// is dead. `live_bytes` is the caller's estimate of what a snapshot would take.
    pub fn wants_compaction(&self, live_bytes: u64) -> bool {
        let bytes = self.bytes();
        self.compacting.is_none()
            && bytes >= self.options.compact_at
            && bytes >= self.retry_above
            && bytes / 2 >= live_bytes
    }

    /// Lets appends go to a new file, so that what was appended so far can be rewritten beside
    /// them. Costs one sync, and the making of a file. After an error other than
    /// [`JournalError::Poisoned`] all is as before.
    ///
    /// A compaction that still runs is given up.
    pub fn begin_compaction(&mut self) -> Result<Compaction, JournalError> {
        self.sync()?;
        let header = |kind, sequence| Header {
            kind,
            sequence,
            follows: Some(Follows {
                sequence: self.sequence,
                length: self.length,
            }),
            life: self.life,
        };
        let snapshot = header(Kind::Snapshot, self.sequence + 1);
        let next = header(Kind::Live, self.sequence + 2);
        self.switch_to(&next)?;
        self.compacting = Some(snapshot.sequence);
        let mut known = vec![Record::Head {
            last: self.summary.highest,
            forgotten: self.summary.forgotten,
        }];
        known.extend(self.summary.ended_records());
        Ok(Compaction {
            dir: self.options.dir.clone(),
            _lock: Arc::clone(&self.lock),
            header: snapshot,
            known,
            until: self.summary.highest,
            replaces: self.older.iter().map(|&(sequence, _)| sequence).collect(),
        })
    }

    fn switch_to(&mut self, header: &Header) -> Result<(), JournalError> {
        let new = NewFile::create(&self.options.dir, header)?;
        if let Err(error) = new.sync() {
            return Err(new.discard(error));
        }
        let length = new.length;
        let file = match new.publish() {
            Ok(file) => file,
            Err(error) => {
                // The new file may have its name: then what the old one got from here on would not
                // count.
                self.poison(error.to_string());
                return Err(error);
            }
        };
        self.older.push((self.sequence, self.length));
        self.file = Arc::new(file);
        self.path = path_of(&self.options.dir, header.sequence);
        self.sequence = header.sequence;
        self.length = length;
        self.synced = length;
        Ok(())
    }

    /// Takes note of a snapshot that is in place. An error says that a file which does not count any
    /// more could not be removed; the next opening tries again.
    pub fn finish_compaction(&mut self, finished: Finished) -> Result<(), JournalError> {
        let Finished {
            sequence,
            bytes,
            removal,
        } = finished;
        if self.compacting == Some(sequence) {
            self.compacting = None;
            self.retry_above = bytes.saturating_mul(2);
        }
        // One that was overtaken by a later one stands for nothing any more.
        let overtaken = self
            .older
            .first()
            .is_some_and(|&(oldest, _)| oldest > sequence);
        if !overtaken {
            self.older.retain(|&(older, _)| older > sequence);
            self.older.insert(0, (sequence, bytes));
        }
        removal
    }

    /// Takes note of a compaction that failed: another is wanted when the files have grown by a
    /// quarter of [`super::Options::compact_at`].
    pub fn abandon_compaction(&mut self) {
        self.compacting = None;
        self.retry_above = self.bytes() + self.options.compact_at / 4;
    }
}
