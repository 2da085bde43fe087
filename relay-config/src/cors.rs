//! Which pages of other origins may use the relay from a browser.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timespan::Timespan;

/// Pages of other origins that a browser lets talk to the relay. Without origins it lets none;
/// where a proxy in front answers for the relay, leave them out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Cors {
    /// Origins: `https://app.example.com`, `https://*.example.com` for every subdomain, `null`,
    /// or `*` for every page there is.
    pub origins: Vec<String>,
    /// Methods that such a page may use.
    pub methods: Vec<CorsMethod>,
    /// Headers that such a page may send; a last `*` stands for any ending, and alone for any
    /// header.
    pub headers: Vec<String>,
    /// Headers of answers that such a page may read.
    pub exposed_headers: Vec<String>,
    /// Whether such a page may send the user's cookies and client certificates.
    pub credentials: bool,
    /// How long a browser may remember what it was allowed.
    pub max_age: Timespan,
}

/// A method that the relay has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CorsMethod {
    /// Stream, read and look.
    Get,
    /// The head of what GET answers.
    Head,
    /// Publish.
    Post,
    /// End and remove.
    Delete,
}

impl CorsMethod {
    /// As HTTP writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

impl Default for Cors {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            origins: Vec::new(),
            methods: vec![CorsMethod::Get, CorsMethod::Head, CorsMethod::Post],
            headers: texts(&[
                "Authorization",
                "Cache-Control",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "Sse-*",
                "Ce-*",
            ]),
            exposed_headers: texts(&["Allow", "Retry-After", "WWW-Authenticate"]),
            credentials: false,
            max_age: Timespan::from_secs(3_600),
        }
    }
}
