//! Paths of other systems: streams that hyper carries, their status, and answers in their words.

use super::{
    App, events,
    forwarded::Client,
    identity,
    problem::{Kind, Problem},
    server::Arrival,
};
use crate::{
    channel::Selector,
    clock::timestamp,
    dialect::{
        self,
        facts::{ListedClient, RefusalFacts, StatusFacts},
    },
    route::Open,
    stats::AuthRefusal,
};
use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use relay_config::RefusedFor;
use std::sync::Arc;

/// Whatever is under none of the relay's own paths.
pub async fn serve(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Extension(arrival): Extension<Arrival>,
    request: Request,
) -> Response {
    let routes = app.settings().routes.clone();
    let path = request.uri().path();
    let status = routes.status_at(path);
    if status.is_none() && routes.find(path).is_none() {
        return Problem::new(
            Kind::NotFound,
            "the API is under /v1 (see /v1/openapi.json), the dashboard at /",
        )
        .into_response();
    }
    if let Some(answer) = super::refused(&app, &request, super::client(&request)) {
        return answer;
    }
    match (request.method(), status) {
        (&Method::GET | &Method::HEAD, None) => {
            events::events(State(app), Extension(client), Extension(arrival), request).await
        }
        (&Method::GET | &Method::HEAD, Some(route)) => {
            let (parts, _) = request.into_parts();
            let answer = status_of(&app, &parts, route).await;
            answer.unwrap_or_else(|problem| refuse_status(route, problem))
        }
        _ => {
            let problem = Problem::new(Kind::MethodNotAllowed, "this path has GET and HEAD");
            let mut response = problem.into_response();
            let allow = HeaderValue::from_static("GET,HEAD");
            response.headers_mut().insert(header::ALLOW, allow);
            response
        }
    }
}

/// A refusal, in the words of its route where that has some.
pub fn refuse(route: Option<&Arc<Open>>, problem: Problem) -> Response {
    refuse_as(problem, |problem, facts| {
        route.and_then(|route| route.refusals.answer(problem, facts))
    })
}

fn refuse_status(route: &Arc<Open>, problem: Problem) -> Response {
    refuse_as(problem, |problem, facts| {
        route.status_refusal(problem, facts)
    })
}

/// `words` are the route's: a status and its JSON.
fn refuse_as(
    problem: Problem,
    words: impl FnOnce(RefusedFor, &RefusalFacts<'_>) -> Option<(u16, String)>,
) -> Response {
    let refusal = problem.refusal();
    let facts = RefusalFacts {
        detail: &problem.detail,
        reason: refusal.map_or(problem.kind.slug(), AuthRefusal::as_str),
        status: problem.kind.status().as_u16(),
    };
    let told = words(refused_for(problem.kind), &facts);
    let mut response = problem.into_response();
    if let Some((status, json)) = told {
        if let Ok(status) = StatusCode::from_u16(status) {
            *response.status_mut() = status;
        }
        *response.body_mut() = Body::from(json);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    response
}

fn refused_for(kind: Kind) -> RefusedFor {
    match kind {
        Kind::Unauthenticated => RefusedFor::Unauthenticated,
        Kind::NotGranted => RefusedFor::NotGranted,
        Kind::AuthUnavailable => RefusedFor::AuthUnavailable,
        Kind::LimitReached => RefusedFor::LimitReached,
        Kind::Overloaded => RefusedFor::Overloaded,
        Kind::Draining => RefusedFor::Draining,
        _ => RefusedFor::Any,
    }
}

/// A route's streams, to who may open one.
async fn status_of(app: &App, parts: &Parts, route: &Arc<Open>) -> Result<Response, Problem> {
    let credentials = Some(route.credentials());
    let credential = identity::credential_of(app, parts.into(), parts.uri.query(), credentials);
    let identity = identity::identify(app, &credential, &parts.headers).await?;
    let channels = route.fixed_channels().iter();
    let selectors: Vec<Selector> = channels
        .filter_map(|text| Selector::parse(text).ok())
        .collect();
    identity::may_subscribe(&identity, &selectors)?;
    let Some(template) = route.status() else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let facts = facts(app, route).await;
    let json = dialect::json_text(template, route.json(), &facts).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, json).into_response())
}

async fn facts(app: &App, route: &Arc<Open>) -> StatusFacts {
    let streams = app.control.route(route.name()).await;
    let listed = streams.rows.into_iter().map(|row| ListedClient {
        id: row.id,
        wanted: row.wanted,
        opened: row.opened,
    });
    StatusFacts {
        clients: route.dialect.census.everywhere(),
        listed: listed.collect(),
        newest: streams.newest,
        now: timestamp(),
    }
}
