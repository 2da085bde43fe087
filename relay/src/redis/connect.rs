//! From an address to a session: socket, user, and what the server says of itself.

use super::{
    CommandError, ConnectError, Lost, Refusal, Session,
    dial::{Wire, dial},
    error::from_server,
    info::{self, ServerMode},
    session::{sort, text},
};
use ::redis::{
    AsyncConnectionConfig, RedisConnectionInfo, RedisError, Value, aio::MultiplexedConnection,
};
use relay_config::{RedisAddress, RedisCredentials};
use std::{env, path::Path, sync::Arc, time::Duration};
use tokio::time::timeout;

/// What connections of this process show as in `CLIENT LIST`.
const CLIENT_NAME: &str = "sse-relay";
/// The longest password file, in bytes.
const MAX_PASSWORD_BYTES: u64 = 4_096;

/// Makes sessions.
pub(super) struct Connector {
    credentials: Option<RedisCredentials>,
    database: u32,
    connect_timeout: Duration,
    command_timeout: Duration,
}

impl Connector {
    pub(super) fn new(settings: &relay_config::Redis, database: u32) -> Connector {
        Connector {
            credentials: settings.credentials.clone(),
            database,
            connect_timeout: settings.connect_timeout.std(),
            command_timeout: settings.command_timeout.std(),
        }
    }

    /// Within `redis.connectTimeout`.
    pub(super) async fn session(&self, address: &RedisAddress) -> Result<Session, ConnectError> {
        match timeout(self.connect_timeout, self.connect(address)).await {
            Ok(session) => session,
            Err(_) => Err(ConnectError::TimedOut(address.to_string().into())),
        }
    }

    async fn connect(&self, address: &RedisAddress) -> Result<Session, ConnectError> {
        let login = self.login().await?;
        let wire = dial(address).await?;
        let (connection, driver) = open(&login, wire).await?;
        // The answers come through the driver, which the session owns later.
        let mut driver = Box::pin(driver);
        let said = {
            let mut asked = Box::pin(ask(&connection));
            tokio::select! {
                said = &mut asked => said?,
                // It has passed on why it ended.
                () = &mut driver => asked.await?,
            }
        };
        if info::server(&said.server)? == ServerMode::Cluster {
            return Err(ConnectError::Cluster);
        }
        let replication = info::replication(&said.replication)?;
        Ok(Session::new(
            connection,
            driver,
            replication,
            self.command_timeout,
        ))
    }

    async fn login(&self) -> Result<RedisConnectionInfo, ConnectError> {
        let mut login = RedisConnectionInfo::default()
            .set_db(self.database.into())
            .set_skip_set_lib_name();
        if let Some(credentials) = &self.credentials {
            if let Some(username) = &credentials.username {
                login = login.set_username(username);
            }
            if let Some(password) = password(credentials).await? {
                login = login.set_password(password);
            }
        }
        Ok(login)
    }
}

async fn open(
    login: &RedisConnectionInfo,
    wire: Box<dyn Wire>,
) -> Result<
    (
        MultiplexedConnection,
        impl Future<Output = ()> + Send + 'static,
    ),
    ConnectError,
> {
    // Time and room are ours: the session bounds both.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    MultiplexedConnection::new_with_config(login, wire, config)
        .await
        .map_err(|error| refused(&error))
}

struct Said {
    server: String,
    replication: String,
}

/// One by one, since a pipeline keeps it to itself when the server speaks another protocol; yet
/// without waiting in between.
async fn ask(connection: &MultiplexedConnection) -> Result<Said, ConnectError> {
    let (server, replication, _name) = futures_util::future::join3(
        question(connection, &["INFO", "server"]),
        question(connection, &["INFO", "replication"]),
        // A courtesy: a user without the right to set it does as well.
        question(connection, &["CLIENT", "SETNAME", CLIENT_NAME]),
    )
    .await;
    Ok(Said {
        server: server?,
        replication: replication?,
    })
}

async fn question(
    connection: &MultiplexedConnection,
    words: &[&str],
) -> Result<String, ConnectError> {
    let mut command = ::redis::Cmd::new();
    command.arg(words);
    let answer = connection.clone().send_packed_command(&command).await;
    info_text(&answer.map_err(|error| refused(&error))?)
}

fn info_text(value: &Value) -> Result<String, ConnectError> {
    if let Value::ServerError(error) = value {
        return Err(told(from_server(error.code(), error.details())));
    }
    text(value)
        .map(str::to_owned)
        .ok_or_else(|| ConnectError::Protocol("INFO is not answered with text".into()))
}

fn refused(error: &RedisError) -> ConnectError {
    match error.kind() {
        ::redis::ErrorKind::AuthenticationFailed => {
            ConnectError::Authentication(error.detail().unwrap_or("wrong password").into())
        }
        _ => told(sort(error)),
    }
}

/// An error answer during the making of a connection.
fn told(error: CommandError) -> ConnectError {
    match error {
        CommandError::Refused {
            why: Refusal::NotAuthenticated,
            text,
            ..
        } => ConnectError::Authentication(text),
        CommandError::Refused {
            why: Refusal::NoPermission,
            text,
            ..
        } => ConnectError::Permission(text),
        CommandError::Refused { text, .. } if text.contains("cluster mode") => {
            ConnectError::Cluster
        }
        CommandError::Refused { text, .. } if text.contains("DB index") => {
            ConnectError::Database(text)
        }
        CommandError::Refused { text, .. } => ConnectError::Protocol(text),
        CommandError::NotExecuted { text, .. } => ConnectError::NotReady(text),
        CommandError::Unknown(Lost::Unreadable(text)) => ConnectError::Protocol(text),
        CommandError::NotSent(_) | CommandError::Unknown(_) => ConnectError::Closed,
    }
}

/// The password of this moment: files are read each time, so a rotated one counts at once.
async fn password(credentials: &RedisCredentials) -> Result<Option<String>, ConnectError> {
    if let Some(name) = &credentials.password_variable {
        let value = env::var(name);
        return value
            .map(Some)
            .map_err(|_| ConnectError::PasswordVariable(name.as_str().into()));
    }
    let Some(path) = &credentials.password_file else {
        return Ok(None);
    };
    let path = Path::new(path);
    let text = read_password(path).await;
    let text = text.map_err(|error| ConnectError::PasswordFile {
        path: path.to_owned(),
        error: Arc::new(error),
    })?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

async fn read_password(path: &Path) -> std::io::Result<String> {
    use tokio::io::AsyncReadExt;
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_PASSWORD_BYTES)
        .read_to_string(&mut text)
        .await?;
    Ok(text)
}
