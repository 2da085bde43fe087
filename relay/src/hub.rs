//! Fan-out inside one process: shards that own sockets, and the feeds that they share.

pub mod clients;
pub mod direct_event;
pub mod extend;
pub mod feed;
pub mod inbox;
pub mod interest;
pub mod open;
pub mod parting;
pub mod select;
pub mod shard;
pub mod sink;
pub mod voice;

use crate::{
    channel::{ChannelName, Selector},
    cursor::{Epoch, EventId, Partition, Place, Places},
    descriptors::{self, Room},
    event_log::{Condition, Entry, Loss, Purge, Tail},
    frame::Frame,
    settings::Settings,
    stats::Stats,
};
use clients::{Clients, Departures};
use direct_event::DirectEvent;
use extend::{Extended, Extension};
use inbox::{Command, Delivery, Inbox, ListQuery, StreamReport};
use interest::{Interest, MAX_SHARDS};
use open::{Directed, EndReason};
use parking_lot::RwLock;
use relay_config::Config;
use select::StreamSelector;
use smallvec::SmallVec;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot};

/// What the shards of a process have in common.
pub struct Hub {
    interest: RwLock<Interest>,
    inboxes: Vec<Arc<Inbox>>,
    /// Connections and streams by shard.
    loads: Vec<AtomicUsize>,
    /// Streams whose connection counts besides: hyper carries them.
    pub carried: AtomicUsize,
    /// By partition: everything up to this id stands in the inboxes of the shards that want it.
    heads: [AtomicU64; Partition::MAX],
    numbers: AtomicU64,
    /// How many files the process may open.
    open_files: Option<u64>,
    /// Bytes that wait for streams, in feeds and backlogs.
    pub queue_bytes: AtomicUsize,
    /// The same by shard.
    queued: Vec<AtomicUsize>,
    /// Streams that are open and wait for the log, to begin.
    pub waiting: AtomicUsize,
    /// Feeds whose streams are written as a route says.
    pub voices: AtomicUsize,
    /// What named receivers got in streams that have ended.
    pub clients: Clients,
    /// Streams of named receivers that have ended, if somebody registers them.
    pub departures: Departures,
    /// Rings when a stream has closed.
    pub closed: Notify,
    pub stats: Arc<Stats>,
}

impl Hub {
    /// `shards` is 1 to 64; more is cut to 64.
    pub fn new(shards: usize, stats: Arc<Stats>) -> Arc<Hub> {
        let shards = shards.clamp(1, MAX_SHARDS);
        Arc::new(Hub {
            interest: RwLock::default(),
            inboxes: (0..shards).map(|_| Arc::default()).collect(),
            loads: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            carried: AtomicUsize::new(0),
            heads: Default::default(),
            numbers: AtomicU64::new(1),
            open_files: descriptors::open_files(),
            queue_bytes: AtomicUsize::new(0),
            queued: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            waiting: AtomicUsize::new(0),
            voices: AtomicUsize::new(0),
            clients: Clients::default(),
            departures: Departures::default(),
            closed: Notify::new(),
            stats,
        })
    }

    pub fn shards(&self) -> usize {
        self.inboxes.len()
    }

    pub fn inbox(&self, shard: usize) -> &Arc<Inbox> {
        &self.inboxes[shard]
    }

    /// A number for a new stream, greater than all before.
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// How far a shard's inbox is filled that has come to these places, as long as their epochs go
    /// on. To be asked before the inbox is emptied, and to be forgotten where an epoch came out of it.
    pub fn heads(&self, known: &Places) -> Places {
        let head = |place: Place| Place {
            id: self.head(place.partition).max(place.id),
            ..place
        };
        known.iter().map(head).collect()
    }

    fn head(&self, partition: Partition) -> EventId {
        EventId::new(self.heads[partition.index()].load(Ordering::Acquire)).unwrap_or_default()
    }

    fn raise(&self, partition: Partition, head: EventId) {
        self.heads[partition.index()].store(head.get(), Ordering::Release);
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        for inbox in &self.inboxes {
            inbox.send(command());
        }
    }

    pub fn want(&self, selectors: &[Selector], shard: usize) {
        let mut interest = self.interest.write();
        selectors
            .iter()
            .for_each(|selector| interest.add(selector, shard));
    }

