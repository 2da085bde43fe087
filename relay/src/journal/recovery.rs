//! What a directory holds: which of its files count, what they say, where a damage begins.
//!
//! Nothing here writes. [`super::Journal::open`] acts on what is found.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::batch::{After, BatchReader, Flaw, look_after};
use super::error::{JournalError, io_error};
use super::file::{BootId, HEADER, Header, HeaderFlaw, Kind, Life, Promise, path_of};
use super::record::{Entry, Record};
use super::{MAX_ENDED_EPOCHS, Repair, Tail};
use crate::cursor::{Epoch, EventId};

/// A file that counts.
struct Link {
    path: PathBuf,
    file: File,
    header: Header,
    /// Where it ends, as the file after it says. `None`: at its last byte.
    end: Option<u64>,
}

/// An error, and the file that a repair would begin to cut at. `None`: no repair helps.
struct Obstacle {
    error: JournalError,
    sequence: Option<u64>,
}

impl From<JournalError> for Obstacle {
    fn from(error: JournalError) -> Obstacle {
        Obstacle {
            error,
            sequence: None,
        }
    }
}

impl Obstacle {
    fn at(sequence: u64, error: JournalError) -> Obstacle {
        Obstacle {
            error,
            sequence: Some(sequence),
        }
    }
}

/// What the files tell in sum.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) highest: EventId,
    pub(super) forgotten: EventId,
    /// The last of them, oldest first.
    pub(super) ended: VecDeque<(Epoch, EventId)>,
    /// The last life; `None` in a new directory.
    pub(super) life: Option<Life>,
    closed: bool,
}

impl Summary {
    pub(super) fn note(&mut self, record: &Record) {
        self.highest = self.highest.max(record.highest());
        match record {
            Record::Head { forgotten, .. } => self.forgotten = self.forgotten.max(*forgotten),
            Record::EpochEnded { epoch, fork } => {
                self.ended.push_back((*epoch, *fork));
                if self.ended.len() > MAX_ENDED_EPOCHS {
                    self.ended.pop_front();
                }
            }
            Record::Event { .. }
            | Record::Channel { .. }
            | Record::Purged { .. }
            | Record::Key { .. } => {}
        }
    }

    pub(super) fn ended_records(&self) -> impl Iterator<Item = Record> {
        let ended = self.ended.iter();
        ended.map(|&(epoch, fork)| Record::EpochEnded { epoch, fork })
    }
}

/// What was found.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) summary: Summary,
    pub(super) tail: Tail,
    /// The files that count and their lengths, oldest first.
    pub(super) files: Vec<(u64, u64)>,
    /// Files that do not count (any more).
    pub(super) superfluous: Vec<u64>,
}

/// Reads all files; `sink` gets the records in order, but those of ended epochs, which are in the
/// summary.
pub(super) fn recover(
    dir: &Path,
    logs: &BTreeSet<u64>,
    boot: BootId,
    repair: Repair,
    sink: &mut impl FnMut(Record),
) -> Result<Recovery, JournalError> {
    let mut kept = logs.clone();
    let mut cut_bytes = None;
    let links = loop {
        match chain(dir, &kept, cut_bytes.is_some()) {
            Ok(links) => break links,
            Err(Obstacle {
                sequence: Some(at),
                error,
            }) if repair == Repair::CutFromFirstDamage
                || (cut_bytes.is_none() && torn_header(dir, &kept, at, &error)?) =>
            {
                for sequence in kept.split_off(&at) {
                    *cut_bytes.get_or_insert(0) += size_of(&path_of(dir, sequence))?;
                }
            }
            Err(Obstacle { error, .. }) => return Err(error),
        }
    };
    let mut found = replay(links, boot, repair, sink)?;
    if let Some(cut) = cut_bytes {
        let more = match found.tail {
            Tail::Torn { cut_bytes } => cut_bytes,
            Tail::Clean | Tail::Unclean | Tail::Suspect => 0,
        };
        found.tail = Tail::Torn {
            cut_bytes: cut + more,
        };
    }
    let counting: BTreeSet<u64> = found.files.iter().map(|&(sequence, _)| sequence).collect();
    found.superfluous = logs.difference(&counting).copied().collect();
    Ok(found)
}

fn size_of(path: &Path) -> Result<u64, JournalError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

