//! `POST /v1/channels/{channel}/events`.

mod batch;
pub(super) mod body;
mod cloudevents;
mod envelope;
mod names;
mod raw;

use super::{
    App,
    channel_path::{ChannelPath, SubjectPath},
    forwarded::Client,
    identity,
    problem::{Kind, Problem},
    query,
};
use crate::{
    audit::{Action, Entry},
    auth::Identity,
    channel::ChannelName,
    cursor::Place,
    event::{Ending, Event},
    event_log::{AppendError, Appended, IdempotencyKey, MAX_IDEMPOTENCY_KEY, Publication},
    grant::Right,
    limits::Publisher,
    stats::PublishOutcome,
    subject::Subject,
    who::Who,
};
use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use batch::{Batch, Line};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use relay_config::Access;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::SystemTime};

/// How a body becomes events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// A JSON object: type, data, attributes, retry, time.
    Envelope,
    /// The body is the data.
    Raw,
    /// An envelope on each line.
    Lines,
    /// A CloudEvent whose attributes are headers.
    CloudEvent,
    StructuredCloudEvent,
    CloudEventBatch,
}

/// What was understood of a request.
enum Understood {
    One(Event),
    Many(Batch),
}

/// What the limits of a publish are.
struct Limits {
    max_event_bytes: usize,
    max_attributes: usize,
    max_events: usize,
    target: Target,
}

/// Where events go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    Channel,
    /// To all streams of a subject.
    Subject,
    /// To one stream, and not into the log.
    Stream,
}

pub async fn publish(
    State(app): State<Arc<App>>,
    channel: Result<ChannelPath, Problem>,
    request: Request,
) -> Response {
    let client = super::client(&request);
    to_channel(&app, channel, request, client).await
}

/// The same, of a request that did not come by the routes.
pub async fn to_channel<B: body::Content>(
    app: &App,
    channel: Result<ChannelPath, Problem>,
    request: http::Request<B>,
    client: Client,
) -> Response {
    let channel = channel.map(|ChannelPath(channel)| (channel, Target::Channel));
    answer(app, channel, request, client).await
}

/// `POST /v1/subjects/{subject}/events`: to all streams of one subject, logged as any event.
pub async fn to_subject(
    State(app): State<Arc<App>>,
    subject: Result<SubjectPath, Problem>,
    request: Request,
) -> Response {
    let channel = subject.map(|SubjectPath(subject)| {
        let channel = ChannelName::of_subject(&subject);
        (channel, Target::Subject)
    });
    let client = super::client(&request);
    answer(&app, channel, request, client).await
}

async fn answer<B: body::Content>(
    app: &App,
    channel: Result<(ChannelName, Target), Problem>,
    request: http::Request<B>,
    client: Client,
) -> Response {
    let came = SystemTime::now();
    let (parts, body) = request.into_parts();
    let asked = Asked {
        parts: &parts,
        client,
        came,
    };
    let result = accept(app, channel, asked, body).await;
    let outcome = match &result {
        Ok(Accepted::One(StatusCode::OK, _) | Accepted::Many(StatusCode::OK, _)) => {
            PublishOutcome::Repeated
        }
        Ok(Accepted::One(..) | Accepted::Many(..)) => PublishOutcome::Accepted,
        Ok(Accepted::Nothing(_)) => PublishOutcome::Refused,
        Err(problem) if problem.exceeded().is_some() => PublishOutcome::Refused,
        Err(problem) if problem.kind.status().is_server_error() => PublishOutcome::Failed,
        Err(_) => PublishOutcome::Refused,
    };
    app.hub.stats.publishes.of(outcome).add(1);
    match result {
        Ok(Accepted::One(status, place)) => published(status, place),
        Ok(Accepted::Many(status, json)) => (status, axum::Json(json)).into_response(),
        Ok(Accepted::Nothing(document)) => Kind::InvalidBatch.answer(&document),
        Err(problem) => problem.into_response(),
    }
}

/// A request without its body.
#[derive(Clone, Copy)]
struct Asked<'a> {
    parts: &'a Parts,
    client: Client,
    came: SystemTime,
}

/// What a publish that was understood is answered with.
enum Accepted {
    /// Where the one event stands.
    One(StatusCode, Place),
    Many(StatusCode, serde_json::Value),
    /// No line of a batch was legal: a problem document that has the lines too.
    Nothing(serde_json::Value),
}

/// Headers that an answer to a publish has in all, the usual ones.
const HEADERS: usize = 8;

