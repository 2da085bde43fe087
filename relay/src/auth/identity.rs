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
    /// Another application knows who it is.
    Forward,
    /// A signed token of the issuer of this name, and the token's own id (`jti`) if it has one.
    Jwt {
        issuer: Arc<str>,
        id: Option<Arc<str>>,
    },
    /// A ticket.
    Ticket(Arc<Minted>),
}
