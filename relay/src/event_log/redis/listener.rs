//! Brings what is appended to a partition to the tail: each event of an attached channel once, in order
//! of ids, whatever becomes of messages, connections and primaries.
//!
//! Messages are the fast path. Whenever one may have been missed, the listener *holds*: messages wait,
//! the channels are read from where they were delivered up to the head, and only then the messages go
//! on, most of which are known by then. So nothing is delivered past what is missing.

mod attaching;
mod catching_up;
mod checking;
mod seats;

use super::{
    entry::{Message as Announcement, News, Undecodable},
    epochs::Told,
    hearing::{Ears, Heard},
    keys::{CANARY, Keys, channel_named},
    partition::PartitionLog,
    store::EndedEpoch,
    view::Verdict,
};
use crate::{
    channel::{ChannelName, ChannelPattern, Selector},
    cursor::{Epoch, EventId, Place},
    event::Ending,
    event_log::{Entry, Purge, Tail, Whose},
    redis::{MAX_EVENT_BYTES, Message},
};
use attaching::Waiting;
use seats::{Confirmed, Seats, Taken, Use};
use std::{
    collections::{HashMap, VecDeque},
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

/// Messages that are held at most, and their bytes. Past it they are dropped, since all that they bring
/// is read then; what is held counts as waiting for the subscriber, which must not stand still for it.
const MAX_HELD: usize = 8192;
const MAX_HELD_BYTES: usize = MAX_EVENT_BYTES / 16;
/// How often the listener looks after what waits.
const TICK: Duration = Duration::from_millis(250);
/// Holding for longer than this is a disturbance that streams may be told of.
const DISTURBANCE: Duration = Duration::from_secs(1);
/// When channels cannot be subscribed to, what they have is read so often.
const POLL: Duration = Duration::from_secs(1);
/// Pause after reading failed.
const RETRY: Duration = Duration::from_millis(200);
/// When nothing was confirmed for so long, what is not is asked for again.
const REMIND: Duration = Duration::from_secs(1);

/// Somebody needs channels of this partition.
pub struct Request {
    pub selectors: Vec<Selector>,
    /// Told from where on their events come.
    pub joined: oneshot::Sender<Place>,
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
    /// The shard channels that are listened to.
    seats: Seats,
    held: VecDeque<Message>,
    held_bytes: usize,
    /// The partition must be read before anything is delivered.
    behind: bool,
    /// When a subscription was confirmed, or asked for again.
    confirmed: Instant,
    /// Not before this is reading tried again.
    patience: Instant,
    /// Since when it holds.
    holding: Option<Instant>,
    waiting: HashMap<u64, Waiting>,
    ready: Vec<u64>,
    numbers: u64,
    /// Channels that the index says have more than was delivered; perhaps it is on its way.
    suspects: Vec<(ChannelName, EventId)>,
    checked: Instant,
    /// What of ended epochs live streams have heard of.
    told: Told,
    /// Ended epochs, as they were when the present one was last seen to be the log's.
    history: Vec<EndedEpoch>,
    /// Since when the log is in an epoch before ours.
    set_back: Option<Instant>,
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
        let mut seats = Seats::default();
        // these are always needed
        let standing: [Arc<str>; 2] = [keys.news().into(), keys.events(CANARY).into()];
        seats.take(&standing[0], Use::News);
        seats.take(&standing[1], Use::Canaries);
        ears.want(standing);
        Listener {
            log,
            tail,
            ears,
            heard,
            requests,
            disturbed,
            keys,
            seats,
            held: VecDeque::new(),
            held_bytes: 0,
            behind: true,
            confirmed: now,
            patience: now,
            holding: Some(now),
            waiting: HashMap::new(),
            ready: Vec::new(),
            numbers: 0,
            suspects: Vec::new(),
            checked: now,
            told: Told::default(),
            history: Vec::new(),
            set_back: None,
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
                self.held_bytes -= message.payload.len();
                self.hear(&message);
            } else if !self.unlisted.is_empty() && Instant::now() >= self.patience {
                self.list_patterns().await;
            } else if !self.ready.is_empty()
                && self.heard.is_empty()
                && Instant::now() >= self.patience
                && self.log.gate.is_open()
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
        self.behind || !self.seats.unconfirmed().is_empty()
    }

    /// Everything must be read before anything is delivered.
    fn fall_behind(&mut self) {
        self.behind = true;
    }

    fn may_catch_up(&self) -> bool {
        let overdue = || self.holding.is_some_and(|since| since.elapsed() >= POLL);
        let now = Instant::now();
        self.behind
            && now >= self.patience
            && self.log.gate.is_open()
            && (self.seats.unconfirmed().is_empty() || overdue())
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
                self.hold(message);
            }
            Heard::Message(message) => self.hear(&message),
            Heard::Placed(places) => places.iter().for_each(|place| self.placed(place)),
            Heard::Displaced(places) => {
                for place in places {
                    if self.seats.interrupted(&place) {
                        self.fall_behind();
                    }
                }
            }
        }
    }

    fn hold(&mut self, message: Message) {
        self.held_bytes += message.payload.len();
        self.held.push_back(message);
        if self.held.len() > MAX_HELD || self.held_bytes > MAX_HELD_BYTES {
            self.held.clear();
            self.held_bytes = 0;
            self.fall_behind();
        }
    }

    /// A message whose turn it is.
    fn hear(&mut self, message: &Message) {
        let (from, payload) = (&message.channel, &message.payload);
        let understood = match self.seats.used_for(from).cloned() {
            Some(Use::Events(channel)) => self.hear_events(&channel, payload),
            Some(Use::News) => self.hear_news(payload),
            Some(Use::Canaries) => self.hear_canary(payload),
            None => Ok(()), // nobody needs it, or not yet
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
            Verdict::OtherEpoch if self.has_ended(message.epoch) => {}
            Verdict::Missed | Verdict::OtherEpoch => self.fall_behind(),
        }
        Ok(())
    }

    /// Whether all that survived of an epoch was read, or will be before anything else is heard.
    fn has_ended(&self, epoch: Epoch) -> bool {
        self.log.ended.lock().contains(epoch)
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
            Some(News::Witness { ended }) if self.told.contains(ended) => self.fall_behind(),
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

    /// A channel that is attached is to be subscribed to, and read, before anything goes on.
    fn place(&mut self, channel: &ChannelName) {
        let place: Arc<str> = self.keys.events(channel.as_str()).into();
        let taken = self.seats.take(&place, Use::Events(channel.clone()));
        if taken == Taken::New {
            self.ears.want([place]);
        }
        if taken != Taken::Already {
            self.fall_behind();
        }
    }

    fn hear_canary(&mut self, payload: &[u8]) -> Result<(), Undecodable> {
        let message = Announcement::parse(payload)?;
        let at = {
            let mut view = self.log.view.lock();
            if view.epoch() != Some(message.epoch) {
                drop(view);
                if !self.has_ended(message.epoch) {
                    self.fall_behind();
                }
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
        self.confirmed = Instant::now();
        match self.seats.confirmed(place) {
            Confirmed::Unneeded => {}
            Confirmed::Now(waited) => {
                waited
                    .into_iter()
                    .for_each(|number| self.one_placed(number));
            }
            Confirmed::Again if self.seats.used_for(place).is_some() => self.fall_behind(),
            Confirmed::Again => {}
        }
        if self.seats.unconfirmed().is_empty() {
            self.patience = Instant::now();
        }
    }

    /// What a node said of a channel may have come after what its next owner said.
    fn remind(&mut self) {
        let unconfirmed = self.seats.unconfirmed();
        if !unconfirmed.is_empty() && self.confirmed.elapsed() >= REMIND {
            self.ears.confirm_again(unconfirmed.iter().cloned());
            self.confirmed = Instant::now();
        }
    }

    async fn tick(&mut self) {
        self.remind();
        if self.checked.elapsed() >= checking::EVERY {
            self.checked = Instant::now();
            self.let_go();
            if !self.is_holding() {
                self.check().await;
            }
        }
    }

    /// Unsubscribes from what nobody needs any more.
    fn let_go(&mut self) {
        let gone = self.log.view.lock().let_go(Instant::now());
        let places = gone
            .iter()
            .map(|channel| Arc::from(self.keys.events(channel.as_str())));
        let left: Vec<Arc<str>> = places.filter(|place| self.seats.leave(place)).collect();
        if !left.is_empty() {
            self.ears.want_no_more(left);
        }
    }
}
