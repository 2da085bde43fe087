//! The log in Redis, which replicas share (decision records 0015 and 0016).
//!
//! Each partition's keys share a slot. An append is one script there; pub/sub announces what it
//! appended, and the streams are the truth. What this process receives of a partition, its listener
//! brings to the tail in order.

pub mod appender;
pub mod canary;
pub mod checkup;
pub mod entry;
pub mod epochs;
pub mod gate;
pub mod hearing;
pub mod keys;
pub mod listener;
pub mod moving;
pub mod options;
pub mod partition;
pub mod replicated;
pub mod ring;
pub mod scripts;
pub mod shared_reads;
pub mod store;
pub mod together;
pub mod view;

use super::{
    AppendError, Appended, ChannelInfo, Condition, EventLog, Fence, Gaps, LogTotals, Origin, Page,
    Publication, Purged, Read, ReadError, Standing, Tail,
    health::{Health, Hearing},
    in_order::{self, Held, Outcome},
    merge::{self, Part},
    resume::{self, Ahead, Epochs, Start},
};
use crate::{
    channel::{ChannelName, Selector},
    clock::unix_millis,
    cursor::{Cursor, EventId, Partition, Place, Places},
    partition::Partitioning,
    redis::{CommandError, Redis},
};
use appender::{Appender, Novelty, Sent, Span};
use checkup::Checkup;
use futures_util::future::{BoxFuture, join_all, try_join_all};
use gate::Gate;
use listener::{Listener, Request};
use options::RedisOptions;
use parking_lot::Mutex;
use partition::PartitionLog;
use replicated::Replicated;
use scripts::PurgeOutcome;
use shared_reads::{Piece, SharedReads, may_keep};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use store::StoreError;
use together::Numbered;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};

/// How long the start waits for a Redis that cannot be reached, before it goes on without.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often all partitions are asked whether they are disturbed.
const LOOK: Duration = Duration::from_millis(250);
/// Reads that wait for Redis in one partition at once; more wait for their turn, so that a storm of
/// clients does not fill this process' memory with pages.
const READS: usize = 64;
/// How long a purge waits for its own message; the listener is read by then, or Redis is away.
const PURGE_PATIENCE: Duration = Duration::from_secs(1);
/// How often totals are counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// One partition, and those who work for it.
struct Share {
    log: Arc<PartitionLog>,
    appender: Arc<Appender>,
    replicated: Option<Replicated>,
    requests: mpsc::UnboundedSender<Request>,
    reads: Semaphore,
    shared_reads: SharedReads,
    /// Where the next sweep goes on.
    swept: Mutex<EventId>,
}

/// The [`EventLog`] in Redis.
pub struct RedisLog {
    shares: Vec<Share>,
    options: Arc<RedisOptions>,
    totals: Mutex<LogTotals>,
    counted: Mutex<Option<Instant>>,
    checkup: Arc<Checkup>,
    /// They end with the log.
    _tasks: JoinSet<()>,
    ended: Mutex<Option<oneshot::Receiver<Infallible>>>,
}

impl RedisLog {
    /// Opens the log, which begins if there is none. Goes on without Redis when it cannot be reached:
    /// then publishes are refused and streams wait until it is there.
    ///
    /// # Errors
    /// What will not pass by waiting.
    pub async fn open(
        redis: &Redis,
        options: RedisOptions,
        tail: Arc<dyn Tail>,
    ) -> Result<RedisLog, StoreError> {
        RedisLog::open_behind(Arc::new(Gate::open()), redis, options, tail).await
    }

