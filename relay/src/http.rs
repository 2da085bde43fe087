//! HTTP: the public listener's routes, and what they share.

pub mod access;
pub mod admin;
mod channel_path;
mod channels;
mod clients;
mod connections;
pub mod cors;
mod dashboard;
mod direct;
mod disconnect;
mod events;
mod extend;
pub mod forwarded;
mod hardening;
mod history;
mod identity;
mod json_body;
mod limited;
mod paging;
mod plaintext;
pub mod problem;
mod publish;
mod purge;
mod query;
mod revocations;
pub mod routes;
mod selection;
pub mod server;
mod status;
pub mod subscribe;
mod tickets;
pub mod time;

pub use status::vitals;

use crate::{
    audit::Audit,
    control::Control,
    event_log::EventLog,
    fleet::Fleet,
    hub::Hub,
    limits::Limits,
    reload::Reloads,
    settings::{Live, Settings},
    traces::Traces,
};
use access::Caller;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post},
};
use channel_path::ChannelPath;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use problem::{Kind, Problem};
use publish::body;
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
    pub control: Control,
    pub audit: Audit,
    pub log: Arc<dyn EventLog>,
    pub live: Arc<Live>,
    pub reloads: Reloads,
    pub limits: Arc<Limits>,
    /// Off, if there is none.
    pub traces: Option<Arc<Traces>>,
    /// Where events are pulled from.
    pub sources: Vec<Arc<crate::source::Health>>,
    /// How far those have come whose servers do not remember it.
    pub progress: crate::source::progress::Progress,
    /// What streams want of those that listen on demand.
    pub demands: Vec<Arc<crate::source::demand::Demand>>,
    /// This process, as other replicas and clients see it.
    pub replica: Arc<str>,
    pub started: Instant,
    phase: AtomicU8,
}

impl App {
    pub fn new(
        hub: Arc<Hub>,
        log: Arc<dyn EventLog>,
        live: Arc<Live>,
        audit: Audit,
        replica: String,
    ) -> App {
        let config = live.settings().config.clone();
        App {
            control: Control::new(hub.clone(), &replica, &config),
            hub,
            log,
            audit,
            limits: Limits::new(&config.limits),
            traces: None,
            sources: Vec::new(),
            progress: crate::source::progress::Progress::default(),
            demands: Vec::new(),
            live,
            reloads: Reloads::default(),
            replica: replica.into(),
            started: Instant::now(),
            phase: AtomicU8::new(0),
        }
    }

    /// The same, as one of several replicas.
    pub fn in_fleet(mut self, fleet: Arc<Fleet>) -> App {
        self.control.join(fleet);
        self
    }

    /// The settings in force, as of now.
    pub fn settings(&self) -> Arc<Settings> {
        self.live.settings()
    }

    pub fn config(&self) -> Arc<Config> {
        self.live.settings().config.clone()
    }

