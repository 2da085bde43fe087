//! The audit log: a line for each refusal and each use of power. Never a secret: who somebody is stands
//! there by name, what was shown does not.

mod budget;

use crate::{client_address::ClientAddress, clock::rfc3339, label::labels, who::Who};
use budget::Budget;
use parking_lot::Mutex;
use relay_config::{Audit as Settings, AuditTarget};
use serde::Serialize;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A request was refused for want of a credential or a right.
    Denied,
    /// Denials that are not written one by one.
    Suppressed,
    TicketMinted,
    TicketUsed,
    Revoked,
    Restored,
    Disconnected,
    Extended,
    SentToStream,
    SentToSubject,
    Purged,
}

labels!(Action {
    Denied => "denied",
    Suppressed => "suppressed",
    TicketMinted => "ticket-minted",
    TicketUsed => "ticket-used",
    Revoked => "revoked",
    Restored => "restored",
    Disconnected => "disconnected",
    Extended => "extended",
    SentToStream => "sent-to-stream",
    SentToSubject => "sent-to-subject",
    Purged => "purged",
});

/// A line: who did what, to whom, from where, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub action: Action,
    /// `None` when nobody is known.
    pub who: Option<&'a Who>,
    pub address: Option<ClientAddress>,
    /// A stream, a subject, a channel, a selector, or the request that was refused.
    pub target: &'a str,
    pub outcome: &'a str,
}

/// Where the lines go.
pub struct Audit {
    sink: Sink,
    denials: Mutex<Budget>,
}

enum Sink {
    Off,
    Log,
    File(PathBuf, Mutex<File>),
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
#[error("audit.file {}: {error}; choose a file that this process may append to", path.display())]
pub struct AuditError {
    path: PathBuf,
    error: io::Error,
}

/// A line of the file.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    action: &'static str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

impl Audit {
    /// Opens the file, if the lines go to one.
    pub fn open(settings: &Settings) -> Result<Audit, AuditError> {
        let sink = match (settings.target, &settings.file) {
            (AuditTarget::Off, _) => Sink::Off,
            (AuditTarget::File, Some(path)) => {
                let file = append_to(path).map_err(|error| AuditError {
                    path: path.clone(),
                    error,
                })?;
                Sink::File(path.clone(), Mutex::new(file))
            }
            (AuditTarget::File, None) | (AuditTarget::Log, _) => Sink::Log,
        };
        Ok(Audit {
            sink,
            denials: Mutex::default(),
        })
    }

    /// Writes a line. Denials, of which anybody can cause as many as they like, are bounded: past
    /// that they are counted.
    pub fn record(&self, entry: &Entry<'_>) {
        if entry.action == Action::Denied {
            let (allowed, suppressed) = self.denials.lock().take(Instant::now());
            self.write_suppressed(suppressed);
            if !allowed {
                return;
            }
        }
        self.write(entry);
    }

    /// Writes how many denials were left out, if a second has passed, and opens a file anew that was
    /// renamed or removed (logrotate); called about once a second.
    pub fn flush(&self) {
        self.follow();
        let suppressed = self.denials.lock().flush(Instant::now());
        self.write_suppressed(suppressed);
    }

    /// Lines until then are in the file that has another name by now: none is lost.
    fn follow(&self) {
        let Sink::File(path, file) = &self.sink else {
            return;
        };
        let mut file = file.lock();
        let open = file.metadata().ok().map(|data| (data.dev(), data.ino()));
        let named = std::fs::metadata(path).ok();
        if open.is_some() && named.map(|data| (data.dev(), data.ino())) == open {
            return;
        }
        match append_to(path) {
            Ok(new) => *file = new,
            Err(error) => tracing::error!(event = "audit.failed", %error,
                "the audit log's file was renamed or removed and cannot be opened anew; lines go on to the old one"),
        }
    }

    fn write_suppressed(&self, suppressed: u64) {
        if suppressed > 0 {
            self.write(&Entry {
                action: Action::Suppressed,
                who: None,
                address: None,
                target: "",
                outcome: &format!("{suppressed} more requests were denied"),
            });
        }
    }

    fn write(&self, entry: &Entry<'_>) {
        let line = Line {
            timestamp: rfc3339(SystemTime::now()),
            action: entry.action.as_str(),
            outcome: entry.outcome,
            target: entry.target,
            subject: entry
                .who
                .and_then(|who| who.subject.as_ref())
                .map(|subject| subject.as_str()),
            credential: entry.who.map(Who::credential),
            token: entry.who.and_then(Who::token),
            jti: entry.who.and_then(Who::jti),
            address: entry.address.map(|address| address.to_string()),
        };
        match &self.sink {
            Sink::Off => {}
            Sink::Log => line.log(),
            Sink::File(_, file) => line.append(file),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Line<'_> {
    fn log(&self) {
        tracing::info!(
            event = "audit",
            action = self.action,
            outcome = self.outcome,
            target_ = (!self.target.is_empty()).then_some(self.target),
            subject = self.subject,
            credential = self.credential,
            token = self.token,
            jti = self.jti,
            address = self.address.as_deref(),
            "audit"
        );
    }

    /// One write a line, so that lines of several threads do not mix.
    fn append(&self, file: &Mutex<File>) {
        let mut text = serde_json::to_vec(self).expect("a struct of texts");
        text.push(b'\n');
        if let Err(error) = file.lock().write_all(&text) {
            tracing::error!(event = "audit.failed", %error, action = self.action, outcome = self.outcome,
                "a line of the audit log was not written");
        }
    }
}