    /// The same; while a gate is shut nobody attaches, and nothing that was missed is delivered.
    ///
    /// # Errors
    /// What will not pass by waiting.
    pub async fn open_behind(
        gate: Arc<Gate>,
        redis: &Redis,
        options: RedisOptions,
        tail: Arc<dyn Tail>,
    ) -> Result<RedisLog, StoreError> {
        let options = Arc::new(options);
        let (mut shares, mut tasks, mut disturbed) = (Vec::new(), JoinSet::new(), Vec::new());
        let checkup = Arc::<Checkup>::default();
        let partitions = options.partitioning.all().iter();
        let logs: Vec<_> = partitions
            .map(|of| {
                let (options, gate, checkup) = (options.clone(), gate.clone(), checkup.clone());
                Arc::new(PartitionLog::new(redis, of, options, gate, checkup))
            })
            .collect();
        let keys = logs.iter().map(|log| log.store.keys().clone()).collect();
        let (ears, dealing) = hearing::listen(redis, keys);
        tasks.spawn(dealing);
        for (log, ears) in logs.into_iter().zip(ears) {
            let (requests, requested) = mpsc::unbounded_channel();
            let flag = Arc::new(AtomicBool::new(false));
            disturbed.push(flag.clone());
            let replicas = options.replicas.clone();
            let replicated = replicas.map(|replicas| {
                let (replicated, asking) = Replicated::new(log.store.keys(), replicas);
                tasks.spawn(asking);
                replicated
            });
            let listener = Listener::new(log.clone(), tail.clone(), ears, requested, flag);
            shares.push((
                Share {
                    appender: appender_of(&log, options.publish_window),
                    replicated,
                    log,
                    requests,
                    reads: Semaphore::new(READS),
                    shared_reads: SharedReads::new(options.shared_bytes()),
                    swept: Mutex::default(),
                },
                listener,
            ));
        }
        try_join_all(shares.iter().map(|(share, _)| open_share(share, &*tail))).await?;
        let mut opened = Vec::new();
        for (share, listener) in shares {
            tasks.spawn(listener.run());
            if let Some(every) = options.canary {
                tasks.spawn(send_canaries(share.log.clone(), every));
            }
            opened.push(share);
        }
        if options.canary.is_some() {
            let (prefix, partitioning) = (options.prefix.clone(), options.partitioning);
            let checkup = checkup.clone();
            tasks.spawn(checkup.keep(redis.clone(), prefix, partitioning));
        }
        tasks.spawn(tell_condition(disturbed, tail));
        let (watch, ended) = watched(tasks);
        Ok(RedisLog {
            shares: opened,
            options,
            totals: Mutex::default(),
            counted: Mutex::default(),
            checkup,
            _tasks: watch,
            ended: Mutex::new(Some(ended)),
        })
    }

    /// Ready when a task of the log has ended, after which events may not be delivered any more. `None`
    /// the second time.
    pub fn task_ended(&self) -> Option<oneshot::Receiver<Infallible>> {
        self.ended.lock().take()
    }

    fn share(&self, partition: Partition) -> &Share {
        &self.shares[partition.index()]
    }

    fn share_of(&self, channel: &ChannelName) -> &Share {
        self.share(self.options.partitioning.of(channel))
    }

    /// The selectors that concern a partition.
    fn of_partition(&self, selectors: &[Selector], partition: Partition) -> Vec<Selector> {
        let share = self.share(partition);
        let concerns = |selector: &&Selector| share.concerns(selector, &self.options);
        selectors.iter().filter(concerns).cloned().collect()
    }

    async fn purge_channel(&self, channel: &ChannelName) -> Result<Purged, AppendError> {
        let share = self.share_of(channel);
        match share.log.store.purge(channel).await {
            Ok(PurgeOutcome::Purged {
                epoch,
                number,
                until,
                events,
            }) => {
                share.heard_of_purge(number).await;
                let partition = share.log.store.partition();
                Ok(Purged {
                    events,
                    until: Some(Place {
                        partition,
                        epoch,
                        id: until,
                    }),
                })
            }
            Ok(PurgeOutcome::Unknown) => Ok(Purged::default()),
            // the next canary begins the new epoch
            Ok(PurgeOutcome::Recheck) => Err(AppendError::Unavailable(
                "Redis has just become another primary".into(),
            )),
            Err(error) => Err(unpurged(&error)),
        }
    }

