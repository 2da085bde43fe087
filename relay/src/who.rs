//! Who opened a stream, as lists, selectors and revocations know it.

use crate::{
    auth::{Evidence, Identity},
    subject::Subject,
};

/// Whom a stream belongs to. No secret is part of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Who {
    pub subject: Option<Subject>,
    pub evidence: Evidence,
}

impl Who {
    /// What was shown, by whoever made the ticket if it was one.
    pub fn shown(&self) -> &Evidence {
        match &self.evidence {
            Evidence::Ticket(minted) => &minted.by,
            evidence => evidence,
        }
    }

    /// Name of the token that was shown, if it was one.
    pub fn token(&self) -> Option<&str> {
        match self.shown() {
            Evidence::Token(name) => Some(name),
            _ => None,
        }
    }

    /// The id of the signed token that was shown (`jti`), if it was one and has one.
    pub fn jti(&self) -> Option<&str> {
        match self.shown() {
            Evidence::Jwt { id, .. } => id.as_deref(),
            _ => None,
        }
    }

    /// What kind of credential was shown, from a closed set.
    pub fn credential(&self) -> &'static str {
        match &self.evidence {
            Evidence::Open => "open",
            Evidence::Anonymous => "anonymous",
            Evidence::Token(_) => "token",
            Evidence::Jwt { .. } => "jwt",
            Evidence::Ticket(_) => "ticket",
            Evidence::Forward => "forward",
        }
    }
}

impl From<&Identity> for Who {
    fn from(identity: &Identity) -> Who {
        Who {
            subject: identity.grant.subject.clone(),
            evidence: identity.from.clone(),
        }
    }
}
