//! Connections to PostgreSQL, for the archive and for sources.
//!
//! A [`Session`] is one connection. It is never repaired: when it ends, or a statement does not come
//! back in time, a new one is made. Passwords and certificates are read for each.

mod error;
mod login;
mod remedy;
mod tls;

pub use error::{ConnectError, SqlError};

use crate::environment;
use relay_config::{PostgresAddress, PostgresTarget, PostgresUrl, Problem};
use rustix::net::sockopt::set_tcp_user_timeout;
use std::{
    fmt,
    future::poll_fn,
    io,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::mpsc::{self, error::TrySendError},
    task::AbortHandle,
    time::timeout,
};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, NoTls, Notification,
    config::SslMode,
    tls::{MakeTlsConnect, TlsConnect},
};

/// A connection whose bytes nobody acknowledges for so long is dead.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// Notifications that wait to be looked at, of at most 8,000 bytes each. Past it they are lost, and
/// counted: a connection that is not read would answer no statement any more.
const MAX_NOTIFICATIONS: usize = 4_096;
/// What a server does at the end of a statement's time takes a moment to be heard of.
const GRACE: Duration = Duration::from_secs(1);

/// Where a server is and how it is spoken to.
#[derive(Clone)]
pub struct Postgres {
    settings: Arc<relay_config::Postgres>,
    target: Arc<PostgresTarget>,
    /// Who this process is, if the address itself says so.
    login: Option<Arc<PostgresUrl>>,
    section: Arc<str>,
}

impl fmt::Debug for Postgres {
    /// Without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({})", self.target)
    }
}

/// One connection, which ends with this value.
pub struct Session {
    client: Client,
    /// What was notified, in order; ends with the connection.
    pub notifications: mpsc::Receiver<Notification>,
    overflowed: Arc<AtomicU64>,
    task: AbortHandle,
    within: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Postgres {
    /// # Errors
    /// What is wrong with the settings, which stand in this section of the document.
    pub fn new(settings: &relay_config::Postgres, section: &str) -> Result<Postgres, Vec<Problem>> {
        let mut settings = settings.clone();
        let (target, login) = match &settings.url_variable {
            None => (settings.target(section)?, None),
            Some(name) => {
                let url = from_variable(name, section)?;
                if settings.tls.is_none() {
                    settings.tls = url.tls.clone();
                }
                (url.target.clone(), Some(Arc::new(url)))
            }
        };
        Ok(Postgres {
            target: Arc::new(target),
            login,
            settings: Arc::new(settings),
            section: section.into(),
        })
    }

    /// Where it is, for messages; without a user.
    pub fn target(&self) -> &PostgresTarget {
        &self.target
    }

    /// A new connection, on which statements take `commandTimeout` at most.
    pub async fn connect(&self) -> Result<Session, ConnectError> {
        let within = self.settings.connect_timeout.std();
        let session = timeout(within, self.open());
        session.await.unwrap_or(Err(ConnectError::Timeout(within)))
    }

    async fn open(&self) -> Result<Session, ConnectError> {
        let mut config = Config::new();
        match &self.login {
            Some(url) => login::with(&mut config, url),
            None => login::identify(&mut config, self.settings.credentials.as_ref()).await?,
        }
        config
            .dbname(&self.target.database)
            .application_name("sse-relay")
            .ssl_mode(SslMode::Disable);
        let session = match &self.target.address {
            PostgresAddress::Unix { directory, port } => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                let socket = UnixStream::connect(path).await;
                let socket = socket.map_err(|error| self.unreachable(error))?;
                self.greet(&config, socket, NoTls, Into::into).await?
            }
            PostgresAddress::Tcp { host, port } => {
                let socket = tcp(host, *port).await;
                let socket = socket.map_err(|error| self.unreachable(error))?;
                match &self.settings.tls {
                    None => self.greet(&config, socket, NoTls, Into::into).await?,
                    Some(files) => {
                        config.ssl_mode(SslMode::Require);
                        let name = files.server_name.as_deref().unwrap_or(host);
                        let mut connector = tls::connector(files, &self.section).await?;
                        let connect =
                            MakeTlsConnect::<TcpStream>::make_tls_connect(&mut connector, name);
                        let connect =
                            connect.map_err(|error| ConnectError::Tls(error.to_string()))?;
                        let why = |error| tls::explained(&self.section, name, error);
                        self.greet(&config, socket, connect, why).await?
                    }
                }
            }
        };
        let millis = session.within.as_millis();
        session
            .run(&format!("SET statement_timeout = {millis}"))
            .await
            .map_err(ConnectError::Prepared)?;
        Ok(session)
    }

