//! What the suite needs of an implementation, and a log under test with its clock and its tail.

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
pub use sse_relay::event_log::resume::Ahead;
use sse_relay::{
    channel::{ChannelName, Selector},
    cursor::{CLOCK_START, Cursor, Epoch, EventId, Partition, Place, Places, UnixMillis},
    event::{Ending, Event},
    event_log::{
        self, AppendError, Appended, ChannelInfo, Completeness, Condition, Entry, EventLog, Gaps,
        IdempotencyKey, LogTotals, Loss, Origin, Publication, Purge, Purged, Retention, Standing,
        Tail, cursor_of,
        gap::Certainty,
        resume::{self, Lost, Verdict},
    },
    frame::GapReason,
    partition::Partitioning,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How a log is made. One value is one storage: opening it again is a restart.
pub trait Implementation: Send + Sync {
    fn open(&self, limits: Limits, clock: Clock, tail: Arc<dyn Tail>) -> BoxFuture<'_, Opened>;

    fn reopening(&self) -> Reopening;

    /// What a place means that is later than all that the log has.
    fn ahead(&self) -> Ahead;

    /// Whether there is a limit over all channels together.
    fn together(&self) -> Together;
}

/// A log, and how to wait for what it does beside answering.
pub struct Opened {
    pub log: Arc<dyn EventLog>,
    /// Resolves when everything that was acknowledged has been delivered, as far as it is attached.
    pub settle: Settle,
    /// Resolves when totals are those of this moment.
    pub count: Settle,
}

pub type Settle = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Together {
    Bounded,
    /// Each channel has its limits, and the server one for its memory.
    Unbounded,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reopening {
    KeepsAll,
    KeepsNothing,
}

#[derive(Clone)]
pub struct Limits {
    pub retention: Arc<dyn Fn(&str) -> Retention + Send + Sync>,
    pub max_bytes: usize,
    pub max_channels: usize,
    pub idempotency_window: Duration,
    pub max_idempotency_keys: usize,
}

pub const FOREVER: Duration = Duration::MAX;

pub const UNLIMITED: Retention = Retention {
    events: usize::MAX,
    age: FOREVER,
    bytes: usize::MAX,
};

impl Limits {
    pub fn none() -> Limits {
        Limits::of(UNLIMITED)
    }

    /// These for every channel.
    pub fn of(retention: Retention) -> Limits {
        Limits {
            retention: Arc::new(move |_| retention),
            max_bytes: usize::MAX,
            max_channels: 1000,
            idempotency_window: Duration::from_secs(3600),
            max_idempotency_keys: 1000,
        }
    }

    pub fn events(events: usize) -> Limits {
        Limits::of(Retention {
            events,
            ..UNLIMITED
        })
    }

    pub fn age(age: Duration) -> Limits {
        Limits::of(Retention { age, ..UNLIMITED })
    }
}

/// A clock that stands still unless it is set.
#[derive(Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    pub fn new() -> Clock {
        Clock(Arc::new(AtomicU64::new(CLOCK_START + 200_000_000_000)))
    }

    pub fn now(&self) -> UnixMillis {
        self.0.load(Ordering::SeqCst)
    }

    pub fn set(&self, now: UnixMillis) {
        self.0.store(now, Ordering::SeqCst);
    }

    pub fn forward(&self, by: Duration) {
        self.set(self.now() + by.as_millis() as u64);
    }

    pub fn back(&self, by: Duration) {
        self.set(self.now() - by.as_millis() as u64);
    }
}

/// Keeps what the log delivers.
#[derive(Default)]
pub struct Collected {
    publishes: Mutex<Vec<Vec<Arc<Entry>>>>,
    /// Where each partition stands, as the tail was told.
    pub places: Mutex<Places>,
    losses: Mutex<Vec<Loss>>,
    purges: Mutex<Vec<Purge>>,
}

impl Tail for Collected {
    fn epoch(&self, at: Place) {
        self.places.lock().set(at);
    }

    fn deliver(&self, epoch: Epoch, entries: &[Arc<Entry>]) {
        for entry in entries {
            let place = Place {
                partition: entry.partition,
                epoch,
                id: entry.id,
            };
            let mut places = self.places.lock();
            let known = places.in_partition(place.partition);
            let known = known.expect("an epoch is told before its events");
            assert!(known.epoch == epoch && known.id < place.id, "out of order");
            places.set(place);
        }
        self.publishes.lock().push(entries.to_vec());
    }

    fn advance(&self, head: Place) {
        self.places.lock().advance(head);
    }

    fn lost(&self, loss: Loss) {
        self.losses.lock().push(loss); // a panic would only end the log's task
    }

    fn purged(&self, purge: Purge) {
        self.purges.lock().push(purge);
    }

    fn condition(&self, _: Condition) {}
}

