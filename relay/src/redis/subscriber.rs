//! Shard channels: what is wanted is subscribed to, wherever it has to be, and said when it is not.
//!
//! [`Subscriptions::want`] says what is wanted; from then on each channel is subscribed to at the
//! owner of its slot, again after every fault and move. What the consumer is told:
//!
//! - [`Event::Confirmed`]: from here on, messages of these channels arrive. Only then may somebody
//!   rely on them.
//! - [`Event::Message`], in the order in which the server sent them.
//! - [`Event::Interrupted`]: from here on, messages of these channels may be missing, until they are
//!   confirmed again. Told also for channels that were not confirmed yet.
//! - [`Event::Refused`]: the server will not have it (a right is missing). It is tried again.
//!
//! The consumer's queue is bounded, by number and by bytes. Past it the connections are not read,
//! so that TCP pushes back; when Redis then gives up a connection, that is an interruption.

mod holding;
pub(super) mod opening;
mod reader;
mod share;

use super::{CommandError, ConnectError, Redis, Slot, topology::SlotMap};
use bytes::Bytes;
use parking_lot::Mutex;
use relay_config::RedisAddress;
use share::Share;
use std::{collections::HashMap, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
};

/// Events that wait for the consumer.
pub const MAX_EVENTS: usize = 1_024;
/// Bytes of messages that wait for the consumer. One message alone may be larger.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// What happens to channels, in its order for each channel.
#[derive(Debug)]
pub enum Event {
    Message(Message),
    Confirmed(Vec<Arc<str>>),
    Interrupted {
        channels: Vec<Arc<str>>,
        why: Arc<ConnectError>,
    },
    Refused {
        channels: Vec<Arc<str>>,
        why: CommandError,
    },
}

/// One message. As long as it is kept it counts as waiting.
#[derive(Debug)]
pub struct Message {
    pub channel: Arc<str>,
    pub payload: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The consumer's end.
pub type Events = mpsc::Receiver<Event>;

/// What is wanted. Dropping it ends all its connections.
pub struct Subscriptions {
    redis: Redis,
    table: Arc<Mutex<Table>>,
    follower: JoinHandle<()>,
}

struct Table {
    wanted: HashMap<Arc<str>, Place>,
    readers: HashMap<RedisAddress, Reader>,
    outlet: Outlet,
}

struct Place {
    slot: Slot,
    /// None while nobody owns the slot.
    share: Option<Arc<Share>>,
}

struct Reader {
    share: Arc<Share>,
    task: JoinHandle<()>,
}

/// Where readers put events.
#[derive(Clone)]
struct Outlet {
    events: mpsc::Sender<Event>,
    bytes: Arc<Semaphore>,
}

/// The consumer is gone.
struct Closed;

impl Outlet {
    async fn send(&self, event: Event) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    async fn message(&self, channel: Arc<str>, payload: Bytes) -> Result<(), Closed> {
        let size = (payload.len() + channel.len()).min(MAX_EVENT_BYTES);
        let size = u32::try_from(size).expect("the bound is smaller");
        let room = self.bytes.clone().acquire_many_owned(size).await;
        self.send(Event::Message(Message {
            channel,
            payload,
            _room: room.expect("it is never closed"),
        }))
        .await
    }

    async fn interrupted(
        &self,
        channels: Vec<Arc<str>>,
        why: Arc<ConnectError>,
    ) -> Result<(), Closed> {
        if channels.is_empty() {
            return Ok(());
        }
        self.send(Event::Interrupted { channels, why }).await
    }
}

impl Redis {
    /// A connection for subscriptions to each node that needs one, made when there is something to
    /// subscribe to.
    pub fn subscriptions(&self) -> (Subscriptions, Events) {
        let (events, receiver) = mpsc::channel(MAX_EVENTS);
        let outlet = Outlet {
            events,
            bytes: Arc::new(Semaphore::new(MAX_EVENT_BYTES)),
        };
        let table = Arc::new(Mutex::new(Table {
            wanted: HashMap::new(),
            readers: HashMap::new(),
            outlet: outlet.clone(),
        }));
        let follower = tokio::spawn(follow(self.clone(), table.clone(), outlet));
        let subscriptions = Subscriptions {
            redis: self.clone(),
            table,
            follower,
        };
        (subscriptions, receiver)
    }
}

impl Subscriptions {
    /// Channels that are wanted already stay as they are.
    pub fn want(&self, channels: impl IntoIterator<Item = Arc<str>>) {
        let mut table = self.table.lock();
        // Under the lock: a map that comes later moves what is placed by this one.
        let map = self.redis.map();
        let mut touched = Touched::default();
        for channel in channels {
            if table.wanted.contains_key(&channel) {
                continue;
            }
            let slot = Slot::of(channel.as_bytes());
            let share = table.share(&self.redis, map.as_deref(), slot);
            if let Some(share) = &share {
                share.add(channel.clone());
                touched.note(share);
            }
            table.wanted.insert(channel, Place { slot, share });
        }
        touched.ring();
    }

