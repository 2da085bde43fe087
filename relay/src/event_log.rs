//! The ordered, bounded storage of channels.
//!
//! One contract, [`EventLog`], and one conformance suite (`tests/event_log.rs`) for every
//! implementation. The contract, in short: an append that answered is read and delivered by
//! everyone who is attached, exactly once and in order of ids; what the log lost is told by
//! [`Page::gap`] to who reads, and by [`Tail::lost`] to who is attached.
//!
//! Channels are shared out to partitions ([`EventLog::partitioning`]). Each has one order and one
//! epoch of its own; nothing is ordered across them but by time, as far as clocks agree.

pub mod gap;
pub mod health;
pub mod in_order;
pub mod layer;
pub mod memory;
pub mod merge;
pub mod redis;
pub mod resume;
mod tail;

use crate::{
    channel::{ChannelName, Selector},
    cursor::{Cursor, EventId, Partition, Place, Places, Predecessor, UnixMillis},
    event::{Ending, Event},
    partition::Partitioning,
};
use futures_util::future::BoxFuture;
use gap::Gap;
use health::Health;
use resume::Start;
use smallvec::SmallVec;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
pub use tail::{Condition, Loss, Purge, Tail, Whose};

/// An event as the log keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its channel's.
    pub partition: Partition,
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
    /// Of who appends under a lease.
    pub fence: Option<Fence>,
}

/// Who appends under a lease: past the lease, its appends are refused. Only a log that several
/// processes append to compares it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fence {
    /// What the lease is of.
    pub name: Arc<str>,
    /// Greater than that of all holders before; below 2^53.
    pub token: u64,
}

/// A publisher's `Idempotency-Key`, and what tells whether a repeat is the same publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    pub key: Box<str>,
    /// SHA-256 of the request.
    pub fingerprint: [u8; 32],
}

impl IdempotencyKey {
    /// A key means nothing beyond its channel and the subject that used it. It holds no line end, and
    /// is the last line of what the log keeps, so that no two scopes are taken for one.
    pub fn of(subject: Option<&str>, key: &str, fingerprint: [u8; 32]) -> IdempotencyKey {
        let key = match subject {
            Some(subject) => format!("{subject}\n{key}").into(),
            None => key.into(),
        };
        IdempotencyKey { key, fingerprint }
    }
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

/// What a purge dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Purged {
    pub events: u64,
    /// The channel's newest place then; `None` when the log knows nothing of the channel.
    pub until: Option<Place>,
}

/// Why nothing was appended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    #[error("channel `{0}` has ended; publish to another channel")]
    Ended(ChannelName),
    #[error("this Idempotency-Key was used for another request; use a new key for a new event")]
    KeyReused,
    /// Nothing was written, and nothing will be with this token.
    #[error("another replica has taken over")]
    Fenced,
    #[error("the log holds {0} channels, its limit; retry when idle ones are forgotten")]
    TooManyChannels(usize),
    /// Nothing was written.
    #[error("the log cannot be written: {0}")]
    Unavailable(String),
    /// Whether it was written is not known.
    #[error("the log did not answer: {0}")]
    OutcomeUnknown(String),
    /// It was written, under these ids, but what holds it may fail and lose it.
    #[error("it is in the log, but {why}")]
    NotReplicated { places: Vec<Place>, why: String },
}

/// A part of the log's history.
#[derive(Clone, Debug)]
pub struct Read {
    pub selectors: Arc<[Selector]>,
    /// Where the reader stands in each partition that the selectors use.
    pub from: Standings,
    /// Events up to and including these places, at most up to the heads. A partition without a place
    /// here is read up to its head.
    pub upto: Places,
    /// Reading stops after the entry with which one of these is reached (bytes: size of events), so
    /// a page has at least one entry if there is any.
    pub max_bytes: usize,
    pub max_events: usize,
}

/// Where a reader stands in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Only events after this one are read. Of the partition's present epoch.
    pub after: Place,
    pub gaps: Gaps,
}

/// Where a reader stands: one of them for each partition that it uses, in ascending order.
pub type Standings = SmallVec<[Standing; 1]>;

/// The cursor of a reader who stands there.
pub fn cursor_of(standings: &[Standing]) -> Places {
    standings.iter().map(|standing| standing.after).collect()
}

/// Whether a reader wants to know of what the log no longer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gaps {
    Report,
    /// For who reads on: an earlier page told of what is missing up to here.
    ReportAfter(EventId),
    /// For who asked for what the log has.
    Ignore,
    /// For who asked for all that can be had, also of a longer memory than the log's: what came before
    /// the first event of all is not missing. A log without one has no more to say than to `Ignore`.
    SinceFirst,
}

/// A question for what a longer memory than the log's has.
#[derive(Clone, Debug)]
pub struct Earlier {
    pub selectors: Arc<[Selector]>,
    /// Only events before this one.
    pub before: Place,
    /// As those of [`Read`].
    pub max_bytes: usize,
    pub max_events: usize,
}

/// What a read gave: in each partition in order of ids, across partitions nearly so ([`merge`]).
#[derive(Clone, Debug)]
pub struct Page {
    /// What is missing between [`Read::from`] and [`Read::upto`]; to be told before the entries. The
    /// pages that follow do not tell it again if they are asked for from [`Page::next`].
    pub gap: Option<Gap>,
    pub entries: Vec<Arc<Entry>>,
    /// Where a reader who has the page stands: all that the log has up to there is in it.
    pub next: Standings,
    /// Whether that is [`Read::upto`].
    pub completeness: Completeness,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    Complete,
    More,
}

