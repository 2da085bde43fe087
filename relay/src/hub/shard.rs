//! A delivery thread: it owns sockets, and sends each stream what its feed has for it.
//!
//! One task per shard, on a single-threaded runtime of its own. A round drains the inbox, takes what
//! the sockets report, and serves every feed that has something new, in slices, so that accepts and
//! publishes get in between. Each stream gets all that waits for it in one write.

mod accept;
mod attach;
mod close;
mod configure;
mod direct;
mod end;
mod expiry;
mod extend;
mod feeds;
mod frames;
pub mod head;
mod held;
mod notices;
mod poller;
mod purge;
mod reap;
mod replay;
mod report;
mod retry;
mod serve;
mod slow;
mod stream;
mod tick;
mod traced;
mod voices;

pub use attach::{content_type, stream_head};

use super::{
    Hub,
    inbox::{Command, Inbox},
    open::{CloseReason, Life, Opening, StreamInfo},
};
use crate::proxy_protocol::Preface;
use crate::{
    auth::Authenticator,
    cursor::Places,
    event_log::{Condition, EventLog},
    traces::Traces,
};
use attach::Attaching;
use bytes::Bytes;
use feeds::Feeds;
use futures_util::stream::FuturesUnordered;
use head::Head;
use held::Held;
use poller::{Poller, Token};
use relay_config::Config;
use replay::{Readers, Reading};
use retry::Retries;
use slab::Slab;
use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};
use stream::Stream;
use tick::Ticker;
use tokio::task::yield_now;

/// What a shard can decide about a first request without waiting.
pub enum Decision {
    /// A subscribe: the shard keeps the socket.
    Open(Box<Opening>),
    /// Anything else is hyper's.
    HandOver,
}

/// Decides about a first request, given who sent it.
pub type Decide = dyn Fn(&head::Request<'_>, Option<SocketAddr>) -> Decision;
/// Takes a connection with the bytes that were read from it, and who is at its other end.
pub type HandOver = dyn Fn(OwnedFd, Bytes, Option<SocketAddr>);

/// Is told what happens to a stream.
pub type Watch = dyn Fn(&StreamInfo, Life);

/// What becomes of a connection that was accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// The shard reads its first request.
    Head,
    /// It is handed over unread: something comes before the first request.
    HandOver,
}

/// What the edge gives a shard.
pub struct Edge {
    pub first: First,
    /// What a connection from somebody begins with; `None` for those who are turned away.
    pub preface: Box<dyn Fn(Option<SocketAddr>) -> Option<Preface>>,
    pub decide: Box<Decide>,
    /// Takes a connection with the bytes that were read from it.
    pub hand_over: Box<HandOver>,
    /// Whether who was allowed a stream has been refused since.
    pub refuses: Box<dyn Fn(&StreamInfo) -> bool>,
    /// Is told of streams.
    pub watch: Box<Watch>,
}

/// What all shards are made from.
#[derive(Clone)]
pub struct Shared {
    pub hub: Arc<Hub>,
    pub log: Arc<dyn EventLog>,
    pub config: Arc<Config>,
    pub auth: Arc<Authenticator>,
    /// Off, if there is none.
    pub traces: Option<Arc<Traces>>,
}

/// A socket of the shard, by the age of its request.
enum Connection {
    Head(Box<Head>),
    Stream(Stream),
}

/// The slot of a connection; `generation` tells it from the one that had the slot before.
struct Slot {
    generation: u32,
    connection: Connection,
}

