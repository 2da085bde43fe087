//! Who sends a request, and how that was shown.

use super::ticket::Minted;
use crate::grant::Grant;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Who sends a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub grant: Arc<Grant>,
    pub from: Evidence,
}

/// Whose key has signed a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SignedBy {
    /// One that the issuer published.
    Published,
    /// One of the configuration, by its fingerprint.
    Configured(u64),
}

/// How an identity was shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Evidence {
    /// The listener is open.
    Open,
    /// No credential came.
    Anonymous,
    /// A token of this name.
    Token(Arc<str>),
    /// The certificate of a client, known by the rule of this name.
    Certificate(Arc<str>),
    /// Another application knows who it is.
    Forward,
    /// A signed token of the issuer of this name, and the token's own id (`jti`) if it has one.
    Jwt {
        issuer: Arc<str>,
        id: Option<Arc<str>>,
        key: SignedBy,
    },
    /// A ticket.
    Ticket(Arc<Minted>),
}
