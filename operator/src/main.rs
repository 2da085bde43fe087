//! The program `sse-relay-operator`.

use std::process::ExitCode;

use clap::Parser;
use sse_relay_operator::cli::{Cli, output};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(lines.with_filter(LevelFilter::INFO))
        .init();
    match output(Cli::parse().command) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sse-relay-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