/// Why nothing was read. All of it passes: who asks again later (with jitter, at a bounded rate) gets
/// an answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
    /// A place of [`Read::from`] or [`Read::upto`] is of another epoch than the partition: to be
    /// resumed again ([`EventLog::resume`]), once [`Tail::epoch`] has told of the new one.
    #[error("the log began a new epoch while it was read")]
    EpochChanged,
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogTotals {
    pub channels: usize,
    pub events: usize,
    pub bytes: usize,
}

impl LogTotals {
    #[must_use]
    pub fn and(self, other: LogTotals) -> LogTotals {
        LogTotals {
            channels: self.channels + other.channels,
            events: self.events + other.events,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Where a cursor comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A client brought it at this time. It may have it from another process that knows more.
    Client(Instant),
    /// This process made it.
    Here,
}

/// The ordered, bounded storage of channels: in memory (perhaps with a file), or in Redis.
///
/// What may wait for another process is a future, and may fail for a while without anybody losing
/// more than time: [`ReadError::Unavailable`] is asked again. What is not a future answers at once,
/// from what this process knows.
pub trait EventLog: Send + Sync + 'static {
    /// Which channel is in which partition; never changes.
    fn partitioning(&self) -> Partitioning;

    /// Appends all events of a publish or none. Answers once they are as safe as the log makes them.
    fn append(&self, publication: Publication) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// Appends publishes, each all of its events or none; what became of each, in their order. Those of one
    /// channel are appended in their order: after one that was not appended for a reason that passes, or of
    /// which that is not known, none of its channel that follows it is tried
    /// ([`AppendError::Unavailable`]).
    fn append_all(&self, publications: Vec<Publication>) -> BoxFuture<'_, Vec<in_order::Outcome>> {
        Box::pin(in_order::one_by_one(self, publications))
    }

    /// Drops all events that a channel has (decision record 0026). It stays known: its ids go on above
    /// what it had, whoever missed some of it is told that it was purged, it is ended if it was, and
    /// keys that were used in it still answer repeats. Once this answers nothing of it is read from
    /// here any more, and [`Tail::purged`] was called.
    ///
    /// Purging again does no harm. Errors are [`AppendError::Unavailable`] and
    /// [`AppendError::OutcomeUnknown`].
    fn purge(&self, channel: &ChannelName) -> BoxFuture<'_, Result<Purged, AppendError>>;

    /// Once this answers, appends that carry an older token of this fence are refused in every
    /// partition ([`AppendError::Fenced`]); the highest token that the log knows, which is greater if
    /// this one is too old itself. Errors are [`AppendError::Unavailable`].
    fn raise(&self, fence: Fence) -> BoxFuture<'_, Result<u64, AppendError>> {
        Box::pin(std::future::ready(Ok(fence.token))) // nobody else appends
    }

    /// From the answered places on, one in each partition in use, every event of these channels
    /// reaches the tail. Events up to there are read, whether the tail had them or not. The places
    /// are of epochs that [`Tail::epoch`] has told before.
    ///
    /// It may take as long as the log is away. Attaching the same channels again is another
    /// attachment; each that was answered is ended by one [`EventLog::detach`].
    fn attach(&self, selectors: Arc<[Selector]>) -> BoxFuture<'_, Result<Places, ReadError>>;

    /// Ends one attachment of these channels. Their events may go on coming for a while.
    fn detach(&self, selectors: &[Selector]);

    /// Where a subscription with this cursor starts to read, given that it joins at `joined`: the
    /// places after which it gets events live, one in each partition in use. A log that other
    /// processes append to may answer a start past `joined` for a cursor that knows more than this
    /// process; the subscription then waits until the tail has come so far, or the log has found out
    /// that there is nothing that the cursor could know.
    fn resume(&self, cursor: &Cursor, joined: &Places, origin: Origin) -> Start;

    /// What selected channels have, merged.
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// The last events before a place of those that only a longer memory has, in order of ids:
    /// [`Completeness::More`] if there may be more before them. A log without one has none.
    fn earlier(&self, _: Earlier) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(std::future::ready(Ok(Page {
            gap: None,
            entries: Vec::new(),
            next: Standings::new(),
            completeness: Completeness::Complete,
        })))
    }

    /// Whether a subscription to these channels that has everything up to `after` will never get
    /// another event: all of them have ended, and there is no pattern among them. Of channels that
    /// are attached it is always known; of others a log may answer false though it is true.
    fn finished(&self, selectors: &[Selector], after: &Places) -> bool;

    /// The newest places that were delivered to the tail, one in each partition whose epoch is known.
    fn heads(&self) -> Places;

    /// Channels in order of their names, after a name, at most `limit`.
    fn channels(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ChannelInfo>, ReadError>>;

    /// One channel; `None` when the log knows nothing of it.
    fn channel(&self, name: &ChannelName) -> BoxFuture<'_, Result<Option<ChannelInfo>, ReadError>>;

    /// As of a moment ago.
    fn totals(&self) -> LogTotals;

    /// How long ago what the tail gets now was published, as far as this process can tell.
    fn lag(&self) -> Duration;

    /// What is known of its servers and of the way to them. A log in this process is always well.
    fn health(&self) -> Health {
        Health::default()
    }

    /// Channels may have other limits from here on. A log that is told them with each append has
    /// nothing to do.
    fn limits_changed(&self) {}

    /// Drops what is too old and forgets idle channels; called about once a second.
    fn sweep(&self) -> BoxFuture<'_, ()>;

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
