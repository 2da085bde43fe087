//! The admin port: probes and metrics. Never on the public port.

use super::{App, Phase};
use crate::metrics::{self, Format};
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use std::{sync::Arc, time::Duration};

/// A delivery thread that does not answer within this is stuck.
const SHARD_ANSWERS: Duration = Duration::from_secs(5);

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
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
        Phase::Serving => "ready\n".into_response(),
        Phase::Announced | Phase::Draining => {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
        }
    }
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
