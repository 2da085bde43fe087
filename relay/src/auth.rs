//! Credentials: who sends a request, and what the sender may do.

use crate::{channel::ChannelPattern, cursor::UnixMillis, grant::Grant, subject::Subject};
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
    #[error("the credential was revoked")]
    Revoked,
}

/// A token that is known in advance, by its hash.
struct KnownToken {
    name: Arc<str>,
    hash: [u8; 32],
    grant: Arc<Grant>,
}

/// Decides who sends a request.
pub struct Authenticator(Rules);

enum Rules {
    /// No credentials are configured: everybody may do everything.
    Open(Arc<Grant>),
    Guarded {
        tokens: Vec<KnownToken>,
        anonymous: Arc<Grant>,
    },
}

impl Authenticator {
    /// Of a configuration that was validated; what is illegal in one that was not allows nothing.
    pub fn new(auth: Option<&Auth>) -> Authenticator {
        let Some(auth) = auth else {
            return Authenticator(Rules::Open(Arc::new(Grant::everything())));
        };
        let anonymous = Grant {
            publish: patterns(&auth.anonymous.publish),
            subscribe: patterns(&auth.anonymous.subscribe),
            ..Grant::default()
        };
        Authenticator(Rules::Guarded {
            tokens: auth
                .tokens
                .iter()
                .filter_map(|token| known(token, &anonymous))
                .collect(),
            anonymous: Arc::new(anonymous),
        })
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        matches!(self.0, Rules::Open(_))
    }

    /// Who sends a request with this credential. Sending none is no error; a wrong one is, even
    /// where none would do, since its sender believes to be somebody.
    pub fn identify(
        &self,
        credential: Credential<'_>,
        now: UnixMillis,
    ) -> Result<Identity, Refused> {
        let (tokens, anonymous) = match &self.0 {
            Rules::Open(grant) => {
                return Ok(Identity {
                    grant: grant.clone(),
                    from: Evidence::Open,
                });
            }
            Rules::Guarded { tokens, anonymous } => (tokens, anonymous),
        };
        match credential {
            Credential::Malformed => Err(Refused::Malformed),
            Credential::None => Ok(Identity {
                grant: anonymous.clone(),
                from: Evidence::Anonymous,
            }),
            Credential::Bearer(token) => {
                let known = find(tokens, token).ok_or(Refused::Unknown)?;
                if known.grant.has_ended(now) {
                    return Err(Refused::Expired);
                }
                Ok(Identity {
                    grant: known.grant.clone(),
                    from: Evidence::Token(known.name.clone()),
                })
            }
        }
    }
}

/// Compares with every token in a time that does not depend on them.
fn find<'a>(tokens: &'a [KnownToken], token: &str) -> Option<&'a KnownToken> {
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut found = None;
    for known in tokens {
        if bool::from(known.hash.ct_eq(&hash)) {
            found = Some(known);
        }
    }
    found
}

/// Who shows a token may do what everybody may, and what the token says.
fn known(token: &StaticToken, everybody: &Grant) -> Option<KnownToken> {
    Some(KnownToken {
        name: token.name.as_str().into(),
        hash: parse_hash(&token.sha256)?,
        grant: Arc::new(Grant {
            publish: [patterns(&token.publish), everybody.publish.clone()].concat(),
            subscribe: [patterns(&token.subscribe), everybody.subscribe.clone()].concat(),
            manage: token.manage.iter().copied().collect(),
            subject: subject(token)?,
            expires: token.expires.as_deref().map(expiry),
        }),
    })
}

/// Who stands for an illegal subject stands for nobody, so the token is not known.
fn subject(token: &StaticToken) -> Option<Option<Subject>> {
    let subject = token.subject.as_deref().map(Subject::parse);
    subject.transpose().ok()
}

fn patterns(texts: &[String]) -> Vec<ChannelPattern> {
    let parsed = texts.iter().map(|text| ChannelPattern::parse(text));
    parsed.filter_map(Result::ok).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChannelName, Selector};

    fn guarded() -> Authenticator {
        let token = |name: &str, text: &str, expires: Option<&str>| StaticToken {
            name: name.to_owned(),
            sha256: hash_of(text),
            publish: vec!["orders.**".to_owned()],
            subscribe: Vec::new(),
            manage: Vec::new(),
            subject: None,
            expires: expires.map(str::to_owned),
        };
        let mut auth = Auth {
            tokens: vec![
                token("backend", "secret", None),
                token("old", "older", Some("2026-01-01T00:00:00Z")),
            ],
            ..Auth::default()
        };
        auth.anonymous.subscribe = vec!["public.**".to_owned()];
        Authenticator::new(Some(&auth))
    }

    const NOW: UnixMillis = 1_795_248_000_000;

    fn refused(credential: Credential<'_>) -> Refused {
        guarded().identify(credential, NOW).unwrap_err()
    }

    #[test]
    fn without_a_configuration_everybody_may_do_everything() {
        let open = Authenticator::new(None);
        let identity = open.identify(Credential::Malformed, NOW).unwrap();
        assert!(open.is_open() && identity.grant.may(relay_config::Right::Observe));
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        let identity = guarded()
            .identify(Credential::Bearer("secret"), NOW)
            .unwrap();
        assert_eq!(identity.from, Evidence::Token("backend".into()));
        let orders = ChannelName::parse("orders.eu").unwrap();
        assert!(identity.grant.may_publish(&orders));
        let public = Selector::parse("public.news").unwrap();
        assert!(identity.grant.may_subscribe(&public), "as everybody may");
        assert_eq!(refused(Credential::Bearer("Secret")), Refused::Unknown);
        assert_eq!(refused(Credential::Bearer("older")), Refused::Expired);
    }

    #[test]
    fn nobody_is_not_somebody_wrong() {
        let identity = guarded().identify(Credential::None, NOW).unwrap();
        assert_eq!(identity.from, Evidence::Anonymous);
        assert_eq!(refused(Credential::Malformed), Refused::Malformed);
    }

    #[test]
    fn one_bearer_header_is_a_credential_and_anything_else_is_not() {
        let of = |values: &[&'static str]| match Credential::from_headers(
            values.iter().map(|value| value.as_bytes()),
        ) {
            Credential::None => "none".to_owned(),
            Credential::Bearer(token) => token.to_owned(),
            Credential::Malformed => "malformed".to_owned(),
        };
        assert_eq!(of(&[]), "none");
        assert_eq!(of(&["Bearer abc"]), "abc");
        assert_eq!(of(&["bearer  abc "]), "abc");
        for wrong in [
            &["Basic abc"][..],
            &["Bearer"],
            &["Bearer "],
            &["abc"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(of(wrong), "malformed", "{wrong:?}");
        }
        let long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
        assert!(Credential::from_headers([long.as_bytes()].into_iter()) == Credential::Malformed);
    }
}