    fn unreachable(&self, error: io::Error) -> ConnectError {
        ConnectError::Unreachable {
            address: self.target.to_string(),
            error,
        }
    }

    /// `why` tells what an error means.
    async fn greet<S, T>(
        &self,
        config: &Config,
        socket: S,
        tls: T,
        why: impl FnOnce(tokio_postgres::Error) -> ConnectError,
    ) -> Result<Session, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: TlsConnect<S>,
        T::Stream: Send + 'static,
    {
        let connected = config.connect_raw(socket, tls).await;
        let (client, connection) = connected.map_err(why)?;
        let (sender, notifications) = mpsc::channel(MAX_NOTIFICATIONS);
        let overflowed = Arc::<AtomicU64>::default();
        let task = tokio::spawn(carry(connection, sender, overflowed.clone())).abort_handle();
        Ok(Session {
            client,
            notifications,
            overflowed,
            task,
            within: self.settings.command_timeout.std(),
        })
    }
}

/// The address that an environment variable holds.
fn from_variable(name: &str, section: &str) -> Result<PostgresUrl, Vec<Problem>> {
    let wrong = |message: String| {
        vec![Problem {
            path: format!("{section}.urlVariable"),
            message,
        }]
    };
    let value = environment::variable(name)
        .ok_or_else(|| wrong(format!("the environment variable {name} is not set")))?;
    PostgresUrl::parse(&value).map_err(|why| wrong(format!("the address in {name} {why}")))
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let socket = TcpStream::connect((host, port)).await?;
    socket.set_nodelay(true)?;
    let millis = u32::try_from(USER_TIMEOUT.as_millis()).expect("seconds");
    set_tcp_user_timeout(&socket, millis)?;
    Ok(socket)
}

/// Moves the connection's bytes until it ends.
async fn carry<S, T>(
    mut connection: Connection<S, T>,
    heard: mpsc::Sender<Notification>,
    overflowed: Arc<AtomicU64>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            Ok(AsyncMessage::Notification(notification)) => {
                match heard.try_send(notification) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => {
                        overflowed.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(TrySendError::Closed(_)) => return, // the session is gone
                }
            }
            Ok(_) => {} // a notice of the server
            Err(error) => {
                tracing::debug!(event = "postgres.ended", error = %SqlError::from(error), "a connection ended");
                return;
            }
        }
    }
}

impl Session {
    /// Whether the server has ended it, as far as this process knows.
    pub fn is_over(&self) -> bool {
        self.client.is_closed()
    }

    /// Time for the answer to a statement.
    pub fn within(&self) -> Duration {
        self.within
    }

    /// Ends it: what it is in the midst of is undone by the server.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// How many notifications were lost since this was asked last, because too many waited.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.swap(0, Ordering::Relaxed)
    }

    /// Statements without parameters and without rows.
    ///
    /// # Errors
    /// As [`Session::timed`].
    pub async fn run(&self, statements: &str) -> Result<(), SqlError> {
        self.timed(self.client.batch_execute(statements)).await
    }

    /// What a statement on this session gives, in time.
    ///
    /// # Errors
    /// The server's, and [`SqlError::Timeout`]: then the session is of no use any more.
    pub async fn timed<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, SqlError> {
        match timeout(self.within + GRACE, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.task.abort();
                Err(SqlError::Timeout(self.within))
            }
        }
    }
}

/// A name as SQL takes it, whatever it holds.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_quotes() {
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(
            quoted("x\"; DROP TABLE y; --"),
            "\"x\"\"; DROP TABLE y; --\""
        );
    }
}
