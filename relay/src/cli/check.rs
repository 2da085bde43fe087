//! `sse-relay check FILE`.

use super::options;
use crate::http::access::Openness;
use relay_config::Config;
use std::{path::PathBuf, process::ExitCode};

/// Says whether a configuration file, with the environment on top, is right. Prints nothing else
/// unless asked; exits with 2 when it is not.
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
    /// Print what holds for one channel
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
}

pub fn run(args: &Args) -> ExitCode {
    if args.schema {
        println!("{:#}", relay_config::schema());
        return ExitCode::SUCCESS;
    }
    match options::load(args.file.as_deref()) {
        Ok(config) => {
            report(args, &config);
            match Openness::of(&config) {
                Ok(_) => ExitCode::SUCCESS,
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
