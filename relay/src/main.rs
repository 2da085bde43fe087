//! `sse-relay`: the command line.

use clap::{Parser, Subcommand};
use sse_relay::{cli, serve, telemetry};
use std::process::ExitCode;

mod command;

fn main() -> ExitCode {
    command::run()
}
