//! The ordered, bounded storage of channels.
//!
//! One contract, [`EventLog`], and one conformance suite (`tests/event_log.rs`) for every
//! implementation. The contract, in short: an append that answered is read and delivered by
//! everyone, exactly once and in order of ids; what the log lost is told by [`Page::gap`].

pub mod gap;
pub mod memory;
pub mod redis;
pub mod resume;

use crate::{
    channel::{ChannelName, Selector},
    cursor::{Cursor, Epoch, EventId, Place, Predecessor, UnixMillis},
    event::{Ending, Event},
};
use futures_util::future::BoxFuture;
use gap::Gap;
use resume::Start;
use std::{sync::Arc, time::Duration};

/// An event as the log keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub channel: ChannelName,
    pub id: EventId,
    /// The event before it in its channel: what makes a gap certain (see [`gap`]).
    pub predecessor: Predecessor,
    pub event: Event,
}

/// One publish: events of one channel that are appended together or not at all.
#[derive(Clone, Debug)]
pub struct Publication {
    pub channel: ChannelName,
    /// At least one. Only the last may end the channel.
    pub events: Vec<Event>,
    pub idempotency: Option<IdempotencyKey>,
}

/// A publisher's `Idempotency-Key`, and what tells whether a repeat is the same publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    pub key: Box<str>,
    /// SHA-256 of the request.
    pub fingerprint: [u8; 32],
}

/// Longest `Idempotency-Key`, in bytes.
pub const MAX_IDEMPOTENCY_KEY: usize = 255;

/// What an append did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Appended {
    /// The events are in the log under these ids, in their order.
    New(Vec<Place>),
    /// The same publish was appended before, under these ids.
    Repeat(Vec<Place>),
}

impl Appended {
    pub fn places(&self) -> &[Place] {
        match self {
            Appended::New(places) | Appended::Repeat(places) => places,
        }
    }
}

/// Why nothing was appended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    #[error("channel `{0}` has ended; publish to another channel")]
    Ended(ChannelName),
    #[error("this Idempotency-Key was used for another request; use a new key for a new event")]
    KeyReused,
    #[error("the log holds {0} channels, its limit; retry when idle ones are forgotten")]
    TooManyChannels(usize),
    /// Nothing was written.
    #[error("the log cannot be written: {0}")]
    Unavailable(String),
    /// Whether it was written is not known.
    #[error("the log did not answer: {0}")]
    OutcomeUnknown(String),
}

/// A part of the log's history.
#[derive(Clone, Debug)]
pub struct Read {
    pub selectors: Arc<[Selector]>,
    /// Only events after this one …
    pub after: EventId,
    /// … up to and including this one, which is at most the head.
    pub upto: EventId,
    /// Reading stops after the entry with which one of these is reached (bytes: size of events), so
    /// a page has at least one entry if there is any.
    pub max_bytes: usize,
    pub max_events: usize,
    pub gaps: Gaps,
}

/// Whether a reader wants to know of what the log no longer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gaps {
    Report,
    /// For who reads on: an earlier page told of what is missing up to here.
    ReportAfter(EventId),
    /// For who asked for what there is.
    Ignore,
}

/// What a read gave, in order of ids.
#[derive(Clone, Debug)]
pub struct Page {
    /// What is missing between [`Read::after`] and [`Read::upto`]; to be told before the entries. The
    /// pages that follow tell it again unless [`Gaps::ReportAfter`] says that it was told.
    pub gap: Option<Gap>,
    pub entries: Vec<Arc<Entry>>,
    /// All that the log has up to here is in the page.
    pub through: EventId,
    /// Whether that is [`Read::upto`].
    pub completeness: Completeness,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    Complete,
    More,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
}

/// A channel as `GET /v1/channels` shows it.
#[derive(Clone, Debug)]
pub struct ChannelInfo {
    pub name: ChannelName,
    /// Events that the log still has, and the bytes they take.
    pub events: usize,
    pub bytes: usize,
    pub first: Option<Place>,
    pub last: Option<Place>,
    pub last_at: Option<UnixMillis>,
    /// Events a second, averaged over about ten seconds.
    pub rate: f64,
    pub ending: Ending,
}

/// What the log holds in all.
#[derive(Clone, Copy, Debug)]
pub struct LogTotals {
    pub channels: usize,
    pub events: usize,
    pub bytes: usize,
}

/// Where the log's events come out, in order of ids, each once. Called while the log is locked, so
/// it only queues.
pub trait Tail: Send + Sync {
    /// `entries` are of one publish; the last one's id is the log's new head.
    fn deliver(&self, epoch: Epoch, entries: &[Arc<Entry>]);
}

/// The ordered, bounded storage of channels: in memory (perhaps with a file), or in Redis.
pub trait EventLog: Send + Sync + 'static {
    /// Appends all events of a publish or none. Answers once they are as safe as the log makes them.
    fn append(&self, publication: Publication) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// Makes sure that every event of these channels after the answered id reaches the tail.
    fn attach(&self, selectors: &[Selector]) -> BoxFuture<'_, Result<EventId, ReadError>>;

    /// Where a subscription with this cursor starts to read, given that it joins at `joined`.
    fn resume(&self, cursor: &Cursor, joined: EventId) -> Start;

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// Whether a subscription to these channels that has everything up to `after` will never get
    /// another event: all of them have ended, and there is no pattern among them.
    fn finished(&self, selectors: &[Selector], after: EventId) -> bool;

    /// An id as a place in the log's present epoch.
    fn place(&self, id: EventId) -> Place;

    /// The newest id that was delivered to the tail.
    fn head(&self) -> EventId;

    /// Channels in order of their names, after a name, at most `limit`.
    fn channels(&self, after: Option<&str>, limit: usize) -> Vec<ChannelInfo>;

    /// One channel; `None` when the log knows nothing of it.
    fn channel(&self, name: &ChannelName) -> Option<ChannelInfo>;

    fn totals(&self) -> LogTotals;

    /// Drops what is too old and forgets idle channels; called about once a second.
    fn sweep(&self);

    /// Writes down what is not yet safe and lets go of files. Appends after it fail, reads do not.
    /// Closing again does nothing. A log that is dropped without it has crashed.
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}

/// Limits of one channel's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    pub events: usize,
    pub age: Duration,
    pub bytes: usize,
}