    /// Messages that are under way may still come.
    pub fn want_no_more(&self, channels: impl IntoIterator<Item = Arc<str>>) {
        let mut table = self.table.lock();
        let mut touched = Touched::default();
        for channel in channels {
            if let Some(Place {
                share: Some(share), ..
            }) = table.wanted.remove(&channel)
            {
                share.remove(&channel);
                touched.note(&share);
            }
        }
        touched.ring();
    }

    /// Those that are confirmed are told once more: for a consumer that may have heard of the end of a
    /// subscription after it had been made anew elsewhere.
    pub fn confirm_again(&self, channels: impl IntoIterator<Item = Arc<str>>) {
        let table = self.table.lock();
        let mut touched = Touched::default();
        for channel in channels {
            let share = table
                .wanted
                .get(&channel)
                .and_then(|place| place.share.as_ref());
            if let Some(share) = share {
                share.confirm_again(channel);
                touched.note(share);
            }
        }
        touched.ring();
    }

    /// Number of channels that are wanted.
    pub fn wanted(&self) -> usize {
        self.table.lock().wanted.len()
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.follower.abort();
        for reader in self.table.lock().readers.values() {
            reader.task.abort();
        }
    }
}

/// Shares whose readers are to be woken, once for many channels.
#[derive(Default)]
struct Touched(Vec<Arc<Share>>);

impl Touched {
    fn note(&mut self, share: &Arc<Share>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, share)) {
            self.0.push(share.clone());
        }
    }

    fn ring(self) {
        for share in self.0 {
            share.ring();
        }
    }
}

impl Table {
    /// The share of a slot's owner; its reader is started if there is none.
    fn share(&mut self, redis: &Redis, map: Option<&SlotMap>, slot: Slot) -> Option<Arc<Share>> {
        let address = map?.owner(slot)?.address();
        if let Some(reader) = self.readers.get(address) {
            return Some(reader.share.clone());
        }
        let share = Arc::new(Share::default());
        let connector = redis.shared.connector.clone();
        let outlet = self.outlet.clone();
        let task = reader::run(address.clone(), connector, share.clone(), outlet);
        let reader = Reader {
            share: share.clone(),
            task: tokio::spawn(task),
        };
        self.readers.insert(address.clone(), reader);
        Some(share)
    }

    /// Takes channels away from nodes that do not own their slots any more.
    fn leave(&mut self, map: &SlotMap) -> Vec<Arc<str>> {
        let mut moved = Vec::new();
        let mut touched = Touched::default();
        let readers = &self.readers;
        for (channel, place) in &mut self.wanted {
            let owner = map.owner(place.slot).map(|node| node.address());
            let share = owner
                .and_then(|address| readers.get(address))
                .map(|reader| &reader.share);
            let stays = match (&place.share, share) {
                (Some(now), Some(next)) => Arc::ptr_eq(now, next),
                _ => false,
            };
            if !stays {
                if let Some(share) = place.share.take() {
                    share.remove(channel);
                    touched.note(&share);
                }
                moved.push(channel.clone());
            }
        }
        touched.ring();
        let nodes = map.nodes();
        self.readers.retain(|address, reader| {
            let stays = nodes.iter().any(|node| node.address() == address);
            if !stays {
                reader.task.abort();
            }
            stays
        });
        moved
    }

    /// Gives channels without a place to the owners of their slots.
    fn join(&mut self, redis: &Redis, map: &SlotMap, channels: &[Arc<str>]) {
        let mut touched = Touched::default();
        for channel in channels {
            let Some(slot) = self.wanted.get(channel).map(|place| place.slot) else {
                continue;
            };
            let share = self.share(redis, Some(map), slot);
            let Some(place) = self.wanted.get_mut(channel) else {
                continue;
            };
            if place.share.is_none()
                && let Some(share) = share
            {
                share.add(channel.clone());
                touched.note(&share);
                place.share = Some(share);
            }
        }
        touched.ring();
    }
}

/// Moves channels when slots move.
async fn follow(redis: Redis, table: Arc<Mutex<Table>>, outlet: Outlet) {
    let mut changes = redis.shared.map.clone();
    loop {
        if let Some(map) = redis.map() {
            let moved = table.lock().leave(&map);
            // Told before the new owner can confirm.
            let why = Arc::new(ConnectError::Moved);
            if outlet.interrupted(moved.clone(), why).await.is_err() {
                return;
            }
            table.lock().join(&redis, &map, &moved);
        }
        if changes.changed().await.is_err() {
            // One server: its map never changes.
            return;
        }
    }
}
