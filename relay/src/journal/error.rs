//! What can go wrong with the file, said so that an operator knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::cursor::EventId;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused. Nothing was half done: an append that fails this way left no trace.
    #[error("cannot {step} {}: {source}", .path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Another process (or a compaction of this one that still runs) has the directory.
    #[error(
        "the data directory {} is in use by another relay; give each relay a directory of its own",
        .0.display()
    )]
    Locked(PathBuf),
    /// Bytes that had been safely written are not what was written. Not a torn tail.
    #[error(
        "{} is damaged at byte {offset}: {what}. This is not the end of a write that was cut off, \
         so the disk or something else changed the file. Make a copy of the directory, then restore \
         a backup, or allow the repair that cuts the log there (all later events are lost, and \
         subscribers are told)",
        .path.display()
    )]
    Damaged {
        path: PathBuf,
        offset: u64,
        what: &'static str,
    },
    /// A file that later files build on is gone.
    #[error(
        "{} is missing, but later files continue it. Restore the directory from a backup, or allow \
         the repair that cuts the log there (all later events are lost, and subscribers are told)",
        .0.display()
    )]
    Missing(PathBuf),
    #[error(
        "{} has format {major}.{minor}, which this release does not know; use the release that \
         wrote it, or a later one",
        .path.display()
    )]
    Version {
        path: PathBuf,
        major: u16,
        minor: u16,
    },
    #[error(
        "{} has a record of kind {kind} at byte {offset}, which this release does not know; use the \
         release that wrote it, or a later one",
        .path.display()
    )]
    UnknownRecord {
        path: PathBuf,
        offset: u64,
        kind: u8,
    },
    /// The records of one append take more than the format allows. Nothing was written.
    #[error(
        "{bytes} bytes are more than one append can hold ({} bytes)",
        super::MAX_BATCH
    )]
    TooLarge { bytes: usize },
    /// An earlier failure left the file in a state that is not known, so nothing more is appended.
    /// Opening the directory again finds out.
    #[error("the journal stopped after an earlier failure: {0}; restart the relay")]
    Poisoned(String),
    /// A compaction was handed what was appended after it began. The snapshot was not written.
    #[error(
        "the snapshot has id {}, but holds only what was there up to {}",
        .id.get(),
        .until.get()
    )]
    NotInSnapshot { id: EventId, until: EventId },
}

impl JournalError {
    /// For metrics: one of a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            JournalError::Io { source, .. } if out_of_space(source) => "disk-full",
            JournalError::Io { .. } => "io",
            JournalError::Locked(_) => "locked",
            JournalError::Damaged { .. } => "damaged",
            JournalError::Missing(_) => "missing",
            JournalError::Version { .. } | JournalError::UnknownRecord { .. } => "version",
            JournalError::TooLarge { .. } => "too-large",
            JournalError::Poisoned(_) => "poisoned",
            JournalError::NotInSnapshot { .. } => "not-in-snapshot",
        }
    }
}

fn out_of_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// For `map_err`: which step failed on which path.
pub(super) fn io_error(
    step: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> JournalError + use<> {
    let path = path.to_owned();
    move |source| JournalError::Io { step, path, source }
}
