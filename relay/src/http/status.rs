//! The dashboard, `/health`, `/v1/status` and the API's description.

use super::{App, Phase, dashboard, problem::Problem, query};
use crate::{auth::Identity, who::Who};
use axum::{
    Extension, Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::sync::{Arc, atomic::Ordering};

pub async fn dashboard() -> Response {
    let page = dashboard::page();
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_str(&page.csp).expect("hashes and keywords are ASCII"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    (headers, page.html.as_str()).into_response()
}

/// Only whether the process serves: what a load balancer or a browser's test asks.
pub async fn health(State(app): State<Arc<App>>) -> Response {
    match app.phase() {
        Phase::Serving => Json(json!({ "status": "ok" })).into_response(),
        Phase::Announced | Phase::Draining => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "draining" })),
        )
            .into_response(),
    }
}

pub async fn status(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    query::only(query.as_deref(), &[])?;
    let (stats, totals) = (&app.hub.stats, app.log.totals());
    let dropped: u64 = stats.dropped.iter().map(|(_, n)| n).sum();
    Ok(Json(json!({
        "replica": app.replica,
        "version": env!("CARGO_PKG_VERSION"),
        "state": if app.phase() == Phase::Serving { "serving" } else { "draining" },
        "uptimeSeconds": app.started.elapsed().as_secs(),
        "caller": caller(&identity),
        "head": app.log.heads(),
        "config": { "restart": *app.reloads.restart.lock() },
        "streams": stats.streams(),
        "channels": totals.channels,
        "events": {
            "published": stats.published.get(),
            "delivered": stats.delivered.get(),
            "filtered": stats.filtered.get(),
            "dropped": dropped,
        },
        "memory": {
            "logBytes": totals.bytes,
            "logEvents": totals.events,
            "queueBytes": app.hub.queue_bytes.load(Ordering::Relaxed),
            "queueLimitBytes": app.config().stream.max_memory.get(),
        },
    })))
}

/// Who asks and what it may do, so that a page offers nothing that would be refused.
fn caller(identity: &Identity) -> Value {
    let rights = identity.grant.manage.iter();
    json!({
        "subject": identity.grant.subject.as_ref().map(ToString::to_string),
        "credential": Who::from(identity).credential(),
        "rights": rights.map(|right| right.as_str()).collect::<Vec<_>>(),
    })
}

pub async fn openapi(RawQuery(query): RawQuery) -> Result<Response, Problem> {
    query::only(query.as_deref(), &[])?;
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        include_str!("openapi.json"),
    )
        .into_response())
}
