//! Credentials: who sends a request, and what the sender may do.

mod carriers;
mod certificates;
mod credential;
pub mod forward;
mod identity;
pub mod jwt;
mod mapping;
mod refused;
mod standing;
mod static_token;
mod ticket;

pub use carriers::Parts;
pub use credential::{Credential, MAX_TOKEN};
pub use identity::{Evidence, Identity, SignedBy};
pub use refused::{Denied, Refused, Unavailable};
pub use static_token::hash_of;
pub use ticket::{Minted, TicketId};

use crate::{
    channel::ChannelPattern,
    cursor::UnixMillis,
    grant::Grant,
    stats::{Family, Stats},
};
use carriers::Carriers;
use certificates::KnownCertificate;
use forward::{AskResult, Forward, ForwardError};
use futures_util::future::join_all;
use http::HeaderMap;
use jwt::{
    Fault, Issuer, IssuerError,
    key_set::{FetchError, KeySet},
};
use relay_config::Auth;
use static_token::KnownToken;
use std::sync::Arc;

/// Decides who sends a request.
pub struct Authenticator {
    rules: Rules,
    carriers: Carriers,
    /// Questions to another application, by what became of them.
    asks: Arc<Family<AskResult>>,
}

enum Rules {
    /// No credentials are configured: everybody may do everything.
    Open(Arc<Grant>),
    Guarded(Box<Guarded>),
}

struct Guarded {
    tokens: Vec<KnownToken>,
    certificates: Vec<KnownCertificate>,
    issuers: Vec<Issuer>,
    forward: Option<Forward>,
    anonymous: Arc<Grant>,
}

/// Why credentials cannot be checked as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("auth.jwt: {0}")]
    Issuer(#[from] IssuerError),
    #[error("auth.forward: {0}")]
    Forward(#[from] ForwardError),
}

impl Authenticator {
    /// Of a configuration that was validated; what is illegal in one that was not allows nothing.
    /// Reads the files with keys that it names.
    pub fn new(auth: Option<&Auth>) -> Result<Authenticator, AuthError> {
        Authenticator::with_keys(auth, &[], Arc::default())
    }

    /// The one of a new configuration. Issuers that publish their keys where they did before keep
    /// those that were fetched.
    pub fn renewed(&self, auth: Option<&Auth>) -> Result<Authenticator, AuthError> {
        Authenticator::with_keys(auth, &self.key_sets(), self.asks.clone())
    }

    fn with_keys(
        auth: Option<&Auth>,
        known: &[Arc<KeySet>],
        asks: Arc<Family<AskResult>>,
    ) -> Result<Authenticator, AuthError> {
        let rules = match auth {
            None => Rules::Open(Arc::new(Grant::everything())),
            Some(auth) => Rules::Guarded(Box::new(Guarded::new(auth, known, &asks)?)),
        };
        Ok(Authenticator {
            rules,
            carriers: Carriers::new(auth),
            asks,
        })
    }

    /// The one credential that a request carries. What it says itself counts before the certificate
    /// of its connection; a certificate that no rule knows is none.
    pub fn credential<'a>(
        &self,
        parts: Parts<'a, '_, impl Iterator<Item = &'a [u8]>, impl Iterator<Item = &'a [u8]>>,
    ) -> Credential<'a> {
        let certificate = parts.certificate;
        match (self.carriers.credential(parts), &self.rules, certificate) {
            (Credential::None, Rules::Guarded(guarded), Some(certificate))
                if certificates::find(&guarded.certificates, certificate).is_some() =>
            {
                Credential::Certificate(certificate)
            }
            (carried, _, _) => carried,
        }
    }

    /// Questions to another application, by what became of them.
    pub fn asks(&self) -> &Family<AskResult> {
        &self.asks
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        matches!(self.rules, Rules::Open(_))
    }

    fn key_sets(&self) -> Vec<Arc<KeySet>> {
        let issuers = match &self.rules {
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
        credential: &Credential<'_>,
        now: UnixMillis,
    ) -> Option<Result<Identity, Denied>> {
        match self.identify_or_wait(credential, now) {
            Ok(identity) => Some(Ok(identity)),
            Err(Undecided::Denied(denied)) => Some(Err(denied)),
            Err(Undecided::Wait(_) | Undecided::Ask(..)) => None,
        }
    }

    /// Who sends a request with this credential and these headers. Waits for keys that may come, or
    /// for another application: not longer than these may take.
    pub async fn identify(
        &self,
        credential: &Credential<'_>,
        headers: &HeaderMap,
        now: UnixMillis,
    ) -> Result<Identity, Denied> {
        match self.identify_or_wait(credential, now) {
            Ok(identity) => Ok(identity),
            Err(Undecided::Denied(denied)) => Err(denied),
            Err(Undecided::Ask(guarded, forward, otherwise)) => {
                let answer = forward.identify(headers, &guarded.anonymous, now).await;
                answer.unwrap_or(otherwise.map_err(Denied::Refused))
            }
            Err(Undecided::Wait(set)) => {
                set.renewed().await;
                self.bearing(credential, now).map_err(|fault| match fault {
                    Fault::Refused(refused) => refused.into(),
                    Fault::UnknownKey(_) => Refused::UnknownKey.into(),
                    Fault::NoKeys(_) => Denied::Unavailable(Unavailable::Keys),
                })
            }
        }
    }

    fn identify_or_wait(
        &self,
        credential: &Credential<'_>,
        now: UnixMillis,
    ) -> Result<Identity, Undecided<'_>> {
        let own = match self.bearing(credential, now) {
            Err(Fault::NoKeys(set) | Fault::UnknownKey(set)) if set.may_change(now) => {
                return Err(Undecided::Wait(set));
            }
            Err(Fault::NoKeys(_)) => {
                return Err(Undecided::Denied(Denied::Unavailable(Unavailable::Keys)));
            }
            Err(Fault::UnknownKey(_)) => Err(Refused::UnknownKey),
            Err(Fault::Refused(refused)) => Err(refused),
            Ok(identity) => Ok(identity),
        };
        if let Rules::Guarded(guarded) = &self.rules
            && let Some(forward) = &guarded.forward
            && may_know(forward, credential, &own)
        {
            return Err(Undecided::Ask(guarded, forward, own));
        }
        own.map_err(|refused| Undecided::Denied(refused.into()))
    }

    fn bearing(&self, credential: &Credential<'_>, now: UnixMillis) -> Result<Identity, Fault> {
        let guarded = match &self.rules {
            Rules::Guarded(guarded) => guarded,
            Rules::Open(grant) => {
                return Ok(Identity {
                    grant: grant.clone(),
                    from: Evidence::Open,
                });
            }
        };
        match credential {
            Credential::Malformed => Err(Refused::Malformed.into()),
            Credential::Several => Err(Refused::Several.into()),
            Credential::None | Credential::Foreign => Ok(Identity {
                grant: guarded.anonymous.clone(),
                from: Evidence::Anonymous,
            }),
            Credential::Bearer(token) | Credential::Cookie(token) => guarded.bearer(token, now),
            Credential::Query(token) => guarded.bearer(token, now),
            Credential::Certificate(certificate) => {
                let known = certificates::find(&guarded.certificates, certificate);
                let known = known.ok_or(Refused::Unknown)?;
                Ok(known.identity(certificate, now)?)
            }
        }
    }
}

