//! HTTP: the public listener's routes, and what they share.

pub mod access;
pub mod admin;
mod channels;
mod clients;
mod connections;
mod dashboard;
mod events;
mod history;
mod paging;
pub mod problem;
mod publish;
mod query;
pub mod server;
mod status;
pub mod subscribe;
pub mod time;

use crate::{event_log::EventLog, hub::Hub};
use access::{Caller, Openness};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use problem::{Kind, Problem};
use relay_config::Config;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

/// How far the process has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    Serving,
    /// Not ready any more, but everything is served while others learn it.
    Announced,
    /// No new streams; those that are open are sent away.
    Draining,
}

/// What every request handler knows.
pub struct App {
    pub hub: Arc<Hub>,
    pub log: Arc<dyn EventLog>,
    pub config: Arc<Config>,
    pub openness: Openness,
    /// This process, as other replicas and clients see it.
    pub replica: String,
    pub started: Instant,
    phase: AtomicU8,
}

impl App {
    pub fn new(
        hub: Arc<Hub>,
        log: Arc<dyn EventLog>,
        config: Arc<Config>,
        openness: Openness,
        replica: String,
    ) -> App {
        App {
            hub,
            log,
            config,
            openness,
            replica,
            started: Instant::now(),
            phase: AtomicU8::new(0),
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Announced,
            _ => Phase::Draining,
        }
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }
}

/// The public routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(status::dashboard))
        .route("/v1/openapi.json", get(status::openapi))
        .route("/v1/status", get(status::status))
        .route("/v1/events", get(events::events))
        .route("/v1/channels", get(channels::list))
        .route("/v1/channels/{channel}", get(channels::one))
        .route(
            "/v1/channels/{channel}/events",
            post(publish::publish).get(history::history),
        )
        .route("/v1/connections", get(connections::list))
        .route("/v1/clients", get(clients::list))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .route("/health", get(status::health))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::map_response(common_headers))
        .layer(middleware::from_fn(options))
        .with_state(app)
}

async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.openness.allows(&caller(request.headers())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn caller(headers: &HeaderMap) -> Caller<'_> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Caller {
        host: text("host"),
        origin: text("origin"),
        sec_fetch_site: text("sec-fetch-site"),
    }
}

async fn not_found() -> Problem {
    Problem::new(
        Kind::NotFound,
        "the API is under /v1 (see /v1/openapi.json), the dashboard at /",
    )
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "the methods that there are stand in the header Allow",
    )
}

/// OPTIONS of a path: which methods it has.
async fn options(request: Request, next: Next) -> Response {
    let asks = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if asks && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response
            .headers()
            .get(header::ALLOW)
            .and_then(|allow| allow.to_str().ok());
        let allow = format!("{},OPTIONS", allow.unwrap_or("GET,HEAD"));
        response = StatusCode::NO_CONTENT.into_response();
        response.headers_mut().insert(
            header::ALLOW,
            HeaderValue::from_str(&allow).unwrap_or(HeaderValue::from_static("OPTIONS")),
        );
    }
    response
}

async fn common_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
