//! One question to an application, and what its answer means.

use super::{AskResult, Verdict};
use crate::{auth::mapping::Mapping, cursor::UnixMillis, grant::Grant};
use http::{HeaderMap, StatusCode, header};
use reqwest::{Client, Response};
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// Largest body of an answer, in bytes.
const MAX_BODY: usize = 64 * 1024;

pub struct Application {
    url: String,
    client: Client,
    mapping: Mapping,
    lifetime_millis: u64,
    patience: Duration,
    /// As many questions as may be open at once.
    turns: Semaphore,
}

impl Application {
    pub fn new(config: &relay_config::Forward, mapping: Mapping, client: Client) -> Application {
        Application {
            url: config.url.clone(),
            client,
            mapping,
            lifetime_millis: config.lifetime.as_millis(),
            patience: config.timeout.std(),
            turns: Semaphore::new(config.concurrency),
        }
    }

    /// Asks about who sent these headers. Waiting for a turn counts as waiting for the answer.
    pub async fn ask(
        &self,
        headers: HeaderMap,
        everybody: &Grant,
        now: UnixMillis,
    ) -> (Verdict, AskResult) {
        let asking = async {
            let _turn = self.turns.acquire().await;
            self.request(headers).await
        };
        let said = match timeout(self.patience, asking).await {
            Ok(said) => said.and_then(|said| self.understand(said, everybody, now)),
            Err(_) => Err(AskResult::Timeout),
        };
        match said {
            Ok(Verdict::Known(grant)) => (Verdict::Known(grant), AskResult::Known),
            Ok(Verdict::Forbidden) => (Verdict::Forbidden, AskResult::Forbidden),
            Ok(verdict) => (verdict, AskResult::Unknown),
            Err(why) => {
                tracing::warn!(
                    event = "forward.failed",
                    result = why.as_str(),
                    "the application that knows the users gave no answer; requests get 503"
                );
                (Verdict::NoAnswer, why)
            }
        }
    }

    async fn request(&self, headers: HeaderMap) -> Result<Said, AskResult> {
        let request = self.client.get(&self.url).headers(headers);
        let request = request.header(header::ACCEPT, "application/json");
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::UNAUTHORIZED => Ok(Said::Unknown),
            StatusCode::FORBIDDEN => Ok(Said::Forbidden),
            status if status.is_success() => Ok(Said::Members(members(response).await?)),
            _ => Err(AskResult::Status),
        }
    }

    fn understand(
        &self,
        said: Said,
        everybody: &Grant,
        now: UnixMillis,
    ) -> Result<Verdict, AskResult> {
        let members = match said {
            Said::Unknown => return Ok(Verdict::Unknown),
            Said::Forbidden => return Ok(Verdict::Forbidden),
            Said::Members(members) => members,
        };
        let longest = now.saturating_add(self.lifetime_millis);
        let expires = match members.get("exp") {
            None => longest,
            Some(seconds) => {
                let seconds = seconds.as_u64().ok_or(AskResult::Malformed)?;
                seconds.saturating_mul(1000).min(longest)
            }
        };
        let grant = self.mapping.grant(&members, Some(expires), everybody);
        // what cannot be understood is no answer, and never less or more than was meant
        let grant = grant.map_err(|_| AskResult::Malformed)?;
        Ok(Verdict::Known(Arc::new(grant)))
    }
}

/// What an application says.
enum Said {
    Unknown,
    Forbidden,
    /// The members of its JSON object, and its headers as one of them.
    Members(Map<String, Value>),
}

async fn members(mut response: Response) -> Result<Map<String, Value>, AskResult> {
    let headers = response.headers().clone();
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.starts_with(b"application/json")
    });
    let mut body = Vec::new();
    while is_json && let Some(piece) = response.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > MAX_BODY {
            return Err(AskResult::Malformed);
        }
        body.extend_from_slice(&piece);
    }
    let mut members: Map<String, Value> = match body.is_empty() {
        true => Map::new(),
        false => serde_json::from_slice(&body).map_err(|_| AskResult::Malformed)?,
    };
    let texts = headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), Value::from(value)))
    });
    members.insert("headers".to_owned(), Value::Object(texts.collect()));
    Ok(members)
}

fn failed(error: reqwest::Error) -> AskResult {
    match error.is_timeout() {
        true => AskResult::Timeout,
        false => AskResult::Connection,
    }
}
