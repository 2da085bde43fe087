//! Another server's event stream over HTTP, resumed by `Last-Event-ID`.
//!
//! How far it was appended is kept with the log ([`Intake::keep_place`]), so that the next replica goes
//! on there. What comes twice is recognised by its id. What the other server has no more is lost, which
//! a relay says by its event `gap`.

use super::{DropReason, Fault, FaultReason, Intake, Lag, Message, Promise, Source};
use crate::{
    environment,
    event::RESERVED_TYPES,
    outgoing,
    sse_parser::{Item, Parser},
};
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use relay_config::SseSource;
use reqwest::{Client, Response};
use std::{path::Path, time::Duration};
use tokio::{io::AsyncReadExt, time::timeout};

/// Bytes of a line, and of one event.
const MAX_EVENT: usize = 16 * 1024 * 1024;
/// How long the head of an answer may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The longest token, in bytes.
const MAX_TOKEN: u64 = 16 * 1024;
/// The longest id that is sent back, in bytes: what servers take as a header.
const MAX_ID: usize = 4_096;

/// The source.
pub struct Sse {
    settings: SseSource,
    client: Option<Client>,
}

impl Sse {
    pub fn new(settings: SseSource) -> Sse {
        Sse {
            settings,
            client: None,
        }
    }

    async fn pull(&mut self, intake: &Intake) -> Result<(), Fault> {
        let place = intake.place().await?;
        let response = self.open(place.as_deref()).await?;
        intake.connected();
        if let Some(place) = &place
            && let Some(from) = begins_after(&response)
            && from != *place
        {
            let why = "the hub does not know where the relay was, and sends from somewhere else";
            intake.refuse(DropReason::Gone, why);
        }
        let mut stream = Stream {
            intake,
            parser: match &place {
                Some(id) => Parser::resuming(id.clone()),
                None => Parser::new(),
            }
            .with_max(MAX_EVENT),
            last: place.unwrap_or_default(),
        };
        stream.read(response, self.settings.silence.std()).await
    }

    async fn open(&mut self, place: Option<&str>) -> Result<Response, Fault> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let authorities = self.settings.ca_file.as_deref();
                outgoing::streaming(authorities, HEAD_TIME)
                    .map_err(|error| Fault::new(FaultReason::Settings, error.to_string()))?
            }
        };
        let client = self.client.insert(client);
        let mut request = client
            .get(&self.settings.url)
            .header(header::ACCEPT, "text/event-stream")
            .header(header::CACHE_CONTROL, "no-store");
        if let Some(id) = place.filter(|id| !id.is_empty())
            && let Ok(value) = HeaderValue::from_bytes(id.as_bytes())
        {
            request = request.header("last-event-id", value);
        }
        if let Some(value) = self.authorization().await? {
            request = request.header(header::AUTHORIZATION, value);
        }
        let sent = timeout(HEAD_TIME, request.send()).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(unreachable(&error)),
            Err(_) => {
                let text = "the server does not answer";
                return Err(Fault::new(FaultReason::Unreachable, text));
            }
        };
        judge(response)
    }

    async fn authorization(&self) -> Result<Option<HeaderValue>, Fault> {
        let Some(credentials) = &self.settings.credentials else {
            return Ok(None);
        };
        let wrong = |text: String| Fault::new(FaultReason::Credentials, text);
        let token = match (&credentials.token_file, &credentials.token_variable) {
            (Some(file), _) => read(Path::new(file)).await.map_err(|error| {
                wrong(format!("the token cannot be read from {file} ({error})"))
            })?,
            (None, Some(variable)) => environment::variable(variable).ok_or_else(|| {
                wrong(format!(
                    "the environment variable {variable}, which should hold the token, is not set"
                ))
            })?,
            (None, None) => return Ok(None),
        };
        let text = format!(
            "{} {}",
            credentials.scheme.0,
            token.trim_end_matches(['\r', '\n'])
        );
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| wrong("the token has characters that no header can have".into()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Opens the stream as one that begins, and leaves it again.
pub(super) async fn check(settings: &SseSource) -> Result<(), Fault> {
    Sse::new(settings.clone()).open(None).await.map(drop)
}

async fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_TOKEN).read_to_string(&mut text).await?;
    Ok(text)
}

