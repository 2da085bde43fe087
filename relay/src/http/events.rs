//! `GET /v1/events` where hyper carries the stream (HTTP/2, HTTP/1.0), and every answer that is no stream.

use super::{
    App, Phase, caller,
    forwarded::Client,
    identity::{self, Identified, Shown},
    limited,
    problem::{Kind, Problem},
    routes,
    server::Arrival,
    subscribe::{Answer, Intent, Subscribe},
};
use crate::{
    frame::{Frame, Framing},
    hub::{
        inbox::Command,
        open::{Transport, retry},
        shard::content_type,
        sink::Pipe,
    },
};
use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, Version, header};
use relay_config::Charset;
use std::sync::Arc;

/// What a request asks for, wherever its connection is.
pub fn subscribe<'a, B>(
    app: &App,
    request: &'a http::Request<B>,
    client: Client,
    framing: Framing,
) -> Subscribe<'a> {
    let headers = request.headers();
    let route = app.settings().routes.find(request.uri().path());
    Subscribe {
        query: request.uri().query().unwrap_or_default(),
        last_event_id: headers.get("last-event-id").map(HeaderValue::as_bytes),
        user_agent: headers
            .get(header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok()),
        caller: caller(request),
        credential: identity::credential_of(
            app,
            Shown::of(request),
            request.uri().query(),
            route.as_ref().map(|asked| asked.route.credentials()),
        ),
        route,
        client,
        transport: match request.version() {
            Version::HTTP_2 => Transport::Http2,
            Version::HTTP_11 => Transport::Http11,
            _ => Transport::Http10,
        },
        framing,
        intent: match *request.method() {
            Method::HEAD => Intent::Look,
            _ => Intent::Open,
        },
    }
}

pub async fn events(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Extension(arrival): Extension<Arrival>,
    request: Request,
) -> Response {
    if app.phase() == Phase::Draining {
        return turn_away(&app, &request);
    }
    let asked = subscribe(&app, &request, client, Framing::Bare);
    let route = asked.route.as_ref().map(|asked| asked.route.clone());
    let charset = asked.charset();
    let identity = match request.extensions().get::<Identified>() {
        Some(Identified(known)) => known.clone(),
        None => asked.identify(&app, request.headers()).await,
    };
    match asked.answer(&app, identity).await {
        Answer::Refused(problem) => limited::comes_back(&app, &request)
            .then(|| limited::in_place_of(&app, &problem))
            .flatten()
            .unwrap_or_else(|| routes::refuse(route.as_ref(), problem)),
        Answer::NothingMore => StatusCode::NO_CONTENT.into_response(),
        Answer::Open(_) if request.method() == Method::HEAD => {
            stream_response(Body::empty(), charset)
        }
        Answer::Open(opening) => {
            let inbox = app.hub.inbox(arrival.shard).clone();
            let (pipe, body) = Pipe::new(inbox.clone(), arrival.parting);
            inbox.send(Command::Carry(pipe, opening));
            stream_response(Body::new(body), charset)
        }
    }
}

fn stream_response(body: Body, charset: Charset) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(charset)),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A browser's EventSource never comes back after an error's status, but it does after a stream that
/// ends (WHATWG HTML 9.2.3); programs get the real status.
fn turn_away(app: &App, request: &Request) -> Response {
    if !limited::comes_back(app, request) {
        let route = app.settings().routes.find(request.uri().path());
        let problem = Problem::new(
            Kind::Draining,
            "open the stream again; another replica will answer",
        );
        return routes::refuse(route.as_ref().map(|asked| &asked.route), problem);
    }
    farewell(retry(&app.config().stream))
}

/// A stream that only says when to come back, in milliseconds.
pub fn farewell(retry: u32) -> Response {
    stream_response(
        Body::from(Frame::retry(retry).bytes(Framing::Bare).to_vec()),
        Charset::Named,
    )
}
