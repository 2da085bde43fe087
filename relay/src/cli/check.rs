//! `sse-relay check FILE`.

use super::options;
use crate::{event_log::redis::checkup, http::access::Openness, redis::preflight::Finding};
use relay_config::Config;
use std::{path::PathBuf, process::ExitCode};

/// Says whether a configuration file, with the environment on top, is right, and whether the Redis that
/// it names is: it runs what the relay runs, on keys of its own that it takes away again. Warnings are
/// what may lose events. Exits with 2 when the configuration is not right, with 1 when the relay could
/// not use Redis.
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
    /// Look at the configuration alone, and connect to no Redis
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
                Ok(_) => look_at_redis(args, &config).await,
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
async fn look_at_redis(args: &Args, config: &Config) -> ExitCode {
    let only_printed = args.offline || args.show || args.channel.is_some();
    let Some(settings) = config.redis.as_ref().filter(|_| !only_printed) else {
        return ExitCode::SUCCESS;
    };
    let findings = checkup::once(settings).await;
    for finding in &findings {
        eprintln!("redis: {finding}");
    }
    if findings.iter().any(Finding::is_error) {
        return ExitCode::from(1);
    }
    println!("redis: it can be used");
    ExitCode::SUCCESS
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
