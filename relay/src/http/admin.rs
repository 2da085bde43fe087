//! The admin port: probes and metrics. Never on the public port.

use super::{App, Phase, time::format_millis};
use crate::{
    event_log::health::Hearing,
    metrics::{self, Format},
};
use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// A delivery thread that does not answer within this is stuck.
const SHARD_ANSWERS: Duration = Duration::from_secs(5);

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/checks", get(checks))
        .route("/metrics", get(scrape))
        .with_state(app)
}

/// 200 while every delivery thread answers.
async fn livez(State(app): State<Arc<App>>) -> Response {
    match tokio::time::timeout(SHARD_ANSWERS, app.hub.count_streams(&[])).await {
        Ok(_) => "ok\n".into_response(),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "a delivery thread does not answer\n",
        )
            .into_response(),
    }
}

/// 200 while new streams should come here.
async fn readyz(State(app): State<Arc<App>>) -> Response {
    match app.phase() {
        Phase::Serving if app.log.health().hearing == Hearing::Alone => (
            StatusCode::SERVICE_UNAVAILABLE,
            "this replica does not hear what is published, and others do\n",
        )
            .into_response(),
        Phase::Serving => "ready\n".into_response(),
        Phase::Announced | Phase::Draining => {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
        }
    }
}

/// What was found at the servers of the log, for who operates it.
async fn checks(State(app): State<Arc<App>>) -> Json<Value> {
    let health = app.log.health();
    let redis = health.checked.map(|checked| {
        let findings = checked.findings.iter().map(|found| {
            json!({
                "severity": found.severity.as_str(),
                "reason": found.reason,
                "message": found.message,
            })
        });
        json!({
            "checkedAt": format_millis(checked.at),
            "findings": findings.collect::<Vec<_>>(),
        })
    });
    Json(json!({
        "replica": app.replica,
        "hearing": health.hearing.as_str(),
        "lagSeconds": app.log.lag().as_secs_f64(),
        "redis": redis,
        "archive": app.config().archive.as_ref().map(|_| archive(&app)),
        "sources": sources(&app),
    }))
}

fn archive(app: &App) -> Value {
    let stats = &app.hub.stats.archive;
    json!({
        "connected": stats.connected.get() == 1,
        "writing": stats.writing.get() == 1,
        "lagSeconds": stats.lag.get() as f64 / 1000.0,
        "holes": stats.holes.get(),
    })
}

/// Sources in the order of the configuration. A source that fails is no reason to send streams
/// elsewhere.
fn sources(app: &App) -> Vec<Value> {
    let sources = app.sources.iter().map(|source| {
        let dropped = source.dropped.iter().filter(|(_, count)| *count > 0);
        let dropped: serde_json::Map<_, _> = dropped
            .map(|(reason, count)| (reason.as_str().to_owned(), count.into()))
            .collect();
        let mut about = json!(source.report());
        about["name"] = source.name.as_str().into();
        about["why"] = source.why().into();
        about["connectedAt"] = source.connected_at().map(format_millis).into();
        about["dropped"] = dropped.into();
        about
    });
    sources.collect()
}

async fn scrape(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let accepts: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok())
        .collect();
    let format = Format::accepted(&accepts.join(","));
    (
        [
            (header::CONTENT_TYPE, format.content_type()),
            (header::VARY, "accept"),
        ],
        metrics::render(&app, format),
    )
        .into_response()
}
