//! Brings what is appended to a partition to the tail: each event of an attached channel once, in order
//! of ids, whatever becomes of messages, connections and primaries.
//!
//! Messages are the fast path. Whenever one may have been missed, the listener *holds*: messages wait,
//! the channels are read from where they were delivered up to the head, and only then the messages go
//! on, most of which are known by then. So nothing is delivered past what is missing.

mod attaching;
mod catching_up;
mod checking;

use super::{
    entry::{Message as Announcement, News, Undecodable},
    hearing::{Ears, Heard},
    keys::{CANARY, Keys, channel_named},
    partition::PartitionLog,
    view::Verdict,
};
use crate::{
    channel::{ChannelName, ChannelPattern, Selector},
    cursor::{Epoch, EventId, Place},
    event::Ending,
    event_log::{Entry, Purge, Tail, Whose},
    redis::Message,
};
use attaching::Waiting;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

/// Messages that are held at most. Past it they are dropped, since all that they bring is read then.
const MAX_HELD: usize = 8192;
/// How often the listener looks after what waits.
const TICK: Duration = Duration::from_millis(250);
/// Holding for longer than this is a disturbance that streams may be told of.
const DISTURBANCE: Duration = Duration::from_secs(1);
/// When channels cannot be subscribed to, what they have is read so often.
const POLL: Duration = Duration::from_secs(1);
/// Pause after reading failed.
const RETRY: Duration = Duration::from_millis(200);

/// Somebody needs channels of this partition.
pub struct Request {
    pub selectors: Vec<Selector>,
    /// Told from where on their events come.
    pub joined: oneshot::Sender<Place>,
}

/// An ended epoch of which more may turn out to be lost.
#[derive(Clone, Copy, Debug)]
struct Watch {
    ended: Epoch,
    /// Up to here the loss was told.
    told: EventId,
    until: Instant,
}

/// The task of one partition.
pub struct Listener {
    log: Arc<PartitionLog>,
    tail: Arc<dyn Tail>,
    ears: Ears,
    heard: mpsc::Receiver<Heard>,
    requests: mpsc::UnboundedReceiver<Request>,
    /// Whether this partition is disturbed, for all to see.
    disturbed: Arc<AtomicBool>,
    keys: Keys,
    /// The shard channels of news and of canaries, which are always needed.
    standing: [Arc<str>; 2],
    /// Channels by the shard channel of their events.
    names: HashMap<Arc<str>, ChannelName>,
    held: VecDeque<Message>,
    /// The partition must be read before anything is delivered.
    behind: bool,
    /// Shard channels of attached channels whose subscription is not confirmed.
    unplaced: HashSet<Arc<str>>,
    /// Not before this is reading tried again.
    patience: Instant,
    /// Since when it holds.
    holding: Option<Instant>,
    waiting: HashMap<u64, Waiting>,
    placing: HashMap<Arc<str>, Vec<u64>>,
    ready: Vec<u64>,
    numbers: u64,
    /// Channels that the index says have more than was delivered; perhaps it is on its way.
    suspects: Vec<(ChannelName, EventId)>,
    checked: Instant,
    watch: Option<Watch>,
    /// Patterns whose channels are still to be found.
    unlisted: Vec<(u64, ChannelPattern)>,
}

impl Listener {
    pub fn new(
        log: Arc<PartitionLog>,
        tail: Arc<dyn Tail>,
        (ears, heard): (Ears, mpsc::Receiver<Heard>),
        requests: mpsc::UnboundedReceiver<Request>,
        disturbed: Arc<AtomicBool>,
    ) -> Listener {
        let now = Instant::now();
        let keys = log.store.keys().clone();
        let standing: [Arc<str>; 2] = [keys.news().into(), keys.events(CANARY).into()];
        ears.want(standing.clone());
        Listener {
            log,
            tail,
            ears,
            heard,
            requests,
            disturbed,
            keys,
            names: HashMap::new(),
            held: VecDeque::new(),
            behind: true,
            unplaced: HashSet::from(standing.clone()),
            standing,
            patience: now,
            holding: Some(now),
            waiting: HashMap::new(),
            placing: HashMap::new(),
            ready: Vec::new(),
            numbers: 0,
            suspects: Vec::new(),
            checked: now,
            watch: None,
            unlisted: Vec::new(),
        }
    }

