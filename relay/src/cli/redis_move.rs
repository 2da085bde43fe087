//! `sse-relay redis-move`: moves the log to another Redis.

use crate::event_log::redis::moving::{Moved, move_log};
use clap::Args as Arguments;
use relay_config::{Config, Redis};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Moves the log from the Redis of one configuration to that of another: events, idempotency keys and
/// what cursors need. From the beginning on the old log refuses publishes (503, to be retried), and
/// streams go on reading it; the new one refuses all until it is whole. Then start the relays anew with
/// the new configuration: clients come back exactly where they were. If it fails, the old log takes
/// publishes again.
///
/// A log of one server or of Sentinels can be moved to any Redis, one of a Cluster to a Cluster.
#[derive(Arguments, Debug)]
pub struct Args {
    /// Configuration whose `redis` names the old log; the environment does not count
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Configuration whose `redis` names the new one
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

pub async fn run(args: &Args) -> ExitCode {
    let (from, to) = match (redis(&args.from), redis(&args.to)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("sse-relay: {error}");
            return ExitCode::from(2);
        }
    };
    match move_log(&from, &to).await {
        Ok(moved) => {
            println!("{}", told(moved, &from));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sse-relay: the log was not moved: {error}");
            ExitCode::from(1)
        }
    }
}

fn redis(path: &Path) -> Result<Redis, String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let config = Config::from_sources(Some((&name, &text)), &BTreeMap::new());
    let config = config.map_err(|error| error.to_string())?;
    config
        .redis
        .ok_or_else(|| format!("{name} has no section `redis`, which says where the log is"))
}

fn told(moved: Moved, from: &Redis) -> String {
    let Moved {
        channels,
        events,
        keys,
    } = moved;
    let prefix = &from.prefix;
    format!(
        "moved {channels} channels, {events} events, {keys} idempotency keys\n\
         The old log refuses publishes now. Start the relays with the new configuration; then delete\n\
         what begins with `{prefix}:` at the old Redis. Revocations and tickets are not moved: repeat the\n\
         revocations that must still hold before clients reach the relays."
    )
}