/// The answer to who published one event: written as it is, since it is the most frequent of all.
fn published(status: StatusCode, place: Place) -> Response {
    let json = format!("{{\"id\":\"{place}\"}}"); // a place has nothing to escape
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    response
}

async fn accept(
    app: &App,
    channel: Result<(ChannelName, Target), Problem>,
    asked: Asked<'_>,
    body: impl body::Content,
) -> Result<Accepted, Problem> {
    let headers = &asked.parts.headers;
    let identity = identity::sender(app, asked.parts.into()).await;
    let to_subject = matches!(channel, Ok((_, Target::Subject)));
    let sender = identity.as_ref().ok().filter(|_| to_subject).map(Who::from);
    let admitted = identity.and_then(|identity| admit(app, &identity, channel, asked));
    let bounds = body::Bounds {
        bytes: app.config().http.max_body_bytes.as_usize(),
        silence: app.config().http.idle_timeout.std(),
        time: app.config().http.body_timeout.std(),
    };
    // the body is read even if it is for nothing, or the answer would not arrive
    let bytes = body::read(body, headers, bounds).await;
    let (channel, limits, format, key, publisher) = admitted?;
    let bytes = bytes?;
    let unannounced = (bytes.len() as u64).saturating_sub(announced(headers));
    app.limits.charge(&publisher, 0, unannounced);
    let idempotency = key.map(|(subject, key)| {
        let subject = subject.as_ref().map(Subject::as_str);
        IdempotencyKey::of(subject, &key, fingerprint(headers, &bytes))
    });
    let to = Destination {
        channel: &channel,
        headers,
        came: asked.came,
    };
    let accepted = match understand(format, headers, &bytes, &limits)? {
        Understood::One(event) => {
            let appended = append(app, &to, vec![event], idempotency).await?;
            let [place] = appended.places() else {
                return Err(strange(&appended));
            };
            Accepted::One(status_of(&appended), *place)
        }
        Understood::Many(batch) => {
            app.limits
                .charge(&publisher, batch.len().saturating_sub(1) as u64, 0);
            append_batch(app, &to, batch, idempotency).await?
        }
    };
    if let Some(sender) = &sender {
        app.audit.record(&Entry {
            action: Action::SentToSubject,
            who: Some(sender),
            address: asked.client.address,
            target: channel.as_str(),
            outcome: "published",
        });
    }
    Ok(accepted)
}

/// The log answers one event with one place, always.
fn strange(appended: &Appended) -> Problem {
    let detail = format!(
        "the log says {} places for one event",
        appended.places().len()
    );
    Problem::new(Kind::OutcomeUnknown, detail)
}

/// One event for a stream, which is not appended to the log. What is decided before its body goes
/// first.
pub async fn one_event(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    client: Client,
    allowed: Result<Identity, Problem>,
) -> Result<(Identity, Event), Problem> {
    let admitted = allowed.and_then(|identity| {
        let publisher = app
            .limits
            .publish(&identity, client.address, announced(headers))
            .map_err(Problem::limited)?;
        Ok((identity, publisher))
    });
    let bounds = body::Bounds {
        bytes: app.config().http.max_body_bytes.as_usize(),
        silence: app.config().http.idle_timeout.std(),
        time: app.config().http.body_timeout.std(),
    };
    let bytes = body::read(body, headers, bounds).await;
    let (identity, publisher) = admitted?;
    let (format, bytes) = (format(headers)?, bytes?);
    let unannounced = (bytes.len() as u64).saturating_sub(announced(headers));
    app.limits.charge(&publisher, 0, unannounced);
    let limits = Limits {
        max_event_bytes: app.config().event.max_bytes.as_usize(),
        max_attributes: app.config().event.max_attributes,
        max_events: 1,
        target: Target::Stream,
    };
    match format {
        Format::Lines | Format::CloudEventBatch => Err(one_at_a_time()),
        _ => match understand(format, headers, &bytes, &limits)? {
            Understood::One(event) => Ok((identity, event)),
            Understood::Many(_) => Err(one_at_a_time()),
        },
    }
}

fn one_at_a_time() -> Problem {
    Problem::new(
        Kind::UnsupportedMediaType,
        "a stream takes one event at a time; send each by itself",
    )
}

/// An `Idempotency-Key`, and whose it is.
type Key = (Option<Subject>, Box<str>);

type Admitted = (ChannelName, Limits, Format, Option<Key>, Publisher);

