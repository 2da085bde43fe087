//! What a request past a limit is answered, counted and logged as.

use super::{
    App, events,
    forwarded::Client,
    identity,
    problem::{Kind, Problem},
};
use crate::{hub::open::retry, limits::Exceeded};
use axum::response::{IntoResponse, Response};
use relay_config::ToBrowsers;

/// Whether a subscribe is a browser's that never returns after another status than 200 (WHATWG HTML,
/// 9.2.3), and gets a stream that ends instead.
pub fn comes_back<B>(app: &App, request: &http::Request<B>) -> bool {
    app.config().limits.to_browsers == ToBrowsers::Retry
        && request.headers().contains_key("sec-fetch-mode")
}

/// Whether a request shows a credential and comes from where too many were refused: then nobody looks at
/// it.
pub fn shows_too_often<B>(
    app: &App,
    request: &http::Request<B>,
    client: Client,
) -> Option<Exceeded> {
    let exceeded = app.limits.may_try(client.address).err()?;
    identity::shows_something(app, request).then_some(exceeded)
}

/// The answer to such a request.
pub fn tries_too_often<B>(
    app: &App,
    request: &http::Request<B>,
    client: Client,
) -> Option<Response> {
    let exceeded = shows_too_often(app, request, client)?;
    let path = request.uri().path();
    let is_stream = path == "/v1/events" || app.settings().routes.find(path).is_some();
    Some(if is_stream && comes_back(app, request) {
        later(app, exceeded)
    } else {
        Problem::limited(exceeded).into_response()
    })
}

/// For a browser: the stream that ends in place of a refusal that passes by itself (a limit, nobody to ask
/// about a credential or ticket); `None` in place of any other.
pub fn in_place_of(app: &App, problem: &Problem) -> Option<Response> {
    if let Some(exceeded) = problem.exceeded() {
        return Some(later(app, exceeded));
    }
    let unasked = matches!(
        problem.kind,
        Kind::AuthUnavailable | Kind::ReplicasUnavailable
    );
    unasked.then(|| {
        let mut response = events::farewell(retry(&app.config().stream));
        if let Some(refusal) = problem.refusal() {
            response.extensions_mut().insert(refusal);
        }
        response
    })
}

/// For a browser: when to come back, apart from all others that are told so now.
fn later(app: &App, exceeded: Exceeded) -> Response {
    let wait = exceeded.retry_after_seconds().saturating_mul(1000);
    let wait = u32::try_from(wait).unwrap_or(u32::MAX);
    let mut response = events::farewell(wait.saturating_add(retry(&app.config().stream)));
    response.extensions_mut().insert(exceeded);
    response
}

/// Counts a refusal once, however often its request was looked at before it was answered; and says so
/// now and then.
pub fn count(app: &App, response: &Response) {
    let Some(exceeded) = response.extensions().get::<Exceeded>() else {
        return;
    };
    let hit = exceeded.hit();
    app.hub.stats.limited.of(hit).add(1);
    if let Some(times) = app.limits.notice(hit) {
        tracing::warn!(
            event = "limits.reached",
            limit = hit.as_str(),
            times,
            "requests are refused past a limit"
        );
    }
}
