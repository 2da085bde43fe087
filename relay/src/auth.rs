//! Credentials: who sends a request, and what the sender may do.

mod credential;
mod identity;
pub mod jwt;
mod refused;
mod static_token;

pub use credential::{Credential, MAX_TOKEN};
pub use identity::{Evidence, Identity};
pub use refused::Refused;
pub use static_token::hash_of;

use crate::{channel::ChannelPattern, cursor::UnixMillis, grant::Grant};
use jwt::{Issuer, IssuerError};
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
        let Some(auth) = auth else {
            return Ok(Authenticator(Rules::Open(Arc::new(Grant::everything()))));
        };
        let anonymous = Grant {
            publish: patterns(&auth.anonymous.publish),
            subscribe: patterns(&auth.anonymous.subscribe),
            ..Grant::default()
        };
        let tokens = auth.tokens.iter();
        let issuers = auth.jwt.iter().map(Issuer::new);
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

    /// Who sends a request with this credential. Sending none is no error; a wrong one is, even
    /// where none would do, since its sender believes to be somebody.
    pub fn identify(
        &self,
        credential: Credential<'_>,
        now: UnixMillis,
    ) -> Result<Identity, Refused> {
        match (&self.0, credential) {
            (Rules::Open(grant), _) => Ok(Identity {
                grant: grant.clone(),
                from: Evidence::Open,
            }),
            (Rules::Guarded(_), Credential::Malformed) => Err(Refused::Malformed),
            (Rules::Guarded(guarded), Credential::None) => Ok(Identity {
                grant: guarded.anonymous.clone(),
                from: Evidence::Anonymous,
            }),
            (Rules::Guarded(guarded), Credential::Bearer(token)) => guarded.bearer(token, now),
        }
    }
}

impl Guarded {
    fn bearer(&self, token: &str, now: UnixMillis) -> Result<Identity, Refused> {
        if let Some(known) = static_token::find(&self.tokens, token) {
            return match known.grant.has_ended(now) {
                true => Err(Refused::Expired),
                false => Ok(Identity {
                    grant: known.grant.clone(),
                    from: Evidence::Token(known.name.clone()),
                }),
            };
        }
        if self.issuers.is_empty() || !jwt::looks_signed(token) {
            return Err(Refused::Unknown);
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
fn patterns(texts: &[String]) -> Vec<ChannelPattern> {
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

    fn refused(credential: Credential<'_>) -> Refused {
        guarded().identify(credential, NOW).unwrap_err()
    }

    #[test]
    fn without_a_configuration_everybody_may_do_everything() {
        let open = Authenticator::new(None).unwrap();
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
        assert_eq!(
            refused(Credential::Bearer("e30.e30.x")),
            Refused::Unknown,
            "no issuer of signed tokens is configured"
        );
    }

    #[test]
    fn nobody_is_not_somebody_wrong() {
        let identity = guarded().identify(Credential::None, NOW).unwrap();
        assert_eq!(identity.from, Evidence::Anonymous);
        assert_eq!(refused(Credential::Malformed), Refused::Malformed);
    }
}