/// Everything that can be decided before the body is read.
fn admit(
    app: &App,
    identity: &Identity,
    channel: Result<(ChannelName, Target), Problem>,
    asked: Asked<'_>,
) -> Result<Admitted, Problem> {
    let (channel, target) = channel?;
    let headers = &asked.parts.headers;
    match target {
        Target::Channel => identity::may_publish(identity, &channel)?,
        Target::Subject | Target::Stream => identity::may(identity, Right::Direct)?,
    }
    query::only(asked.parts.uri.query(), &[])?;
    let settings = app.config().effective(channel.as_str());
    if target == Target::Channel && settings.publish == Access::Deny {
        let detail =
            format!("channel `{channel}` is closed to publishers by a rule of the configuration");
        return Err(Problem::new(Kind::ChannelClosed, detail));
    }
    let limits = Limits {
        max_event_bytes: settings.max_event_bytes.as_usize(),
        max_attributes: app.config().event.max_attributes,
        max_events: app.config().http.max_batch_events,
        target,
    };
    let (format, key) = (format(headers)?, idempotency_key(headers)?);
    let key = key.map(|key| (identity.grant.subject.clone(), key));
    let publisher = app
        .limits
        .publish(identity, asked.client.address, announced(headers))
        .map_err(Problem::limited)?;
    Ok((channel, limits, format, key, publisher))
}

/// How long a body says that it is; nothing for one that comes in chunks.
fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Box<str>>, Problem> {
    let Some(value) = headers.get(&names::IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) => Ok(Some(key.into())),
        _ => Err(Problem::new(
            Kind::InvalidHeader,
            format!(
                "Idempotency-Key is 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters; a UUID is a good one"
            ),
        )),
    }
}

/// A compressed body would be taken for the data.
fn plain(headers: &HeaderMap) -> Result<(), Problem> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::UnsupportedMediaType,
        "bodies are taken as they are; send it without Content-Encoding, uncompressed",
    ))
}

/// What the request says its body is. `Sse-Event` makes any body raw data.
fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    plain(headers)?;
    if headers.contains_key(&names::CE_SPECVERSION) {
        return Ok(Format::CloudEvent);
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map_or(Ok(""), |value| value.to_str())
        .unwrap_or("");
    let media_type = content_type
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    Ok(match media_type.as_str() {
        "application/cloudevents+json" => Format::StructuredCloudEvent,
        "application/cloudevents-batch+json" => Format::CloudEventBatch,
        _ if headers.contains_key(&names::SSE_EVENT) => Format::Raw,
        "application/json" => Format::Envelope,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Format::Lines,
        "application/x-www-form-urlencoded" | "multipart/form-data" => {
            return Err(Problem::new(
                Kind::UnsupportedMediaType,
                "a form is not an event; send text with `Content-Type: text/plain`, or an event with `Content-Type: \
                 application/json` (curl -d sends a form unless -H says otherwise)",
            ));
        }
        _ => Format::Raw,
    })
}

fn understand(
    format: Format,
    headers: &HeaderMap,
    body: &[u8],
    limits: &Limits,
) -> Result<Understood, Problem> {
    let one = |event: Result<Event, Problem>| {
        event
            .and_then(|event| limits.check(event))
            .map(Understood::One)
    };
    match format {
        Format::Envelope => one(envelope::parse(body)),
        Format::Raw => one(raw::parse(headers, body)),
        Format::CloudEvent => one(cloudevents::binary(headers, body)),
        Format::StructuredCloudEvent => one(cloudevents::structured(body)),
        Format::Lines => Batch::of_lines(body, limits).map(Understood::Many),
        Format::CloudEventBatch => Batch::of_cloud_events(body, limits).map(Understood::Many),
    }
}

impl Limits {
    fn check(&self, event: Event) -> Result<Event, Problem> {
        if self.target != Target::Channel && event.ending == Ending::Ends {
            return Err(Problem::new(
                Kind::InvalidEvent,
                "only a channel ends by an event; DELETE /v1/connections?subject=NAME ends streams",
            ));
        }
        let (size, max) = (event.size(), self.max_event_bytes);
        if size > max {
            let detail = format!(
                "type, data and attributes take {size} bytes; an event of this channel may have {max}"
            );
            return Err(Problem::new(Kind::EventTooLarge, detail));
        }
        let (count, max) = (event.attributes.len(), self.max_attributes);
        if count > max {
            return Err(Problem::new(
                Kind::InvalidEvent,
                format!("an event has at most {max} attributes; this one has {count}"),
            ));
        }
        Ok(event)
    }
}

