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

mod command;
mod connect;
mod dial;
mod error;
mod info;
mod node;
mod reply;
mod script;
mod session;
mod slot;

pub use command::Command;
pub use error::{CommandError, ConnectError, Lost, NotExecuted, NotSent, Refusal, Wrote};
pub use info::ReplicationId;
pub use reply::Reply;
pub use script::Script;
pub use session::{MAX_IN_FLIGHT, Session};
pub use slot::{SLOTS, Slot};

use connect::Connector;
use node::Node;
use relay_config::{Problem, RedisMode};
use std::sync::Arc;

/// The Redis of this process. Clones share it; the last one that is dropped closes it.
#[derive(Clone)]
pub struct Redis {
    node: Arc<Node>,
}

impl Redis {
    /// Begins to connect, in tasks on the current runtime. Whether that succeeds is told by
    /// [`Primary::session`].
    ///
    /// # Errors
    /// Settings that are wrong in themselves.
    pub fn start(settings: &relay_config::Redis) -> Result<Redis, Vec<Problem>> {
        let target = settings.target()?;
        let RedisMode::Standalone { address, database } = target.mode else {
            return Err(vec![Problem {
                path: "redis".into(),
                message: "Sentinel and Cluster are not there yet: use `url`".into(),
            }]);
        };
        let connector = Connector::new(settings, database);
        let node = Node::start(address, Arc::new(connector));
        Ok(Redis { node })
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

    /// The connection to the owner, and with it the owner's replication id. Use it for commands
    /// that belong together or carry the replication id; take a new one for the next.
    ///
    /// # Errors
    /// [`CommandError::NotSent`], at once, when there is no connection.
    pub fn session(&self) -> Result<Arc<Session>, CommandError> {
        self.redis.node.session()
    }

    /// Waits for a connection, at most so long.
    ///
    /// # Errors
    /// [`CommandError::NotSent`] with the reason of the last attempt.
    pub async fn wait(&self, limit: std::time::Duration) -> Result<Arc<Session>, CommandError> {
        self.redis.node.wait(limit).await
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
