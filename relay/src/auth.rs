//! Credentials: who sends a request, and what the sender may do.

mod credential;
mod identity;
pub mod jwt;
mod refused;
mod static_token;
mod ticket;

pub use credential::{Credential, MAX_TOKEN};
pub use identity::{Evidence, Identity};
pub use refused::{Denied, Refused, Unavailable};
pub use static_token::hash_of;
pub use ticket::{Minted, TicketId};

use crate::{channel::ChannelPattern, cursor::UnixMillis, grant::Grant, stats::Stats};
use futures_util::future::join_all;
use jwt::{
    Fault, Issuer, IssuerError,
    key_set::{FetchError, KeySet},
};
use relay_config::Auth;
use static_token::KnownToken;
use std::sync::Arc;

/// Decides who sends a request.
pub struct Authenticator(Rules);

enum Rules {
    /// No credentials are configured: everybody may do everything.
    Open(Arc<Grant>),
    Guarded(Guarded),
}

struct Guarded {
    tokens: Vec<KnownToken>,
    issuers: Vec<Issuer>,
    anonymous: Arc<Grant>,
}

/// Why credentials cannot be checked as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("auth.jwt: {0}")]
    Issuer(#[from] IssuerError),
}

impl Authenticator {
    /// Of a configuration that was validated; what is illegal in one that was not allows nothing.
    /// Reads the files with keys that it names.
    pub fn new(auth: Option<&Auth>) -> Result<Authenticator, AuthError> {
        Authenticator::with_keys(auth, &[])
    }

    /// The one of a new configuration. Issuers that publish their keys where they did before keep
    /// those that were fetched.
    pub fn renewed(&self, auth: Option<&Auth>) -> Result<Authenticator, AuthError> {
        Authenticator::with_keys(auth, &self.key_sets())
    }

    fn with_keys(auth: Option<&Auth>, known: &[Arc<KeySet>]) -> Result<Authenticator, AuthError> {
        let Some(auth) = auth else {
            return Ok(Authenticator(Rules::Open(Arc::new(Grant::everything()))));
        };
        let anonymous = Grant {
            publish: patterns(&auth.anonymous.publish),
            subscribe: patterns(&auth.anonymous.subscribe),
            ..Grant::default()
        };
        let tokens = auth.tokens.iter();
        let issuers = auth.jwt.iter().map(|jwt| Issuer::new(jwt, known));
        Ok(Authenticator(Rules::Guarded(Guarded {
            tokens: tokens
                .filter_map(|token| KnownToken::new(token, &anonymous))
                .collect(),
            issuers: issuers.collect::<Result<_, _>>()?,
            anonymous: Arc::new(anonymous),
        })))
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        matches!(self.0, Rules::Open(_))
    }

    fn key_sets(&self) -> Vec<Arc<KeySet>> {
        let issuers = match &self.0 {
            Rules::Open(_) => &[][..],
            Rules::Guarded(guarded) => &guarded.issuers,
        };
        issuers
            .iter()
            .filter_map(Issuer::published)
            .cloned()
            .collect()
    }

    /// Keeps the published keys of all issuers fresh, for ever. Only one may do so at a time: it ends
    /// before another begins for [a new configuration](Authenticator::renewed).
    pub fn keep_keys(&self, stats: Arc<Stats>) -> impl Future<Output = ()> + Send + use<> {
        let sets = self.key_sets();
        async move {
            join_all(sets.iter().map(|set| set.keep(&stats))).await;
            std::future::pending().await // without any there is nothing to do
        }
    }

    /// Fetches the published keys of all issuers once: for who does not serve.
    pub async fn fetch_keys(&self) -> Vec<FetchError> {
        let sets = self.key_sets();
        let fetched = join_all(sets.iter().map(|set| set.fetch())).await;
        fetched.into_iter().filter_map(Result::err).collect()
    }

    /// How many issuers publish keys that could not be had yet.
    pub fn missing_keys(&self) -> usize {
        let sets = self.key_sets();
        sets.iter().filter(|set| set.keys().is_none()).count()
    }

    /// Who sends a request with this credential, if that can be told without waiting. Sending none is
    /// no error; a wrong one is, even where none would do, since its sender believes to be somebody.
    pub fn identify_at_once(
        &self,
        credential: Credential<'_>,
        now: UnixMillis,
    ) -> Option<Result<Identity, Denied>> {
        match self.identify_or_wait(credential, now) {
            Ok(identity) => Some(Ok(identity)),
            Err(Undecided::Denied(denied)) => Some(Err(denied)),
            Err(Undecided::Wait(_)) => None,
        }
    }

