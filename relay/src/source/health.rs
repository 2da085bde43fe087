//! How a source is: what metrics, `/checks` and `/v1/status` say of it, and what its log lines do.

use super::{Fault, FaultReason, Promise, mapping::Misfit};
use crate::{
    clock::unix_millis,
    cursor::UnixMillis,
    label::{Label, labels},
    stats::{Counter, Family},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Between two log lines about the same reason.
const QUIET: Duration = Duration::from_secs(10);

/// Why a message became no event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropReason {
    /// It is no UTF-8.
    NotText,
    /// What its sender's library wraps it in cannot be taken off.
    Undecodable,
    NotJson,
    UnknownKey,
    NoChannel,
    BadChannel,
    BadType,
    BadAttribute,
    NoData,
    TooLarge,
    /// Its channel has ended.
    Ended,
    /// The log has as many channels as it may.
    TooManyChannels,
    /// The log could not be written; only of a source that promises nothing.
    LogUnavailable,
    /// Whether the log has it is not known; only of a source that promises nothing.
    OutcomeUnknown,
    /// Its server has it no more.
    Gone,
    /// More came than could be kept until it was appended; only of a source that promises nothing.
    Overflow,
}

labels!(DropReason {
    NotText => "not-text",
    Undecodable => "undecodable",
    NotJson => "not-json",
    UnknownKey => "unknown-key",
    NoChannel => "no-channel",
    BadChannel => "bad-channel",
    BadType => "bad-type",
    BadAttribute => "bad-attribute",
    NoData => "no-data",
    TooLarge => "too-large",
    Ended => "ended",
    TooManyChannels => "too-many-channels",
    LogUnavailable => "log-unavailable",
    OutcomeUnknown => "outcome-unknown",
    Gone => "gone",
    Overflow => "overflow",
});

/// Where a source stands, as this replica sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Another replica pulls, or it is not decided yet who does.
    #[default]
    Elsewhere,
    /// This replica does, and is not connected.
    Disconnected,
    /// This replica does.
    Connected,
}

labels!(Standing {
    Elsewhere => "elsewhere",
    Disconnected => "disconnected",
    Connected => "connected",
});

/// How far a source is behind its server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lag {
    /// Since what was taken last was sent; nothing when all that there is was taken.
    pub age: Duration,
    /// Messages that wait at the server, where it tells.
    pub waiting: Option<u64>,
}

/// What a replica says of a source.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    pub kind: String,
    pub promise: String,
    pub standing: Standing,
    /// Why it is not connected, or was not the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub lag_millis: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    pub received: u64,
    pub appended: u64,
    pub repeated: u64,
    pub dropped: u64,
}

/// How one source is, and what became of its messages in this process.
pub struct Health {
    pub name: String,
    pub kind: &'static str,
    pub promise: Promise,
    now: Mutex<Now>,
    pub received: Counter,
    pub appended: Counter,
    pub repeated: Counter,
    /// Messages that came to an append that had to be tried again.
    pub retried: Counter,
    pub dropped: Family<DropReason>,
    pub faults: Family<FaultReason>,
    lag_millis: AtomicU64,
    /// One more than the number; 0 where it is not known.
    waiting: AtomicU64,
    told: Mutex<Vec<(DropReason, Instant)>>,
}

#[derive(Default)]
struct Now {
    standing: Standing,
    fault: Option<(FaultReason, String)>,
    connected_at: Option<UnixMillis>,
}