    /// A client may come from a replica that knows more than this one: of this epoch, or of one that
    /// did not begin here yet. Until Redis was asked whether there is that, it counts as ahead; and
    /// where an epoch has just ended, until all replicas had the time to say what it lost.
    fn wait_for(
        &self,
        places: &Places,
        joined: &Places,
        standing: &mut Standing,
        ended: &[resume::EndedEpoch],
        origin: Origin,
    ) {
        let partition = standing.after.partition;
        let Some(place) = places.in_partition(partition) else {
            return;
        };
        let log = &self.share(partition).log;
        let at = joined.id(partition);
        let is_strange = || match origin {
            Origin::Client(since) => log.is_strange(place, since),
            Origin::Here => true,
        };
        if place.epoch == standing.after.epoch {
            if place.id > at && place.id > log.view.lock().known() && is_strange() {
                standing.after.id = at;
            }
            return;
        }
        let has_ended =
            |ended: &resume::EndedEpoch| ended.partition == partition && ended.epoch == place.epoch;
        let waits = match ended.iter().any(has_ended) {
            true => {
                let now = (Instant::now(), unix_millis());
                origin != Origin::Here && log.ended.lock().is_undecided(place.epoch, now)
            }
            false => {
                let now = (Instant::now(), unix_millis());
                !is_strange() || origin != Origin::Here && log.ended.lock().may_have_orphans(now)
            }
        };
        if waits {
            standing.after.id = EventId::new(at.get() + 1).unwrap_or(at);
        }
    }

    async fn append_to(&self, publication: &Publication) -> Result<Appended, AppendError> {
        let share = self.share_of(&publication.channel);
        let span = share.appender.append(publication).await?;
        share.confirmed(span, publication.events.len()).await
    }

    async fn append_together(&self, publications: Vec<Publication>) -> Vec<Outcome> {
        let mut parts: BTreeMap<Partition, Vec<Numbered<'_>>> = BTreeMap::new();
        for (index, publication) in publications.iter().enumerate() {
            let partition = self.options.partitioning.of(&publication.channel);
            parts
                .entry(partition)
                .or_default()
                .push((index, publication));
        }
        let parts = parts
            .into_iter()
            .map(|(partition, part)| self.share(partition).append_all(part));
        in_order::sorted(join_all(parts).await.into_iter().flatten())
    }

    async fn attach_all(&self, selectors: Arc<[Selector]>) -> Result<Places, ReadError> {
        let partitions = self.options.partitioning.in_use(&selectors);
        let joined = partitions.iter().map(|partition| {
            let ours = self.of_partition(&selectors, partition);
            self.share(partition).attach(ours)
        });
        join_all(joined).await.into_iter().collect()
    }

