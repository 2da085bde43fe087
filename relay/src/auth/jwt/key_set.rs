//! The keys of an issuer as it publishes them: fetched, kept, renewed.

use super::{
    jwk::{self, NoSet},
    key::Key,
};
use crate::{
    clock::unix_millis,
    cursor::UnixMillis,
    label::labels,
    outgoing::{self, ClientError},
    stats::Stats,
};
use parking_lot::{Mutex, RwLock};
use relay_config::Jwks;
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::AsyncReadExt,
    sync::{Notify, watch},
    time::timeout,
};

/// Largest set, in bytes.
const MAX_SET: usize = 1 << 20;
/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The first pause after a failure; it doubles up to `refresh`.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// What waiting for keys may take longer than fetching them.
const GRACE: Duration = Duration::from_secs(1);

/// The keys of an issuer as it publishes them. The last good ones are kept while none can be had.
pub struct KeySet {
    issuer: Arc<str>,
    settings: Jwks,
    keys: RwLock<Option<Arc<[Key]>>>,
    progress: Mutex<Progress>,
    /// Rings when keys are wanted before it is time.
    wanted: Notify,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

#[derive(Clone, Copy)]
enum Progress {
    /// Nobody has fetched yet; it is about to begin.
    New,
    Fetching,
    /// The last fetch ended then.
    Ended(UnixMillis),
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("cannot read {path}: {error}")]
    Read { path: String, error: io::Error },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the token to show there cannot stand in a header")]
    Token,
    #[error("no connection: {0}")]
    Connection(String),
    #[error("no answer in time")]
    Timeout,
    #[error("the answer is {0}")]
    Status(u16),
    #[error("it has more than {MAX_SET} bytes")]
    TooLarge,
    #[error("it is no JSON with a list of keys")]
    Malformed,
    #[error("it has no key that could check a signature here")]
    NoKeys,
}

/// What became of a fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetchResult {
    Fetched,
    Unreadable,
    Connection,
    Timeout,
    Status,
    TooLarge,
    Malformed,
    NoKeys,
}

labels!(FetchResult {
    Fetched => "fetched",
    Unreadable => "unreadable",
    Connection => "connection",
    Timeout => "timeout",
    Status => "status",
    TooLarge => "too-large",
    Malformed => "malformed",
    NoKeys => "no-keys",
});

impl FetchError {
    fn result(&self) -> FetchResult {
        match self {
            FetchError::Read { .. } | FetchError::Client(_) | FetchError::Token => {
                FetchResult::Unreadable
            }
            FetchError::Connection(_) => FetchResult::Connection,
            FetchError::Timeout => FetchResult::Timeout,
            FetchError::Status(_) => FetchResult::Status,
            FetchError::TooLarge => FetchResult::TooLarge,
            FetchError::Malformed => FetchResult::Malformed,
            FetchError::NoKeys => FetchResult::NoKeys,
        }
    }
}

impl KeySet {
    pub fn new(issuer: Arc<str>, settings: &Jwks) -> KeySet {
        KeySet {
            issuer,
            settings: settings.clone(),
            keys: RwLock::default(),
            progress: Mutex::new(Progress::New),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
        }
    }

    /// Whether it is what a configuration describes, so that its keys need not be fetched again.
    pub fn is_of(&self, issuer: &str, settings: &Jwks) -> bool {
        *self.issuer == *issuer && self.settings == *settings
    }

    /// The last good keys; `None` as long as there were none.
    pub fn keys(&self) -> Option<Arc<[Key]>> {
        self.keys.read().clone()
    }

    /// Whether waiting for other keys makes sense: some are being fetched, or may be again.
    pub fn may_change(&self, now: UnixMillis) -> bool {
        match *self.progress.lock() {
            Progress::New | Progress::Fetching => true,
            Progress::Ended(at) => now.abs_diff(at) >= self.settings.cooldown.as_millis(),
        }
    }

    /// Waits until a fetch has ended, and asks for one. Not longer than one may take.
    pub async fn renewed(&self) {
        let mut ended = self.ended.subscribe();
        self.wanted.notify_one();
        let patience = self.settings.timeout.std() + GRACE;
        // whoever waited looks at the keys again, and finds what there is
        let _ = timeout(patience, ended.changed()).await;
    }

    /// Keeps the keys fresh, for ever. Only one may do so at a time.
    pub async fn keep(&self, stats: &Stats) {
        let mut failures: u32 = 0;
        loop {
            let result = self.fetch().await;
            let outcome = result.as_ref().err().map(FetchError::result);
            stats
                .jwks_fetches
                .of(outcome.unwrap_or(FetchResult::Fetched))
                .add(1);
            match result {
                Ok(()) if failures > 0 => {
                    failures = 0;
                    tracing::info!(event = "jwks.recovered", issuer = %self.issuer, "its keys can be had again");
                }
                Ok(()) => {}
                Err(error) => {
                    failures = failures.saturating_add(1);
                    if failures.is_power_of_two() {
                        self.complain(&error);
                    }
                }
            }
            self.until_due(failures).await;
        }
    }

