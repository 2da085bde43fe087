//! The dashboard, `/health`, `/v1/status` and the API's description.

use super::{App, Phase, dashboard, problem::Problem, query};
use crate::{auth::Identity, fleet::vitals::Vitals, source::health::Report, who::Who};
use axum::{
    Extension, Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

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

/// What this replica says of itself.
pub fn vitals(app: &App) -> Vitals {
    let stats = &app.hub.stats;
    Vitals {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: match app.phase() {
            Phase::Serving => "serving".to_owned(),
            Phase::Announced | Phase::Draining => "draining".to_owned(),
        },
        uptime_seconds: app.started.elapsed().as_secs(),
        streams: stats.streams(),
        published: stats.published.get(),
        delivered: stats.delivered.get(),
        filtered: stats.filtered.get(),
        dropped: stats.dropped.iter().map(|(_, n)| n).sum(),
        queue_bytes: app.hub.queue_bytes.load(Ordering::Relaxed) as u64,
        queue_limit_bytes: app.config().stream.max_memory.get(),
        routes: app.settings().routes.census(),
        sources: sources(app),
    }
}

/// What this replica says of each source.
pub(super) fn sources(app: &App) -> BTreeMap<String, Report> {
    let sources = app.sources.iter();
    let reports = sources.map(|source| (source.name.clone(), source.report()));
    reports.collect()
}

/// A replica, as the status lists it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replica {
    id: Box<str>,
    /// Since it was heard of last. It beats every second.
    silent_seconds: u64,
    #[serde(flatten)]
    vitals: Vitals,
}

/// All replicas, this one as of now; and those of whom nothing is known.
async fn replicas(app: &App) -> (Vec<Replica>, Vec<Box<str>>) {
    let mut replicas = vec![Replica {
        id: (*app.replica).into(),
        silent_seconds: 0,
        vitals: vitals(app),
    }];
    let Some(fleet) = app.control.fleet() else {
        return (replicas, Vec::new());
    };
    let Ok(told) = fleet.vitals().await else {
        return (replicas, fleet.others());
    };
    let others = told.into_iter().filter(|(id, ..)| **id != *app.replica);
    replicas.extend(others.map(|(id, silence, vitals)| Replica {
        id,
        silent_seconds: silence.as_secs(),
        vitals,
    }));
    replicas.sort_by(|a, b| a.id.cmp(&b.id));
    (replicas, Vec::new())
}

pub async fn status(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    query::only(query.as_deref(), &[])?;
    let totals = app.log.totals();
    let (replicas, unanswered) = replicas(&app).await;
    let sum = |of: fn(&Vitals) -> u64| replicas.iter().map(|one| of(&one.vitals)).sum::<u64>();
    Ok(Json(json!({
        "replica": app.replica,
        "version": env!("CARGO_PKG_VERSION"),
        "state": if app.phase() == Phase::Serving { "serving" } else { "draining" },
        "uptimeSeconds": app.started.elapsed().as_secs(),
        "caller": caller(&identity),
        "head": app.log.heads(),
        "config": { "restart": *app.reloads.restart.lock() },
        "streams": sum(|one| one.streams),
        "channels": totals.channels,
        "events": {
            "published": sum(|one| one.published),
            "delivered": sum(|one| one.delivered),
            "filtered": sum(|one| one.filtered),
            "dropped": sum(|one| one.dropped),
        },
        "memory": {
            "logBytes": totals.bytes,
            "logEvents": totals.events,
            "queueBytes": sum(|one| one.queue_bytes),
            "queueLimitBytes": sum(|one| one.queue_limit_bytes),
        },
        "replicas": replicas,
        "unanswered": unanswered,
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
