//! Another application that knows the users.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::jwt::{Claims, Grant};
use super::server::Authorities;
use super::text::Span;

/// Another application that is asked who sends a request, as reverse proxies ask: 2xx allows what the
/// answer says, 401 and 403 refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forward {
    /// Address that is asked, by GET. The network policy lets the pods reach its port, anywhere.
    #[schemars(length(max = 500), regex(pattern = "^https?://[^/?#@ ]+(/[^ ]*)?$"))]
    pub url: String,
    /// Headers of the request that are passed on; `authorization` and `cookie`, if it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 100)))]
    pub headers: Vec<String>,
    /// Which members of the answer say what the sender may do; `publish`, `subscribe`, `manage` and
    /// `subject`, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
    /// What everybody may do whom it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// How long an answer holds for streams; 15m, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Span>,
    /// How long an answer may take; 5s, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How long an answer is used again for the same headers; 10s, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Span>,
    /// Certificate authorities (PEM) to trust for the address instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Authorities>,
}
