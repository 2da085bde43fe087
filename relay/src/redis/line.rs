//! One connection as the library gives it, with an owner for its task.

use super::{
    Command, CommandError, ConnectError, Lost, NotSent, Reply,
    dial::Wire,
    error::{from_server, told},
    login::Login,
};
use ::redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, aio::MultiplexedConnection};
use std::sync::Arc;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// A connection on which answers belong to commands. It is not repaired: it works until it ends.
pub(super) struct Line {
    connection: MultiplexedConnection,
    ended: watch::Sender<Option<Arc<ConnectError>>>,
    driver: JoinHandle<()>,
}

impl Line {
    /// Logs in and chooses the database. The caller bounds the time.
    pub(super) async fn open(
        wire: Box<dyn Wire>,
        login: &Login,
        database: u32,
    ) -> Result<Line, ConnectError> {
        let mut info = RedisConnectionInfo::default()
            .set_db(database.into())
            .set_skip_set_lib_name();
        if let Some(username) = &login.username {
            info = info.set_username(username);
        }
        if let Some(password) = &login.password {
            info = info.set_password(password);
        }
        // Time and room are ours.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, wire, config)
            .await
            .map_err(|error| refused(&error))?;
        let ended = watch::Sender::new(None);
        let end = ended.clone();
        let driver = tokio::spawn(async move {
            driver.await;
            finish(&end, Arc::new(ConnectError::Closed));
        });
        Ok(Line {
            connection,
            ended,
            driver,
        })
    }

    /// Past the deadline the line is given up: the server may be frozen, and may still execute
    /// what was sent.
    pub(super) async fn command(
        &self,
        command: &Command,
        deadline: Instant,
    ) -> Result<Reply, CommandError> {
        self.alive()?;
        let mut connection = self.connection.clone();
        let answer = timeout_at(deadline, connection.send_packed_command(&command.inner)).await;
        Reply::from_value(self.answer(answer)?)
    }

    /// The answer of each command, in their order.
    pub(super) async fn pipeline(
        &self,
        commands: &[Command],
        deadline: Instant,
    ) -> Result<Vec<Result<Reply, CommandError>>, CommandError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        self.alive()?;
        let mut pipeline = ::redis::Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.inner.clone());
        }
        let mut connection = self.connection.clone();
        let answers = connection.send_packed_commands(&pipeline, 0, commands.len());
        let answers = self.answer(timeout_at(deadline, answers).await)?;
        Ok(answers.into_iter().map(Reply::from_value).collect())
    }

    /// What a question is answered with while a connection is being made.
    pub(super) async fn text(
        &self,
        question: &Command,
        deadline: Instant,
    ) -> Result<String, ConnectError> {
        let reply = self.command(question, deadline).await.map_err(told)?;
        let text = reply.text().map(str::to_owned);
        text.ok_or_else(|| ConnectError::Protocol("the answer is no text".into()))
    }

    /// None while commands are sent.
    pub(super) fn why_ended(&self) -> Option<Arc<ConnectError>> {
        self.ended.borrow().clone()
    }

    /// Resolves when the line has ended.
    pub(super) async fn ended(&self) -> Arc<ConnectError> {
        let mut ended = self.ended.subscribe();
        let why = ended.wait_for(Option::is_some).await;
        let why = why.expect("this line holds the sender");
        why.clone().expect("it was waited for")
    }

    /// What waits for an answer gets none any more.
    pub(super) fn end(&self, why: &Arc<ConnectError>) {
        finish(&self.ended, why.clone());
        self.driver.abort();
    }

    /// # Errors
    /// [`NotSent::SessionEnded`] once it has ended.
    pub(super) fn alive(&self) -> Result<(), CommandError> {
        match self.why_ended() {
            None => Ok(()),
            Some(why) => Err(CommandError::NotSent(NotSent::SessionEnded(why))),
        }
    }

    fn answer<T>(
        &self,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<T, CommandError> {
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(sort(&error)),
            Err(_) => {
                self.end(&Arc::new(ConnectError::Unresponsive));
                Err(CommandError::Unknown(Lost::TimedOut))
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The first reason stays.
fn finish(ended: &watch::Sender<Option<Arc<ConnectError>>>, why: Arc<ConnectError>) {
    ended.send_if_modified(|ended| {
        let first = ended.is_none();
        if first {
            *ended = Some(why);
        }
        first
    });
}

/// An error of the library about a command that may have been sent.
fn sort(error: &RedisError) -> CommandError {
    if let Some(code) = error.code() {
        return from_server(code, error.detail());
    }
    if error.is_timeout() {
        return CommandError::Unknown(Lost::TimedOut);
    }
    let text = error.to_string();
    // With TLS 1.3 a server refuses a client's certificate after the handshake.
    let alert = text.contains("fatal alert");
    if !alert && (error.is_connection_dropped() || error.is_io_error()) {
        return CommandError::Unknown(Lost::ConnectionLost);
    }
    CommandError::Unknown(Lost::Unreadable(text.into()))
}

/// An error while logging in.
fn refused(error: &RedisError) -> ConnectError {
    match error.kind() {
        ::redis::ErrorKind::AuthenticationFailed => {
            ConnectError::Authentication(error.detail().unwrap_or("wrong password").into())
        }
        _ => told(sort(error)),
    }
}
