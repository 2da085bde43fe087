//! From an address to a session: socket, user, and what the server says of itself.

use super::{
    Command, CommandError, ConnectError, Session,
    dial::dial,
    info::{self, ServerMode},
    line::Line,
    login::Login,
};
use futures_util::future::join3;
use relay_config::{RedisAddress, RedisCredentials, RedisTls};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// What connections of this process show as in `CLIENT LIST`.
pub(super) const CLIENT_NAME: &str = "sse-relay";

/// Makes connections to servers of one kind, all with the same user.
pub(super) struct Connector {
    pub(super) tls: Option<RedisTls>,
    pub(super) credentials: Option<RedisCredentials>,
    pub(super) database: u32,
    pub(super) expected: ServerMode,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
    pub(super) trouble: Arc<Notify>,
}

impl Connector {
    /// To a primary, within `redis.connectTimeout`. Also tells with what login.
    pub(super) async fn session(
        &self,
        address: &RedisAddress,
    ) -> Result<(Session, Login), ConnectError> {
        self.in_time(address, self.connect(address)).await
    }

    /// To any server, within `redis.connectTimeout`.
    pub(super) async fn line(&self, address: &RedisAddress) -> Result<Line, ConnectError> {
        let made = async { Ok(self.open(address).await?.0) };
        self.in_time(address, made).await
    }

    /// Gives up after `redis.connectTimeout`.
    pub(super) async fn in_time<T>(
        &self,
        address: &RedisAddress,
        made: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        match timeout(self.connect_timeout, made).await {
            // The alert that says so is often lost with the connection.
            Ok(Err(ConnectError::Closed)) if self.tls.is_some() => Err(ConnectError::Tls(
                "the server closed the connection after the handshake: does it want \
                 `redis.tls.certificate` and `key`, or others?"
                    .into(),
            )),
            Ok(made) => made,
            Err(_) => Err(ConnectError::TimedOut(address.to_string().into())),
        }
    }

    /// The login of this moment.
    pub(super) async fn login(&self) -> Result<Login, ConnectError> {
        Login::read(self.credentials.as_ref()).await
    }

    /// Gives a connection that lives the login of this moment, if it is another than it has.
    /// A login that is refused leaves the connection as it was.
    pub(super) async fn renew(
        &self,
        session: &Session,
        login: &mut Login,
    ) -> Result<(), CommandError> {
        // A file that is just being replaced is read again in a second.
        let Ok(now) = self.login().await else {
            return Ok(());
        };
        if now == *login {
            return Ok(());
        }
        // Told once, whatever comes of it.
        *login = now;
        let Some(arguments) = login.arguments() else {
            return Ok(());
        };
        session
            .authenticate(&Command::new("AUTH").args(arguments))
            .await
    }

    async fn connect(&self, address: &RedisAddress) -> Result<(Session, Login), ConnectError> {
        let (line, login) = self.open(address).await?;
        let deadline = Instant::now() + self.connect_timeout;
        let ask = |question: Command| {
            let line = &line;
            async move { line.text(&question, deadline).await }
        };
        // One by one and not as a pipeline, which would not tell why it failed when the server
        // speaks another protocol; without waiting in between.
        let (server, replication, _name) = join3(
            ask(Command::new("INFO server")),
            ask(Command::new("INFO replication")),
            // A courtesy: a user without the right to set it does as well.
            ask(Command::new("CLIENT SETNAME").arg(CLIENT_NAME)),
        )
        .await;
        match (info::server(&server?)?, self.expected) {
            (ServerMode::Cluster, ServerMode::Single) => return Err(ConnectError::Cluster),
            (ServerMode::Single, ServerMode::Cluster) => return Err(ConnectError::NotCluster),
            _ => {}
        }
        let replication = info::replication(&replication?)?;
        let trouble = self.trouble.clone();
        let session = Session::new(line, replication, self.command_timeout, trouble);
        Ok((session, login))
    }

    async fn open(&self, address: &RedisAddress) -> Result<(Line, Login), ConnectError> {
        let login = self.login().await?;
        let wire = dial(address, self.tls.as_ref()).await?;
        let line = Line::open(wire, &login, self.database).await?;
        Ok((line, login))
    }
}