    async fn page(&self, read: Read) -> Result<Page, ReadError> {
        let parts = read.from.iter().map(|from| async {
            let partition = from.after.partition;
            let ours = Read {
                selectors: match self.options.partitioning.count() {
                    1 => read.selectors.clone(),
                    _ => self.of_partition(&read.selectors, partition).into(),
                },
                ..read.clone()
            };
            self.share(partition)
                .read(&ours, *from, &self.options)
                .await
        });
        let parts = try_join_all(parts).await?;
        let (mut events, mut bytes) = (0, 0);
        Ok(merge::merge(parts, |entry| {
            events += 1;
            bytes += entry.event.size();
            events >= read.max_events || bytes >= read.max_bytes
        }))
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<ChannelInfo>, ReadError> {
        let names = self
            .shares
            .iter()
            .map(|share| share.log.store.names("", after, limit));
        let mut names: Vec<ChannelName> = try_join_all(names)
            .await
            .map_err(unreadable)?
            .into_iter()
            .flatten()
            .filter_map(|name| keys::channel_named(&name))
            .collect();
        names.sort();
        names.truncate(limit);
        self.describe(names).await
    }

    async fn describe(&self, names: Vec<ChannelName>) -> Result<Vec<ChannelInfo>, ReadError> {
        let now = self.options.time.now();
        let described = self.shares.iter().map(|share| {
            let partition = share.log.store.partition();
            let ours = |name: &&ChannelName| self.options.partitioning.of(name) == partition;
            let ours: Vec<ChannelName> = names.iter().filter(ours).cloned().collect();
            async move {
                let Some(here) = share.log.view.lock().place() else {
                    return Err(ReadError::Unavailable("Redis was not reached yet".into()));
                };
                let described = share
                    .log
                    .store
                    .describe(&ours, now, |id| Place { id, ..here });
                described.await.map_err(unreadable)
            }
        });
        let mut all: Vec<ChannelInfo> = try_join_all(described)
            .await?
            .into_iter()
            .flatten()
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// One step of the sweep in each partition, and fresh totals now and then.
    async fn sweep_once(&self) {
        for share in &self.shares {
            share.shared_reads.sweep(Instant::now());
        }
        let steps = self.shares.iter().map(|share| async {
            let from = *share.swept.lock();
            let next = share.log.store.sweep(from).await?;
            *share.swept.lock() = next;
            Ok::<_, StoreError>(())
        });
        if let Err(error) = try_join_all(steps).await {
            tracing::debug!(event = "log.sweep", %error, "nothing was swept");
        }
        let due = self
            .counted
            .lock()
            .is_none_or(|counted| counted.elapsed() >= COUNT_EVERY);
        if due && let Err(error) = self.count().await {
            tracing::debug!(event = "log.totals", %error, "nothing was counted");
        }
    }

    /// Makes totals those of this moment.
    ///
    /// # Errors
    /// When Redis does not tell.
    pub async fn count(&self) -> Result<(), ReadError> {
        let counts = self.shares.iter().map(|share| share.log.store.totals());
        let counts = try_join_all(counts).await.map_err(unreadable)?;
        *self.totals.lock() = counts
            .into_iter()
            .fold(LogTotals::default(), LogTotals::and);
        *self.counted.lock() = Some(Instant::now());
        Ok(())
    }

    /// Waits until everything that was appended before the call, and is attached, was delivered. It is
    /// read from the log if need be.
    ///
    /// # Errors
    /// When Redis does not tell what there is.
    pub async fn catch_up(&self) -> Result<(), ReadError> {
        for share in &self.shares {
            let head = share.log.store.head().await.map_err(unreadable)?;
            while let Some(head) = head
                && !share.log.view.lock().has_reached(&head)
            {
                share.log.look.notify_one();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }
}

/// None of the tasks ends by itself, unless it has a fault; the first that does ends all.
fn watched(mut tasks: JoinSet<()>) -> (JoinSet<()>, oneshot::Receiver<Infallible>) {
    let (whole, ended) = oneshot::channel();
    let mut watch = JoinSet::new();
    watch.spawn(async move {
        tasks.join_next().await;
        drop(whole);
    });
    (watch, ended)
}

fn appender_of(log: &Arc<PartitionLog>, window: Duration) -> Arc<Appender> {
    let log = log.clone();
    let send = move |batches: Vec<store::Batch>| {
        let log = log.clone();
        let sent: BoxFuture<'static, Sent> = Box::pin(async move { log.send(&batches).await });
        sent
    };
    Appender::new(window, Box::new(send))
}

/// Begins with the partition's epoch, if Redis tells it.
async fn open_share(share: &Share, tail: &dyn Tail) -> Result<(), StoreError> {
    if let Err(error) = share.log.store.primary().wait(PATIENCE).await {
        tracing::error!(event = "log.unavailable", %error, "the relay starts without Redis: publishes are refused and streams wait");
        return Ok(());
    }
    match share.log.store.open(partition::random_epoch()).await {
        Ok(head) => {
            let at = {
                let mut view = share.log.view.lock();
                view.begin(head.epoch, head.last);
                view.place()
            };
            if let Some(at) = at {
                tail.epoch(at);
            }
            Ok(())
        }
        Err(StoreError::Command(_)) => Ok(()), // the listener tries on
        Err(error) => Err(error),
    }
}

async fn send_canaries(log: Arc<PartitionLog>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = log.send_canary().await {
            tracing::debug!(event = "log.canary", %error, "a canary was not published");
        }
    }
}

/// Tells the tail when some partition is disturbed, and when none is any more.
async fn tell_condition(disturbed: Vec<Arc<AtomicBool>>, tail: Arc<dyn Tail>) {
    let mut told = Condition::Healthy;
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let now = match disturbed.iter().any(|flag| flag.load(Ordering::Relaxed)) {
            true => Condition::Degraded,
            false => Condition::Healthy,
        };
        if now != told {
            tracing::warn!(event = "log.condition", condition = ?now, "the log in Redis is as told");
            tail.condition(now);
            told = now;
        }
    }
}

fn unpurged(error: &StoreError) -> AppendError {
    use CommandError::{NotExecuted, NotSent};
    match error {
        StoreError::Command(NotSent(_) | NotExecuted { .. }) => {
            AppendError::Unavailable(error.to_string())
        }
        _ => AppendError::OutcomeUnknown(error.to_string()),
    }
}

fn unreadable(error: StoreError) -> ReadError {
    match error {
        StoreError::OtherEpoch => ReadError::EpochChanged,
        error => ReadError::Unavailable(error.to_string()),
    }
}

impl Share {
    /// Few calls, one after the other, so that publishes of a channel keep their order.
    async fn append_all(&self, publications: Vec<Numbered<'_>>) -> Vec<(usize, Outcome)> {
        let (mut held, mut outcomes) = (Held::default(), Vec::with_capacity(publications.len()));
        let mut waiting = publications.into_iter().peekable();
        while waiting.peek().is_some() {
            let call = together::next_call(&mut waiting, &held, &mut outcomes);
            if call.is_empty() {
                continue;
            }
            let (batches, numbered) = together::batches(&call);
            let spans = match self.log.send(&batches).await {
                Ok(spans) => spans,
                Err(error) => vec![Err(error); numbered.len()],
            };
            let settled = numbered.into_iter().zip(spans);
            let settled = settled.map(|((index, publication), span)| async move {
                let outcome = match span {
                    Ok(span) => self.confirmed(span, publication.events.len()).await,
                    Err(error) => Err(error),
                };
                (index, &publication.channel, outcome)
            });
            for (index, channel, outcome) in join_all(settled).await {
                held.note(channel, &outcome);
                outcomes.push((index, outcome));
            }
        }
        outcomes
    }

    /// What an append of so many events has become, once enough replicas of Redis have it, if they must.
    async fn confirmed(&self, span: Span, events: usize) -> Outcome {
        let place = |index: usize| Place {
            partition: self.log.store.partition(),
            epoch: span.epoch,
            id: EventId::new(span.first.get() + index as u64).unwrap_or(span.first),
        };
        let places: Vec<Place> = (0..events).map(place).collect();
        if let (Some(replicated), Some(last)) = (&self.replicated, places.last())
            && let Err(why) = replicated.confirm(&span, last.id).await
        {
            let why = why.to_string();
            return Err(AppendError::NotReplicated { places, why });
        }
        Ok(match span.novelty {
            Novelty::New => Appended::New(places),
            Novelty::Repeat => Appended::Repeat(places),
        })
    }

    async fn attach(&self, selectors: Vec<Selector>) -> Result<Place, ReadError> {
        let mut need = Needed {
            share: self,
            selectors: Some(selectors.clone()),
        };
        let at = {
            let mut view = self.log.view.lock();
            view.need(selectors.iter());
            match self.log.gate.is_open() {
                true => view.joining(selectors.iter()),
                false => None,
            }
        };
        let at = match at {
            Some(at) => at,
            None => {
                let (joined, joins) = oneshot::channel();
                let ended = || ReadError::Unavailable("the log is closed".into());
                let request = Request { selectors, joined };
                self.requests.send(request).map_err(|_| ended())?;
                joins.await.map_err(|_| ended())?
            }
        };
        need.selectors = None; // from now on somebody detaches
        Ok(at)
    }

    /// Waits until this process has heard of a purge, after everything that was appended before it. A
    /// message that is lost is made up for by looking; who waits for Redis meanwhile does not get what
    /// was purged, since it is gone there.
    async fn heard_of_purge(&self, number: u64) {
        let began = Instant::now();
        while began.elapsed() < PURGE_PATIENCE && self.log.view.lock().purges() < number {
            if began.elapsed() >= LOOK {
                self.log.look.notify_one();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn detach(&self, selectors: &[Selector]) {
        self.log
            .view
            .lock()
            .need_no_more(selectors.iter(), Instant::now());
    }

    async fn read(
        &self,
        read: &Read,
        from: Standing,
        options: &RedisOptions,
    ) -> Result<Part, ReadError> {
        let upto = read
            .upto
            .in_partition(from.after.partition)
            .map(|place| place.id);
        let recent = self
            .log
            .view
            .lock()
            .from_ring(read, from, upto, &*options.retention);
        if let Some(part) = recent {
            return Ok(part);
        }
        // many come back to what is attached; who asks for history asks the log
        let is_attached = || self.log.view.lock().joining(read.selectors.iter());
        match (upto, from.gaps) {
            (Some(upto), Gaps::Report) if is_attached().is_some() => {
                self.read_shared(read, from, upto, options).await
            }
            (upto, _) => self.read_alone(read, from, upto).await,
        }
    }

    /// Whether a selector has channels in this partition.
    fn concerns(&self, selector: &Selector, options: &RedisOptions) -> bool {
        match selector {
            Selector::Channel(name) => options.partitioning.of(name) == self.log.store.partition(),
            Selector::Pattern(_) => true,
        }
    }

    /// From the log, or from what another reader of the same channels has just read there.
    async fn read_shared(
        &self,
        read: &Read,
        from: Standing,
        upto: EventId,
        options: &RedisOptions,
    ) -> Result<Part, ReadError> {
        let Some(readers) = self.shared_reads.readers(&read.selectors) else {
            return self.read_alone(read, from, Some(upto)).await;
        };
        let at_hand = || {
            let view = self.log.view.lock();
            let version = view.version().filter(|of| of.epoch == from.after.epoch);
            let piece = version.and_then(|version| readers.piece(version, Instant::now()));
            let Some(piece) = piece else {
                return AtHand::Nothing;
            };
            let beyond = |read: &Read, end: Standing| {
                view.from_ring(read, end, Some(upto), &*options.retention)
            };
            match piece.serve(read, from, upto, beyond) {
                Some(part) if may_keep(&part.entries, &*options.retention) => AtHand::This(part),
                None if piece.is_of_others(from) => AtHand::ForOthers,
                Some(_) | None => AtHand::Nothing,
            }
        };
        let mut turn = None;
        loop {
            match at_hand() {
                AtHand::This(part) => return Ok(part),
                AtHand::ForOthers => {
                    drop(turn);
                    return self.read_alone(read, from, Some(upto)).await;
                }
                AtHand::Nothing if turn.is_some() => break,
                AtHand::Nothing => turn = readers.turn.acquire().await.ok(),
            }
        }
        // a purge from here on makes the piece worthless
        let (version, began) = (self.log.view.lock().version(), Instant::now());
        // up to the head, so that those who came later find what they need
        let part = self.read_alone(read, from, None).await?;
        if let Some(version) = version.filter(|of| of.epoch == from.after.epoch) {
            let piece = Piece::new(version, &part, began);
            self.shared_reads.keep(&readers, piece);
        }
        match Piece::cut(part, upto) {
            Some(part) => Ok(part),
            None => self.read_alone(read, from, Some(upto)).await,
        }
    }

    async fn read_alone(
        &self,
        read: &Read,
        from: Standing,
        upto: Option<EventId>,
    ) -> Result<Part, ReadError> {
        let _turn = self.reads.acquire().await;
        let read = self.log.store.read(read, from, upto).await;
        if matches!(read, Err(StoreError::OtherEpoch)) {
            self.log.look.notify_one();
        }
        read.map_err(unreadable)
    }
}

/// What readers of the same channels have left.
enum AtHand {
    This(Part),
    /// It has a gap that concerns others.
    ForOthers,
    Nothing,
}

/// An attachment that was asked for; asked for no more unless it was answered.
struct Needed<'a> {
    share: &'a Share,
    selectors: Option<Vec<Selector>>,
}

impl Drop for Needed<'_> {
    fn drop(&mut self) {
        if let Some(selectors) = &self.selectors {
            self.share.detach(selectors);
        }
    }
}

impl EventLog for RedisLog {
    fn partitioning(&self) -> Partitioning {
        self.options.partitioning
    }

    fn append(&self, publication: Publication) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move { self.append_to(&publication).await })
    }

    fn raise(&self, fence: Fence) -> BoxFuture<'_, Result<u64, AppendError>> {
        Box::pin(async move {
            let raised = self
                .shares
                .iter()
                .map(|share| share.log.store.raise(&fence));
            let raised = try_join_all(raised).await;
            let raised = raised.map_err(|error| AppendError::Unavailable(error.to_string()))?;
            Ok(raised.into_iter().fold(fence.token, u64::max))
        })
    }

