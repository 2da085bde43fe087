//! The relay inside this process, over a log that the test can make hang, fail and lose everything.

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use relay_config::Config;
use sse_relay::{
    channel::{ChannelName, Selector},
    clock::unix_millis,
    cursor::{Cursor, Epoch, EventId, Place, Places, UnixMillis},
    event_log::{
        AppendError, Appended, ChannelInfo, Condition, Entry, EventLog, LogTotals, Loss, Origin,
        Page, Publication, Purge, Purged, Read, ReadError, Retention, Tail,
        memory::{MemoryLog, MemoryOptions},
        resume::{self, Ahead, EndedEpoch, EpochLoss, Epochs, Start},
    },
    http::{self, App},
    hub::Hub,
    partition::Partitioning,
    settings::{Live, Settings},
    stats::Stats,
};
use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// How the log is to behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    Well,
    /// It does not answer until that changes.
    Hangs,
    /// It reads at once, and answers when that changes.
    AnswersLate,
    Fails,
}

/// The embedded log in several partitions, with moods.
pub struct Moody {
    log: RwLock<Arc<MemoryLog>>,
    ended: RwLock<Vec<EndedEpoch>>,
    partitioning: Partitioning,
    hub: Arc<Hub>,
    pub mood: watch::Sender<Mood>,
    /// What it takes a place for that it does not have.
    pub ahead: RwLock<Ahead>,
    /// Attachments that were answered and not ended.
    pub attachments: AtomicUsize,
    /// Pages that were read, answered or not.
    pub pages: AtomicUsize,
    /// Pages that somebody waits for.
    pub wanted: AtomicUsize,
}

/// Counts one as long as it lives.
struct One<'a>(&'a AtomicUsize);

impl<'a> One<'a> {
    fn of(count: &'a AtomicUsize) -> One<'a> {
        count.fetch_add(1, Ordering::SeqCst);
        One(count)
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Moody {
    fn new(partitions: usize, hub: Arc<Hub>) -> Moody {
        let partitioning = Partitioning::new(partitions).unwrap();
        Moody {
            log: RwLock::new(fresh(partitioning, hub.clone(), 0)),
            ended: RwLock::default(),
            partitioning,
            hub,
            mood: watch::Sender::new(Mood::Well),
            ahead: RwLock::new(Ahead::Elsewhere),
            attachments: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
        }
    }

    pub fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// All events are gone, and the clock stands an hour earlier: ids of the new epochs are below
    /// those of the old ones.
    pub fn lose_everything(&self) {
        let mut log = self.log.write();
        let ended = log.heads();
        self.ended
            .write()
            .extend(ended.iter().map(|head| EndedEpoch {
                partition: head.partition,
                epoch: head.epoch,
                fork: EventId::ZERO,
                loss: EpochLoss::UpTo(head.id),
                later: None,
                unheard: None,
            }));
        *log = fresh(self.partitioning, self.hub.clone(), 3_600_000);
    }

    /// Another life of the log, of whose epochs the threads hear when that is called.
    pub fn begin_anew(&self) -> impl FnOnce() + use<> {
        let late = Arc::new(Late {
            hub: self.hub.clone(),
            epochs: Mutex::default(),
        });
        *self.log.write() = fresh(self.partitioning, late.clone(), 0);
        move || {
            let mut epochs = late.epochs.lock();
            epochs.drain(..).for_each(|at| late.hub.epoch(at));
        }
    }

    fn log(&self) -> Arc<MemoryLog> {
        self.log.read().clone()
    }

    async fn answers(&self) -> Result<(), ReadError> {
        let mut mood = self.mood.subscribe();
        let mood = mood.wait_for(|mood| *mood != Mood::Hangs).await;
        match *mood.unwrap() {
            Mood::Fails => Err(ReadError::Unavailable("as the test wants".into())),
            _ => Ok(()),
        }
    }
}

/// A tail that keeps epochs to itself.
struct Late {
    hub: Arc<Hub>,
    epochs: Mutex<Vec<Place>>,
}

impl Tail for Late {
    fn epoch(&self, at: Place) {
        self.epochs.lock().push(at);
    }

    fn deliver(&self, epoch: Epoch, entries: &[Arc<Entry>]) {
        self.hub.deliver(epoch, entries);
    }

    fn advance(&self, head: Place) {
        self.hub.advance(head);
    }

    fn lost(&self, loss: Loss) {
        self.hub.lost(loss);
    }

    fn purged(&self, purge: Purge) {
        self.hub.purged(purge);
    }

    fn condition(&self, condition: Condition) {
        self.hub.condition(condition);
    }
}

fn fresh(partitioning: Partitioning, tail: Arc<dyn Tail>, back: UnixMillis) -> Arc<MemoryLog> {
    let retention = Retention {
        events: 100_000,
        age: Duration::from_secs(36_000),
        bytes: 1 << 30,
    };
    let options = MemoryOptions {
        retention: Arc::new(move |_| retention),
        max_bytes: 1 << 30,
        max_channels: 1000,
        idempotency_window: Duration::from_secs(60),
        max_idempotency_keys: 10,
        clock: Arc::new(move || unix_millis() - back),
    };
    let epoch = |_| Epoch::from_random(rand::random());
    Arc::new(MemoryLog::partitioned(partitioning, options, epoch, tail))
}

impl EventLog for Moody {
    fn partitioning(&self) -> Partitioning {
        self.partitioning
    }

    fn append(&self, publication: Publication) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move { self.log().append(publication).await })
    }

    fn purge(&self, channel: &ChannelName) -> BoxFuture<'_, Result<Purged, AppendError>> {
        let channel = channel.clone();
        Box::pin(async move { self.log().purge(&channel).await })
    }

