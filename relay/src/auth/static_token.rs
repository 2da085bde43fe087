//! Tokens that are known in advance, by their hashes.

use super::patterns;
use crate::{cursor::UnixMillis, grant::Grant, subject::Subject};
use relay_config::StaticToken;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A token that is known in advance, by its hash.
pub struct KnownToken {
    pub name: Arc<str>,
    pub(super) hash: [u8; 32],
    pub grant: Arc<Grant>,
}

impl KnownToken {
    /// Who shows it may do what everybody may, and what it says. `None` if its hash or its subject is none.
    pub fn new(token: &StaticToken, everybody: &Grant) -> Option<KnownToken> {
        Some(KnownToken {
            name: token.name.as_str().into(),
            hash: parse_hash(&token.sha256)?,
            grant: Arc::new(Grant {
                publish: [patterns(&token.publish), everybody.publish.clone()].concat(),
                subscribe: [patterns(&token.subscribe), everybody.subscribe.clone()].concat(),
                manage: token.manage.iter().copied().collect(),
                subject: subject(token)?,
                expires: token.expires.as_deref().map(expiry),
                ..Grant::default()
            }),
        })
    }
}

/// Who stands for an illegal subject stands for nobody, so the token is not known.
fn subject(token: &StaticToken) -> Option<Option<Subject>> {
    let subject = token.subject.as_deref().map(Subject::parse);
    subject.transpose().ok()
}

/// Compares with every token in a time that does not depend on them.
pub fn find<'a>(tokens: &'a [KnownToken], token: &str) -> Option<&'a KnownToken> {
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut found = None;
    for known in tokens {
        if bool::from(known.hash.ct_eq(&hash)) {
            found = Some(known);
        }
    }
    found
}

/// An illegal time has passed long ago.
fn expiry(text: &str) -> UnixMillis {
    let time = text.parse::<jiff::Timestamp>().ok();
    time.and_then(|time| u64::try_from(time.as_millisecond()).ok())
        .unwrap_or(0)
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// The hash of a token as the configuration holds it.
pub fn hash_of(token: &str) -> String {
    let hash = Sha256::digest(token.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
