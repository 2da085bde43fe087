//! What other threads tell a shard. However many commands wait, the shard is woken once.

use super::{
    direct_event::DirectEvent,
    extend::{Extended, Extension},
    open::{CloseReason, Directed, EndReason, Opening, StreamInfo},
    select::StreamSelector,
    sink::Pipe,
};
use crate::{
    channel::ChannelName,
    cursor::Place,
    dialect::Renditions,
    event_log::{Condition, Entry, Loss, Purge},
    frame::Frame,
    settings::Settings,
};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// An event on its way to streams, encoded once.
#[derive(Clone)]
pub struct Delivery {
    pub entry: Arc<Entry>,
    pub place: Place,
    /// For streams of its partition alone: its place is their cursor.
    pub frame: Frame,
    /// What it is in the dialects of routes, where somebody may want to know.
    pub renditions: Option<Arc<Renditions>>,
    pub appended: Instant,
}

pub enum Command {
    Deliver(Delivery),
    /// A partition begins, or begins a new epoch.
    Epoch(Place),
    /// The log lost events.
    Lost(Arc<Loss>),
    /// Events were purged that streams may still be waiting for.
    Purged(Arc<Purge>),
    Condition(Condition),
    /// New settings are in force.
    Configure(Arc<Settings>),
    /// A connection without a byte read.
    Accepted(OwnedFd),
    /// A subscribe that hyper read and the shard takes over, socket and all.
    TakeOver(OwnedFd, Box<Opening>),
    /// A subscribe that hyper goes on carrying.
    Carry(Arc<Pipe>, Box<Opening>),
    /// A body has room again.
    Writable(u64),
    /// A body's reader is gone, for this reason.
    Gone(u64, CloseReason),
    /// The process holds too many bytes for streams, and this shard the most.
    Relieve,
    /// Close all streams, spread over a time.
    Drain(Duration),
    /// End streams at once, and say how many.
    End(Arc<StreamSelector>, EndReason, oneshot::Sender<u64>),
    /// End streams whose credential is refused by now, and say how many.
    EndRefused(oneshot::Sender<u64>),
    /// A new credential for the stream with this number.
    Extend(u64, Arc<Extension>, oneshot::Sender<Option<Extended>>),
    /// An event for the stream with this number alone.
    Direct(u64, Arc<DirectEvent>, oneshot::Sender<Directed>),
    List(ListQuery, oneshot::Sender<Vec<StreamReport>>),
    CountStreams(Vec<ChannelName>, oneshot::Sender<Vec<usize>>),
}

/// Which streams a list asks for.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// After the stream with this number.
    pub after: u64,
    pub limit: usize,
    pub streams: StreamSelector,
    /// Only streams of the route whose first path is this one.
    pub route: Option<Box<str>>,
}

/// A stream as `GET /v1/connections` shows it.
#[derive(Clone, Debug)]
pub struct StreamReport {
    pub info: Arc<StreamInfo>,
    /// `None` while it reads history.
    pub cursor: Option<String>,
    pub queue_bytes: u64,
    pub delivered: u64,
    pub filtered: u64,
    pub dropped: u64,
}

#[derive(Default)]
pub struct Inbox {
    commands: Mutex<Vec<Command>>,
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Inbox {
    pub fn send(&self, command: Command) {
        self.commands.lock().push(command);
        self.ring();
    }

    pub fn send_all(&self, commands: impl Iterator<Item = Command>) {
        self.commands.lock().extend(commands);
        self.ring();
    }

    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Must be called before [`Inbox::take`] in a poll, so that no ring is lost.
    pub fn listen(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
        self.rung.store(false, Ordering::Release);
    }

    /// Takes what there is, for an empty vector whose memory is used for what comes.
    pub fn take(&self, empty: Vec<Command>) -> Vec<Command> {
        debug_assert!(empty.is_empty());
        std::mem::replace(&mut *self.commands.lock(), empty)
    }
}