    fn attach(&self, selectors: Arc<[Selector]>) -> BoxFuture<'_, Result<Places, ReadError>> {
        Box::pin(async move {
            self.answers().await?;
            let attached = self.log().attach(selectors).await?;
            self.attachments.fetch_add(1, Ordering::SeqCst);
            Ok(attached)
        })
    }

    fn detach(&self, _: &[Selector]) {
        self.attachments.fetch_sub(1, Ordering::SeqCst);
    }

    fn resume(&self, cursor: &Cursor, joined: &Places, _: Origin) -> Start {
        let epochs = Epochs {
            heads: &self.log().heads(),
            ended: &self.ended.read(),
            ahead: *self.ahead.read(),
        };
        resume::resume(cursor, joined, &epochs)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            let _wanted = One::of(&self.wanted);
            self.answers().await?;
            let page = self.log().read(read).await;
            let mut mood = self.mood.subscribe();
            self.pages.fetch_add(1, Ordering::SeqCst);
            let _ = mood.wait_for(|mood| *mood != Mood::AnswersLate).await;
            page
        })
    }

    fn finished(&self, selectors: &[Selector], after: &Places) -> bool {
        self.log().finished(selectors, after)
    }

    fn heads(&self) -> Places {
        self.log().heads()
    }

    fn channels(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ChannelInfo>, ReadError>> {
        let after = after.map(str::to_owned);
        Box::pin(async move { self.log().channels(after.as_deref(), limit).await })
    }

    fn channel(&self, name: &ChannelName) -> BoxFuture<'_, Result<Option<ChannelInfo>, ReadError>> {
        let name = name.clone();
        Box::pin(async move { self.log().channel(&name).await })
    }

    fn totals(&self) -> LogTotals {
        self.log().totals()
    }

    fn lag(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn sweep(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move { self.log().close().await })
    }
}

/// Its delivery threads go with the process of the test.
pub struct Inside {
    pub app: Arc<App>,
    pub log: Arc<Moody>,
    _stop: watch::Sender<bool>,
}

impl Inside {
    /// The relay, and where it listens: publicly, and for whoever runs it.
    pub async fn start(partitions: usize, yaml: &str) -> (Inside, SocketAddr, SocketAddr) {
        let variables = std::collections::BTreeMap::new();
        let config = Config::from_sources(Some(("config", yaml)), &variables).unwrap();
        let threads = config.http.threads.unwrap_or(2);
        let hub = Hub::new(threads, Arc::new(Stats::default()));
        let log = Arc::new(Moody::new(partitions, hub.clone()));
        let live = Arc::new(Live::new(Settings::new(config).unwrap()));
        let audit = sse_relay::audit::Audit::open(&live.settings().config.audit).unwrap();
        let app = App::new(hub, log.clone(), live, audit, "inside".to_owned());
        let app = Arc::new(app);
        let (stop, stopped) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let public = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listeners = vec![listener.into()];
        http::server::start(&app, &http::router(app.clone()), listeners, None, &stopped).unwrap();
        let admin = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin_address = admin.local_addr().unwrap();
        let router = http::admin::router(app.clone());
        tokio::spawn(async move { axum::serve(admin, router).await });
        let inside = Inside {
            app,
            log,
            _stop: stop,
        };
        (inside, public, admin_address)
    }
}
