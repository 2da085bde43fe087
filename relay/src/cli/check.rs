//! `sse-relay check FILE`.

mod servers;

use super::options;
use crate::{event_log::redis::checkup, http::access::Openness, redis::preflight::Finding};
use relay_config::Config;
use std::{path::PathBuf, process::ExitCode};

/// Says whether a configuration file, with the environment on top, is right, and whether the Redis that
/// it names is: it runs what the relay runs, on keys of its own that it takes away again. It connects
/// to every other server too, of the archive, of the sources, and to who knows users, and changes nothing
/// there. Warnings are what may lose events, or let in who should not be. Exits with 2 when the configuration is not right, with 1 when the relay could not use one of
/// the servers.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The file; without it only the environment is checked
    file: Option<PathBuf>,
    /// Print the whole configuration that comes out, defaults included, as YAML
    #[arg(long)]
    show: bool,
    /// Print the JSON Schema of the configuration and check nothing
    #[arg(long, conflicts_with_all = ["file", "show"])]
    schema: bool,
    /// Look at the configuration alone, and connect to no server
    #[arg(long)]
    offline: bool,
    /// Print what holds for one channel
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
}

pub async fn run(args: &Args) -> ExitCode {
    if args.schema {
        println!("{:#}", relay_config::schema());
        return ExitCode::SUCCESS;
    }
    match options::load(args.file.as_deref()) {
        Ok(config) => {
            report(args, &config);
            match Openness::of(&config) {
                Ok(_) => look_at_servers(args, &config).await,
                Err(error) => {
                    eprintln!("the relay would not start: {error}");
                    ExitCode::from(2)
                }
            }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// What is found is written to standard error, each with what to do.
async fn look_at_servers(args: &Args, config: &Config) -> ExitCode {
    if args.offline || args.show || args.channel.is_some() {
        return ExitCode::SUCCESS;
    }
    let mut usable = look_at_redis(config).await;
    for look in servers::look(config).await {
        usable &= look.tell();
    }
    match usable {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    }
}

/// Whether it can be used, if there is one.
async fn look_at_redis(config: &Config) -> bool {
    let Some(settings) = &config.redis else {
        return true;
    };
    let findings = checkup::once(settings).await;
    for finding in &findings {
        eprintln!("redis: {finding}");
    }
    let usable = !findings.iter().any(Finding::is_error);
    if usable {
        println!("redis: it can be used");
    }
    usable
}

fn report(args: &Args, config: &Config) {
    if args.show {
        print!("{}", config.to_yaml());
    }
    if let Some(channel) = &args.channel {
        println!("{channel}: {:#?}", config.effective(channel));
    }
    if !args.show && args.channel.is_none() {
        let name = args.file.as_ref().map_or_else(
            || "the environment".to_owned(),
            |file| file.display().to_string(),
        );
        println!(
            "{name}: right; {} rules for channels, listens on {}",
            config.channels.len(),
            config.listen
        );
    }
}