    /// Takes new settings: for live streams, and for whoever comes.
    pub fn change(&self, settings: Settings) {
        let settings = self.live.change(settings);
        self.limits.configure(&settings.config.limits);
        self.hub.configure(&settings);
        self.log.limits_changed();
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
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Paths that everybody may ask, and that decide themselves about what they give.
fn deciding() -> [(&'static str, MethodRouter<Arc<App>>); 13] {
    let events = post(publish::publish).get(history::history);
    let revocations = get(revocations::list).post(revocations::create);
    let connections = get(connections::list).delete(disconnect::many);
    let channel = get(channels::one).delete(purge::purge);
    [
        ("/", get(status::dashboard)),
        ("/v1/openapi.json", get(status::openapi)),
        ("/v1/events", get(events::events)),
        ("/v1/channels/{channel}", channel),
        ("/v1/channels/{channel}/events", events),
        ("/v1/connections", connections),
        ("/v1/connections/{connection}", delete(disconnect::one)),
        ("/v1/connections/{connection}/events", post(direct::direct)),
        (
            "/v1/connections/{connection}/credential",
            post(extend::extend),
        ),
        ("/v1/tickets", post(tickets::mint)),
        ("/v1/subjects/{subject}/events", post(publish::to_subject)),
        ("/v1/revocations", revocations),
        ("/v1/revocations/{revocation}", delete(revocations::restore)),
    ]
}

/// Paths for those who may observe.
fn observed() -> [(&'static str, MethodRouter<Arc<App>>); 3] {
    [
        ("/v1/status", get(status::status)),
        ("/v1/channels", get(channels::list)),
        ("/v1/clients", get(clients::list)),
    ]
}

/// Every public path, as the API's description writes it.
pub fn paths() -> Vec<&'static str> {
    let deciding = deciding().map(|(path, _)| path);
    let observed = observed().map(|(path, _)| path);
    [&deciding[..], &observed[..], &[HEALTH]].concat()
}

/// The public routes.
pub fn router(app: Arc<App>) -> Router {
    let of = |routes: &[(&'static str, MethodRouter<Arc<App>>)]| {
        let routes = routes.iter().cloned();
        routes.fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
    };
    let observers = middleware::from_fn_with_state(app.clone(), identity::observers);
    let routes = of(&observed())
        .route_layer(observers)
        .merge(of(&deciding()))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .route(HEALTH, get(status::health))
        .fallback(routes::serve)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(one_host))
        .layer(middleware::map_response_with_state(app.clone(), finish))
        .with_state(app.clone());
    // around the routes, since they write Allow after all their layers
    Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn(options))
        .layer(middleware::from_fn_with_state(app, cors::share))
}

async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match refused(&app, &request, client(&request)) {
        None => next.run(request).await,
        Some(answer) => answer,
    }
}

/// What every request must be, whatever it asks.
fn refused<B>(
    app: &App,
    request: &http::Request<B>,
    client: forwarded::Client,
) -> Option<Response> {
    let settings = app.settings();
    plaintext::refused(&settings.proxies, request, client)
        .or_else(|| {
            let caller = caller(request);
            let allowed = settings.openness.allows(&caller, &settings.cors);
            let allowed = allowed.and_then(|()| {
                identity::may_use_ambient(app, &caller, identity::Shown::of(request))
            });
            allowed.err().map(Problem::into_response)
        })
        .or_else(|| limited::tries_too_often(app, request, client))
}

/// Whether [`publish_directly`] answers a request as the routes would.
pub fn is_publish<B>(request: &http::Request<B>) -> bool {
    request.method() == Method::POST && published_channel(request.uri().path()).is_some()
}

/// A publish is what a busy relay is asked most often: the checks and the handler that the routes
/// have for it, without the way through their layers, and without what axum makes of a request.
pub async fn publish_directly<B: body::Content>(
    app: Arc<App>,
    request: http::Request<B>,
    client: forwarded::Client,
) -> Response {
    let segment = published_channel(request.uri().path()).unwrap_or_default();
    let channel = ChannelPath::decode(segment);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let hsts = hardening::hsts(&app, client);
    let refused = if says_its_host_once(&request) {
        refused(&app, &request, client)
    } else {
        Some(hostless().into_response())
    };
    let mut response = match refused {
        None => publish::to_channel(&app, channel, request, client).await,
        Some(answer) => answer,
    };
    finished(&app, &mut response);
    app.settings().cors.apply(origin.as_ref(), &mut response);
    if let Some(hsts) = hsts {
        let headers = response.headers_mut();
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    response
}

/// The one segment of a path that names the channel of a publish.
fn published_channel(path: &str) -> Option<&str> {
    let segment = path
        .strip_prefix("/v1/channels/")?
        .strip_suffix("/events")?;
    (!segment.is_empty() && !segment.contains('/')).then_some(segment)
}

/// Who asks, as far as the connection and proxies tell.
fn client(request: &Request) -> forwarded::Client {
    let client = request.extensions().get::<forwarded::Client>();
    client.copied().unwrap_or_default()
}

/// Who asks. A header that is there, but twice or not as text, is a browser's none the less.
fn caller<B>(request: &http::Request<B>) -> Caller<'_> {
    let text = |name: &HeaderName, otherwise| {
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
        host: authority.or_else(|| text(&header::HOST, "")),
        origin: text(&header::ORIGIN, "null"),
        sec_fetch_site: text(&SEC_FETCH_SITE, ""),
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
    hostless().into_response()
}

fn hostless() -> Problem {
    Problem::new(
        Kind::InvalidHeader,
        "an HTTP/1.1 request has the header Host exactly once",
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

/// What every answer gets.
async fn finish(State(app): State<Arc<App>>, mut response: Response) -> Response {
    finished(&app, &mut response);
    response
}

fn finished(app: &App, response: &mut Response) {
    identity::count(app, response);
    limited::count(app, response);
    hardening::harden(response.headers_mut());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_a_publish_names_a_channel() {
        assert_eq!(
            published_channel("/v1/channels/a%20b/events"),
            Some("a%20b")
        );
        for other in [
            "/v1/channels/events",
            "/v1/channels//events",
            "/v1/channels/a/b/events",
            "/v1/channels/a",
            "/v1/events",
        ] {
            assert_eq!(published_channel(other), None, "{other}");
        }
    }
}