impl Health {
    pub fn new(name: &str, kind: &'static str, promise: Promise) -> Health {
        Health {
            name: name.to_owned(),
            kind,
            promise,
            now: Mutex::default(),
            received: Counter::default(),
            appended: Counter::default(),
            repeated: Counter::default(),
            retried: Counter::default(),
            dropped: Family::default(),
            faults: Family::default(),
            lag_millis: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    pub fn standing(&self) -> Standing {
        self.now.lock().standing
    }

    /// When it was connected last.
    pub fn connected_at(&self) -> Option<UnixMillis> {
        self.now.lock().connected_at
    }

    /// Another replica pulls from here on.
    pub(super) fn elsewhere(&self) {
        let mut now = self.now.lock();
        if now.standing != Standing::Elsewhere {
            tracing::info!(event = "source.elsewhere", source = %self.name, "this replica does not pull from the source any more");
        }
        now.standing = Standing::Elsewhere;
        drop(now);
        self.lag(Lag::default());
    }

    /// This replica pulls from here on.
    pub(super) fn elected(&self) {
        self.now.lock().standing = Standing::Disconnected;
        tracing::info!(event = "source.elected", source = %self.name, "this replica pulls from the source");
    }

    pub(super) fn connected(&self) {
        let mut now = self.now.lock();
        if now.standing != Standing::Connected {
            tracing::info!(event = "source.connected", source = %self.name, kind = self.kind, "connected to the source");
        }
        now.standing = Standing::Connected;
        now.connected_at = Some(unix_millis());
        now.fault = None;
    }

    /// One log line for each kind of fault in a row, not one for each attempt.
    pub(super) fn failed(&self, fault: &Fault) {
        self.faults.of(fault.reason).add(1);
        let mut now = self.now.lock();
        let before = now.fault.as_ref().map(|(reason, _)| *reason);
        if before != Some(fault.reason) {
            tracing::warn!(event = "source.failed", source = %self.name, kind = self.kind, reason = fault.reason.as_str(), "the source cannot go on, and is tried again: {fault}");
        }
        now.standing = Standing::Disconnected;
        now.fault = Some((fault.reason, fault.to_string()));
    }

    pub fn lag(&self, lag: Lag) {
        let millis = u64::try_from(lag.age.as_millis()).unwrap_or(u64::MAX);
        self.lag_millis.store(millis, Relaxed);
        let waiting = lag.waiting.map_or(0, |waiting| waiting.saturating_add(1));
        self.waiting.store(waiting, Relaxed);
    }

    pub fn lag_seconds(&self) -> f64 {
        self.lag_millis.load(Relaxed) as f64 / 1000.0
    }

    pub fn waiting(&self) -> Option<u64> {
        self.waiting.load(Relaxed).checked_sub(1)
    }

    /// Counts a message that becomes no event, and tells of it now and then.
    pub(super) fn dropped(&self, misfit: &Misfit) {
        let Misfit { reason, detail } = misfit;
        self.dropped.of(*reason).add(1);
        let now = Instant::now();
        let mut told = self.told.lock();
        match told.iter_mut().find(|(known, _)| known == reason) {
            Some((_, at)) if now.duration_since(*at) < QUIET => return,
            Some((_, at)) => *at = now,
            None => told.push((*reason, now)),
        }
        drop(told);
        let total = self
            .dropped
            .iter()
            .find(|(known, _)| known == reason)
            .map_or(0, |(_, total)| total);
        tracing::warn!(event = "source.dropped", source = %self.name, reason = reason.as_str(), total, "a message of the source becomes no event: {detail}");
    }

    pub fn report(&self) -> Report {
        let now = self.now.lock();
        Report {
            kind: self.kind.to_owned(),
            promise: self.promise.as_str().to_owned(),
            standing: now.standing,
            reason: now
                .fault
                .as_ref()
                .map(|(reason, _)| reason.as_str().to_owned()),
            lag_millis: self.lag_millis.load(Relaxed),
            waiting: self.waiting(),
            received: self.received.get(),
            appended: self.appended.get(),
            repeated: self.repeated.get(),
            dropped: self.dropped.iter().map(|(_, count)| count).sum(),
        }
    }

    /// Why it is not connected, in words.
    pub fn why(&self) -> Option<String> {
        self.now.lock().fault.as_ref().map(|(_, text)| text.clone())
    }
}

/// Every reason, for the list of what is dropped.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    DropReason::ALL.iter().map(|reason| reason.as_str())
}
