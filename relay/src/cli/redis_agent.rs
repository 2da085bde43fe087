//! `sse-relay redis-agent`: beside a Redis, keeps its users as a file says.
//!
//! Redis reads its file of users when it starts. Where the file is a mounted Secret, it changes later:
//! the agent then sets each user anew, which breaks no connection and needs no restart.

use axum::{Router, extract::State, http::StatusCode, routing::get};
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    aio::MultiplexedConnection,
};
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::signal::unix::{SignalKind as Kind, signal};

/// The file and Redis are looked at this often.
const EVERY: Duration = Duration::from_secs(1);
/// For a connection, and for each answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A longer file is none of users.
const LONGEST_FILE: u64 = 1 << 20;

/// Beside a Redis, applies its file of users whenever that changes, and says on a port whether
/// Redis answers.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The file that `aclfile` of Redis names
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    /// Host and port of Redis
    #[arg(long, default_value = "127.0.0.1:6379", value_name = "ADDRESS")]
    redis: String,
    /// The user that may change users
    #[arg(long, default_value = "agent", value_name = "NAME")]
    user: String,
    /// File with that user's password
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// Address of the probe `/readyz`
    #[arg(long, default_value = "127.0.0.1:8082", value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// What cannot be done now; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot read {path}: {why}")]
    File { path: String, why: String },
    #[error("line {0} of the users is none that Redis would take: it begins with `user NAME`")]
    Line(usize),
    /// Never with what was sent: it holds hashes.
    #[error("Redis: {0}")]
    Redis(String),
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Fault {
        // an answer may repeat a rule, and so a hash; the code of it is enough
        Fault::Redis(match error.kind() {
            ErrorKind::Server(_) => error.code().unwrap_or("an error").to_owned(),
            _ => error.category().to_owned(),
        })
    }
}

/// A user of the file, and its rules.
#[derive(Debug, PartialEq, Eq)]
struct User<'a> {
    name: &'a str,
    rules: Vec<&'a str>,
}

pub async fn run(args: Args) -> ExitCode {
    let ready = Arc::new(AtomicBool::new(false));
    let router = Router::new()
        .route("/readyz", get(readyz))
        .with_state(ready.clone());
    let listener = match tokio::net::TcpListener::bind(args.listen).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("sse-relay: cannot listen on {}: {error}", args.listen);
            return ExitCode::FAILURE;
        }
    };
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(Kind::terminate()), signal(Kind::interrupt()))
    else {
        eprintln!("sse-relay: signals cannot be waited for");
        return ExitCode::FAILURE;
    };
    tokio::select! {
        served = axum::serve(listener, router).into_future() => {
            eprintln!("sse-relay: the probe has ended: {served:?}");
            ExitCode::FAILURE
        }
        () = keep(&args, &ready) => ExitCode::SUCCESS, // never
        _ = terminate.recv() => ExitCode::SUCCESS,
        _ = interrupt.recv() => ExitCode::SUCCESS,
    }
}

async fn readyz(State(ready): State<Arc<AtomicBool>>) -> (StatusCode, &'static str) {
    match ready.load(Ordering::Relaxed) {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "Redis does not answer\n"),
    }
}

/// Looks at the file and at Redis, for ever. Says what goes wrong once, not once a second.
async fn keep(args: &Args, ready: &AtomicBool) {
    let mut connection = None;
    let mut applied = None;
    let mut said = String::new();
    loop {
        let looked = look(args, &mut connection, &mut applied).await;
        ready.store(looked.is_ok(), Ordering::Relaxed);
        let says = match looked {
            Ok(Outcome::Same) => String::new(),
            Ok(Outcome::Applied(users)) => format!("applied {users} users"),
            Err(fault) => {
                connection = None;
                fault.to_string()
            }
        };
        if says != said && !says.is_empty() {
            eprintln!("sse-relay: {says}");
        }
        said = says;
        tokio::time::sleep(EVERY).await;
    }
}

enum Outcome {
    Same,
    Applied(usize),
}

async fn look(
    args: &Args,
    connection: &mut Option<MultiplexedConnection>,
    applied: &mut Option<String>,
) -> Result<Outcome, Fault> {
    let text = read(&args.users)?;
    let redis = match connection {
        Some(redis) => redis,
        None => {
            // a Redis that was started anew may have read an older file
            *applied = None;
            connection.insert(connect(args).await?)
        }
    };
    let pong: String = redis::cmd("PING").query_async(redis).await?;
    if applied.as_ref() == Some(&text) && pong == "PONG" {
        return Ok(Outcome::Same);
    }
    let users = users(&text)?;
    apply(redis, &users).await?;
    let count = users.len();
    *applied = Some(text);
    Ok(Outcome::Applied(count))
}

async fn connect(args: &Args) -> Result<MultiplexedConnection, Fault> {
    let password = read(&args.password_file)?;
    let login = RedisConnectionInfo::default()
        .set_username(&args.user)
        .set_password(password.trim_end_matches(['\r', '\n']));
    let info = format!("redis://{}", args.redis).into_connection_info()?;
    let client = Client::open(info.set_redis_settings(login))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

/// Sets every user, and removes those that the file does not have. `default` cannot be removed; the
/// file turns it off.
async fn apply(redis: &mut MultiplexedConnection, users: &[User<'_>]) -> Result<(), Fault> {
    for user in users {
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER").arg(user.name).arg(&user.rules);
        set.query_async::<()>(redis).await?;
    }
    let there: BTreeSet<String> = redis::cmd("ACL").arg("USERS").query_async(redis).await?;
    let wanted: BTreeSet<&str> = users.iter().map(|user| user.name).collect();
    for name in there {
        if name != "default" && !wanted.contains(name.as_str()) {
            let mut remove = redis::cmd("ACL");
            remove.arg("DELUSER").arg(&name);
            remove.query_async::<()>(redis).await?;
        }
    }
    Ok(())
}

fn users(text: &str) -> Result<Vec<User<'_>>, Fault> {
    let lines = text.lines().zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("user"), Some(name)) => Ok(User {
                    name,
                    rules: words.collect(),
                }),
                _ => Err(Fault::Line(number)),
            }
        })
        .collect()
}

fn read(path: &Path) -> Result<String, Fault> {
    let fault = |why: String| Fault::File {
        path: path.display().to_string(),
        why,
    };
    let length = fs::metadata(path)
        .map_err(|error| fault(error.to_string()))?
        .len();
    if length > LONGEST_FILE {
        return Err(fault("it is too long".to_owned()));
    }
    fs::read_to_string(path).map_err(|error| fault(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_user_with_rules() {
        let text = "user default off\n\nuser relay on #aa ~a:* -@all +get\n";
        let read = users(text).unwrap();
        assert_eq!(read[1].name, "relay");
        assert_eq!(read[1].rules, ["on", "#aa", "~a:*", "-@all", "+get"]);
        for wrong in ["relay on", "user", "user a on\nusers b on"] {
            assert!(users(wrong).is_err(), "{wrong}");
        }
    }
}
