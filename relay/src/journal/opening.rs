//! From a directory to an open journal: acts on what [`super::recovery`] found.

use std::fs::{File, OpenOptions};
use std::sync::Arc;

use super::batch::BatchWriter;
use super::compaction::remove;
use super::directory::{self, Lock};
use super::error::{JournalError, io_error};
use super::file::{BootId, Follows, Header, Kind, Life, NewFile, path_of};
use super::record::{Entry, Record};
use super::recovery::{self, Recovery};
use super::{Health, Journal, Options, Recovered, Tail};
use crate::cursor::Epoch;

impl Journal {
    /// Takes the directory and reads it. `sink` gets every record in order, ended epochs (at most
    /// [`super::MAX_ENDED_EPOCHS`]) after all others. `new_epoch` is random and used when an epoch must
    /// start: in a new directory, and after [`Tail::Torn`] and [`Tail::Suspect`].
    ///
    /// Reads and writes files; not for an async thread.
    pub fn open(
        options: Options,
        new_epoch: Epoch,
        sink: impl FnMut(Record),
    ) -> Result<(Journal, Recovered), JournalError> {
        Journal::open_on(BootId::current(), options, new_epoch, sink)
    }

    pub(super) fn open_on(
        boot: BootId,
        options: Options,
        new_epoch: Epoch,
        mut sink: impl FnMut(Record),
    ) -> Result<(Journal, Recovered), JournalError> {
        let dir = &options.dir;
        let lock = Arc::new(directory::take(dir)?);
        let listing = directory::list(dir)?;
        let found = recovery::recover(dir, &listing.logs, boot, options.repair, &mut sink)?;
        for path in &listing.temporary {
            std::fs::remove_file(path).map_err(io_error("remove", path))?;
        }
        let tail = found.tail;
        let superfluous = found.superfluous.clone();
        let promise = options.fsync.into();
        let life = |epoch| Life {
            epoch,
            boot,
            promise,
        };
        let journal = match (found.summary.life, tail) {
            (Some(last), Tail::Clean | Tail::Unclean) => {
                Journal::go_on(options, lock, life(last.epoch), found)?
            }
            (None, _) | (_, Tail::Torn { .. } | Tail::Suspect) => {
                let number = listing.logs.last().map_or(1, |last| last + 1);
                Journal::begin_epoch(options, lock, life(new_epoch), number, found)?
            }
        };
        for sequence in superfluous {
            remove(&journal.options.dir, sequence)?;
        }
        journal.summary.ended_records().for_each(sink);
        let recovered = Recovered {
            epoch: journal.life.epoch,
            last: journal.summary.highest,
            tail,
        };
        Ok((journal, recovered))
    }

    /// Appends to the last file.
    fn go_on(
        options: Options,
        lock: Arc<Lock>,
        life: Life,
        mut found: Recovery,
    ) -> Result<Journal, JournalError> {
        let (sequence, length) = found.files.pop().expect("a life was found in a file");
        let path = path_of(&options.dir, sequence);
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(io_error("open", &path))?;
        let mut journal = Journal::on_file(options, lock, life, found, file, sequence, length);
        // First, so that a later power loss puts only this life's appends in doubt.
        journal.sync()?;
        journal.append_entry(&Entry::Opened(life))?;
        journal.sync()?;
        Ok(journal)
    }

    /// Goes on in a new file, which says how much of the last one counts.
    fn begin_epoch(
        options: Options,
        lock: Arc<Lock>,
        life: Life,
        number: u64,
        mut found: Recovery,
    ) -> Result<Journal, JournalError> {
        let follows = found
            .files
            .last()
            .map(|&(sequence, length)| Follows { sequence, length });
        let ended = found.summary.life.map(|last| Record::EpochEnded {
            epoch: last.epoch,
            fork: found.summary.highest,
        });
        if let Some(follows) = follows {
            sync_file(&options, follows.sequence)?;
        }
        let header = Header {
            kind: Kind::Live,
            sequence: number,
            follows,
            life,
        };
        let mut batch = BatchWriter::default();
        let mut new = NewFile::create(&options.dir, &header)?;
        if let Some(ended) = &ended {
            found.summary.note(ended);
            ended.encode(batch.start(0));
            let bytes = batch.seal(number, new.length)?;
            if let Err(error) = new.write(bytes) {
                return Err(new.discard(error));
            }
        }
        let length = new.length;
        new.sync()?;
        let file = new.publish()?;
        if let Some(follows) = follows {
            truncate_file(&options, follows)?;
        }
        Ok(Journal::on_file(
            options, lock, life, found, file, number, length,
        ))
    }

    fn on_file(
        options: Options,
        lock: Arc<Lock>,
        life: Life,
        found: Recovery,
        file: File,
        sequence: u64,
        length: u64,
    ) -> Journal {
        Journal {
            path: path_of(&options.dir, sequence),
            options,
            lock,
            life,
            file: Arc::new(file),
            sequence,
            length,
            synced: length,
            older: found.files,
            summary: found.summary,
            batch: BatchWriter::default(),
            health: Health::Sound,
            compacting: None,
            retry_above: 0,
        }
    }
}

fn sync_file(options: &Options, sequence: u64) -> Result<(), JournalError> {
    let path = path_of(&options.dir, sequence);
    File::open(&path)
        .and_then(|file| file.sync_all())
        .map_err(io_error("sync", &path))
}

fn truncate_file(options: &Options, follows: Follows) -> Result<(), JournalError> {
    let path = path_of(&options.dir, follows.sequence);
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| {
            file.set_len(follows.length)?;
            file.sync_all()
        })
        .map_err(io_error("cut", &path))
}
