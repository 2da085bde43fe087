//! The program `sse-relay-operator`.

use clap::Parser;
use sse_relay_operator::cli::{Cli, output};

fn main() -> anyhow::Result<()> {
    print!("{}", output(Cli::parse())?);
    Ok(())
}