impl Collected {
    pub fn publishes(&self) -> Vec<Vec<Arc<Entry>>> {
        self.publishes.lock().clone()
    }

    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.publishes().concat()
    }

    pub fn ids(&self) -> Vec<EventId> {
        self.entries().iter().map(|entry| entry.id).collect()
    }

    pub fn purges(&self) -> Vec<Purge> {
        self.purges.lock().clone()
    }

    pub fn lost_nothing(&self) {
        let losses = self.losses.lock();
        assert!(losses.is_empty(), "nothing is lost here: {losses:?}");
    }

    /// Waits until so many events were delivered; panics after ten seconds.
    pub async fn wait_for(&self, events: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.entries().len() < events {
            self.lost_nothing();
            assert!(Instant::now() < deadline, "the tail lacks events");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A read of the suite's channels, which are all of one partition.
#[derive(Clone, Debug)]
pub struct Read {
    pub selectors: Arc<[Selector]>,
    pub after: EventId,
    pub upto: EventId,
    pub max_bytes: usize,
    pub max_events: usize,
    pub gaps: Gaps,
}

/// What it gave.
#[derive(Debug)]
pub struct Page {
    pub gap: Option<Gap>,
    pub entries: Vec<Arc<Entry>>,
    pub through: EventId,
    pub completeness: Completeness,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    pub certainty: Certainty,
    pub reason: GapReason,
    pub after: EventId,
    pub until: EventId,
    pub channels: Vec<ChannelName>,
}

/// Where a subscription to one of the suite's channels starts.
pub struct Start {
    pub after: EventId,
    pub gaps: Gaps,
    pub lost: Option<Lost>,
    pub verdict: Verdict,
}

impl Start {
    fn of(start: resume::Start) -> Start {
        let [standing] = start.from[..] else {
            panic!("one partition is in use");
        };
        Start {
            after: standing.after.id,
            gaps: standing.gaps,
            lost: start.lost,
            verdict: start.verdict,
        }
    }
}

/// A log under test.
pub struct Subject {
    pub log: Arc<dyn EventLog>,
    pub clock: Clock,
    pub tail: Arc<Collected>,
    settle: Settle,
    count: Settle,
}

impl Subject {
    pub async fn open(implementation: &dyn Implementation, limits: Limits) -> Subject {
        Subject::open_at(implementation, limits, Clock::new()).await
    }

    pub async fn open_at(
        implementation: &dyn Implementation,
        limits: Limits,
        clock: Clock,
    ) -> Subject {
        let tail = Arc::new(Collected::default());
        let opened = implementation
            .open(limits, clock.clone(), tail.clone())
            .await;
        Subject {
            log: opened.log,
            clock,
            tail,
            settle: opened.settle,
            count: opened.count,
        }
    }

    pub async fn publish(&self, publication: Publication) -> Result<Appended, AppendError> {
        let appended = self.log.append(publication).await;
        (self.settle)().await;
        self.tail.lost_nothing();
        appended
    }

    /// Drops all that one of the suite's channels has.
    pub async fn purge(&self, channel: &str) -> Purged {
        let purged = self.log.purge(&name(channel)).await.unwrap();
        (self.settle)().await;
        purged
    }

    /// What is appended to these from now on reaches the tail.
    pub async fn attach(&self, selectors: &[&str]) {
        self.log.attach(select(selectors)).await.unwrap();
    }

    pub async fn totals(&self) -> LogTotals {
        (self.count)().await;
        self.log.totals()
    }

    /// Appends one event of this text; its id.
    pub async fn append(&self, channel: &str, data: &str) -> EventId {
        let appended = self.publish(publication(channel, &[data])).await;
        ids(&appended.unwrap())[0]
    }

    /// Appends so many events, one by one.
    pub async fn fill(&self, channel: &str, events: usize) -> Vec<EventId> {
        let mut ids = Vec::new();
        for number in 0..events {
            ids.push(self.append(channel, &number.to_string()).await);
        }
        ids
    }

    /// The partition of the suite's channels ([`name`]).
    fn home(&self) -> Partition {
        self.log.partitioning().of(&name("a"))
    }

    pub fn head(&self) -> EventId {
        self.log.heads().id(self.home())
    }

    /// An id of the suite's channels as a place.
    pub fn place(&self, id: EventId) -> Place {
        let head = self.log.heads().in_partition(self.home()).unwrap();
        Place { id, ..head }
    }

    /// A place with this id in each partition that the selectors use.
    pub fn places(&self, selectors: &[Selector], id: EventId) -> Places {
        let used = self.log.partitioning().in_use(selectors);
        let heads = self.log.heads().within(used);
        heads.iter().map(|head| Place { id, ..head }).collect()
    }

    pub async fn page(&self, read: Read) -> Page {
        let standings = self.places(&read.selectors, read.after);
        let from = standings.iter().map(|after| Standing {
            after,
            gaps: read.gaps,
        });
        let page = self.log.read(event_log::Read {
            from: from.collect(),
            upto: self.places(&read.selectors, read.upto),
            selectors: read.selectors,
            max_bytes: read.max_bytes,
            max_events: read.max_events,
        });
        let page = page.await.unwrap();
        let home = self.home();
        Page {
            gap: page.gap.map(|gap| Gap {
                certainty: gap.certainty,
                reason: gap.reason,
                after: gap.after.id(home),
                until: gap.until.id(home),
                channels: gap.channels,
            }),
            entries: page.entries,
            through: cursor_of(&page.next).id(home),
            completeness: page.completeness,
        }
    }

    pub fn resume(&self, cursor: &Cursor, joined: EventId) -> Start {
        let joined = Places::one(self.place(joined));
        let origin = Origin::Client(Instant::now());
        Start::of(self.log.resume(cursor, &joined, origin))
    }

    pub async fn resume_surely(&self, cursor: &Cursor) -> Start {
        let joined = Places::one(self.place(self.head()));
        Start::of(self.starts_surely(cursor, &joined).await)
    }

    /// Where a subscription starts, once the log knows what the cursor means: one that is shared may
    /// have to ask, and takes it for one that is ahead until then.
    pub async fn starts_surely(&self, cursor: &Cursor, joined: &Places) -> resume::Start {
        let asked = Instant::now();
        let deadline = asked + Duration::from_secs(10);
        loop {
            let start = self.log.resume(cursor, joined, Origin::Client(asked));
            if !cursor_of(&start.from).is_past(joined) {
                return start;
            }
            assert!(Instant::now() < deadline, "the log does not find out");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn finished(&self, selectors: &[Selector], after: EventId) -> bool {
        let after = self.places(selectors, after);
        self.log.finished(selectors, &after)
    }

    pub async fn channel(&self, name: &ChannelName) -> Option<ChannelInfo> {
        self.log.channel(name).await.unwrap()
    }

    pub async fn channels(&self, after: Option<&str>, limit: usize) -> Vec<ChannelInfo> {
        self.log.channels(after, limit).await.unwrap()
    }

    /// All there is in these channels after an id.
    pub async fn after(&self, selectors: &[&str], after: EventId) -> Page {
        let page = self
            .page(Read {
                selectors: select(selectors),
                after,
                upto: newest(),
                max_bytes: usize::MAX,
                max_events: usize::MAX,
                gaps: Gaps::Report,
            })
            .await;
        assert_eq!(page.completeness, Completeness::Complete);
        page
    }

    pub async fn all(&self, channel: &str) -> Vec<EventId> {
        entry_ids(&self.after(&[channel], EventId::ZERO).await)
    }
}

pub fn publication(channel: &str, events: &[&str]) -> Publication {
    Publication {
        channel: name(channel),
        events: events.iter().map(|data| Event::text(data)).collect(),
        idempotency: None,
        fence: None,
    }
}

pub fn keyed(channel: &str, events: &[&str], key: &str, body: u8) -> Publication {
    Publication {
        idempotency: Some(IdempotencyKey {
            key: key.into(),
            fingerprint: [body; 32],
        }),
        fence: None,
        ..publication(channel, events)
    }
}

/// An event that ends its channel.
pub fn ending(channel: &str) -> Publication {
    let mut publication = publication(channel, &["last"]);
    publication.events[0].ending = Ending::Ends;
    publication
}

/// A channel of the suite. All of them are of one partition, however many a log has: what holds in a
/// partition is told by ids alone. What holds across them is in `suite/partitions.rs` and the model.
pub fn name(text: &str) -> ChannelName {
    let eight = Partitioning::new(Partition::MAX).unwrap();
    (0..)
        .map(|number| ChannelName::parse(&format!("{text}~{number}")).unwrap())
        .find(|name| eight.of(name) == Partition::new(3).unwrap())
        .unwrap()
}

/// A channel of that very name, in whatever partition it is.
pub fn anywhere(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

pub fn select(selectors: &[&str]) -> Arc<[Selector]> {
    let parsed = selectors.iter().map(|text| match text.contains('*') {
        true => Selector::parse(text).unwrap(),
        false => Selector::Channel(name(text)),
    });
    parsed.collect()
}

/// Past every id.
pub fn newest() -> EventId {
    EventId::new((1 << 53) - 1).unwrap()
}

pub fn ids(appended: &Appended) -> Vec<EventId> {
    appended.places().iter().map(|place| place.id).collect()
}

pub fn entry_ids(page: &Page) -> Vec<EventId> {
    page.entries.iter().map(|entry| entry.id).collect()
}

pub fn ascending(ids: &[EventId]) -> bool {
    ids.windows(2).all(|pair| pair[0] < pair[1])
}
