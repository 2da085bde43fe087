//! `sse-relay token`: make tokens, and say what one allows.

use super::options;
use crate::{
    auth::{Authenticator, Credential, Denied, Evidence, hash_of},
    clock::unix_millis,
    grant::Grant,
};
use clap::{Args, Subcommand};
use http::{HeaderMap, header};
use std::{io::Read, path::PathBuf, process::ExitCode};

/// Tokens are secrets: the configuration holds only their hashes, and no command takes one as an
/// argument.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a token: it goes to standard output, what the configuration needs to standard error
    New {
        /// What it is called in logs
        #[arg(default_value = "token")]
        name: String,
    },
    /// Print the hash of a token that exists
    Hash(Given),
    /// Say what a token allows under a configuration, or why it is refused
    Explain {
        /// Configuration file
        #[arg(long, value_name = "FILE", env = "SSE_RELAY_CONFIG")]
        config: Option<PathBuf>,
        #[command(flatten)]
        token: Given,
    },
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
        Command::New { name } => new(name),
        Command::Hash(given) => given.read().map(|token| println!("{}", hash_of(&token))),
        Command::Explain { config, token } => {
            return match token
                .read()
                .and_then(|token| explain(config.as_ref(), &token))
            {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
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

/// Whether the token is accepted; what it allows, or why not, is printed.
fn explain(config: Option<&PathBuf>, token: &str) -> Result<bool, String> {
    let config = options::load(config.map(PathBuf::as_path)).map_err(|error| error.to_string())?;
    let authenticator =
        Authenticator::new(config.auth.as_ref()).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    for error in runtime.block_on(authenticator.fetch_keys()) {
        eprintln!("sse-relay: the published keys of an issuer cannot be had: {error}");
    }
    let credential = Credential::Bearer(token);
    let mut headers = HeaderMap::new();
    if let Ok(value) = format!("Bearer {token}").parse() {
        headers.insert(header::AUTHORIZATION, value); // for another application that is asked
    }
    match runtime.block_on(authenticator.identify(&credential, &headers, unix_millis())) {
        Ok(identity) => {
            match identity.from {
                Evidence::Open => {
                    println!("accepted: no credentials are configured, everybody may do everything")
                }
                Evidence::Forward => println!("accepted: the application that was asked knows it"),
                Evidence::Anonymous => println!("accepted as nobody"),
                Evidence::Token(name) => println!("accepted: token {name:?}"),
                Evidence::Ticket(_) => println!("accepted: a ticket"),
                Evidence::Jwt { issuer, .. } => println!("accepted: signed by {issuer:?}"),
            }
            print!("{}", describe(&identity.grant));
            Ok(true)
        }
        Err(denied) => {
            let reason = match denied {
                Denied::Refused(refused) => refused.as_str(),
                Denied::Unavailable(_) => "unavailable",
            };
            println!("refused ({reason}): {denied}");
            Ok(false)
        }
    }
}

fn describe(grant: &Grant) -> String {
    let list = |texts: Vec<String>| {
        if texts.is_empty() {
            "nothing".to_owned()
        } else {
            texts.join(", ")
        }
    };
    let publish = list(grant.publish.iter().map(ToString::to_string).collect());
    let subscribe = list(grant.subscribe.iter().map(ToString::to_string).collect());
    let manage = list(
        grant
            .manage
            .iter()
            .map(|right| right.as_str().to_owned())
            .collect(),
    );
    let mut text =
        format!("  publish    {publish}\n  subscribe  {subscribe}\n  manage     {manage}\n");
    if let Some(subject) = &grant.subject {
        text.push_str(&format!("  subject    {subject}\n"));
    }
    if let Some(expires) = grant.expires {
        text.push_str(&format!(
            "  until      {}\n",
            crate::http::time::format_millis(expires)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_described_in_full() {
        let grant = Grant {
            subject: crate::subject::Subject::parse("ann").ok(),
            expires: Some(1_795_248_000_000),
            ..Grant::everything()
        };
        let text = describe(&grant);
        for part in [
            "publish    **",
            "subscribe  **",
            "manage     observe",
            "subject    ann",
            "2026-11-21T08:00:00",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(describe(&Grant::default()).contains("publish    nothing"));
    }
}
