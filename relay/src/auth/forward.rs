//! Another application is asked who sends a request, as reverse proxies ask.

mod answers;
mod application;
mod knock;

use super::{Denied, Evidence, Identity, Refused, Unavailable, mapping::Mapping};
use crate::{
    cursor::UnixMillis,
    grant::Grant,
    label::labels,
    outgoing::{self, ClientError},
    stats::Family,
};
use answers::{Answers, Found, Key};
use application::Application;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, header};
pub use knock::{Knocked, Welcome, knock};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Another application that is asked.
pub struct Forward {
    headers: Vec<HeaderName>,
    application: Arc<Application>,
    answers: Answers,
    cache_millis: u64,
    asks: Arc<Family<AskResult>>,
}

/// Why it cannot be asked as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("a header, a member or a pattern of its configuration is not legal")]
    Mapping,
}

/// What an application said of a sender.
#[derive(Clone, Debug)]
pub enum Verdict {
    Known(Arc<Grant>),
    /// It does not know the sender (401).
    Unknown,
    /// It knows the sender, who may not (403).
    Forbidden,
    /// It said nothing that can be understood, or nothing at all.
    NoAnswer,
}

/// What became of a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AskResult {
    Known,
    Unknown,
    Forbidden,
    Connection,
    Timeout,
    Status,
    Malformed,
}

labels!(AskResult {
    Known => "known",
    Unknown => "unknown",
    Forbidden => "forbidden",
    Connection => "connection",
    Timeout => "timeout",
    Status => "status",
    Malformed => "malformed",
});

impl Forward {
    pub fn new(
        config: &relay_config::Forward,
        asks: Arc<Family<AskResult>>,
    ) -> Result<Forward, ForwardError> {
        let names = config.headers.iter().map(|name| name.parse());
        let headers = names
            .collect::<Result<_, _>>()
            .map_err(|_| ForwardError::Mapping)?;
        let mapping = Mapping::new(&config.claims, &config.grant).ok_or(ForwardError::Mapping)?;
        let client = outgoing::client(config.ca_file.as_deref(), config.timeout.std())?;
        Ok(Forward {
            headers,
            application: Arc::new(Application::new(config, mapping, client)),
            answers: Answers::new(config.cache_entries),
            cache_millis: config.cache.as_millis(),
            asks,
        })
    }

    /// Whether it may know a sender who shows neither a token nor cookies.
    pub fn passes_others(&self) -> bool {
        let usual = [header::COOKIE, header::AUTHORIZATION];
        self.headers.iter().any(|name| !usual.contains(name))
    }

    /// Who sends a request with these headers; `None` if none of them is one to pass on.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        everybody: &Arc<Grant>,
        now: UnixMillis,
    ) -> Option<Result<Identity, Denied>> {
        let passed = self.passed(headers)?;
        let verdict = self.verdict(passed, everybody, now).await;
        Some(match verdict {
            Verdict::Known(grant) if grant.has_ended(now) => Err(Refused::Expired.into()),
            Verdict::Known(grant) => Ok(Identity {
                grant,
                from: Evidence::Forward,
            }),
            Verdict::Unknown => Err(Refused::ForwardUnknown.into()),
            Verdict::Forbidden => Err(Refused::ForwardForbidden.into()),
            Verdict::NoAnswer => Err(Denied::Unavailable(Unavailable::Application)),
        })
    }

    fn passed(&self, headers: &HeaderMap) -> Option<HeaderMap> {
        let mut passed = HeaderMap::new();
        for name in &self.headers {
            for value in headers.get_all(name) {
                passed.append(name.clone(), value.clone());
            }
        }
        (!passed.is_empty()).then_some(passed)
    }

    /// The same headers are asked about once, however many requests with them wait.
    async fn verdict(&self, passed: HeaderMap, everybody: &Arc<Grant>, now: UnixMillis) -> Verdict {
        let key = key_of(&passed);
        let ask = || {
            let (application, everybody) = (self.application.clone(), everybody.clone());
            let asks = self.asks.clone();
            let asking = async move {
                let (verdict, result) = application.ask(passed, &everybody, now).await;
                asks.of(result).add(1);
                verdict
            };
            asking.boxed().shared()
        };
        let asking = match self.answers.find_or_ask(key, now, ask) {
            Found::Known(verdict) => return verdict,
            Found::Asking(asking) => asking,
        };
        let verdict = asking.clone().await;
        let until = match verdict {
            Verdict::NoAnswer => now, // the next request asks again
            _ => now.saturating_add(self.cache_millis),
        };
        self.answers.keep(key, &asking, verdict.clone(), until);
        verdict
    }
}

/// Names and values with their lengths, so that no two lists of headers have one key.
fn key_of(passed: &HeaderMap) -> Key {
    let mut hash = Sha256::new();
    for (name, value) in passed {
        for part in [name.as_str().as_bytes(), value.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_headers_have_another_key() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            key_of(&headers)
        };
        let all = [
            of(&[("cookie", "ab")]),
            of(&[("cookie", "a"), ("cookie", "b")]),
            of(&[("cookie", "b"), ("cookie", "a")]),
            of(&[("cooki", "eab")]),
            of(&[("cookie", "a")]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one));
        }
        assert_eq!(of(&[("cookie", "ab")]), all[0]);
    }
}
