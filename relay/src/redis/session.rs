//! One connection to one primary of one replication id.

use super::{
    Command, CommandError, ConnectError, NotExecuted, NotSent, Refusal, ReplicationId, Reply,
    Script, info, line::Line,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

/// Commands of one connection that may wait for their answers. The next wait for room, within
/// their timeout.
pub const MAX_IN_FLIGHT: usize = 4_096;

/// One connection to one primary, and the replication id that it had when the connection was made.
///
/// A session ends when its connection fails, a command times out, or the node is no longer the
/// same primary. From then on its commands are not sent; those under way are
/// [`CommandError::Unknown`].
pub struct Session {
    line: Line,
    replication: ReplicationId,
    timeout: Duration,
    room: Semaphore,
    /// Rung when the map of nodes may be out of date.
    trouble: Arc<Notify>,
}

impl Session {
    pub(super) fn new(
        line: Line,
        replication: ReplicationId,
        timeout: Duration,
        trouble: Arc<Notify>,
    ) -> Session {
        Session {
            line,
            replication,
            timeout,
            room: Semaphore::new(MAX_IN_FLIGHT),
            trouble,
        }
    }

    /// Of the primary that every command of this session goes to.
    pub fn replication_id(&self) -> &ReplicationId {
        &self.replication
    }

    /// Runs a script by its hash; if the server does not know it, loads it and runs it once more.
    ///
    /// # Errors
    /// See [`CommandError`]. Three timeouts at most.
    pub async fn script(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Reply, CommandError> {
        let call = script.call(keys, args);
        match self.command(&call).await {
            Err(CommandError::NotExecuted {
                why: NotExecuted::NoScript,
                ..
            }) => {
                self.command(&script.load()).await?;
                self.command(&call).await
            }
            answer => answer,
        }
    }

    /// # Errors
    /// See [`CommandError`]. One timeout at most.
    pub async fn command(&self, command: &Command) -> Result<Reply, CommandError> {
        let deadline = Instant::now() + self.timeout;
        let _room = self.room(deadline).await?;
        self.watched(self.line.command(command, deadline).await)
    }

    /// Sends the commands together and gives the answer of each, in their order. Other commands
    /// may run between them.
    ///
    /// # Errors
    /// See [`CommandError`]; of the whole, the outer; of one command, the inner. One timeout at
    /// most.
    pub async fn pipeline(
        &self,
        commands: &[Command],
    ) -> Result<Vec<Result<Reply, CommandError>>, CommandError> {
        let deadline = Instant::now() + self.timeout;
        let _room = self.room(deadline).await?;
        let replies = self.line.pipeline(commands, deadline).await;
        let replies = self.watched(replies)?.into_iter();
        Ok(replies.map(|reply| self.watched(reply)).collect())
    }

    /// Reads the replication id again, and ends the session if it is another or the node is a
    /// primary no more.
    ///
    /// # Errors
    /// See [`CommandError`]; [`NotSent::SessionEnded`] when it ended now.
    pub async fn verify(&self) -> Result<(), CommandError> {
        let reply = self
            .command(&Command::new("INFO").arg("replication"))
            .await?;
        let now = info::replication(reply.text().unwrap_or_default());
        match now {
            Ok(id) if id == self.replication => Ok(()),
            Ok(_) => Err(self.end(ConnectError::OtherReplicationId)),
            Err(error) => Err(self.end(error)),
        }
    }

    /// `AUTH`: a refusal says nothing about the session, which keeps the user that it has.
    pub(super) async fn authenticate(&self, auth: &Command) -> Result<(), CommandError> {
        let deadline = Instant::now() + self.timeout;
        self.line.command(auth, deadline).await.map(drop)
    }

    /// None while commands are sent.
    pub(super) fn why_ended(&self) -> Option<Arc<ConnectError>> {
        self.line.why_ended()
    }

    /// Resolves when the session has ended.
    pub(super) async fn ended(&self) -> Arc<ConnectError> {
        self.line.ended().await
    }

    /// Ends the session; what waits for an answer gets [`CommandError::Unknown`].
    pub(super) fn end(&self, why: ConnectError) -> CommandError {
        let why = Arc::new(why);
        self.line.end(&why);
        self.trouble.notify_one();
        CommandError::NotSent(NotSent::SessionEnded(why))
    }

    async fn room(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, CommandError> {
        self.line.alive()?;
        match timeout_at(deadline, self.room.acquire()).await {
            Ok(permit) => Ok(permit.expect("it is never closed")),
            Err(_) => Err(CommandError::NotSent(NotSent::Busy)),
        }
    }

    /// Draws conclusions about the node from an answer.
    fn watched<T>(&self, answer: Result<T, CommandError>) -> Result<T, CommandError> {
        use NotExecuted as N;
        match &answer {
            Err(CommandError::NotExecuted {
                why: N::ReadOnly | N::MasterDown,
                ..
            }) => {
                self.end(ConnectError::NotPrimary);
            }
            Err(CommandError::Refused {
                why: Refusal::NotAuthenticated,
                text,
                ..
            }) => {
                self.end(ConnectError::Authentication(text.clone()));
            }
            // The node may own other slots: only the map is in doubt.
            Err(
                CommandError::NotExecuted {
                    why: N::Moved | N::Ask | N::ClusterDown,
                    ..
                }
                | CommandError::Unknown(_),
            ) => self.trouble.notify_one(),
            _ => {}
        }
        answer
    }
}
