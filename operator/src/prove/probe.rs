//! One proof: a ticket from inside, a stream from outside, an event from inside, and what comes out.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, header};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::guard::{Guard, Loopback, Refused, may_be_reached};
use super::outcome::{Outcome, Unreached};
use crate::document::PROBE_CHANNEL as CHANNEL;
use crate::tokens::Token;

/// What is kept of a stream while the event is waited for.
const LONGEST: usize = 64 << 10;
/// An answer of a replica is a tenth of it.
const LONGEST_ANSWER: usize = 16 << 10;

/// How long a proof waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For an answer of a replica, for a connection, and for the event.
    pub answer: Duration,
    /// For the stream to be cut, since it was opened. Proxies end answers after 15, 30 or 60 seconds
    /// where nobody told them otherwise.
    pub stream: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            stream: Duration::from_secs(65),
        }
    }
}

/// What is proved.
pub struct Target {
    /// Where subscribers come to, without a path.
    pub url: String,
    /// A replica.
    pub inside: SocketAddr,
    /// A token that may publish to and subscribe to [`CHANNEL`].
    pub token: Token,
}

/// Proves.
#[derive(Clone)]
pub struct Prober {
    inside: Client,
    outside: Client,
    loopback: Loopback,
    patience: Patience,
}

impl Prober {
    /// One that believes the system's authorities, and `own`.
    pub fn new(
        loopback: Loopback,
        patience: Patience,
        own: Vec<CertificateDer<'static>>,
    ) -> Result<Self, reqwest::Error> {
        let mut authorities = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        authorities.add_parsable_certificates(system.certs.into_iter().chain(own));
        let outside = client(authorities, patience).dns_resolver(Arc::new(Guard(loopback)));
        Ok(Self {
            inside: client(RootCertStore::empty(), patience)
                .timeout(patience.answer)
                .build()?,
            outside: outside.build()?,
            loopback,
            patience,
        })
    }

    /// Takes as long as a stream is watched, if all is well.
    pub async fn probe(&self, target: &Target) -> Outcome {
        match self.steps(target).await {
            Ok(outcome) | Err(outcome) => outcome,
        }
    }

    async fn steps(&self, target: &Target) -> Result<Outcome, Outcome> {
        let body = json!({ "channels": [CHANNEL] });
        let answer = self.post(target, "/v1/tickets", &body).await?;
        let ticket = answer["ticket"].as_str();
        let ticket = ticket.ok_or(Outcome::Inside { status: Some(201) })?;
        let mut stream = self.open(target, ticket).await?;
        let opened = Instant::now();
        let mark = format!("{:032x}", rand::random::<u128>());
        let body = json!({ "event": "probe", "data": mark });
        let path = format!("/v1/channels/{CHANNEL}/events");
        let published = Instant::now();
        self.post(target, &path, &body).await?;
        let comes = timeout(self.patience.answer, comes(&mut stream, &mark));
        match comes.await {
            Err(_) => {
                return Err(Outcome::Buffered {
                    waited: self.patience.answer,
                });
            }
            Ok(Came::Never) => {
                return Err(Outcome::Cut {
                    after: opened.elapsed(),
                });
            }
            Ok(Came::Out) => {}
        }
        let delay = published.elapsed();
        let rest = self.patience.stream.saturating_sub(opened.elapsed());
        match timeout(rest, ends(&mut stream)).await {
            Ok(()) => Ok(Outcome::Cut {
                after: opened.elapsed(),
            }),
            Err(_) => Ok(Outcome::Streams {
                delay,
                lasted: self.patience.stream,
            }),
        }
    }

    /// Asks a replica to do something.
    async fn post(&self, target: &Target, path: &str, body: &Value) -> Result<Value, Outcome> {
        let request = self
            .inside
            .post(format!("http://{}{path}", target.inside))
            .bearer_auth(target.token.reveal())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let silent = |_| Outcome::Inside { status: None };
        let mut response = request.send().await.map_err(silent)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Outcome::Inside {
                status: Some(status.as_u16()),
            });
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(silent)? {
            if answer.len() + piece.len() > LONGEST_ANSWER {
                break;
            }
            answer.extend_from_slice(&piece);
        }
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Opens the stream at the public address.
    async fn open(&self, target: &Target, ticket: &str) -> Result<Response, Outcome> {
        let address = format!("{}/v1/events?channel={CHANNEL}&ticket={ticket}", target.url);
        let address: reqwest::Url = address
            .parse()
            .map_err(|_| Outcome::Unreached(Unreached::Host))?;
        let literal = address.host_str().unwrap_or_default();
        let literal = literal.trim_matches(['[', ']']).parse();
        if literal.is_ok_and(|address| !may_be_reached(address, self.loopback)) {
            return Err(Outcome::Unreached(Unreached::Host));
        }
        let request = self
            .outside
            .get(address)
            .header(header::ACCEPT, "text/event-stream");
        let response = match timeout(self.patience.answer, request.send()).await {
            // a connection is there, or it would have failed sooner
            Err(_) => {
                return Err(Outcome::Buffered {
                    waited: self.patience.answer,
                });
            }
            Ok(Err(error)) => return Err(unreached(&error)),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(header::LOCATION);
            return Err(Outcome::Redirected {
                to: without_query(to.and_then(|to| to.to_str().ok()).unwrap_or("nowhere")),
            });
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if status.as_u16() != 200 || !kind.starts_with("text/event-stream") {
            return Err(Outcome::NoStream {
                status: status.as_u16(),
            });
        }
        Ok(response)
    }
}

fn client(authorities: RootCertStore, patience: Patience) -> ClientBuilder {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has these versions")
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .no_proxy()
        .user_agent("sse-relay-operator")
        .connect_timeout(patience.answer / 2)
        .pool_max_idle_per_host(0)
}

enum Came {
    Out,
    Never,
}

/// Reads until `mark` has come.
async fn comes(stream: &mut Response, mark: &str) -> Came {
    let mut read = Vec::new();
    while let Ok(Some(piece)) = stream.chunk().await {
        read.extend_from_slice(&piece);
        if read.windows(mark.len()).any(|part| part == mark.as_bytes()) {
            return Came::Out;
        }
        // only the end can hold the beginning of what is looked for
        if read.len() > LONGEST {
            read.drain(..read.len() - mark.len());
        }
    }
    Came::Never
}

async fn ends(stream: &mut Response) {
    while let Ok(Some(_)) = stream.chunk().await {}
}

fn unreached(error: &reqwest::Error) -> Outcome {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<Refused>() {
            return Outcome::Unreached(Unreached::Host);
        }
        if error.is::<rustls::Error>() {
            return Outcome::Untrusted;
        }
        cause = within(error);
    }
    match error.is_timeout() {
        true => Outcome::Unreached(Unreached::Timeout),
        false => Outcome::Unreached(Unreached::Connection),
    }
}

/// What is behind an error. An I/O error that wraps another error does not call it its source.
fn within<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

/// At most 200 characters of an address, without what stands after the path: the ticket is there.
fn without_query(address: &str) -> String {
    let end = address.find(['?', '#']).unwrap_or(address.len());
    address[..end].chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ticket_is_told_with_a_redirect() {
        let to = "https://a.example.com/v1/events?channel=a&ticket=secret";
        assert_eq!(without_query(to), "https://a.example.com/v1/events");
    }
}
