//! The command line.

mod check;
mod explain;
mod render;
pub mod run;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, builder::PossibleValue};

use crate::controller_profile::Controller;
use crate::gateway_profile::Implementation;

/// Runs sse-relay on Kubernetes.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the relays of a cluster
    Run(run::Args),
    /// Say whether a cluster has what the operator needs, and whether one acts there
    Check(check::Args),
    /// Print the CustomResourceDefinition
    Crd,
    /// Print the objects of an SseRelay, without a cluster
    Render(render::Args),
    /// Say what an ingress controller or a Gateway gets so that streams pass through it, and why
    Explain(explain::Args),
}

impl ValueEnum for Implementation {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

impl ValueEnum for Controller {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

/// Where images come from while a resource does not say.
#[derive(Debug, Clone, clap::Args)]
pub struct RelayImage {
    /// Repository of the relay's image, for resources that name none
    #[arg(long, env = "RELAY_IMAGE", default_value = "sse-relay")]
    pub relay_image: String,
    /// Version of the relay, for resources that name none
    #[arg(long, env = "RELAY_VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    pub relay_version: String,
    /// Image of Redis or Valkey, for resources that ask for a Redis and name none
    #[arg(long, env = "REDIS_IMAGE", default_value = "valkey/valkey:8.1")]
    pub redis_image: String,
}

/// A file, or standard input for `-`.
pub(crate) fn read(path: &PathBuf) -> std::io::Result<String> {
    if path.as_os_str() == "-" {
        return std::io::read_to_string(std::io::stdin());
    }
    std::fs::read_to_string(path)
}

/// What `command` asks to be printed; nothing for `run`, which is served instead.
pub fn output(command: Command) -> anyhow::Result<String> {
    match command {
        Command::Run(args) => run::run(args).map(|()| String::new()),
        Command::Check(args) => check::check(&args),
        Command::Crd => Ok(crate::crd::yaml()),
        Command::Render(args) => render::render(&args),
        Command::Explain(args) => Ok(explain::explain(&args)),
    }
}
