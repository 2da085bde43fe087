//! Every refusal: one closed set of types, each with its status and a sentence that says what to do
//! (RFC 9457, `application/problem+json`).

use crate::{
    auth::Refused,
    label::Label,
    limits::{Exceeded, hit::Scope},
    stats::AuthRefusal,
    who::Who,
};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// What went wrong, from a closed set. Its text is the last part of the problem's `type`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// No credential, or one that is refused.
    Unauthenticated,
    /// A credential that does not allow this.
    NotGranted,
    InvalidChannel,
    InvalidQuery,
    InvalidHeader,
    InvalidEvent,
    InvalidJson,
    InvalidEncoding,
    IncompleteBody,
    InvalidBatch,
    UnsupportedMediaType,
    BodyTooLarge,
    EventTooLarge,
    BatchTooLarge,
    ChannelClosed,
    ChannelEnded,
    KeyReused,
    CrossOrigin,
    ForeignHost,
    PlaintextRefused,
    NotFound,
    MethodNotAllowed,
    TooManyChannels,
    AuthUnavailable,
    TooManyRevocations,
    TooManyTickets,
    Unavailable,
    OutcomeUnknown,
    /// It is in the log, and may be lost with the server that has it.
    NotReplicated,
    /// Other replicas, or Redis between them, cannot be reached.
    ReplicasUnavailable,
    /// Another replica did not say what it did.
    ReplicaSilent,
    Draining,
    HttpVersion,
    MalformedRequest,
    HeadTooLarge,
    /// The client asks for more than it may have.
    LimitReached,
    /// The relay does as much as it may.
    Overloaded,
}

impl Label for Kind {
    const ALL: &'static [Kind] = Kind::ALL;

    fn label(self) -> &'static str {
        self.slug()
    }
}

impl Kind {
    /// All of them, for the description of the API and its test.
    pub const ALL: &[Kind] = &[
        Kind::Unauthenticated,
        Kind::NotGranted,
        Kind::InvalidChannel,
        Kind::InvalidQuery,
        Kind::InvalidHeader,
        Kind::InvalidEvent,
        Kind::InvalidJson,
        Kind::InvalidEncoding,
        Kind::IncompleteBody,
        Kind::InvalidBatch,
        Kind::UnsupportedMediaType,
        Kind::BodyTooLarge,
        Kind::EventTooLarge,
        Kind::BatchTooLarge,
        Kind::ChannelClosed,
        Kind::ChannelEnded,
        Kind::KeyReused,
        Kind::CrossOrigin,
        Kind::ForeignHost,
        Kind::PlaintextRefused,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::TooManyChannels,
        Kind::AuthUnavailable,
        Kind::TooManyRevocations,
        Kind::TooManyTickets,
        Kind::Unavailable,
        Kind::OutcomeUnknown,
        Kind::NotReplicated,
        Kind::ReplicasUnavailable,
        Kind::ReplicaSilent,
        Kind::Draining,
        Kind::HttpVersion,
        Kind::MalformedRequest,
        Kind::HeadTooLarge,
        Kind::LimitReached,
        Kind::Overloaded,
    ];

