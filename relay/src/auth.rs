//! Credentials: who sends a request, and what the sender may do.

use crate::{
    channel::ChannelPattern,
    cursor::UnixMillis,
    grant::Grant,
};
use relay_config::{Auth, StaticToken};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Longest token that is looked at, in bytes. Longer ones are refused unread.
pub const MAX_TOKEN: usize = 16 * 1024;

/// What a request carries to say who sends it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Credential<'a> {
    #[default]
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(&'a str),
    /// Something that is no credential of ours.
    Malformed,
}

impl<'a> Credential<'a> {
    /// Of the values of all `Authorization` headers: at most one may be there.
    pub fn from_headers(mut values: impl Iterator<Item = &'a [u8]>) -> Credential<'a> {
        match (values.next(), values.next()) {
            (None, _) => Credential::None,
            (Some(value), None) => Credential::from_header(value),
            (Some(_), Some(_)) => Credential::Malformed,
        }
    }

    fn from_header(value: &'a [u8]) -> Credential<'a> {
        let token = std::str::from_utf8(value).ok().and_then(|text| {
            let (scheme, token) = text.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        match token {
            Some(token) if (1..=MAX_TOKEN).contains(&token.len()) => Credential::Bearer(token),
            _ => Credential::Malformed,
        }
    }
}

/// Who sends a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub grant: Arc<Grant>,
    pub from: Evidence,
}

/// How an identity was shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// The listener is open.
    Open,
    /// No credential came.
    Anonymous,
    /// A token of this name.
    Token(Arc<str>),
}

/// Why a credential is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Refused {
    #[error("the Authorization header is not `Bearer TOKEN`, or there are two of them")]
    Malformed,
    #[error("the token is not known; was it replaced?")]
    Unknown,
    #[error("the token has expired; get a new one")]
    Expired,
}

impl Refused {
    /// Of the closed set that metrics and logs use.
    pub fn reason(self) -> &'static str {
        match self {
            Refused::Malformed => "malformed",
            Refused::Unknown => "unknown",
            Refused::Expired => "expired",
        }
    }
}

struct Known {
    name: Arc<str>,
    hash: [u8; 32],
    grant: Arc<Grant>,
}

/// What decides who sends a request.
pub enum Authenticator {
    /// No credentials are configured: everybody may do everything.
    Open(Arc<Grant>),
    Guarded { tokens: Vec<Known_>, anonymous: Arc<Grant> },
}