    fn append_all(&self, publications: Vec<Publication>) -> BoxFuture<'_, Vec<Outcome>> {
        Box::pin(self.append_together(publications))
    }

    fn purge(&self, channel: &ChannelName) -> BoxFuture<'_, Result<Purged, AppendError>> {
        let channel = channel.clone();
        Box::pin(async move { self.purge_channel(&channel).await })
    }

    fn attach(&self, selectors: Arc<[Selector]>) -> BoxFuture<'_, Result<Places, ReadError>> {
        Box::pin(self.attach_all(selectors))
    }

    fn detach(&self, selectors: &[Selector]) {
        for partition in self.options.partitioning.in_use(selectors).iter() {
            let ours = self.of_partition(selectors, partition);
            self.share(partition).detach(&ours);
        }
    }

    fn resume(&self, cursor: &Cursor, joined: &Places, origin: Origin) -> Start {
        let now = (Instant::now(), unix_millis());
        let mut ended = Vec::new();
        for share in &self.shares {
            let of = share.log.ended.lock();
            ended.extend(of.for_resume(share.log.store.partition(), now));
        }
        let epochs = Epochs {
            heads: &self.heads(),
            ended: &ended,
            ahead: Ahead::Elsewhere,
        };
        let mut start = resume::resume(cursor, joined, &epochs);
        if let Cursor::After(places) = cursor {
            for standing in &mut start.from {
                self.wait_for(places, joined, standing, &ended, origin);
            }
        }
        start
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(self.page(read))
    }

    fn finished(&self, selectors: &[Selector], after: &Places) -> bool {
        selectors.iter().all(|selector| match selector {
            Selector::Pattern(_) => false,
            Selector::Channel(name) => {
                let share = self.share_of(name);
                let after = after.id(share.log.store.partition());
                share.log.view.lock().has_ended(name, after)
            }
        })
    }

    fn heads(&self) -> Places {
        let shares = self.shares.iter();
        shares
            .filter_map(|share| share.log.view.lock().place())
            .collect()
    }

    fn channels(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ChannelInfo>, ReadError>> {
        let after = after.map(str::to_owned);
        Box::pin(async move { self.list(after.as_deref(), limit).await })
    }

    fn channel(&self, name: &ChannelName) -> BoxFuture<'_, Result<Option<ChannelInfo>, ReadError>> {
        let name = name.clone();
        Box::pin(async move { Ok(self.describe(vec![name]).await?.pop()) })
    }

    fn totals(&self) -> LogTotals {
        *self.totals.lock()
    }

    fn lag(&self) -> Duration {
        let now = Instant::now();
        let lags = self
            .shares
            .iter()
            .map(|share| share.log.canary.lock().lag(now));
        lags.max().unwrap_or_default()
    }

    fn health(&self) -> Health {
        let hears = |share: &Share| share.log.canary.lock().hearing();
        Health {
            hearing: match self
                .shares
                .iter()
                .any(|share| hears(share) == Hearing::Alone)
            {
                true => Hearing::Alone,
                false => Hearing::Shared,
            },
            checked: self.checkup.latest(),
        }
    }

    fn sweep(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.sweep_once())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            join_all(self.shares.iter().map(|share| share.appender.close())).await;
            Ok(())
        })
    }
}