    pub fn slug(self) -> &'static str {
        self.describe().0
    }

    pub fn status(self) -> StatusCode {
        self.describe().1
    }

    fn title(self) -> &'static str {
        self.describe().2
    }

    fn describe(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Kind::InvalidChannel => (
                "invalid-channel",
                S::BAD_REQUEST,
                "the channel's name is not legal",
            ),
            Kind::InvalidQuery => (
                "invalid-query",
                S::BAD_REQUEST,
                "a query parameter is not right",
            ),
            Kind::InvalidHeader => ("invalid-header", S::BAD_REQUEST, "a header is not right"),
            Kind::InvalidEvent => ("invalid-event", S::BAD_REQUEST, "the event is not legal"),
            Kind::InvalidJson => (
                "invalid-json",
                S::BAD_REQUEST,
                "the body is not the JSON that is expected",
            ),
            Kind::InvalidEncoding => (
                "invalid-encoding",
                S::BAD_REQUEST,
                "the body is not UTF-8 text",
            ),
            Kind::IncompleteBody => (
                "incomplete-body",
                S::BAD_REQUEST,
                "the body did not arrive whole",
            ),
            Kind::InvalidBatch => (
                "invalid-batch",
                S::BAD_REQUEST,
                "no event of the batch was accepted",
            ),
            Kind::UnsupportedMediaType => (
                "unsupported-media-type",
                S::UNSUPPORTED_MEDIA_TYPE,
                "this content type cannot be published",
            ),
            Kind::BodyTooLarge => (
                "body-too-large",
                S::PAYLOAD_TOO_LARGE,
                "the body is too large",
            ),
            Kind::EventTooLarge => (
                "event-too-large",
                S::PAYLOAD_TOO_LARGE,
                "the event is too large",
            ),
            Kind::BatchTooLarge => (
                "batch-too-large",
                S::PAYLOAD_TOO_LARGE,
                "the batch has too many events",
            ),
            Kind::ChannelClosed => (
                "channel-closed",
                S::FORBIDDEN,
                "the configuration closes this channel",
            ),
            Kind::ChannelEnded => ("channel-ended", S::CONFLICT, "the channel has ended"),
            Kind::KeyReused => (
                "idempotency-key-reused",
                S::UNPROCESSABLE_ENTITY,
                "the Idempotency-Key belongs to another request",
            ),
            Kind::Unauthenticated => (
                "unauthenticated",
                S::UNAUTHORIZED,
                "this takes a credential",
            ),
            Kind::NotGranted => (
                "not-granted",
                S::FORBIDDEN,
                "the credential does not allow this",
            ),
            Kind::CrossOrigin => (
                "cross-origin",
                S::FORBIDDEN,
                "a page of another origin may not do this",
            ),
            Kind::ForeignHost => ("foreign-host", S::FORBIDDEN, "this name is not the relay's"),
            Kind::PlaintextRefused => ("plaintext-refused", S::FORBIDDEN, "this takes https"),
            Kind::NotFound => ("not-found", S::NOT_FOUND, "there is nothing at this path"),
            Kind::MethodNotAllowed => (
                "method-not-allowed",
                S::METHOD_NOT_ALLOWED,
                "the path has no such method",
            ),
            Kind::TooManyChannels => (
                "too-many-channels",
                S::SERVICE_UNAVAILABLE,
                "the log holds as many channels as it may",
            ),
            Kind::AuthUnavailable => (
                "auth-unavailable",
                S::SERVICE_UNAVAILABLE,
                "the credential cannot be checked now",
            ),
            Kind::TooManyRevocations => (
                "too-many-revocations",
                S::SERVICE_UNAVAILABLE,
                "as many revocations hold as may",
            ),
            Kind::TooManyTickets => (
                "too-many-tickets",
                S::SERVICE_UNAVAILABLE,
                "as many tickets are good as may",
            ),
            Kind::Unavailable => (
                "unavailable",
                S::SERVICE_UNAVAILABLE,
                "the log cannot be written now; nothing was published",
            ),
            Kind::OutcomeUnknown => (
                "outcome-unknown",
                S::SERVICE_UNAVAILABLE,
                "the log did not answer; whether it published is not known",
            ),
            Kind::NotReplicated => (
                "not-replicated",
                S::SERVICE_UNAVAILABLE,
                "it is published, but not as safe as the configuration wants it",
            ),
            Kind::ReplicasUnavailable => (
                "replicas-unavailable",
                S::SERVICE_UNAVAILABLE,
                "what replicas share cannot be reached now; nothing was done",
            ),
            Kind::ReplicaSilent => (
                "replica-silent",
                S::SERVICE_UNAVAILABLE,
                "another replica did not answer; whether it did this is not known",
            ),
            Kind::Draining => (
                "draining",
                S::SERVICE_UNAVAILABLE,
                "this replica is about to stop",
            ),
            Kind::HttpVersion => (
                "http-version",
                S::HTTP_VERSION_NOT_SUPPORTED,
                "the configuration turns this version of HTTP off",
            ),
            Kind::MalformedRequest => (
                "malformed-request",
                S::BAD_REQUEST,
                "this is no HTTP request",
            ),
            Kind::HeadTooLarge => (
                "head-too-large",
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request's head is too large",
            ),
            Kind::LimitReached => (
                "limit-reached",
                S::TOO_MANY_REQUESTS,
                "this is more than one client may ask",
            ),
            Kind::Overloaded => (
                "overloaded",
                S::SERVICE_UNAVAILABLE,
                "the relay does as much as it may",
            ),
        }
    }
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub kind: Kind,
    /// What to do about it, or what exactly is wrong.
    pub detail: String,
    /// For the metric of refusals, where a credential or a right was missing.
    refusal: Option<AuthRefusal>,
    /// Which limit was reached, if one was.
    exceeded: Option<Exceeded>,
    /// Whose request it was, for the audit log.
    who: Option<Box<Who>>,
    /// Ids of what was published all the same.
    published: Vec<String>,
}