/// Whether the obstacle is the last file, cut off in its header, so that nothing can be in it.
fn torn_header(
    dir: &Path,
    kept: &BTreeSet<u64>,
    at: u64,
    error: &JournalError,
) -> Result<bool, JournalError> {
    Ok(kept.last() == Some(&at)
        && matches!(error, JournalError::Damaged { .. })
        && size_of(&path_of(dir, at))? < HEADER as u64)
}

fn open(dir: &Path, sequence: u64) -> Result<(PathBuf, File, Header), Obstacle> {
    let path = path_of(dir, sequence);
    let file = File::open(&path).map_err(io_error("open", &path))?;
    match Header::read(&file, sequence) {
        Ok(header) => Ok((path, file, header)),
        Err(HeaderFlaw::Io(error)) => Err(io_error("read", &path)(error).into()),
        Err(HeaderFlaw::Version { major, minor }) => {
            Err(JournalError::Version { path, major, minor }.into())
        }
        Err(HeaderFlaw::Broken(what)) => Err(Obstacle::at(
            sequence,
            JournalError::Damaged {
                path,
                offset: 0,
                what,
            },
        )),
    }
}

/// The files that count, oldest first: from the last one back over what each one follows, up to a
/// snapshot or the first. `ends_cut`: later files were given up, so that the last may be a snapshot.
fn chain(dir: &Path, logs: &BTreeSet<u64>, ends_cut: bool) -> Result<VecDeque<Link>, Obstacle> {
    let mut links = VecDeque::new();
    let mut next = logs.last().map(|&sequence| (sequence, None));
    while let Some((sequence, end)) = next {
        let (path, file, header) = open(dir, sequence)?;
        if header.kind == Kind::Snapshot && links.is_empty() && !ends_cut {
            // A compaction lets appends go to the file after before it writes the snapshot.
            let missing = path_of(dir, sequence + 1);
            return Err(Obstacle::at(sequence + 1, JournalError::Missing(missing)));
        }
        next = match (header.kind, header.follows) {
            (Kind::Snapshot, _) | (Kind::Live, None) => None,
            (Kind::Live, Some(before)) if is_snapshot_of(dir, logs, before.sequence, sequence)? => {
                Some((before.sequence + 1, None))
            }
            (Kind::Live, Some(before)) if logs.contains(&before.sequence) => {
                Some((before.sequence, Some(before.length)))
            }
            (Kind::Live, Some(before)) => {
                let missing = path_of(dir, before.sequence);
                return Err(Obstacle::at(
                    before.sequence,
                    JournalError::Missing(missing),
                ));
            }
        };
        links.push_front(Link {
            path,
            file,
            header,
            end,
        });
    }
    Ok(links)
}

/// Whether a compaction put a file in the place of `before` and all files before that one.
fn is_snapshot_of(
    dir: &Path,
    logs: &BTreeSet<u64>,
    before: u64,
    after: u64,
) -> Result<bool, Obstacle> {
    let sequence = before + 1;
    if sequence >= after || !logs.contains(&sequence) {
        return Ok(false);
    }
    match open(dir, sequence) {
        Ok((_, _, header)) => Ok(header.kind == Kind::Snapshot
            && header.follows.map(|follows| follows.sequence) == Some(before)),
        // A file that a recovery cut and had no time to remove. Were it a snapshot, the files it
        // stands for would still be complete, or found missing: they are removed oldest first.
        Err(Obstacle {
            sequence: Some(_), ..
        }) if logs.contains(&before) => Ok(false),
        Err(obstacle) => Err(obstacle),
    }
}

/// Where and why reading a file stopped before its end.
struct Stop {
    offset: u64,
    length: u64,
    flaw: Flaw,
}

fn replay(
    links: VecDeque<Link>,
    boot: BootId,
    repair: Repair,
    sink: &mut impl FnMut(Record),
) -> Result<Recovery, JournalError> {
    let mut summary = Summary::default();
    let mut files = Vec::new();
    let mut torn = None;
    let count = links.len();
    for (index, link) in links.into_iter().enumerate() {
        summary.life = Some(link.header.life);
        summary.closed = false;
        let sequence = link.header.sequence;
        let (length, stop) = read(&link, &mut summary, sink)?;
        let Some(stop) = stop else {
            files.push((sequence, length));
            continue;
        };
        files.push((sequence, stop.offset));
        let rebooted = summary
            .life
            .is_some_and(|life| !life.boot.surely_same(boot));
        let last = index + 1 == count && link.header.kind == Kind::Live;
        let cut = stop.length - stop.offset;
        if (last && is_torn(&link, &stop, rebooted)?) || repair == Repair::CutFromFirstDamage {
            // Files after this one, if any, do not count any more.
            torn = Some(cut);
            break;
        }
        return Err(damaged(link.path, stop));
    }
    let tail = match torn {
        Some(cut_bytes) => Tail::Torn { cut_bytes },
        None => whole_tail(&summary, boot),
    };
    Ok(Recovery {
        summary,
        tail,
        files,
        superfluous: Vec::new(),
    })
}

