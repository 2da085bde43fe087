//! HTTP: the public listener's routes, and what they share.

pub mod access;
pub mod admin;
mod channel_path;
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
mod time;

use crate::{event_log::EventLog, hub::Hub};
use access::{Caller, Openness};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{HeaderValue, Method, StatusCode, Version, header};
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

const HEALTH: &str = "/health";

/// What is served to those whom the relay is open to.
fn guarded() -> [(&'static str, MethodRouter<Arc<App>>); 9] {
    let events = post(publish::publish).get(history::history);
    [
        ("/", get(status::dashboard)),
        ("/v1/openapi.json", get(status::openapi)),
        ("/v1/status", get(status::status)),
        ("/v1/events", get(events::events)),
        ("/v1/channels", get(channels::list)),
        ("/v1/channels/{channel}", get(channels::one)),
        ("/v1/channels/{channel}/events", events),
        ("/v1/connections", get(connections::list)),
        ("/v1/clients", get(clients::list)),
    ]
}

/// Every public path, as the API's description writes it.
pub fn paths() -> Vec<&'static str> {
    let guarded = guarded().into_iter().map(|(path, _)| path);
    guarded.chain([HEALTH]).collect()
}

/// The public routes.
pub fn router(app: Arc<App>) -> Router {
    let guarded = guarded()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        });
    let routes = guarded
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .route(HEALTH, get(status::health))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(one_host))
        .layer(middleware::map_response(common_headers))
        .with_state(app);
    // around the routes, since they write Allow after all their layers
    Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn(options))
}

async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.openness.allows(&caller(&request)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Who asks. A header that is there, but twice or not as text, is a browser's none the less.
fn caller<B>(request: &http::Request<B>) -> Caller<'_> {
    let text = |name: &str, otherwise| {
        let mut values = request.headers().get_all(name).iter();
        let (first, second) = (values.next()?, values.next());
        let text = std::str::from_utf8(first.as_bytes()).ok();
        Some(text.filter(|_| second.is_none()).unwrap_or(otherwise))
    };
    // HTTP/2's `:authority`, and a target in absolute form, go before Host (RFC 9112, 3.2.2)
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    Caller {
        host: authority.or_else(|| text("host", "")),
        origin: text("origin", "null"),
        sec_fetch_site: text("sec-fetch-site", ""),
    }
}

/// RFC 9112, 3.2: whom an HTTP/1.1 request is for must be said once, or a proxy and the relay could
/// understand it differently.
fn says_its_host_once<B>(request: &http::Request<B>) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    request.version() != Version::HTTP_11 || hosts == 1
}

async fn one_host(request: Request, next: Next) -> Response {
    if says_its_host_once(&request) {
        return next.run(request).await;
    }
    Problem::new(
        Kind::InvalidHeader,
        "an HTTP/1.1 request has the header Host exactly once",
    )
    .into_response()
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

/// OPTIONS of a path, or of the relay as a whole (`*`): which methods there are.
async fn options(request: Request, next: Next) -> Response {
    let asks = request.method() == Method::OPTIONS;
    if asks && request.uri().path() == "*" {
        return StatusCode::NO_CONTENT.into_response();
    }
    let mut response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let routed = response.headers().get(header::ALLOW);
    let routed = routed.and_then(|allow| allow.to_str().ok()).unwrap_or("");
    let allow = HeaderValue::from_str(&format!("{routed},OPTIONS"))
        .expect("names of methods are legal in a header");
    if asks {
        response = StatusCode::NO_CONTENT.into_response();
    }
    response.headers_mut().insert(header::ALLOW, allow);
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