/// What an answer says of a denial, for the audit log.
#[derive(Clone, Debug)]
pub struct Denial {
    pub reason: &'static str,
    pub who: Option<Box<Who>>,
}

/// Seconds after which a client may try again when the relay cannot serve now.
const RETRY_AFTER: &str = "1";

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<&'a [String]>,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem {
            kind,
            detail: detail.into(),
            refusal: None,
            who: None,
            exceeded: None,
            published: Vec::new(),
        }
    }

    /// Tells the ids of what was published all the same.
    pub fn with_published(self, published: Vec<String>) -> Problem {
        Problem { published, ..self }
    }

    /// What the client has too much of is its own fault, or nobody's.
    pub fn limited(exceeded: Exceeded) -> Problem {
        let kind = match exceeded.scope {
            Scope::Total => Kind::Overloaded,
            Scope::Subject | Scope::Address | Scope::Attribute => Kind::LimitReached,
        };
        Problem {
            exceeded: Some(exceeded),
            ..Problem::new(kind, exceeded.to_string())
        }
    }

    pub fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded
    }

    /// What its answer is counted as, for who gives another one in its place.
    pub fn refusal(&self) -> Option<AuthRefusal> {
        self.refusal
    }

    pub fn because(self, refusal: AuthRefusal) -> Problem {
        Problem {
            refusal: Some(refusal),
            ..self
        }
    }

    pub fn of(self, who: Who) -> Problem {
        Problem {
            who: Some(Box::new(who)),
            ..self
        }
    }

    pub fn to_json(&self) -> serde_json::Value {
        let document = Document {
            r#type: format!("urn:sse-relay:problem:{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            id: match &self.published[..] {
                [id] => Some(id),
                _ => None,
            },
            ids: Some(&self.published[..]).filter(|ids| ids.len() > 1),
        };
        serde_json::to_value(document).expect("a struct of text and a number")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = self.to_json();
        let mut response = self.kind.answer(&json);
        let denied = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        if denied.contains(&self.kind.status()) {
            response.extensions_mut().insert(Denial {
                reason: self.refusal.map_or(self.kind.slug(), AuthRefusal::as_str),
                who: self.who,
            });
        }
        if let Some(refusal) = self.refusal {
            if let Some(challenge) = challenge(refusal) {
                let headers = response.headers_mut();
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            response.extensions_mut().insert(refusal);
        }
        if let Some(exceeded) = self.exceeded {
            let seconds = HeaderValue::from(exceeded.retry_after_seconds());
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response.extensions_mut().insert(exceeded);
        }
        response
    }
}

/// How a client is told what to do better (RFC 6750, 3).
fn challenge(refusal: AuthRefusal) -> Option<HeaderValue> {
    let realm = "Bearer realm=\"sse-relay\"";
    let text = match refusal {
        AuthRefusal::Unavailable => return None,
        AuthRefusal::Missing => realm.to_owned(),
        AuthRefusal::NotGranted => format!("{realm}, error=\"insufficient_scope\""),
        AuthRefusal::Refused(refused) => {
            let error = match refused {
                Refused::Malformed | Refused::Several => "invalid_request",
                Refused::ForwardForbidden => "insufficient_scope",
                _ => "invalid_token",
            };
            format!("{realm}, error=\"{error}\", error_description=\"{refused}\"")
        }
    };
    HeaderValue::from_str(&text).ok()
}

impl Kind {
    /// The answer whose body is a problem document, with what belongs to this problem alone.
    pub fn answer(self, document: &serde_json::Value) -> Response {
        let mut response = (self.status(), document.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response.extensions_mut().insert(self); // for who counts answers
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_type_of_its_own() {
        let slugs: std::collections::HashSet<_> =
            Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().all(|kind| kind.status().as_u16() >= 400));
    }
}
