//! `sse-relay`: the command line.

use clap::{CommandFactory, Parser, Subcommand};
use relay_config::Config;
use sse_relay::{
    cli::{
        self,
        options::{OptionsError, ServeOptions},
    },
    reload::{self, Source},
    serve::{self, Addresses},
    telemetry,
};
use std::{future::Future, process::ExitCode};

/// Server-sent events as a service: publishers hand it events, browsers and programs stream them.
///
/// Try it: `sse-relay demo`, and open the address that it prints. Or: `sse-relay serve`, then
/// `sse-relay listen --channel news` in one terminal and `sse-relay publish news hello` in another.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the relay
    Serve(ServeOptions),
    /// Run the relay with a source that publishes this machine's live figures
    Demo(ServeOptions),
    /// Print the events of a relay, or of any server of event streams
    Listen(cli::listen::Args),
    /// Publish an event to a relay
    Publish(cli::publish::Args),
    /// Use what the archive keeps
    #[command(subcommand)]
    Archive(cli::replay::Command),
    /// Say whether a configuration file and its Redis are right, and what it amounts to
    Check(cli::check::Args),
    /// Make tokens, and say what one allows
    #[command(subcommand)]
    Token(cli::token::Command),
    /// Print the rights that a user of Redis needs
    RedisAcl(cli::redis_acl::Args),
    /// Move the log to another Redis
    RedisMove(cli::redis_move::Args),
    /// Beside a Redis, apply its file of users whenever that changes
    RedisAgent(cli::redis_agent::Args),
    /// Write shell completions to standard output
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a directory
    Man {
        /// Made if it is not there
        directory: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(options) => serve(options, Demo::AsConfigured),
        Command::Demo(options) => serve(options, Demo::On),
        Command::Listen(args) => client(cli::listen::run(args)),
        Command::Publish(args) => client(cli::publish::run(args)),
        Command::Archive(command) => client(cli::replay::run(command)),
        Command::Check(args) => runtime().block_on(cli::check::run(&args)),
        Command::Token(command) => cli::token::run(&command),
        Command::RedisAcl(args) => cli::redis_acl::run(&args),
        Command::RedisMove(args) => runtime().block_on(cli::redis_move::run(&args)),
        Command::RedisAgent(args) => runtime().block_on(cli::redis_agent::run(args)),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "sse-relay",
                &mut std::io::stdout(),
            );
            ExitCode::SUCCESS
        }
        Command::Man { directory } => man(&directory),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Demo {
    AsConfigured,
    On,
}

fn serve(options: ServeOptions, demo: Demo) -> ExitCode {
    // before it is read: what changes from here on is seen
    let file = options.file();
    let file = file.map(|file| (file.to_owned(), reload::identity(file)));
    let load = move || configure(&options, demo).map_err(|error| error.to_string());
    let config = match load() {
        Ok(config) => config,
        Err(error) => return failed(&error, 2),
    };
    let level = match telemetry::start(&config) {
        Ok(level) => level,
        Err(error) => return failed(&error, 2),
    };
    let source = Source {
        file,
        load: Box::new(load),
        level,
    };
    let announce = move |addresses: Addresses, config: &Config| {
        if demo == Demo::On {
            println!("{}", cli::options::welcome(addresses, config));
        }
    };
    match runtime().block_on(serve::serve(config, source, announce)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(event = "relay.failed", "{error}");
            ExitCode::from(1)
        }
    }
}

fn configure(options: &ServeOptions, demo: Demo) -> Result<Config, OptionsError> {
    let mut config = options.config()?;
    if demo == Demo::On {
        config.demo.enabled = true;
        // nobody has to learn that a demo goes away
        config.drain.propagation = relay_config::Timespan::from_secs(0);
        config.drain.window = relay_config::Timespan::from_secs(1);
    }
    Ok(config)
}

fn client(run: impl Future<Output = Result<(), cli::client::Failure>>) -> ExitCode {
    let runtime = runtime();
    let result = runtime.block_on(run);
    // a blocked standard input or output must not hold up the end
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure, failure.exit_code()),
    }
}

fn failed(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("sse-relay: {error}");
    ExitCode::from(code)
}

fn man(directory: &std::path::Path) -> ExitCode {
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(
            &format!("cannot write man pages to {}: {error}", directory.display()),
            1,
        ),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a process that starts can have a runtime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
