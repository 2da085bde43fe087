//! Syncing beside the appends.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What had been appended when [`super::Journal::begin_sync`] was called, about to be synced.
#[derive(Debug)]
pub struct PendingSync {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) sequence: u64,
    pub(super) length: u64,
}

/// A sync that was tried. To be handed to [`super::Journal::finish_sync`], which tells how it went.
#[derive(Debug)]
#[must_use]
pub struct DoneSync {
    pub(super) path: PathBuf,
    pub(super) sequence: u64,
    pub(super) length: u64,
    pub(super) result: io::Result<()>,
}

impl PendingSync {
    /// Blocks until the disk has it.
    pub fn run(self) -> DoneSync {
        let PendingSync {
            file,
            path,
            sequence,
            length,
        } = self;
        DoneSync {
            path,
            sequence,
            length,
            result: file.sync_data(),
        }
    }
}
