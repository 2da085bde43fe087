//! What becomes of streams that are open when credentials change.

use super::{Authenticator, Evidence, Guarded, Rules};
use crate::{channel::Selector, cursor::UnixMillis, grant::Grant, hub::open::StreamInfo, who::Who};

impl Authenticator {
    /// Whether whoever opened a stream may still have it. Of a signed token only the issuer and the key
    /// are known any more: it ends with its own time, with them, or is revoked.
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
            Evidence::Certificate(name) => {
                let mut rules = guarded.certificates.iter();
                rules.any(|rule| rule.name == *name && covers(&rule.grant, stream))
            }
            // only the other application knows, and is asked when the client comes back
            Evidence::Forward => guarded.forward.is_some(),
            // none is made with another
            Evidence::Ticket(_) => false,
            Evidence::Jwt { issuer, key, .. } => {
                let mut issuers = guarded.issuers.iter();
                issuers.any(|known| known.name == *issuer && known.has(*key))
            }
        }
    }

    /// Whether there is still what a ticket's minter has shown: who has lost it makes no use of the
    /// tickets that it was good for.
    pub fn still_knows(&self, who: &Who) -> bool {
        let Rules::Guarded(guarded) = &self.rules else {
            return true;
        };
        match who.shown() {
            Evidence::Token(name) => guarded.tokens.iter().any(|token| token.name == *name),
            Evidence::Certificate(name) => {
                guarded.certificates.iter().any(|rule| rule.name == *name)
            }
            Evidence::Forward => guarded.forward.is_some(),
            Evidence::Jwt { issuer, key, .. } => {
                let mut issuers = guarded.issuers.iter();
                issuers.any(|known| known.name == *issuer && known.has(*key))
            }
            Evidence::Open | Evidence::Anonymous | Evidence::Ticket(_) => true,
        }
    }

    /// Whether a token or certificate of these settings is none of newer ones: its name stands for
    /// another one there, or for nothing.
    pub fn is_retired(&self, who: &Who, newer: &Authenticator) -> bool {
        match (who.shown(), &self.rules, &newer.rules) {
            (_, Rules::Open(_), _) | (_, _, Rules::Open(_)) => false,
            (Evidence::Token(name), Rules::Guarded(before), Rules::Guarded(after)) => {
                let hashes = |guarded: &Guarded| -> Vec<_> {
                    let tokens = guarded.tokens.iter().filter(|token| token.name == *name);
                    tokens.map(|token| token.hash).collect()
                };
                let known = hashes(after);
                hashes(before).iter().any(|hash| !known.contains(hash))
            }
            (Evidence::Certificate(name), Rules::Guarded(before), Rules::Guarded(after)) => {
                let rule = |guarded: &'_ Guarded| {
                    let mut rules = guarded.certificates.iter();
                    rules
                        .find(|rule| rule.name == *name)
                        .map(|rule| rule.by.clone())
                };
                rule(before).is_some_and(|by| rule(after) != Some(by))
            }
            _ => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use relay_config::{Auth, CertificateRule};

    fn with_rule(subject: &str) -> Authenticator {
        let rule = CertificateRule {
            name: "a".to_owned(),
            subject: Some(subject.to_owned()),
            san: None,
            publish: Vec::new(),
            subscribe: vec!["news".to_owned()],
            manage: Vec::new(),
        };
        let auth = Auth {
            certificates: vec![rule],
            ..Auth::default()
        };
        Authenticator::new(Some(&auth)).unwrap()
    }

    #[test]
    fn a_certificate_is_retired_when_its_rule_names_another_or_is_gone() {
        let who = Who {
            subject: None,
            evidence: Evidence::Certificate("a".into()),
        };
        let before = with_rule("CN=a");
        let without = Authenticator::new(Some(&Auth::default())).unwrap();
        assert!(!before.is_retired(&who, &with_rule("CN=a")));
        assert!(before.is_retired(&who, &with_rule("CN=b")));
        assert!(before.is_retired(&who, &without));
        assert!(!before.is_retired(&who, &Authenticator::new(None).unwrap()));
    }
}