pub struct Shard {
    index: usize,
    shared: Shared,
    edge: Edge,
    inbox: Arc<Inbox>,
    poller: Poller,
    listeners: Vec<accept::Listener>,
    slots: Slab<Slot>,
    /// Slots of streams by their numbers.
    by_number: HashMap<u64, u32>,
    generation: u32,
    feeds: Feeds,
    /// Feeds with something to serve.
    dirty: VecDeque<u32>,
    /// Bytes that were appended to feeds since all were served.
    rendered: usize,
    /// Every event up to here has been handed to the feeds that want it. A partition whose epoch is
    /// not known yet has no place.
    through: Places,
    attaching: FuturesUnordered<Attaching>,
    reading: FuturesUnordered<Reading>,
    readers: Readers,
    held: Held,
    retries: Retries,
    /// How the log said that it is.
    condition: Condition,
    ticker: Ticker,
    now: Instant,
    /// Reused for reading heads.
    buffer: Vec<u8>,
    /// Reused for emptying the inbox.
    commands: Vec<Command>,
    /// Reused for finding feeds.
    concerned: Vec<u32>,
    log_budget: close::LogBudget,
    draining: tick::Draining,
    expiries: expiry::Expiries,
    /// Some rule of the configuration closes channels to subscribers.
    closed_channels: bool,
}

/// The most listeners of a shard.
const LISTENERS: usize = 16;

/// A listener's token; no slot has it.
fn listener_token(which: usize) -> Token {
    Token::MAX - which as u64
}
/// Batches of socket events that are handled before delivery goes on.
const BATCHES: usize = 4;
/// Writes of one slice.
const SLICE: usize = 256;
/// Room for commands that is kept for those to come.
const KEEP_COMMANDS: usize = 1024;

impl Shard {
    /// On the runtime that will run it. One shard has the listener and deals connections to all.
    pub fn new(
        index: usize,
        shared: Shared,
        edge: Edge,
        sockets: Vec<OwnedFd>,
    ) -> io::Result<Shard> {
        let poller = Poller::new()?;
        let sockets = sockets.into_iter().take(LISTENERS);
        let listeners: Vec<_> = sockets
            .map(accept::Listener::new)
            .collect::<io::Result<_>>()?;
        for (which, listener) in listeners.iter().enumerate() {
            poller.add(listener, listener_token(which), poller::ACCEPT)?;
        }
        Ok(Shard {
            index,
            inbox: shared.hub.inbox(index).clone(),
            poller,
            listeners,
            slots: Slab::new(),
            by_number: HashMap::new(),
            generation: 0,
            feeds: Feeds::default(),
            dirty: VecDeque::new(),
            rendered: 0,
            through: Places::default(),
            attaching: FuturesUnordered::new(),
            reading: FuturesUnordered::new(),
            readers: Readers::new(),
            held: Held::default(),
            retries: Retries::default(),
            condition: Condition::default(),
            ticker: Ticker::new(shared.config.heartbeat.interval.std()),
            now: Instant::now(),
            buffer: vec![0; 64 * 1024],
            commands: Vec::new(),
            concerned: Vec::new(),
            log_budget: close::LogBudget::default(),
            draining: tick::Draining::No,
            expiries: expiry::Expiries::default(),
            closed_channels: configure::closes_channels(&shared.config),
            shared,
            edge,
        })
    }

    fn insert(&mut self, connection: Connection) -> (u32, Token) {
        self.generation = self.generation.wrapping_add(1);
        let slot = Slot {
            generation: self.generation,
            connection,
        };
        let index = self.slots.insert(slot) as u32;
        (index, token(self.generation, index))
    }

    /// The slot that a token means, unless another connection has it by now.
    fn slot_of(&self, token: Token) -> Option<u32> {
        let (generation, index) = ((token >> 32) as u32, token as u32);
        let slot = self.slots.get(index as usize)?;
        (slot.generation == generation).then_some(index)
    }

    fn token_of(&self, index: u32) -> Token {
        token(self.slots[index as usize].generation, index)
    }

    fn stream(&self, index: u32) -> Option<&Stream> {
        match self.slots.get(index as usize) {
            Some(Slot {
                connection: Connection::Stream(stream),
                ..
            }) => Some(stream),
            _ => None,
        }
    }

