//! An event stream over HTTP as a source.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timespan::Timespan;
use crate::validate::Problem;
use crate::web_address;

const MIN_SILENCE: Timespan = Timespan::from_secs(5);
const MAX_SILENCE: Timespan = Timespan::from_secs(3_600);
/// The longest scheme of a credential, in bytes.
const MAX_SCHEME_BYTES: usize = 40;

/// Another server's event stream: another relay, a Mercure hub, or whatever an EventSource could read.
/// It is resumed where it was left, as long as its server has what came meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SseSource {
    /// The stream's address.
    #[schemars(
        example = &"https://relay.example.com/v1/events?channel=orders&from=earliest",
        example = &"https://hub.example.com/.well-known/mercure?topic=orders"
    )]
    pub url: String,
    /// What proves who the relay is, in the header Authorization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SseCredentials>,
    /// File with the certificate authorities (PEM) that are trusted for the address, instead of the
    /// system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A stream without a byte for so long, heartbeats included, is taken for dead.
    #[serde(default = "silence")]
    pub silence: Timespan,
}

/// A token and where it is to be found. The token itself never stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SseCredentials {
    /// The word before the token.
    #[schemars(example = &"Token")]
    pub scheme: SseScheme,
    /// A file that holds the token; a line end after it is left away. It is read for each connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/run/secrets/upstream/token")]
    pub token_file: Option<String>,
    /// Name of an environment variable that holds the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_variable: Option<String>,
}

/// The word before a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SseScheme(pub String);

impl Default for SseScheme {
    fn default() -> Self {
        Self("Bearer".to_owned())
    }
}

fn silence() -> Timespan {
    Timespan::from_secs(60)
}

impl SseSource {
    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: String| {
            problems.push(Problem {
                path: format!("{path}.{field}"),
                message,
            });
        };
        // a token must not be read on the way
        let way = match self.credentials {
            Some(_) => web_address::Way::Safe,
            None => web_address::Way::Any,
        };
        if let Err(error) = web_address::check(&self.url, way) {
            wrong("url", error.to_string());
        }
        if !(MIN_SILENCE..=MAX_SILENCE).contains(&self.silence) {
            let text = format!("write a time from {MIN_SILENCE} to {MAX_SILENCE}");
            wrong("silence", text);
        }
        if let Some(credentials) = &self.credentials {
            let scheme = &credentials.scheme.0;
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if !(1..=MAX_SCHEME_BYTES).contains(&scheme.len()) || !scheme.bytes().all(token) {
                let text = "write a word such as `Bearer`";
                wrong("credentials.scheme", text.to_owned());
            }
            let files = [&credentials.token_file, &credentials.token_variable];
            if files.iter().filter(|one| one.is_some()).count() != 1 {
                let text = "set one of `tokenFile` and `tokenVariable`";
                wrong("credentials", text.to_owned());
            }
        }
        problems
    }
}
