//! The operator's own port: probes and metrics.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, serve};
use tokio::net::TcpListener;

use crate::controller::Relays;
use crate::metrics::Metrics;

/// What the port shows.
pub struct Shown {
    /// What is counted.
    pub metrics: Metrics,
    /// The relays that there are.
    pub relays: Relays,
    /// Whether the operator has spoken with the API server.
    pub ready: std::sync::atomic::AtomicBool,
}

/// Opens the port.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until the future is dropped.
pub async fn run(listener: TcpListener, shown: Arc<Shown>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shown);
    serve(listener, router).await
}

/// An operator that waits for its turn is as ready as one that acts: both can take over.
async fn ready(State(shown): State<Arc<Shown>>) -> Response {
    if shown.ready.load(std::sync::atomic::Ordering::Relaxed) {
        "ready\n".into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the API server has not answered yet\n",
        )
            .into_response()
    }
}

async fn metrics(State(shown): State<Arc<Shown>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, kind)],
        shown.metrics.text(&shown.relays),
    )
        .into_response()
}