    pub fn want_no_more<'a>(&self, selectors: impl Iterator<Item = &'a Selector>, shard: usize) {
        let mut interest = self.interest.write();
        selectors.for_each(|selector| interest.remove(selector, shard));
    }

    /// The shard with the fewest connections.
    pub fn least_loaded(&self) -> usize {
        let loads = self.loads.iter().map(|load| load.load(Ordering::Relaxed));
        loads
            .enumerate()
            .min_by_key(|(_, load)| *load)
            .map_or(0, |(shard, _)| shard)
    }

    pub fn load(&self, shard: usize) -> &AtomicUsize {
        &self.loads[shard]
    }

    /// Connections in all, each once, whatever streams it carries.
    pub fn connections(&self) -> usize {
        let loads = self.loads.iter().map(|load| load.load(Ordering::Relaxed));
        let counted: usize = loads.sum();
        counted.saturating_sub(self.carried.load(Ordering::Relaxed))
    }

    /// How many connections there may be, and up to how many a stream may open.
    pub fn room(&self, config: &Config) -> Room {
        let configured = config.stream.max_connections;
        descriptors::room(configured, self.open_files, self.shards())
    }

    /// Bytes that begin and cease to wait for streams of a shard.
    pub fn account(&self, shard: usize, more: usize, fewer: usize) {
        for bytes in [&self.queue_bytes, &self.queued[shard]] {
            bytes.fetch_add(more, Ordering::Relaxed);
            bytes.fetch_sub(fewer, Ordering::Relaxed);
        }
    }

    /// The shard whose streams have the most bytes waiting.
    pub fn most_queued(&self) -> usize {
        let queued = self
            .queued
            .iter()
            .map(|bytes| bytes.load(Ordering::Relaxed));
        queued
            .enumerate()
            .max_by_key(|(_, bytes)| *bytes)
            .map_or(0, |(shard, _)| shard)
    }

    /// Takes new settings to all shards.
    pub fn configure(&self, settings: &Arc<Settings>) {
        self.tell_all(|| Command::Configure(settings.clone()));
    }

    /// Closes all streams, spread over a time.
    pub fn drain(&self, window: Duration) {
        for inbox in &self.inboxes {
            inbox.send(Command::Drain(window));
        }
    }

    /// Streams in the order in which they opened, from all shards.
    pub async fn list(&self, query: ListQuery) -> Vec<StreamReport> {
        let answers = self
            .ask(|answer| Command::List(query.clone(), answer))
            .await;
        let mut streams: Vec<StreamReport> = answers.into_iter().flatten().collect();
        streams.sort_by_key(|stream| stream.info.number);
        streams.truncate(query.limit);
        streams
    }

    /// Ends streams, and says how many.
    pub async fn end(&self, streams: StreamSelector, reason: EndReason) -> u64 {
        let streams = Arc::new(streams);
        let ended = self
            .ask(|answer| Command::End(streams.clone(), reason, answer))
            .await;
        ended.into_iter().sum()
    }

    /// Ends the streams whose credential is refused by now, and says how many.
    pub async fn end_refused(&self) -> u64 {
        let ended = self.ask(Command::EndRefused).await;
        ended.into_iter().sum()
    }

    /// Tells the shards to end streams, and does not wait until they have.
    pub fn order_end(&self, streams: &StreamSelector, reason: EndReason) {
        let streams = Arc::new(streams.clone());
        for inbox in &self.inboxes {
            let (answer, _) = oneshot::channel();
            inbox.send(Command::End(streams.clone(), reason, answer));
        }
    }

    /// Extends the stream with this number; `None` when there is none.
    pub async fn extend(&self, number: u64, extension: Extension) -> Option<Extended> {
        let extension = Arc::new(extension);
        let answers = self
            .ask(|answer| Command::Extend(number, extension.clone(), answer))
            .await;
        answers.into_iter().flatten().next()
    }

    /// Hands an event to one stream alone.
    pub async fn direct(&self, number: u64, event: DirectEvent) -> Directed {
        let event = Arc::new(event);
        let answers = self
            .ask(|answer| Command::Direct(number, event.clone(), answer))
            .await;
        let found = answers.into_iter().find(|answer| *answer != Directed::Gone);
        found.unwrap_or(Directed::Gone)
    }

    /// How many streams receive each of these channels.
    pub async fn count_streams(&self, channels: &[ChannelName]) -> Vec<usize> {
        let answers = self
            .ask(|answer| Command::CountStreams(channels.to_vec(), answer))
            .await;
        let mut totals = vec![0; channels.len()];
        for counts in answers {
            totals
                .iter_mut()
                .zip(counts)
                .for_each(|(total, count)| *total += count);
        }
        totals
    }

    async fn ask<T>(&self, command: impl Fn(oneshot::Sender<T>) -> Command) -> Vec<T> {
        let mut answers = Vec::with_capacity(self.inboxes.len());
        for inbox in &self.inboxes {
            let (answer, answered) = oneshot::channel();
            inbox.send(command(answer));
            answers.push(answered);
        }
        // a shard that is gone (the process is ending) has no streams
        futures_util::future::join_all(answers)
            .await
            .into_iter()
            .filter_map(Result::ok)
            .collect()
    }
}

impl Tail for Hub {
    fn epoch(&self, at: Place) {
        // first the head, so that none of the ended epoch is read once its shards know the new one
        self.raise(at.partition, at.id);
        self.tell_all(|| Command::Epoch(at));
    }

    fn deliver(&self, epoch: Epoch, entries: &[Arc<Entry>]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return;
        };
        let shards = self.interest.read().of(&first.channel);
        if shards != 0 {
            let appended = Instant::now();
            let voiced = self.voices.load(Ordering::Relaxed) > 0;
            let mut deliveries: SmallVec<[Delivery; 1]> = entries
                .iter()
                .map(|entry| {
                    let place = Place {
                        partition: entry.partition,
                        epoch,
                        id: entry.id,
                    };
                    let frame = Frame::event(&place.text(), entry.channel.as_str(), &entry.event);
                    Delivery {
                        entry: entry.clone(),
                        place,
                        frame,
                        renditions: voiced.then(Arc::default),
                        appended,
                    }
                })
                .collect();
            let last = shards.ilog2() as usize;
            for (shard, inbox) in self.inboxes.iter().enumerate().take(last) {
                if shards & (1 << shard) != 0 {
                    inbox.send_all(deliveries.iter().cloned().map(Command::Deliver));
                }
            }
            // nobody else needs them
            self.inboxes[last].send_all(deliveries.drain(..).map(Command::Deliver));
        }
        self.raise(last.partition, last.id);
    }

    fn advance(&self, head: Place) {
        self.raise(head.partition, head.id);
    }

    fn lost(&self, loss: Loss) {
        let loss = Arc::new(loss);
        self.tell_all(|| Command::Lost(loss.clone()));
    }

    fn purged(&self, purge: Purge) {
        let purge = Arc::new(purge);
        self.tell_all(|| Command::Purged(purge.clone()));
    }

    fn condition(&self, condition: Condition) {
        self.tell_all(|| Command::Condition(condition));
    }
}
