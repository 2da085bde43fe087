//! `--dialect swf`: what `listen` and `publish` do in the place of swf-testbed's remote receiver and sender.
//!
//! Those are agents: they register with swf-monitor, which numbers them, and tell it that they live. Their
//! settings are environment variables, and what they print is read by people and scripts.

pub mod monitor;
pub mod printed;
pub mod receiver;
pub mod sender;
pub mod variables;

use super::client::{self, Failure, TlsArgs, Token};
use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap},
    redirect::Policy,
};
use std::path::PathBuf;
use variables::Variables;

/// Where swf-testbed's programs go unless they are told otherwise.
pub const DEFAULT_MONITOR: &str = "https://pandaserver02.sdcc.bnl.gov/swf-monitor";
/// The key of a user of the monitor.
pub const TOKEN: &str = "SWF_API_TOKEN";
/// The monitor's address, and in production that of the streams.
pub const MONITOR: &str = "SWF_MONITOR_PROD_URL";
/// A file of authorities, which every Python program with `requests` knows.
const CA_BUNDLE: &str = "REQUESTS_CA_BUNDLE";

/// Whose clients a command stands in for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum ClientDialect {
    /// swf-testbed's remote receiver and sender
    Swf,
}

/// Where a monitor and its streams are, and as whom they are reached.
struct Access {
    token: Token,
    monitor: Url,
    /// The same, unless the command line says otherwise.
    streams: Url,
    tls: TlsArgs,
}

impl Access {
    fn of(
        variables: &Variables,
        streams: Option<&str>,
        token_file: Option<&PathBuf>,
        tls: &TlsArgs,
    ) -> Result<Access, Failure> {
        let text = match token_file {
            Some(path) => client::read_token_file(path)?,
            None => variables.required(
                TOKEN,
                "the key of a user of the monitor, or --token-file with a file that has it",
            )?,
        };
        let monitor = variables.get(MONITOR).or(streams);
        let monitor = base(monitor.unwrap_or(DEFAULT_MONITOR))?;
        let mut tls = tls.clone();
        if tls.ca.is_none() {
            tls.ca = variables.get(CA_BUNDLE).map(PathBuf::from);
        }
        Ok(Access {
            token: Token::with_scheme("Token", &text)?,
            streams: streams.map(base).transpose()?.unwrap_or(monitor.clone()),
            monitor,
            tls,
        })
    }

    /// A client that shows the token and follows no redirect: one leads to a page where people log in.
    fn http_client(&self, url: &Url) -> Result<reqwest::Client, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.token.value());
        client::builder(url, headers, &self.tls)?
            .redirect(Policy::none())
            .build()
            .map_err(|error| Failure::Client(client::root_cause(error)))
    }
}

/// Without a dialect its options are a mistake: each with whether it is there.
pub fn unneeded(options: &[(&'static str, bool)]) -> Result<(), Failure> {
    match options.iter().find(|(_, is_there)| *is_there) {
        Some((option, _)) => Err(Failure::NeedsDialect { option }),
        None => Ok(()),
    }
}

/// An address below which others are.
fn base(text: &str) -> Result<Url, Failure> {
    let mut url = client::parse_url(text)?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url.set_query(None);
    Ok(url)
}

/// An address below another one.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}