fn unreachable(error: &reqwest::Error) -> Fault {
    // its own text repeats the address, with its query
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    let tls = text.contains("certificate") || text.contains("handshake") || text.contains("tls");
    let reason = match tls {
        true => FaultReason::Tls,
        false => FaultReason::Unreachable,
    };
    Fault::new(reason, format!("the server cannot be reached ({text})"))
}

/// After which of its events a Mercure hub's stream begins: what was asked for, or what it has.
/// Mercure, "State reconciliation".
fn begins_after(response: &Response) -> Option<&str> {
    let headers = response.headers();
    let names = ["mercure-last-event-id", "last-event-id"];
    let mut values = names.iter().filter_map(|name| headers.get(*name));
    values.next()?.to_str().ok()
}

/// Whether an answer is a stream.
fn judge(response: Response) -> Result<Response, Fault> {
    let status = response.status();
    let reason = match status {
        StatusCode::OK => {
            let kind = response.headers().get(header::CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let essence = kind.split(';').next().unwrap_or_default().trim();
            if essence.eq_ignore_ascii_case("text/event-stream") {
                return Ok(response);
            }
            let text =
                "what is at the address is no event stream (its type is not text/event-stream)";
            return Err(Fault::new(FaultReason::Protocol, text));
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FaultReason::Credentials,
        StatusCode::NO_CONTENT => FaultReason::Refused,
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            FaultReason::Unreachable
        }
        _ => FaultReason::Refused,
    };
    Err(Fault::new(reason, format!("the server answers {status}")))
}

impl Source for Sse {
    fn promise(&self) -> Promise {
        Promise::Acknowledged
    }

    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Result<(), Fault>> {
        Box::pin(self.pull(intake))
    }
}

/// A stream that is read.
struct Stream<'s> {
    intake: &'s Intake,
    parser: Parser,
    /// The id of the last event, or of the block before it.
    last: String,
}

impl Stream<'_> {
    async fn read(&mut self, mut response: Response, silence: Duration) -> Result<(), Fault> {
        loop {
            let chunk = match timeout(silence, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => {
                    let closed = unreachable(&error);
                    return Err(Fault::new(FaultReason::Closed, closed.to_string()));
                }
                Err(_) => {
                    let text = "the stream is silent, without heartbeats: taken for dead";
                    return Err(Fault::new(FaultReason::Closed, text));
                }
            };
            let mut items = Vec::new();
            self.parser
                .push(&chunk, &mut items)
                .map_err(|error| Fault::new(FaultReason::Protocol, error.to_string()))?;
            let messages = items
                .into_iter()
                .filter_map(|item| self.message(item))
                .collect();
            self.intake.append_all(messages).await;
            self.intake.lag(Lag::default());
            let id = self.parser.last_event_id();
            if (1..=MAX_ID).contains(&id.len()) {
                self.intake.keep_place(id).await?;
            }
        }
    }

    /// A stream's item as a message, if it is one.
    fn message(&mut self, item: Item) -> Option<Message> {
        let Item::Event {
            kind,
            data,
            last_event_id: id,
        } = item
        else {
            return None;
        };
        // an event without an id has that of the one before, and must not be taken for it
        let own = (!id.is_empty() && id != self.last).then(|| id.clone());
        self.last = id;
        match kind.as_str() {
            "gap" => {
                let why = "the other server says that events are missing from its stream";
                self.intake.refuse(DropReason::Gone, why);
                None
            }
            // what a relay says of the stream itself
            kind if RESERVED_TYPES.contains(&kind) => None,
            _ => Some(Message {
                origin: self.intake.source().to_owned(),
                id: own,
                kind: Some(kind),
                body: data,
                ..Message::default()
            }),
        }
    }
}
