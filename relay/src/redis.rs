//! Everything between this process and its Redis servers, below the log's logic.
//!
//! A process has one [`Redis`]. It holds one connection for commands to each node that it needs,
//! makes each anew when it fails, and knows which node owns which [`Slot`]. What has to hold for
//! a log on top of it:
//!
//! - A command goes out at most once. Nothing here is ever sent again by itself; the one exception
//!   is a script that the server says it does not know (`NOSCRIPT`: surely not executed).
//! - Every call ends within `redis.commandTimeout`, a script that must be loaded first within three
//!   of them. A [`CommandError`] says whether the command may have been executed.
//! - A [`Session`] is one connection to one primary of one replication id, which was read before
//!   the connection could be used. Whatever makes another id possible (reconnection, redirection, a
//!   replica's refusal, another id on the same connection, which is asked for each second) ends
//!   the session: its commands are then not sent. So a command never reaches a primary of another
//!   id than [`Session::replication_id`] says, but for the second in which a node can be
//!   demoted and promoted again unseen.
//!
//! The client library (`redis`, decision 0014) appears in no signature here.

mod broadcast;
mod command;
mod connect;
mod dial;
mod error;
mod info;
mod line;
mod login;
mod node;
pub mod preflight;
mod reply;
mod script;
mod session;
mod slot;
mod subscriber;
mod tls;
mod topology;

pub use broadcast::{Broadcast, Heard, Kind as HeardKind};
pub use command::Command;
pub use error::{CommandError, ConnectError, Lost, NotExecuted, NotSent, Refusal, Wrote};
pub use info::ReplicationId;
pub use reply::Reply;
pub use script::Script;
pub(crate) use script::lua_script;
pub use session::{MAX_IN_FLIGHT, Session};
pub use slot::{SLOTS, Slot};
pub use subscriber::{Event, Events, MAX_EVENT_BYTES, MAX_EVENTS, Message, Subscriptions};

use connect::Connector;
use info::ServerMode;
use node::Node;
use relay_config::{Problem, RedisMode};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::timeout,
};
use topology::{Cluster, Oracle, Sentinels, SlotMap, follow};

/// The Redis of this process. Clones share it; the last one that is dropped closes it.
///
/// Commands that block a connection (`WAIT`) belong on a `Redis` of their own.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    map: watch::Receiver<topology::State>,
    connector: Arc<Connector>,
    /// Asks for the map, where it can change.
    follower: Option<JoinHandle<()>>,
    confirmed: topology::Confirmed,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
    }
}

impl Redis {
    /// Begins to connect, in tasks on the current runtime. Whether that succeeds is told by
    /// [`Primary::session`].
    ///
    /// # Errors
    /// Settings that are wrong in themselves.
    pub fn start(settings: &relay_config::Redis) -> Result<Redis, Vec<Problem>> {
        let target = settings.target()?;
        let trouble = Arc::new(Notify::new());
        let connector = |database, expected| {
            Arc::new(Connector {
                tls: target.tls.clone(),
                credentials: settings.credentials.clone(),
                database,
                expected,
                connect_timeout: settings.connect_timeout.std(),
                command_timeout: settings.command_timeout.std(),
                trouble: trouble.clone(),
            })
        };
        Ok(match target.mode {
            RedisMode::Standalone { address, database } => {
                let connector = connector(database, ServerMode::Single);
                let map = SlotMap::whole(Node::start(address, connector.clone()));
                let map = watch::channel(Ok(Arc::new(map))).1;
                Redis::of(map, connector, None, topology::Confirmed::default())
            }
            RedisMode::Sentinel {
                service,
                sentinels,
                credentials,
                database,
            } => {
                let connector = connector(database, ServerMode::Single);
                let asking = topology::sentinel_connector(&connector, credentials);
                let oracle = Oracle::Sentinels(Sentinels::new(service, sentinels, asking));
                Redis::following(oracle, connector, trouble)
            }
            RedisMode::Cluster { seeds } => {
                let connector = connector(0, ServerMode::Cluster);
                let oracle = Oracle::Cluster(Cluster::new(seeds, connector.clone()));
                Redis::following(oracle, connector, trouble)
            }
        })
    }