    /// Until the subscriptions end, with the process.
    pub async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let log = self.log.clone();
        loop {
            self.note_holding();
            if self.may_catch_up() {
                self.catch_up().await;
            } else if !self.is_holding()
                && let Some(message) = self.held.pop_front()
            {
                self.hear(&message);
            } else if !self.unlisted.is_empty() && Instant::now() >= self.patience {
                self.list_patterns().await;
            } else if !self.ready.is_empty()
                && self.heard.is_empty()
                && Instant::now() >= self.patience
            {
                self.complete().await;
            } else {
                tokio::select! {
                    heard = self.heard.recv() => match heard {
                        Some(heard) => self.receive(heard),
                        None => return,
                    },
                    Some(request) = self.requests.recv() => self.request(request),
                    () = log.look.notified() => self.look().await,
                    _ = ticks.tick() => self.tick().await,
                }
            }
        }
    }

    fn is_holding(&self) -> bool {
        self.behind || !self.unplaced.is_empty()
    }

    /// Everything must be read before anything is delivered.
    fn fall_behind(&mut self) {
        self.behind = true;
    }

    fn may_catch_up(&self) -> bool {
        let overdue = || self.holding.is_some_and(|since| since.elapsed() >= POLL);
        let now = Instant::now();
        self.behind && now >= self.patience && (self.unplaced.is_empty() || overdue())
    }

    fn note_holding(&mut self) {
        if self.is_holding() {
            self.holding.get_or_insert_with(Instant::now);
        } else {
            self.holding = None;
        }
        let late = self.log.canary.lock().is_late(Instant::now());
        let disturbed = late
            || self
                .holding
                .is_some_and(|since| since.elapsed() >= DISTURBANCE);
        self.disturbed.store(disturbed, Ordering::Relaxed);
    }

    fn receive(&mut self, heard: Heard) {
        match heard {
            Heard::Message(message) if self.is_holding() || !self.held.is_empty() => {
                if self.held.len() >= MAX_HELD {
                    self.held.clear();
                    self.fall_behind();
                }
                self.held.push_back(message);
            }
            Heard::Message(message) => self.hear(&message),
            Heard::Placed(places) => places.iter().for_each(|place| self.placed(place)),
            Heard::Displaced(places) => {
                for place in places {
                    if self.standing.contains(&place) || self.names.contains_key(&place) {
                        self.unplaced.insert(place);
                        self.fall_behind();
                    }
                }
            }
        }
    }

    /// A message whose turn it is.
    fn hear(&mut self, message: &Message) {
        let (from, payload) = (&message.channel, &message.payload);
        let [news, canary] = &self.standing;
        let understood = if let Some(channel) = self.names.get(from).cloned() {
            self.hear_events(&channel, payload)
        } else if from == news {
            self.hear_news(payload)
        } else if from == canary {
            self.hear_canary(payload)
        } else {
            Ok(()) // nobody needs it any more
        };
        if let Err(error) = understood {
            tracing::error!(
                event = "log.damaged",
                %from,
                "a message cannot be read, so the log is: {error}"
            );
            self.fall_behind();
        }
    }

    fn hear_events(&mut self, channel: &ChannelName, payload: &[u8]) -> Result<(), Undecodable> {
        let message = Announcement::parse(payload)?;
        let verdict = self.log.view.lock().judge(channel, &message)?;
        match verdict {
            Verdict::Deliver(publishes) => {
                for publish in publishes {
                    self.deliver(message.epoch, &publish);
                }
            }
            Verdict::Ignore => {}
            Verdict::Missed | Verdict::OtherEpoch => self.fall_behind(),
        }
        Ok(())
    }

    /// The view first: who attaches meanwhile must read what is queued for the tail already.
    fn deliver(&self, epoch: Epoch, entries: &[Arc<Entry>]) {
        self.log.view.lock().deliver(entries);
        self.tail.deliver(epoch, entries);
    }

    fn hear_news(&mut self, payload: &[u8]) -> Result<(), Undecodable> {
        match News::parse(payload)? {
            Some(News::Channel {
                first,
                name,
                events,
                ..
            }) => {
                if let Some(channel) = channel_named(&name) {
                    self.hear_of(&channel, first, events)?;
                }
            }
            Some(News::Epoch { .. }) => self.fall_behind(),
            Some(News::Witness { ended })
                if self.watch.is_some_and(|watch| watch.ended == ended) =>
            {
                self.fall_behind();
            }
            Some(News::Purge { name, number }) => {
                let news = self.log.view.lock().note_purges(number);
                match channel_named(&name).filter(|_| news == 1) {
                    Some(channel) => self.tell_purged(Whose::These(vec![channel])),
                    None if news > 0 => self.tell_purged(Whose::Any), // one was missed
                    None => {}
                }
            }
            Some(News::Witness { .. }) | None => {}
        }
        Ok(())
    }

    /// What the head tells of purges, should messages of them be lost.
    fn note_purges(&self, purges: u64) {
        if self.log.view.lock().note_purges(purges) > 0 {
            self.tell_purged(Whose::Any);
        }
    }

    fn tell_purged(&self, whose: Whose) {
        self.tail.purged(Purge {
            partition: self.log.store.partition(),
            whose,
        });
    }

    /// A channel has begun. If a pattern matches it, its first events are delivered now, and nothing
    /// else is before it is subscribed to and read.
    fn hear_of(
        &mut self,
        channel: &ChannelName,
        first: EventId,
        events: &[u8],
    ) -> Result<(), Undecodable> {
        {
            let mut view = self.log.view.lock();
            if !view.needs_by_pattern(channel) || view.is_attached(channel) {
                return Ok(());
            }
            let before = EventId::new(first.get().saturating_sub(1)).unwrap_or_default();
            view.attach(channel.clone(), before, Ending::Continues);
        }
        if !events.is_empty() {
            self.hear_events(channel, events)?;
        }
        self.place(channel);
        Ok(())
    }

    /// A channel that is attached is to be subscribed to before anything goes on.
    fn place(&mut self, channel: &ChannelName) {
        let place: Arc<str> = self.keys.events(channel.as_str()).into();
        if self.names.insert(place.clone(), channel.clone()).is_none() {
            self.ears.want([place.clone()]);
            self.unplaced.insert(place);
            self.fall_behind();
        }
    }

    fn hear_canary(&mut self, payload: &[u8]) -> Result<(), Undecodable> {
        let message = Announcement::parse(payload)?;
        let at = {
            let mut view = self.log.view.lock();
            if view.epoch() != Some(message.epoch) {
                drop(view);
                self.fall_behind();
                return Ok(());
            }
            // messages of a partition come in order: all before it have come
            view.advance(message.last());
            view.place()
        };
        let now = Instant::now();
        self.log
            .canary
            .lock()
            .arrived(&message, &ChannelName::canary(), now)?;
        if let Some(at) = at {
            self.tail.advance(at);
        }
        Ok(())
    }

    fn placed(&mut self, place: &Arc<str>) {
        if !self.unplaced.remove(place) && self.names.contains_key(place) {
            self.fall_behind(); // it was away without a word
        }
        if self.unplaced.is_empty() {
            self.patience = Instant::now();
        }
        for number in self.placing.remove(place).unwrap_or_default() {
            self.one_placed(number);
        }
    }

    async fn tick(&mut self) {
        if self.checked.elapsed() >= checking::EVERY {
            self.checked = Instant::now();
            self.let_go();
            if !self.is_holding() {
                self.check().await;
            }
        }
        if self.watch.is_some_and(|watch| Instant::now() > watch.until) {
            self.watch = None;
        }
    }

    /// Unsubscribes from what nobody needs any more.
    fn let_go(&mut self) {
        let gone = self.log.view.lock().let_go(Instant::now());
        let places: Vec<Arc<str>> = gone
            .iter()
            .map(|channel| Arc::from(self.keys.events(channel.as_str())))
            .filter(|place| !self.placing.contains_key(place))
            .collect();
        for place in &places {
            self.names.remove(place);
            self.unplaced.remove(place);
        }
        if !places.is_empty() {
            self.ears.want_no_more(places);
        }
    }
}
