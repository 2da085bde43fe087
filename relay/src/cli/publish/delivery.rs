//! One request, as often as it takes.

use crate::cli::{
    backoff::Backoff,
    client::{self, Failure, Problem},
};
use bytes::Bytes;
use reqwest::{Client, RequestBuilder, StatusCode, Url, header::CONTENT_TYPE};
use serde::Deserialize;
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// The first wait before another try.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait, unless the relay asks for a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What `publish` tells on standard error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// Not published yet, but it will be tried again.
    Retrying { why: String, wait: Duration },
    /// A line of standard input, counted from 1, was not published.
    LineFailed { line: u64, why: String },
    /// These lines were sent together and refused together.
    BatchFailed { first: u64, last: u64 },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Retrying { why, wait } => {
                write!(f, "{why}; trying again in {:.1} s", wait.as_secs_f64())
            }
            Note::LineFailed { line, why } => write!(f, "line {line}: {why}"),
            Note::BatchFailed { first, last } => {
                write!(f, "lines {first} to {last} were not published")
            }
        }
    }
}

/// The relay's whole answer, other than one that asks to try again.
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

/// How one try ended.
enum Attempt {
    Answered(Answer),
    /// Surely not published, and worth another try, after the time that the relay asks for.
    NotNow(Failure, Duration),
    /// Perhaps published.
    Unanswered(String),
    Failed(Failure),
}

pub struct Delivery<T> {
    http: Client,
    url: Url,
    /// The URL as it may be shown.
    to: String,
    /// How long one request is tried.
    timeout: Duration,
    tell: T,
}

impl<T: FnMut(Note)> Delivery<T> {
    pub fn new(http: Client, url: Url, timeout: Duration, tell: T) -> Delivery<T> {
        Delivery {
            to: client::shown(&url),
            http,
            url,
            timeout,
            tell,
        }
    }

    pub(super) fn tell(&mut self, note: Note) {
        (self.tell)(note);
    }

    /// Publishes one event and returns its id.
    pub(in crate::cli) async fn event(
        &mut self,
        body: Bytes,
        key: String,
    ) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Published {
            id: String,
        }
        let answer = self.send("application/json", body, &key).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer));
        }
        let published: Published = self.understand(&answer)?;
        Ok(published.id)
    }

    pub(super) fn refused(&self, answer: &Answer) -> Failure {
        Failure::Refused {
            to: self.to.clone(),
            problem: Problem::new(answer.status, &answer.body),
        }
    }

    pub(super) fn understand<'a, A: Deserialize<'a>>(
        &self,
        answer: &'a Answer,
    ) -> Result<A, Failure> {
        serde_json::from_slice(&answer.body).map_err(|error| Failure::Answer {
            to: self.to.clone(),
            why: error.to_string(),
        })
    }

    /// Tries until there is an answer other than 503. Trying again is safe: the key tells the relay
    /// that it is the same request, also when an answer was lost on the way.
    pub(super) async fn send(
        &mut self,
        content_type: &'static str,
        body: Bytes,
        key: &str,
    ) -> Result<Answer, Failure> {
        let key_value = client::header("the idempotency key", key)?;
        let end = Instant::now() + self.timeout;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut outcome = None;
        loop {
            let request = self
                .http
                .post(self.url.clone())
                .header(CONTENT_TYPE, content_type)
                .header(IDEMPOTENCY_KEY, key_value.clone())
                .body(body.clone())
                .timeout(end.saturating_duration_since(Instant::now()));
            let (why, failure, asked) = match self.attempt(request).await {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Failed(failure) => return Err(failure),
                Attempt::NotNow(failure, asked) => (failure.to_string(), failure, asked),
                Attempt::Unanswered(why) => {
                    let (to, key) = (self.to.clone(), key.to_owned());
                    let told = format!("{to} did not answer ({why})");
                    let failure = Failure::OutcomeUnknown { to, why, key };
                    (told, failure, Duration::ZERO)
                }
            };
            // What a later try met says nothing of one that may have arrived.
            let failure = match outcome {
                Some(unknown @ Failure::OutcomeUnknown { .. }) => unknown,
                _ => failure,
            };
            let wait = backoff.next_wait(rand::random()).max(asked);
            if Instant::now() + wait >= end {
                return Err(failure);
            }
            outcome = Some(failure);
            self.tell(Note::Retrying { why, wait });
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, request: RequestBuilder) -> Attempt {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Attempt::NotNow(client::unanswered(&self.to, error), Duration::ZERO);
            }
            Err(error) if error.is_redirect() || error.is_builder() => {
                return Attempt::Failed(client::unanswered(&self.to, error));
            }
            Err(error) => return Attempt::Unanswered(client::root_cause(error)),
        };
        let status = response.status();
        let asked = client::retry_after(response.headers()).unwrap_or_default();
        match client::body(response).await {
            Ok(body) if status == StatusCode::SERVICE_UNAVAILABLE => {
                Attempt::NotNow(self.refused(&Answer { status, body }), asked)
            }
            Ok(body) => Attempt::Answered(Answer { status, body }),
            Err(error) => Attempt::Unanswered(client::root_cause(error)),
        }
    }
}