    fn following(oracle: Oracle, connector: Arc<Connector>, trouble: Arc<Notify>) -> Redis {
        let (sender, map) = watch::channel(Err(Arc::new(ConnectError::Starting)));
        let confirmed = topology::Confirmed::default();
        let following = follow(
            oracle,
            connector.clone(),
            trouble,
            sender,
            confirmed.clone(),
        );
        Redis::of(map, connector, Some(tokio::spawn(following)), confirmed)
    }

    fn of(
        map: watch::Receiver<topology::State>,
        connector: Arc<Connector>,
        follower: Option<JoinHandle<()>>,
        confirmed: topology::Confirmed,
    ) -> Redis {
        Redis {
            shared: Arc::new(Shared {
                map,
                connector,
                follower,
                confirmed,
            }),
        }
    }

    /// One slot of each node that owns any.
    fn first_slots(&self) -> Vec<Slot> {
        self.map().map(|map| map.first_slots()).unwrap_or_default()
    }

    /// The map of this moment, if there is one.
    fn map(&self) -> Option<Arc<SlotMap>> {
        self.shared.map.borrow().clone().ok()
    }

    /// From when on no primary is asked that another one had replaced by `since`, as Sentinels and
    /// clusters knew. `None` before they were asked again, which is hurried. One server is never
    /// replaced.
    fn confirmed(&self, since: Instant) -> Option<Instant> {
        if self.shared.follower.is_none() {
            return Some(since);
        }
        let confirmed = (*self.shared.confirmed.lock()).and_then(|last| last.of(since));
        if confirmed.is_none() {
            self.shared.connector.trouble.notify_one();
        }
        confirmed
    }

    fn owner(&self, slot: Slot) -> Result<Arc<Node>, CommandError> {
        let why = match &*self.shared.map.borrow() {
            Ok(map) => match map.owner(slot) {
                Some(node) => return Ok(node.clone()),
                None => Arc::new(ConnectError::NoOwner),
            },
            Err(why) => why.clone(),
        };
        Err(CommandError::NotSent(NotSent::NoConnection(why)))
    }

    /// The primary that owns a slot, whichever that is at the time of each call.
    pub fn primary(&self, slot: Slot) -> Primary {
        Primary {
            redis: self.clone(),
            slot,
        }
    }
}

/// The primary that owns a slot. Each call goes to the owner of that moment.
#[derive(Clone)]
pub struct Primary {
    redis: Redis,
    slot: Slot,
}

impl Primary {
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// From when on nobody is taken for the owner who was replaced by `since`; `None` until that is
    /// known. A primary that was replaced may go on answering, and does not know what came after it.
    pub fn confirmed(&self, since: Instant) -> Option<Instant> {
        self.redis.confirmed(since)
    }

    /// The connection to the owner, and with it the owner's replication id. Use it for commands
    /// that belong together or carry the replication id; take a new one for the next.
    ///
    /// # Errors
    /// [`CommandError::NotSent`], at once, when there is no connection.
    pub fn session(&self) -> Result<Arc<Session>, CommandError> {
        self.redis.owner(self.slot)?.session()
    }

    /// Waits for a connection, at most so long.
    ///
    /// # Errors
    /// [`CommandError::NotSent`] with the reason of the last attempt.
    pub async fn wait(&self, limit: Duration) -> Result<Arc<Session>, CommandError> {
        match timeout(limit, self.connected()).await {
            Ok(session) => Ok(session),
            Err(_) => self.session(),
        }
    }

    async fn connected(&self) -> Arc<Session> {
        let mut map = self.redis.shared.map.clone();
        loop {
            // First, so that a change while we look is seen below.
            map.mark_unchanged();
            if let Ok(session) = self.session() {
                return session;
            }
            let node = self.redis.owner(self.slot);
            tokio::select! {
                changed = map.changed() => if changed.is_err() {
                    // A map that cannot change: only its node can.
                    if let Ok(node) = &node { node.connected().await }
                },
                () = async {
                    match &node {
                        Ok(node) => node.connected().await,
                        Err(_) => std::future::pending().await,
                    }
                } => {}
            }
        }
    }

    /// [`Session::script`] on the owner of this moment.
    pub async fn script(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Reply, CommandError> {
        self.session()?.script(script, keys, args).await
    }

    /// [`Session::pipeline`] on the owner of this moment.
    pub async fn pipeline(
        &self,
        commands: &[Command],
    ) -> Result<Vec<Result<Reply, CommandError>>, CommandError> {
        self.session()?.pipeline(commands).await
    }
}
