//! A longer life for a stream: what its holder shows for it.

use super::open::StreamInfo;
use crate::{
    auth::{Evidence, Identity, Minted},
    cursor::UnixMillis,
    filter::Filter,
    grant::Grant,
    subject::Subject,
    who::Who,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A new credential for a stream that is open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Extension {
    subject: Option<Subject>,
    evidence: Evidence,
    subscribe: Vec<String>,
    filters: Filter,
    expires: Option<UnixMillis>,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extended {
    /// The stream lives until then; without an end, for good.
    Until(Option<UnixMillis>),
    /// It belongs to somebody else.
    OtherHolder,
    /// The new credential does not allow all that the stream receives.
    NotCovered,
}

impl From<&Identity> for Extension {
    fn from(identity: &Identity) -> Extension {
        let grant = &identity.grant;
        Extension {
            subject: grant.subject.clone(),
            evidence: identity.from.clone(),
            subscribe: grant.subscribe.iter().map(ToString::to_string).collect(),
            filters: grant.filters.clone(),
            expires: grant.expires,
        }
    }
}

impl Extension {
    /// Whether it may extend a stream; then who holds the stream from now on, and until when. A life
    /// never becomes shorter: the credential before is as good as it was.
    pub fn judge(
        &self,
        stream: &StreamInfo,
        expires: Option<UnixMillis>,
    ) -> Result<(Who, Option<UnixMillis>), Extended> {
        if self.subject != stream.who.subject || !continues(stream.who.shown(), self) {
            return Err(Extended::OtherHolder);
        }
        let grant = Grant {
            subscribe: crate::auth::patterns(&self.subscribe),
            filters: self.filters.clone(),
            ..Grant::default()
        };
        let covered = stream.asked().all(|selector| grant.may_subscribe(selector))
            && grant.narrow(&stream.filter).as_ref() == Ok(&*stream.filter);
        if !covered {
            return Err(Extended::NotCovered);
        }
        let until = match (expires, self.expires) {
            (Some(before), Some(after)) => Some(before.max(after)),
            _ => None,
        };
        let evidence = match &stream.who.evidence {
            Evidence::Ticket(minted) => Evidence::Ticket(Arc::new(Minted {
                id: minted.id,
                by: self.evidence.clone(),
            })),
            _ => self.evidence.clone(),
        };
        let who = Who {
            subject: self.subject.clone(),
            evidence,
        };
        Ok((who, until))
    }
}

/// Whether a credential is one of the same kind and source as the one before: a subject is one only
/// where it is given.
fn continues(before: &Evidence, after: &Extension) -> bool {
    match (before, &after.evidence) {
        (Evidence::Open, Evidence::Open) => true,
        (Evidence::Forward, Evidence::Forward) => after.subject.is_some(),
        (Evidence::Token(before), Evidence::Token(now)) => after.subject.is_some() || before == now,
        (Evidence::Jwt { issuer: before, .. }, Evidence::Jwt { issuer: now, .. }) => {
            after.subject.is_some() && before == now
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::SignedBy;
    use crate::{channel::Selector, hub::open::Transport};
    use std::time::SystemTime;

    fn jwt(issuer: &str) -> Evidence {
        Evidence::Jwt {
            issuer: issuer.into(),
            id: None,
            key: SignedBy::Published,
        }
    }

    fn token(name: &str) -> Evidence {
        Evidence::Token(name.into())
    }

    fn stream(subject: Option<&str>, evidence: Evidence) -> StreamInfo {
        let mut filter = Filter::default();
        filter.accept("tenant", ["a".into()]);
        StreamInfo {
            number: 1,
            replica: "r".into(),
            client: None,
            who: Who {
                subject: subject.map(|text| Subject::parse(text).unwrap()),
                evidence,
            },
            remote: None,
            user_agent: None,
            transport: Transport::Http11,
            opened: SystemTime::UNIX_EPOCH,
            channels: Arc::new([Selector::parse("orders.*").unwrap()]),
            filter: Arc::new(filter),
            voice: None,
        }
    }

    fn extension(subject: Option<&str>, evidence: Evidence) -> Extension {
        Extension {
            subject: subject.map(|text| Subject::parse(text).unwrap()),
            evidence,
            subscribe: vec!["orders.**".into()],
            filters: Filter::default(),
            expires: Some(100),
        }
    }

    #[test]
    fn only_the_same_holder_extends_a_stream() {
        let minted = |by| {
            Evidence::Ticket(Arc::new(Minted {
                id: crate::auth::TicketId::of("x"),
                by,
            }))
        };
        for (subject, evidence, by, with, may) in [
            (Some("ann"), jwt("id"), Some("ann"), jwt("id"), true),
            (Some("ann"), jwt("id"), Some("bob"), jwt("id"), false),
            (Some("ann"), jwt("id"), Some("ann"), jwt("other"), false),
            (Some("ann"), jwt("id"), Some("ann"), token("page"), false),
            (None, jwt("id"), None, jwt("id"), false),
            (None, token("page"), None, token("page"), true),
            (None, token("page"), None, token("other"), false),
            (Some("ann"), token("one"), Some("ann"), token("two"), true),
            (Some("ann"), minted(jwt("id")), Some("ann"), jwt("id"), true),
            (
                Some("ann"),
                minted(token("a")),
                Some("ann"),
                jwt("id"),
                false,
            ),
            (None, Evidence::Anonymous, None, Evidence::Anonymous, false),
        ] {
            let judged =
                extension(by, with.clone()).judge(&stream(subject, evidence.clone()), None);
            assert_eq!(
                judged.is_ok(),
                may,
                "{subject:?} {evidence:?} {by:?} {with:?}"
            );
        }
    }

    #[test]
    fn a_credential_must_allow_all_that_the_stream_receives() {
        let ann = || stream(Some("ann"), jwt("id"));
        let mut less = extension(Some("ann"), jwt("id"));
        less.subscribe = vec!["orders.eu".into()];
        assert_eq!(less.judge(&ann(), None), Err(Extended::NotCovered));
        let mut other = extension(Some("ann"), jwt("id"));
        other.filters.accept("tenant", ["b".into()]);
        assert_eq!(other.judge(&ann(), None), Err(Extended::NotCovered));
        let mut more = extension(Some("ann"), jwt("id"));
        more.filters.accept("tenant", ["a".into(), "b".into()]);
        assert!(more.judge(&ann(), None).is_ok());
        let mut another = extension(Some("ann"), jwt("id"));
        another.filters.accept("kind", ["x".into()]);
        assert_eq!(another.judge(&ann(), None), Err(Extended::NotCovered));
    }

    #[test]
    fn a_life_never_becomes_shorter() {
        let (extension, stream) = (
            extension(Some("ann"), jwt("id")),
            stream(Some("ann"), jwt("id")),
        );
        let until = |before| extension.judge(&stream, before).unwrap().1;
        assert_eq!(
            (until(Some(50)), until(Some(150)), until(None)),
            (Some(100), Some(150), None)
        );
    }
}
