//! One revocation: whom it refuses, and until when.

use crate::{
    auth::Evidence, cursor::UnixMillis, hub::select::StreamSelector, subject::Subject, who::Who,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Which credentials are refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Revoked {
    /// All that stand for a subject.
    Subject(Subject),
    /// The token of a name.
    Token(Arc<str>),
    /// The signed token with this id.
    Jti(Arc<str>),
}

/// Names a revocation: the same credentials have the same id on every replica.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevocationId(Box<str>);

/// Bytes of the digest that make an id: too many for two of them to be the same by chance.
const ID_BYTES: usize = 12;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revocation {
    pub revoked: Revoked,
    /// From then on the credentials are good again.
    pub until: UnixMillis,
    pub at: UnixMillis,
}

impl Revoked {
    pub fn id(&self) -> RevocationId {
        let text = serde_json::to_vec(self).expect("an enum of texts");
        let digest = Sha256::digest(text);
        let hex = digest.iter().take(ID_BYTES);
        RevocationId(hex.map(|byte| format!("{byte:02x}")).collect())
    }

    /// What of somebody may be revoked, for looking it up.
    pub fn of(who: &Who) -> impl Iterator<Item = Revoked> {
        let subject = who.subject.clone().map(Revoked::Subject);
        let token = match who.shown() {
            Evidence::Token(name) => Some(Revoked::Token(name.clone())),
            Evidence::Jwt { id, .. } => id.clone().map(Revoked::Jti),
            _ => None,
        };
        subject.into_iter().chain(token)
    }

    /// The streams that they opened.
    pub fn streams(&self) -> StreamSelector {
        let mut streams = StreamSelector::default();
        match self {
            Revoked::Subject(subject) => streams.subject = Some(subject.clone()),
            Revoked::Token(name) => streams.token = Some(name.to_string()),
            Revoked::Jti(id) => streams.jti = Some(id.to_string()),
        }
        streams
    }
}

impl RevocationId {
    /// An id that came from outside; one that names nothing is no error.
    pub fn from_text(text: &str) -> RevocationId {
        RevocationId(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_credentials_have_the_same_id_and_others_another() {
        let subject = |name| Revoked::Subject(Subject::parse(name).unwrap()).id();
        assert_eq!(subject("ann"), subject("ann"));
        assert_ne!(subject("ann"), subject("bob"));
        assert_ne!(subject("ann"), Revoked::Token("ann".into()).id());
        assert_eq!(subject("ann").as_str().len(), 2 * ID_BYTES);
    }
}
