//! Another application that is asked who sends a request.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::jwt::{Claims, GrantTemplate};
use crate::timespan::Timespan;

/// Another application that is asked who sends a request, as reverse proxies ask (`auth_request`):
/// 2xx allows what the answer says, 401 and 403 refuse, anything else is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forward {
    /// Address that is asked, by GET.
    #[schemars(example = &"http://app.shop.svc/session")]
    pub url: String,
    /// Headers of the request that are passed on. It is asked about requests that have at least one
    /// of them.
    #[serde(default = "default_headers")]
    pub headers: Vec<String>,
    /// Which members of the answer's JSON object say what the sender may do; the answer's headers are
    /// its member `headers`, with names in lower case.
    #[serde(default = "default_claims")]
    pub claims: Claims,
    /// What everybody may do whom it knows.
    #[serde(default)]
    pub grant: GrantTemplate,
    /// How long an answer holds for streams: past it they end, come back, and it is asked again. An
    /// answer says less with a member `exp`, in seconds since 1970.
    #[serde(default = "default_lifetime")]
    pub lifetime: Timespan,
    /// How long an answer may take, in all.
    #[serde(default = "default_timeout")]
    pub timeout: Timespan,
    /// How long an answer is used again for the same headers; 0s asks each time.
    #[serde(default = "default_cache")]
    pub cache: Timespan,
    /// How many answers are kept.
    #[serde(default = "default_cache_entries")]
    pub cache_entries: usize,
    /// How many questions may be open at once; more wait for their turn.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// File with the certificate authorities (PEM) that are trusted for the address, instead of the
    /// system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

fn default_headers() -> Vec<String> {
    vec!["authorization".to_owned(), "cookie".to_owned()]
}

fn default_claims() -> Claims {
    Claims {
        publish: Some("publish".to_owned()),
        subscribe: Some("subscribe".to_owned()),
        manage: Some("manage".to_owned()),
        subject: "subject".to_owned(),
        ..Claims::default()
    }
}

fn default_lifetime() -> Timespan {
    Timespan::from_secs(900)
}

fn default_timeout() -> Timespan {
    Timespan::from_secs(5)
}

fn default_cache() -> Timespan {
    Timespan::from_secs(10)
}

fn default_cache_entries() -> usize {
    10_000
}

fn default_concurrency() -> usize {
    100
}