    fn stream_mut(&mut self, index: u32) -> Option<&mut Stream> {
        match self.slots.get_mut(index as usize) {
            Some(Slot {
                connection: Connection::Stream(stream),
                ..
            }) => Some(stream),
            _ => None,
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Deliver(delivery) => self.deliver(&delivery),
            Command::Epoch(at) => self.through.set(at),
            Command::Lost(loss) => self.lost(&loss),
            Command::Purged(purge) => self.purged(&purge),
            Command::Condition(condition) => self.tell_condition(condition),
            Command::Configure(settings) => self.configure(&settings),
            Command::Accepted(socket) => self.accepted(socket),
            Command::TakeOver(socket, opening) => self.take_over(socket, *opening),
            Command::Carry(pipe, opening) => self.carry(pipe, *opening),
            Command::Writable(token) => self.writable(token),
            Command::Gone(token, reason) => self.gone(token, reason),
            // every round ends with that
            Command::Relieve => {}
            Command::Drain(window) => self.drain(window),
            Command::End(streams, reason, answer) => {
                let _ = answer.send(self.end_streams(&streams, reason));
            }
            Command::EndRefused(answer) => {
                let _ = answer.send(self.end_refused());
            }
            Command::Extend(number, extension, answer) => {
                let _ = answer.send(self.extend(number, &extension));
            }
            Command::Direct(number, event, answer) => {
                let _ = answer.send(self.direct(number, &event));
            }
            Command::List(query, answer) => {
                let _ = answer.send(self.list(&query));
            }
            Command::CountStreams(channels, answer) => {
                let _ = answer.send(self.count_streams(&channels));
            }
        }
    }

    fn ready(&mut self, ready: poller::Ready) {
        let which = Token::MAX - ready.token;
        if which < LISTENERS as u64 {
            self.accept(which as usize);
            return;
        }
        let Some(index) = self.slot_of(ready.token) else {
            return;
        };
        match &self.slots[index as usize].connection {
            Connection::Head(_) => {
                self.read_head(index);
                // what came with the head does not come again: the sockets are edge-triggered
                if ready.flags.intersects(poller::CLOSED)
                    && self.slot_of(ready.token) == Some(index)
                {
                    self.close(index, CloseReason::Client);
                }
            }
            Connection::Stream(_) => self.stream_ready(index, ready.flags),
        }
    }
}

fn token(generation: u32, index: u32) -> Token {
    u64::from(generation) << 32 | u64::from(index)
}

impl Future for Shard {
    type Output = ();

    /// Never ready: the shard lives as long as its thread's runtime.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shard = &mut *self;
        shard.now = Instant::now();
        shard.inbox.listen(cx.waker());
        // before the inbox is emptied: everything up to these places is in it
        let heads = shard.shared.hub.heads(&shard.through);
        let mut commands = shard.inbox.take(std::mem::take(&mut shard.commands));
        for command in commands.drain(..) {
            shard.command(command);
        }
        if commands.capacity() <= KEEP_COMMANDS {
            shard.commands = commands;
        }
        for head in heads.iter() {
            // of an epoch that came out of the inbox the head is not known yet
            if shard.through.epoch(head.partition) == Some(head.epoch) {
                shard.through.advance(head);
            }
        }
        let mut again = true;
        for _ in 0..BATCHES {
            let Poll::Ready(ready) = shard.poller.poll(cx) else {
                again = false;
                break;
            };
            ready.into_iter().for_each(|ready| shard.ready(ready));
        }
        shard.poll_tick(cx);
        shard.poll_attaching(cx);
        shard.begin_caught_up();
        again |= !shard.serve(SLICE);
        again |= !shard.poll_reading(cx);
        shard.keep_to_memory();
        again |= !shard.dirty.is_empty();
        if again {
            // woken once the runtime has looked at the other sockets: a wake-up would go before them
            let _ = pin!(yield_now()).poll(cx);
        }
        Poll::Pending
    }
}
