//! `sse-relay token`: make tokens, and say what one allows.

mod explain;
mod signed;

use crate::auth::hash_of;
use clap::{Args, Subcommand};
use explain::{Explain, Verdict};
use signed::Signed;
use std::{io::Read, path::PathBuf, process::ExitCode};

/// Tokens are secrets: the configuration holds only their hashes, and no command takes one as an
/// argument.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a token: it goes to standard output, what the configuration needs to standard error
    New {
        /// What it is called in logs; of a signed token, whom it stands for
        name: Option<String>,
        #[command(flatten)]
        signed: Box<Signed>,
    },
    /// Print the hash of a token that exists
    Hash(Given),
    /// Say what a token or a certificate allows under a configuration, or why it is refused
    Explain(Explain),
}

/// Where a token is read from.
#[derive(Args, Debug)]
pub struct Given {
    /// File with the token; without it the variable SSE_RELAY_TOKEN, else standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Given {
    fn read(&self) -> Result<String, String> {
        let text = match (&self.token_file, std::env::var("SSE_RELAY_TOKEN")) {
            (Some(path), _) => std::fs::read_to_string(path).map_err(|error| {
                format!("cannot read the token from {}: {error}", path.display())
            })?,
            (None, Ok(token)) => token,
            (None, Err(_)) => {
                let mut text = String::new();
                let read = std::io::stdin().read_to_string(&mut text);
                read.map_err(|error| format!("cannot read the token: {error}"))?;
                text
            }
        };
        match text.trim() {
            "" => Err(
                "there is no token; give it by --token-file, SSE_RELAY_TOKEN or standard input"
                    .to_owned(),
            ),
            token => Ok(token.to_owned()),
        }
    }
}

pub fn run(command: &Command) -> ExitCode {
    let result = match command {
        Command::New { name, signed } if signed.jwt => signed.run(name.as_deref()),
        Command::New { name, .. } => new(name.as_deref().unwrap_or("token")),
        Command::Hash(given) => given.read().map(|token| println!("{}", hash_of(&token))),
        Command::Explain(explain) => {
            return match explain.run() {
                Ok(Verdict::Accepted(text)) => {
                    print!("{text}");
                    ExitCode::SUCCESS
                }
                Ok(Verdict::Refused(text)) => {
                    print!("{text}");
                    ExitCode::FAILURE
                }
                Err(error) => usage(&error),
            };
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => usage(&error),
    }
}

fn usage(error: &str) -> ExitCode {
    eprintln!("sse-relay: {error}");
    ExitCode::from(2)
}

/// 256 bits from the system, as characters that need no quoting anywhere.
fn new(name: &str) -> Result<(), String> {
    use base64::Engine;
    let mut bytes = [0u8; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut bytes)
        .map_err(|error| format!("the system has no random numbers: {error}"))?;
    // the prefix lets scanners find tokens that got where they should not be
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let token = format!("sserelay_{secret}");
    eprintln!("# the token stands on standard output, once; this goes into the configuration:");
    eprintln!(
        "auth:\n  tokens:\n    - name: {name:?}\n      sha256: {}",
        hash_of(&token)
    );
    eprintln!("      publish: [\"**\"]     # say less, if you can\n      subscribe: [\"**\"]");
    println!("{token}");
    Ok(())
}
