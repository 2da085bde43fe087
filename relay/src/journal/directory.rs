//! The directory: made, locked, listed, synced.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{JournalError, io_error};
use super::file::{Named, parse_name};

/// How often, and at what distance, the lock is tried for: half a second, since a process that is
/// being killed has it to the end, and one that was forked has it until it runs its program.
const LOCK_TRIES: u32 = 26;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The directory, for as long as this value or a copy of it lives (the system lets go of it when
/// the process ends, however it ends).
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Makes the directory unless it is there, and takes it.
pub(super) fn take(dir: &Path) -> Result<Lock, JournalError> {
    if !dir.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_error("create the data directory", dir))?;
        if let Some(parent) = dir.canonicalize().ok().as_deref().and_then(Path::parent) {
            sync_directory(parent)?;
        }
    }
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_error("open", &path))?;
    let tries = (1..=LOCK_TRIES).rev();
    for left in tries {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) if left > 1 => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
        }
    }
    Err(JournalError::Locked(dir.to_owned()))
}

/// Makes the names in it durable.
pub(super) fn sync_directory(dir: &Path) -> Result<(), JournalError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync the directory", dir))
}

/// The journal's files in it. What is not the journal's is left alone.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) logs: BTreeSet<u64>,
    /// Files that a crash left unfinished.
    pub(super) temporary: Vec<PathBuf>,
}

pub(super) fn list(dir: &Path) -> Result<Listing, JournalError> {
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(dir).map_err(io_error("list", dir))? {
        let entry = entry.map_err(io_error("list", dir))?;
        match entry
            .file_name()
            .to_str()
            .map_or(Named::Foreign, parse_name)
        {
            Named::Log(sequence) => {
                listing.logs.insert(sequence);
            }
            Named::Temporary => listing.temporary.push(entry.path()),
            Named::Foreign => {}
        }
    }
    Ok(listing)
}
