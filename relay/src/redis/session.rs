//! One connection to one primary of one replication id.

use super::{
    Command, CommandError, ConnectError, Lost, NotExecuted, NotSent, ReplicationId, Reply, Script,
    error::from_server, info,
};
use ::redis::{RedisError, Value, aio::MultiplexedConnection};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    task::JoinHandle,
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
    connection: MultiplexedConnection,
    replication: ReplicationId,
    timeout: Duration,
    room: Semaphore,
    ended: watch::Sender<Option<Arc<ConnectError>>>,
    driver: JoinHandle<()>,
}

impl Session {
    /// Owns the connection's task: it ends with the session, and the session with it.
    pub(super) fn new(
        connection: MultiplexedConnection,
        driver: impl Future<Output = ()> + Send + 'static,
        replication: ReplicationId,
        timeout: Duration,
    ) -> Session {
        let ended = watch::Sender::new(None);
        let end = ended.clone();
        let driver = tokio::spawn(async move {
            driver.await;
            finish(&end, ConnectError::Closed);
        });
        Session {
            connection,
            replication,
            timeout,
            room: Semaphore::new(MAX_IN_FLIGHT),
            ended,
            driver,
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
        let mut connection = self.connection.clone();
        let answer = timeout_at(deadline, connection.send_packed_command(&command.inner)).await;
        let answer = self.answer(answer)?;
        self.watched(Reply::from_value(answer))
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
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + self.timeout;
        let _room = self.room(deadline).await?;
        let mut pipeline = ::redis::Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.inner.clone());
        }
        let mut connection = self.connection.clone();
        let answers = connection.send_packed_commands(&pipeline, 0, commands.len());
        let answers = self.answer(timeout_at(deadline, answers).await)?;
        let replies = answers
            .into_iter()
            .map(|value| self.watched(Reply::from_value(value)));
        Ok(replies.collect())
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

    /// None while commands are sent.
    pub(super) fn why_ended(&self) -> Option<Arc<ConnectError>> {
        self.ended.borrow().clone()
    }

    /// Ends the session.
    pub(super) fn end(&self, why: ConnectError) -> CommandError {
        finish(&self.ended, why);
        self.driver.abort();
        self.not_sent()
    }

    /// Resolves when the session has ended.
    pub(super) async fn ended(&self) -> Arc<ConnectError> {
        let mut ended = self.ended.subscribe();
        let why = ended.wait_for(Option::is_some).await;
        let why = why.expect("this session holds the sender");
        why.clone().expect("it was waited for")
    }

    async fn room(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, CommandError> {
        let permit = timeout_at(deadline, self.room.acquire()).await;
        if self.why_ended().is_some() {
            return Err(self.not_sent());
        }
        match permit {
            Ok(permit) => Ok(permit.expect("it is never closed")),
            Err(_) => Err(CommandError::NotSent(NotSent::Busy)),
        }
    }

    fn not_sent(&self) -> CommandError {
        let why = self.why_ended().expect("it has ended");
        CommandError::NotSent(NotSent::SessionEnded(why))
    }

    /// What came back from the library, once the command may have been sent.
    fn answer<T>(
        &self,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<T, CommandError> {
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => self.watched(Err(sort(&error))),
            // The server may be frozen, and what was sent may still be executed: so a look for
            // another primary and a new connection are due.
            Err(_) => {
                self.end(ConnectError::Unresponsive);
                Err(CommandError::Unknown(Lost::TimedOut))
            }
        }
    }

    /// Ends the session after an answer that tells that the node is not the right one any more.
    fn watched<T>(&self, answer: Result<T, CommandError>) -> Result<T, CommandError> {
        use NotExecuted::{ClusterDown, MasterDown, Moved, ReadOnly};
        match &answer {
            Err(CommandError::NotExecuted {
                why: ReadOnly | MasterDown,
                ..
            }) => {
                self.end(ConnectError::NotPrimary);
            }
            Err(CommandError::NotExecuted {
                why: Moved | ClusterDown,
                ..
            }) => {
                self.end(ConnectError::Redirected);
            }
            Err(CommandError::Refused {
                why: super::Refusal::NotAuthenticated,
                text,
                ..
            }) => {
                self.end(ConnectError::Authentication(text.clone()));
            }
            _ => {}
        }
        answer
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The first reason stays.
fn finish(ended: &watch::Sender<Option<Arc<ConnectError>>>, why: ConnectError) {
    ended.send_if_modified(|ended| {
        let first = ended.is_none();
        if first {
            *ended = Some(Arc::new(why));
        }
        first
    });
}

/// An error of the library about a command that may have been sent.
pub(super) fn sort(error: &RedisError) -> CommandError {
    if let Some(code) = error.code() {
        return from_server(code, error.detail());
    }
    if error.is_timeout() {
        return CommandError::Unknown(Lost::TimedOut);
    }
    if error.is_connection_dropped() || error.is_io_error() {
        return CommandError::Unknown(Lost::ConnectionLost);
    }
    CommandError::Unknown(Lost::Unreadable(error.to_string().into()))
}

/// The whole answer of a setup command, before there is a session.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}