    /// Who sends a request with this credential. Waits for keys that may come, not longer than a
    /// fetch of them may take.
    pub async fn identify(
        &self,
        credential: Credential<'_>,
        now: UnixMillis,
    ) -> Result<Identity, Denied> {
        let set = match self.identify_or_wait(credential, now) {
            Ok(identity) => return Ok(identity),
            Err(Undecided::Denied(denied)) => return Err(denied),
            Err(Undecided::Wait(set)) => set,
        };
        set.renewed().await;
        match self.bearing(credential, now) {
            Ok(identity) => Ok(identity),
            Err(Fault::Refused(refused)) => Err(refused.into()),
            Err(Fault::UnknownKey(_)) => Err(Refused::UnknownKey.into()),
            Err(Fault::NoKeys(_)) => Err(Denied::Unavailable(Unavailable::Keys)),
        }
    }

    fn identify_or_wait(
        &self,
        credential: Credential<'_>,
        now: UnixMillis,
    ) -> Result<Identity, Undecided> {
        let denied = match self.bearing(credential, now) {
            Ok(identity) => return Ok(identity),
            Err(Fault::Refused(refused)) => refused.into(),
            Err(Fault::NoKeys(set) | Fault::UnknownKey(set)) if set.may_change(now) => {
                return Err(Undecided::Wait(set));
            }
            Err(Fault::UnknownKey(_)) => Refused::UnknownKey.into(),
            Err(Fault::NoKeys(_)) => Denied::Unavailable(Unavailable::Keys),
        };
        Err(Undecided::Denied(denied))
    }

    fn bearing(&self, credential: Credential<'_>, now: UnixMillis) -> Result<Identity, Fault> {
        match (&self.0, credential) {
            (Rules::Open(grant), _) => Ok(Identity {
                grant: grant.clone(),
                from: Evidence::Open,
            }),
            (Rules::Guarded(_), Credential::Malformed) => Err(Refused::Malformed.into()),
            (Rules::Guarded(guarded), Credential::None) => Ok(Identity {
                grant: guarded.anonymous.clone(),
                from: Evidence::Anonymous,
            }),
            (Rules::Guarded(guarded), Credential::Bearer(token)) => guarded.bearer(token, now),
        }
    }
}

/// What comes of a credential that does not say at once who sends it.
enum Undecided {
    Denied(Denied),
    /// Other keys may tell.
    Wait(Arc<KeySet>),
}

impl Guarded {
    fn bearer(&self, token: &str, now: UnixMillis) -> Result<Identity, Fault> {
        if let Some(known) = static_token::find(&self.tokens, token) {
            return match known.grant.has_ended(now) {
                true => Err(Refused::Expired.into()),
                false => Ok(Identity {
                    grant: known.grant.clone(),
                    from: Evidence::Token(known.name.clone()),
                }),
            };
        }
        if self.issuers.is_empty() || !jwt::looks_signed(token) {
            return Err(Refused::Unknown.into());
        }
        let verified = jwt::verify(&self.issuers, token, now, &self.anonymous)?;
        Ok(Identity {
            grant: Arc::new(verified.grant),
            from: Evidence::Jwt {
                issuer: verified.issuer,
                id: verified.id,
            },
        })
    }
}

/// Those of the texts that are patterns.
pub fn patterns(texts: &[String]) -> Vec<ChannelPattern> {
    let parsed = texts.iter().map(|text| ChannelPattern::parse(text));
    parsed.filter_map(Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChannelName, Selector};
    use relay_config::StaticToken;

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
        Authenticator::new(Some(&auth)).unwrap()
    }

    const NOW: UnixMillis = 1_795_248_000_000;

    fn at_once(
        authenticator: &Authenticator,
        credential: Credential<'_>,
    ) -> Result<Identity, Denied> {
        let decided = authenticator.identify_at_once(credential, NOW);
        decided.expect("nothing to wait for")
    }

    fn refused(credential: Credential<'_>) -> Refused {
        match at_once(&guarded(), credential) {
            Err(Denied::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_configuration_everybody_may_do_everything() {
        let open = Authenticator::new(None).unwrap();
        let identity = at_once(&open, Credential::Malformed).unwrap();
        assert!(open.is_open() && identity.grant.may(relay_config::Right::Observe));
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        let identity = at_once(&guarded(), Credential::Bearer("secret")).unwrap();
        assert_eq!(identity.from, Evidence::Token("backend".into()));
        let orders = ChannelName::parse("orders.eu").unwrap();
        assert!(identity.grant.may_publish(&orders));
        let public = Selector::parse("public.news").unwrap();
        assert!(identity.grant.may_subscribe(&public), "as everybody may");
        assert_eq!(refused(Credential::Bearer("Secret")), Refused::Unknown);
        assert_eq!(refused(Credential::Bearer("older")), Refused::Expired);
        assert_eq!(
            refused(Credential::Bearer("e30.e30.x")),
            Refused::Unknown,
            "no issuer of signed tokens is configured"
        );
    }

    #[test]
    fn nobody_is_not_somebody_wrong() {
        let identity = at_once(&guarded(), Credential::None).unwrap();
        assert_eq!(identity.from, Evidence::Anonymous);
        assert_eq!(refused(Credential::Malformed), Refused::Malformed);
    }
}