/// What makes a repeat the same request: what the body is, and the body.
fn fingerprint(headers: &HeaderMap, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut relevant: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .filter(|(name, _)| {
            name.starts_with("sse-") || name.starts_with("ce-") || *name == "content-type"
        })
        .collect();
    relevant.sort();
    for (name, value) in relevant {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update((value.len() as u64).to_le_bytes());
        hash.update(value);
    }
    hash.update(body);
    hash.finalize().into()
}

/// Where events go, and what came with them.
struct Destination<'a> {
    channel: &'a ChannelName,
    headers: &'a HeaderMap,
    came: SystemTime,
}

async fn append(
    app: &App,
    to: &Destination<'_>,
    mut events: Vec<Event>,
    idempotency: Option<IdempotencyKey>,
) -> Result<Appended, Problem> {
    let traces = app.traces.as_ref();
    let span = traces.map(|traces| traces.publishing(to.headers, to.came, to.channel, &mut events));
    let publication = Publication {
        channel: to.channel.clone(),
        events,
        idempotency,
        fence: None,
    };
    let appended = app.log.append(publication).await;
    if let Some(span) = span {
        span.ended(&appended);
    }
    let appended = appended.map_err(refusal)?;
    if let Appended::New(places) = &appended {
        app.hub.stats.published.add(places.len() as u64);
    }
    Ok(appended)
}

async fn append_batch(
    app: &App,
    to: &Destination<'_>,
    batch: Batch,
    idempotency: Option<IdempotencyKey>,
) -> Result<Accepted, Problem> {
    let (events, lines) = batch.into_parts();
    let accepted = events.len();
    if events.is_empty() {
        let detail = "every line was refused; `results` says why for each";
        let mut document = Problem::new(Kind::InvalidBatch, detail).to_json();
        document["results"] = results(&lines, &[]);
        document["accepted"] = 0.into();
        document["failed"] = lines.len().into();
        return Ok(Accepted::Nothing(document));
    }
    let appended = append(app, to, events, idempotency).await?;
    let failed = lines.len() - accepted;
    let status = match failed {
        0 => status_of(&appended),
        _ => StatusCode::MULTI_STATUS,
    };
    let results = results(&lines, appended.places());
    Ok(Accepted::Many(
        status,
        json!({ "results": results, "accepted": accepted, "failed": failed }),
    ))
}

/// What became of each line; `places` are those of the accepted ones.
fn results(lines: &[Line], places: &[Place]) -> serde_json::Value {
    let mut ids = places.iter();
    lines
        .iter()
        .map(|line| match line {
            Line::Event { number } => {
                json!({ "line": number, "id": ids.next().map(Place::to_string) })
            }
            Line::Refused { number, problem } => {
                json!({ "line": number, "error": problem.to_json() })
            }
        })
        .collect()
}

fn status_of(appended: &Appended) -> StatusCode {
    match appended {
        Appended::New(_) => StatusCode::CREATED,
        Appended::Repeat(_) => StatusCode::OK,
    }
}

fn refusal(error: AppendError) -> Problem {
    let kind = match &error {
        AppendError::Ended(_) => Kind::ChannelEnded,
        AppendError::KeyReused => Kind::KeyReused,
        AppendError::TooManyChannels(_) => Kind::TooManyChannels,
        // a publish of a client has no fence
        AppendError::Unavailable(_) | AppendError::Fenced => Kind::Unavailable,
        AppendError::OutcomeUnknown(_) => Kind::OutcomeUnknown,
        AppendError::NotReplicated { .. } => Kind::NotReplicated,
    };
    let remedy = match kind {
        Kind::Unavailable => "; retry in a moment",
        Kind::OutcomeUnknown => {
            "; retry with the same Idempotency-Key, or read the channel's history"
        }
        Kind::NotReplicated => {
            "; retry with the same Idempotency-Key to wait again, or take it as published"
        }
        _ => "",
    };
    let published = match &error {
        AppendError::NotReplicated { places, .. } => places.iter().map(Place::to_string).collect(),
        _ => Vec::new(),
    };
    Problem::new(kind, format!("{error}{remedy}")).with_published(published)
}

/// Whether a channel goes on after an event that says `end`.
fn ending(end: bool) -> Ending {
    if end { Ending::Ends } else { Ending::Continues }
}
