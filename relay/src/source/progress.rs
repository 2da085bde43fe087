//! How far sources have come whose servers do not remember it: kept where the log is kept, since it
//! says what of them is in the log.

use crate::fleet::Fleet;
use parking_lot::Mutex;
use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

/// Where places are kept.
pub enum Progress {
    /// With the log in Redis.
    Shared(Arc<Fleet>),
    /// Beside the log's file.
    Directory(PathBuf),
    /// With the log in memory, which a restart forgets too.
    Memory(Mutex<HashMap<String, String>>),
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::Memory(Mutex::default())
    }
}

impl Progress {
    /// Where a log with this fleet, or in this directory, has it.
    pub fn new(fleet: Option<Arc<Fleet>>, directory: Option<PathBuf>) -> Progress {
        match (fleet, directory) {
            (Some(fleet), _) => Progress::Shared(fleet),
            (None, Some(directory)) => Progress::Directory(directory),
            (None, None) => Progress::default(),
        }
    }

    /// The last place of a source; `None` for one that never had any.
    ///
    /// # Errors
    /// Why it cannot be known now.
    pub async fn place(&self, source: &str) -> Result<Option<String>, String> {
        match self {
            Progress::Shared(fleet) => fleet.place(source).await.map_err(|e| e.to_string()),
            Progress::Memory(places) => Ok(places.lock().get(source).cloned()),
            Progress::Directory(directory) => {
                let file = directory.join(name(source));
                match tokio::fs::read_to_string(&file).await {
                    Ok(text) => Ok(Some(text)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(format!("{}: {error}", file.display())),
                }
            }
        }
    }

    /// # Errors
    /// Why it could not be kept.
    pub async fn keep(&self, source: &str, place: &str) -> Result<(), String> {
        match self {
            Progress::Shared(fleet) => {
                let kept = fleet.keep_place(source, place).await;
                kept.map_err(|error| error.to_string())
            }
            Progress::Memory(places) => {
                places.lock().insert(source.to_owned(), place.to_owned());
                Ok(())
            }
            Progress::Directory(directory) => {
                // aside and then renamed, so that half of one is never read
                let file = directory.join(name(source));
                let fresh = directory.join(format!("{}.new", name(source)));
                let written = async {
                    tokio::fs::write(&fresh, place).await?;
                    tokio::fs::rename(&fresh, &file).await
                };
                let written = written.await;
                written.map_err(|error| format!("{}: {error}", file.display()))
            }
        }
    }
}

/// The name of a source is legal in one of a file.
fn name(source: &str) -> String {
    format!("source-{source}.place")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_kept_beside_the_log_and_replaced() {
        let folder = tempfile::TempDir::new().unwrap();
        for round in ["one", "two"] {
            let progress = Progress::new(None, Some(folder.path().to_owned()));
            assert_eq!(progress.place("other").await, Ok(None));
            progress.keep("orders", round).await.unwrap();
            assert_eq!(progress.place("orders").await, Ok(Some(round.to_owned())));
        }
        let gone = Progress::Directory(folder.path().join("missing"));
        assert!(gone.keep("orders", "x").await.is_err());
    }
}
