//! A changed configuration takes effect without a restart, as far as it can.
//!
//! The file, and the files with keys that it names, are looked at a few times a second by what they
//! are (device, inode, size, time of change), so that the swap of a symbolic link, as Kubernetes
//! mounts ConfigMaps and Secrets, is seen like an edit. When nothing changes any more, or at SIGHUP,
//! all of it is read as at the start. What is wrong is said and changes nothing.

use crate::{
    http::App,
    label::labels,
    settings::SettingsError,
    telemetry::{Level, TelemetryError},
};
use parking_lot::Mutex;
use relay_config::{Changes, Config, LoadError};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{signal::unix::Signal, time::MissedTickBehavior};

/// How often the files are looked at. A change takes effect after it, once nothing changed for it.
const LOOK: Duration = Duration::from_millis(200);

/// Where the configuration comes from.
pub struct Source {
    /// The file, if there is one, and what it was before it was read for the start.
    pub file: Option<(PathBuf, Identity)>,
    /// Reads all of it, as at the start.
    pub load: Box<dyn Fn() -> Result<Config, String> + Send + Sync>,
    /// Which log lines are written.
    pub level: Level,
}

/// What became of a reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is in force, but for what needs a restart.
    Applied,
    /// It says what is in force.
    Unchanged,
    /// It is wrong; nothing changed.
    Refused,
}

labels!(Outcome {
    Applied => "applied",
    Unchanged => "unchanged",
    Refused => "refused",
});

/// Why a configuration is not taken: the message is the one that a start would end with.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("{0}")]
    Load(String),
    #[error("with what stays until a restart: {0}")]
    Together(#[from] LoadError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Level(#[from] TelemetryError),
}

/// What the last readings came to, for metrics and status.
#[derive(Default)]
pub struct Reloads {
    /// When the configuration in force was read, in seconds of Unix time.
    pub succeeded_at: Mutex<f64>,
    /// Fields of the newest document that need a restart.
    pub restart: Mutex<Vec<&'static str>>,
}

/// Takes changes until the process ends.
pub async fn watch(app: Arc<App>, source: Source, mut hangup: Signal) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let file = source.file.as_ref().map(|(file, _)| file.as_path());
    let files = |app: &App| files(file, &app.config());
    let (mut known, mut seen) = (identities(&files(&app)), None);
    if let (Some((_, at_the_start)), Some((_, identity))) = (&source.file, known.first_mut()) {
        *identity = *at_the_start;
    }
    loop {
        tokio::select! {
            _ = look.tick() => {
                let now = identities(&files(&app));
                let settled = seen.replace(now.clone()).is_none_or(|seen| seen == now);
                if now == known || !settled {
                    continue;
                }
            }
            signal = hangup.recv() => if signal.is_none() {
                return std::future::pending().await;
            },
        }
        reload(&app, &source);
        let before = seen.take().unwrap_or_default();
        known = as_they_were_read(&before, identities(&files(&app)));
    }
}

/// What the files that are named now were before they were read, so that what changed while they were
/// read shows at the next look. One that was not named before is as it is now.
fn as_they_were_read(
    before: &[(PathBuf, Identity)],
    now: Vec<(PathBuf, Identity)>,
) -> Vec<(PathBuf, Identity)> {
    let files = now.into_iter().map(|(file, now)| {
        let known = before.iter().find(|(known, _)| *known == file);
        let identity = known.map_or(now, |(_, identity)| *identity);
        (file, identity)
    });
    files.collect()
}

/// What a file is: another content is another identity. None where there is no file.
pub type Identity = Option<(u64, u64, u64, i64, i64)>;

/// What a file is now: of a link, what it leads to.
pub fn identity(file: &Path) -> Identity {
    let data = std::fs::metadata(file).ok()?;
    Some((
        data.dev(),
        data.ino(),
        data.size(),
        data.mtime(),
        data.mtime_nsec(),
    ))
}

fn files(file: Option<&Path>, config: &Config) -> Vec<PathBuf> {
    let named = config.files().into_iter();
    file.into_iter().chain(named).map(Path::to_owned).collect()
}

fn identities(files: &[PathBuf]) -> Vec<(PathBuf, Identity)> {
    let identities = files.iter().map(|file| (file.clone(), identity(file)));
    identities.collect()
}

fn reload(app: &App, source: &Source) {
    let outcome = match apply(app, source) {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(
                event = "config.refused",
                "{error}; the configuration that was in force stays"
            );
            Outcome::Refused
        }
    };
    app.hub.stats.config_reloads.of(outcome).add(1);
    if outcome != Outcome::Refused {
        *app.reloads.succeeded_at.lock() = crate::clock::unix_millis() as f64 / 1000.0;
    }
}

fn apply(app: &App, source: &Source) -> Result<Outcome, ReloadError> {
    let wanted = (source.load)().map_err(ReloadError::Load)?;
    let old = app.settings();
    let changes = Changes::between(&old.config, &wanted);
    let config = old.config.changed_to(&wanted)?;
    // files with keys may have changed though the document did not
    let settings = old.renewed(config)?;
    source.level.set(&settings.config)?;
    app.change(settings);
    *app.reloads.restart.lock() = changes.restart.clone();
    if !changes.restart.is_empty() {
        tracing::warn!(
            event = "config.restart",
            fields = changes.restart.join(", "),
            "these fields changed and need a restart"
        );
    }
    // keys in files of their own may differ though the document does not
    if changes.is_empty() && old.config.files().is_empty() {
        return Ok(Outcome::Unchanged);
    }
    tracing::info!(
        event = "config.applied",
        fields = changes.live.join(", "),
        "the changed configuration is in force"
    );
    Ok(Outcome::Applied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again_though_it_names_another() {
        let file = |name: &str, inode: u64| (PathBuf::from(name), Some((1, inode, 1, 0, 0)));
        let before = [file("config", 1), file("old", 2)];
        // the configuration was replaced once more after it was read, and names another key
        let now = vec![file("config", 3), file("new", 4)];
        let known = as_they_were_read(&before, now.clone());
        assert_eq!(known, [file("config", 1), file("new", 4)]);
        assert_ne!(known, now, "the next look sees it");
    }
}
