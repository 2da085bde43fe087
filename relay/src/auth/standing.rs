//! What becomes of streams that are open when credentials change.

use super::{Authenticator, Evidence, Rules};
use crate::{channel::Selector, cursor::UnixMillis, grant::Grant, hub::open::StreamInfo, who::Who};

impl Authenticator {
    /// Whether whoever opened a stream may still have it. Of a signed token only the issuer is known
    /// any more: it ends with its own time, or is revoked.
    pub fn still_allows(&self, stream: &StreamInfo) -> bool {
        let Rules::Guarded(guarded) = &self.rules else {
            return true;
        };
        match stream.who.shown() {
            Evidence::Open | Evidence::Anonymous => covers(&guarded.anonymous, stream),
            Evidence::Token(name) => {
                let mut tokens = guarded.tokens.iter();
                tokens.any(|token| token.name == *name && covers(&token.grant, stream))
            }
            // only the other application knows, and is asked when the client comes back
            Evidence::Forward => guarded.forward.is_some(),
            // none is made with another
            Evidence::Ticket(_) => false,
            Evidence::Jwt { issuer, .. } => {
                let mut issuers = guarded.issuers.iter();
                issuers.any(|known| known.name == *issuer)
            }
        }
    }

    /// Whether a token of these settings is none of newer ones: its name stands for another secret
    /// there, or for nothing.
    pub fn is_retired(&self, who: &Who, newer: &Authenticator) -> bool {
        let Evidence::Token(name) = who.shown() else {
            return false;
        };
        let hashes = |rules: &Rules| match rules {
            Rules::Open(_) => Vec::new(),
            Rules::Guarded(guarded) => {
                let tokens = guarded.tokens.iter().filter(|token| token.name == *name);
                tokens.map(|token| token.hash).collect()
            }
        };
        if newer.is_open() {
            return false;
        }
        let known = hashes(&newer.rules);
        hashes(&self.rules).iter().any(|hash| !known.contains(hash))
    }

    /// When a token ends as the settings say now; `None` for who showed another credential.
    pub fn expiry(&self, who: &Who) -> Option<Option<UnixMillis>> {
        let (Rules::Guarded(guarded), Evidence::Token(name)) = (&self.rules, &who.evidence) else {
            return None;
        };
        let mut tokens = guarded.tokens.iter();
        let token = tokens.find(|token| *token.name == **name)?;
        Some(token.grant.expires)
    }
}

/// Whether a grant allows what a stream gives.
fn covers(grant: &Grant, stream: &StreamInfo) -> bool {
    // its subject's own channel, which the relay adds, is no question of patterns
    Selector::asked(&stream.channels).all(|selector| grant.may_subscribe(selector))
        && grant.narrow(&stream.filter).as_ref() == Ok(&*stream.filter)
}