    fn complain(&self, error: &FetchError) {
        let result = error.result().as_str();
        if self.keys().is_some() {
            tracing::warn!(event = "jwks.failed", issuer = %self.issuer, result, %error, "its keys cannot be renewed; the last good ones are kept");
        } else {
            tracing::error!(event = "jwks.failed", issuer = %self.issuer, result, %error, "its keys cannot be had; its tokens get 503 until they can");
        }
    }

    /// Until it is time, or a token asks for a key that is not there and the cooldown is over.
    async fn until_due(&self, failures: u32) {
        let pause = pause(self.interval(), failures, rand::random());
        let asked = async {
            loop {
                self.wanted.notified().await;
                if self.may_change(unix_millis()) {
                    return;
                }
            }
        };
        let _ = timeout(pause, asked).await; // either way it is time
    }

    fn interval(&self) -> Duration {
        match self.settings.file {
            Some(_) => LOOK,
            None => self.settings.refresh.std(),
        }
    }

    /// Fetches once.
    pub async fn fetch(&self) -> Result<(), FetchError> {
        *self.progress.lock() = Progress::Fetching;
        let fetched = self.read().await.and_then(|bytes| {
            jwk::parse(&bytes).map_err(|error| match error {
                NoSet::Malformed => FetchError::Malformed,
                NoSet::NoKeys => FetchError::NoKeys,
            })
        });
        let fetched = fetched.map(|keys| *self.keys.write() = Some(keys.into()));
        *self.progress.lock() = Progress::Ended(unix_millis());
        self.ended.send_modify(|ended| *ended += 1);
        fetched
    }

    async fn read(&self) -> Result<Vec<u8>, FetchError> {
        match (&self.settings.file, &self.settings.url) {
            (Some(path), _) => read_file(path).await,
            (None, Some(url)) => self.ask(url).await,
            (None, None) => Err(FetchError::NoKeys),
        }
    }

    async fn ask(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let settings = &self.settings;
        let client = outgoing::client(settings.ca_file.as_deref(), settings.timeout.std())?;
        let mut request = client.get(url).header("accept", "application/json");
        if let Some(path) = &settings.token_file {
            let token = read_file(path).await?;
            let token = String::from_utf8(token).map_err(|_| FetchError::Token)?;
            request = request.bearer_auth(token.trim());
        }
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if bytes.len() + piece.len() > MAX_SET {
                return Err(FetchError::TooLarge);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

/// How long until the next fetch. Failures make it short at first; `chance`, from 0 to 1, keeps
/// replicas that failed together apart.
fn pause(interval: Duration, failures: u32, chance: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(20));
    let pause = if failures == 0 {
        interval
    } else {
        doubled.min(interval)
    };
    pause.mul_f64(0.9 + 0.2 * chance)
}

async fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let failed = |error| FetchError::Read {
        path: path.display().to_string(),
        error,
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_SET as u64 + 1).read_to_end(&mut bytes).await;
    match read.map_err(failed)? {
        read if read > MAX_SET => Err(FetchError::TooLarge),
        _ => Ok(bytes),
    }
}

/// Without the address, which is in the configuration.
fn failed(error: reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::Timeout;
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    FetchError::Connection(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_failures_and_never_past_the_interval() {
        let interval = Duration::from_secs(300);
        let seconds = |failures| pause(interval, failures, 0.5).as_secs();
        assert_eq!(
            [0, 1, 2, 3, 9, 10, 99].map(seconds),
            [300, 1, 2, 4, 256, 300, 300]
        );
        assert_eq!(pause(interval, 0, 0.0).as_secs(), 270);
        assert_eq!(pause(LOOK, 9, 0.5), LOOK);
    }

    #[test]
    fn keys_are_not_asked_for_again_within_the_cooldown() {
        let set = KeySet::new("id".into(), &Jwks::default());
        assert!(set.may_change(0) && set.keys().is_none());
        *set.progress.lock() = Progress::Ended(1_000_000);
        assert!(!set.may_change(1_029_999) && set.may_change(1_030_000));
        assert!(
            !set.may_change(999_000),
            "a clock that was set back a little"
        );
        assert!(set.may_change(1), "or a lot");
        *set.progress.lock() = Progress::Fetching;
        assert!(set.may_change(1_000_001));
    }
}
