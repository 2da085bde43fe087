//! Pages of other origins that may use the relay from a browser.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Span;

/// Pages of other origins that may use the relay from a browser. Leave it out where a proxy in
/// front answers for the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.credentials) || !self.credentials || !self.origins.exists(origin, origin == '*')")
        .message("`*` would let every page use its reader's cookies; name the origins, or leave credentials out")
        .field_path(".origins")
)]
pub struct Cors {
    /// Origins: `https://app.example.com`, `https://*.example.com` for every subdomain, `null`,
    /// or `*` for every page there is.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 255)))]
    pub origins: Vec<String>,
    /// Methods that such a page may use; GET, HEAD and POST, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    pub methods: Option<Vec<Method>>,
    /// Headers that such a page may send; a last `*` stands for any ending. If it is left out,
    /// those that the relay reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 100)))]
    pub headers: Option<Vec<String>>,
    /// Headers of answers that such a page may read; if it is left out, those that say why a
    /// request was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 100)))]
    pub exposed_headers: Option<Vec<String>>,
    /// Whether such a page may send the user's cookies.
    #[serde(default)]
    pub credentials: bool,
    /// How long a browser may remember what it was allowed; 1h, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
}

/// A method of HTTP that the relay has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Stream, read and look.
    Get,
    /// The head of what GET answers.
    Head,
    /// Publish.
    Post,
    /// End and remove.
    Delete,
}