/// Of a log that reads to its end.
fn whole_tail(summary: &Summary, boot: BootId) -> Tail {
    match summary.life {
        None => Tail::Clean,
        Some(_) if summary.closed => Tail::Clean,
        Some(life) if life.boot.surely_same(boot) || life.promise == Promise::EachAppend => {
            Tail::Unclean
        }
        Some(_) => Tail::Suspect,
    }
}

/// Whether the last file stops where a crash cut it off. Without a reboot since, the system still
/// has all whole writes, so nothing whole can come after a torn one. After a reboot the disk may
/// have any of the blocks that were not synced: then what counts is whether a later batch knew the
/// place to be synced.
fn is_torn(link: &Link, stop: &Stop, rebooted: bool) -> Result<bool, JournalError> {
    if !matches!(stop.flaw, Flaw::Broken(_)) {
        return Ok(false);
    }
    let sequence = link.header.sequence;
    let after = look_after(&link.file, sequence, stop.offset + 1, stop.length)
        .map_err(io_error("read", &link.path))?;
    Ok(match after {
        After::Nothing => true,
        After::SyncedUntil(synced) => rebooted && synced <= stop.offset,
    })
}

fn damaged(path: PathBuf, stop: Stop) -> JournalError {
    let offset = stop.offset;
    match stop.flaw {
        Flaw::Io(error) => io_error("read", &path)(error),
        Flaw::UnknownKind(kind) => JournalError::UnknownRecord { path, offset, kind },
        Flaw::Broken(what) | Flaw::Senseless(what) => JournalError::Damaged { path, offset, what },
    }
}

/// Reads one file. The length is where it ended, or would have.
fn read(
    link: &Link,
    summary: &mut Summary,
    sink: &mut impl FnMut(Record),
) -> Result<(u64, Option<Stop>), JournalError> {
    let path = &link.path;
    let available = size_of(path)?;
    let length = link.end.map_or(available, |end| end.min(available));
    let mut file = link.file.try_clone().map_err(io_error("open", path))?;
    file.seek(SeekFrom::Start(HEADER as u64))
        .map_err(io_error("read", path))?;
    let mut reader = BatchReader::new(file, link.header.sequence, HEADER as u64, length);
    let mut complete = false;
    let flaw = loop {
        match reader.next() {
            Ok(None) => break incomplete(link, available, complete),
            Ok(Some(entries)) => {
                for entry in entries {
                    complete = entry == Entry::SnapshotEnd;
                    take(entry, summary, sink);
                }
            }
            // A disk that cannot be read and a record of another release are not cut by a repair.
            Err(flaw @ (Flaw::Io(_) | Flaw::UnknownKind(_))) => {
                let offset = reader.offset();
                let stop = Stop {
                    offset,
                    length,
                    flaw,
                };
                return Err(damaged(path.clone(), stop));
            }
            Err(flaw) => break Some(flaw),
        }
    };
    let offset = reader.offset();
    let stop = flaw.map(|flaw| Stop {
        offset,
        length,
        flaw,
    });
    Ok((length, stop))
}

/// What is wrong with a file whose every batch is whole.
fn incomplete(link: &Link, available: u64, complete: bool) -> Option<Flaw> {
    match link.end {
        Some(end) if available < end => Some(Flaw::Senseless("its end is missing")),
        None if link.header.kind == Kind::Snapshot && !complete => {
            Some(Flaw::Senseless("its end is missing"))
        }
        Some(_) | None => None,
    }
}

fn take(entry: Entry, summary: &mut Summary, sink: &mut impl FnMut(Record)) {
    summary.closed = entry == Entry::Closed;
    match entry {
        Entry::Record(record) => {
            summary.note(&record);
            if !matches!(record, Record::EpochEnded { .. }) {
                sink(record);
            }
        }
        Entry::Opened(life) => summary.life = Some(life),
        Entry::Closed | Entry::SnapshotEnd => {}
    }
}