/// Whether another application may know who shows what says nothing here.
fn may_know(
    forward: &Forward,
    credential: &Credential<'_>,
    own: &Result<Identity, Refused>,
) -> bool {
    match (own, credential) {
        (Ok(_), Credential::Foreign) => true,
        (Ok(identity), _) => identity.from == Evidence::Anonymous && forward.passes_others(),
        (Err(refused), _) => matches!(
            refused,
            Refused::Malformed | Refused::Unknown | Refused::Issuer | Refused::NotJwt
        ),
    }
}

/// What comes of a credential that does not say at once who sends it.
enum Undecided<'a> {
    Denied(Denied),
    /// Other keys may tell.
    Wait(Arc<KeySet>),
    /// Another application may tell. If there is nothing to ask it with, this holds.
    Ask(&'a Guarded, &'a Forward, Result<Identity, Refused>),
}

impl Guarded {
    fn new(
        auth: &Auth,
        known: &[Arc<KeySet>],
        asks: &Arc<Family<AskResult>>,
    ) -> Result<Guarded, AuthError> {
        let anonymous = Grant {
            publish: patterns(&auth.anonymous.publish),
            subscribe: patterns(&auth.anonymous.subscribe),
            ..Grant::default()
        };
        let tokens = auth.tokens.iter();
        let issuers = auth.jwt.iter().map(|jwt| Issuer::new(jwt, known));
        let forward = auth.forward.as_ref();
        Ok(Guarded {
            tokens: tokens
                .filter_map(|token| KnownToken::new(token, &anonymous))
                .collect(),
            certificates: auth
                .certificates
                .iter()
                .map(|rule| KnownCertificate::new(rule, &anonymous))
                .collect(),
            issuers: issuers.collect::<Result<_, _>>()?,
            forward: forward
                .map(|forward| Forward::new(forward, asks.clone()))
                .transpose()?,
            anonymous: Arc::new(anonymous),
        })
    }

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
                key: verified.key,
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
        let decided = authenticator.identify_at_once(&credential, NOW);
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
