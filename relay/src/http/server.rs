//! Connections that hyper serves, and the threads that serve all.
//!
//! A shard accepts, and keeps what it can decide at once: a plain HTTP/1.1 subscribe. Everything else
//! comes here with the bytes that were read. A subscribe that turns up here goes back to the shard
//! before any byte of an answer.

mod carry;
mod framing;
mod rewind;
mod secure;
mod wire;

use super::{
    App, Phase, events,
    forwarded::Client,
    hardening,
    identity::Identified,
    limited,
    problem::{Denial, Kind, Problem},
    subscribe::Answer,
};
use crate::{
    audit::{Action, Entry},
    auth::{Credential, Parts},
    clock::unix_millis,
    frame::Framing,
    hub::{
        inbox::Command,
        open::{Opening, Transport},
        parting::Parting,
        shard::{Decision, Edge, First, Shard, Shared, head},
    },
    stats::AuthRefusal,
    tls::{ServerTls, client_certificate::ClientCertificate},
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use framing::{Heads, Noted};
use futures_util::future::{BoxFuture, poll_fn, select_all};
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use relay_config::RouteCredentials;
use rewind::Rewind;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    runtime::LocalOptions,
    sync::{oneshot, watch},
};
use tower::ServiceExt;
use wire::Wire;

/// The relay's own path of streams.
const EVENTS: &str = "/v1/events";

/// Which shard's thread serves the request, and what its connection says when it ends.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub shard: usize,
    pub parting: Arc<Parting>,
}

/// The delivery threads, which should run until the process ends.
pub struct Threads {
    alive: Vec<oneshot::Receiver<Infallible>>,
}

impl Threads {
    /// Waits until one has ended, which only a panic does, and says which. Its streams are gone and its
    /// share of new ones would be lost: the process must not go on as if it were healthy.
    pub async fn one_ended(&mut self) -> usize {
        let (_, shard, _) = select_all(&mut self.alive).await;
        shard
    }
}

/// Starts the delivery threads; the first one accepts. `stop` turns true when connections that hyper
/// serves should end after their present request.
pub fn start(
    app: &Arc<App>,
    router: &Router,
    listeners: Vec<OwnedFd>,
    tls: Option<&Arc<ServerTls>>,
    stop: &watch::Receiver<bool>,
) -> io::Result<Threads> {
    let mut listeners = Some(listeners);
    let mut alive = Vec::new();
    for shard in 0..app.hub.shards() {
        let context = Context {
            app: app.clone(),
            router: router.clone(),
            shard,
            tls: tls.cloned(),
            stop: stop.clone(),
        };
        alive.push(start_one(context, listeners.take().unwrap_or_default())?);
    }
    Ok(Threads { alive })
}

/// What is answered resolves when the thread ends, however it does.
fn start_one(
    context: Context,
    listeners: Vec<OwnedFd>,
) -> io::Result<oneshot::Receiver<Infallible>> {
    let (started, has_started) = std::sync::mpsc::channel();
    let (life, alive) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("shard-{}", context.shard))
        .spawn(move || {
            let _life = life; // dropped when the thread ends, by a panic too
            let ready = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())
                .and_then(|runtime| {
                    let entered = runtime.enter();
                    let shard = context.shard(listeners)?;
                    drop(entered);
                    Ok((runtime, shard))
                });
            match ready {
                Ok((runtime, shard)) => {
                    let _ = started.send(Ok(()));
                    // a task of its own takes its turn among the connections; what is blocked on would
                    // have the runtime look at its sockets before each of its turns
                    let ended = runtime.block_on(runtime.spawn_local(shard));
                    if let Err(why) = ended
                        && why.is_panic()
                    {
                        std::panic::resume_unwind(why.into_panic());
                    }
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
    has_started
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("a delivery thread ended while it started")))?;
    Ok(alive)
}

/// What serving a connection takes.
#[derive(Clone)]
struct Context {
    app: Arc<App>,
    router: Router,
    shard: usize,
    tls: Option<Arc<ServerTls>>,
    stop: watch::Receiver<bool>,
}

impl Context {
    fn shard(self, listeners: Vec<OwnedFd>) -> io::Result<Shard> {
        let settings = self.app.settings();
        let shared = Shared {
            hub: self.app.hub.clone(),
            log: self.app.log.clone(),
            config: settings.config.clone(),
            auth: settings.auth.clone(),
            traces: self.app.traces.clone(),
        };
        let (index, deciding) = (self.shard, self.clone());
        let (app, watching) = (self.app.clone(), self.app.clone());
        let edge = Edge {
            first: match &self.tls {
                None => First::Head,
                Some(_) => First::HandOver,
            },
            preface: {
                let app = self.app.clone();
                Box::new(move |peer| app.settings().proxies.preface(peer))
            },
            decide: Box::new(move |request, peer| deciding.decide(request, peer, None)),
            watch: Box::new(move |stream, life| {
                watching.control.watch(stream, life, unix_millis());
            }),
            refuses: Box::new(move |stream| {
                app.control.refuses(&stream.who, unix_millis())
                    || !app.settings().auth.still_allows(stream)
            }),
            hand_over: Box::new(move |socket, bytes, peer| {
                let context = self.clone();
                // a connection without an address came by a Unix socket, which has no TLS
                match self.tls.as_ref().filter(|_| peer.is_some()) {
                    None => drop(tokio::spawn(context.serve(socket, bytes, peer))),
                    Some(tls) => drop(tokio::spawn(context.serve_secure(
                        socket,
                        peer,
                        tls.clone(),
                    ))),
                }
            }),
        };
        Shard::new(index, shared, edge, listeners)
    }

    /// Only a plain subscribe that is allowed stays with the shard.
    fn decide(
        &self,
        request: &head::Request<'_>,
        peer: Option<SocketAddr>,
        certificate: Option<&ClientCertificate>,
    ) -> Decision {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((request.target, ""));
        let settings = self.app.settings();
        let route = settings.routes.find(path);
        let stays = (path == EVENTS || route.is_some())
            && request.method == "GET"
            && request.minor == 1
            // a fragment is no part of the query; hyper takes it off
            && !query.contains('#')
            && settings.config.http.http1
            && self.app.phase() != Phase::Draining;
        if !stays {
            return Decision::HandOver;
        }
        let Some(headers) = Headers::of(request) else {
            return Decision::HandOver;
        };
        let client = settings.proxies.client(peer, |name| {
            let same = move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
            let headers = request.headers.iter().filter(same);
            headers.map(|header| header.value)
        });
        if self.app.limits.may_try(client.address).is_err() {
            return Decision::HandOver;
        }
        let subscribe = super::subscribe::Subscribe {
            query,
            last_event_id: headers.last_event_id,
            user_agent: headers.user_agent,
            caller: headers.caller,
            credential: self.credential(
                request,
                query,
                certificate,
                route.as_ref().map(|asked| asked.route.credentials()),
            ),
            route: route.clone(),
            client,
            transport: Transport::Http11,
            framing: Framing::Chunked,
            intent: super::subscribe::Intent::Open,
        };
        match subscribe.answer_at_once(&self.app) {
            Some(Answer::Open(opening)) => {
                let names = request.headers.iter().map(|header| header.name);
                let has = |name: &str| names.clone().any(|other| other.eq_ignore_ascii_case(name));
                if settings.proxies.disbelieves(peer, has) {
                    self.app.hub.stats.disbelieved.add(1);
                }
                Decision::Open(opening)
            }
            Some(Answer::NothingMore | Answer::Refused(_)) | None => Decision::HandOver,
        }
    }

    fn credential<'a>(
        &self,
        request: &'a head::Request<'_>,
        query: &'a str,
        certificate: Option<&'a ClientCertificate>,
        route: Option<&RouteCredentials>,
    ) -> Credential<'a> {
        let values = |name: &'static str| {
            let named =
                move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
            let headers = request.headers.iter().filter(named);
            headers.map(|header| header.value)
        };
        self.app.settings().auth.credential(Parts {
            authorization: values("authorization"),
            cookies: values("cookie"),
            query: Some(query),
            certificate,
            route,
        })
    }

    async fn serve(self, socket: OwnedFd, bytes: Bytes, peer: Option<SocketAddr>) {
        let mut load = Load {
            context: Some(self.clone()),
        };
        let Some((wire, parting)) = self.wire(socket).await else {
            return;
        };
        let config = self.app.config();
        let http = &config.http;
        let is_http2 = bytes.starts_with(b"PRI * HTTP/2");
        let remote = Remote {
            peer,
            certificate: None,
            parting,
        };
        if is_http2 && http.http2 {
            self.serve_http2(wire, bytes, remote).await;
        } else if is_http2 || !http.http1 {
            self.refuse(wire, version_is_off(), &bytes).await;
        } else if let Some(problem) = unreadable(&bytes, http.max_head_bytes.as_usize()) {
            self.refuse(wire, problem, &bytes).await;
        } else if let Some((wire, opening)) = self.serve_http1(wire, bytes, remote).await
            && let Ok(socket) = wire.into_inner().into_std()
        {
            load.context = None; // the stream's from now on
            self.app
                .hub
                .inbox(self.shard)
                .send(Command::TakeOver(socket.into(), opening));
        }
    }

    /// A Unix socket too: what is read and written is so by the same calls.
    ///
    /// On this thread's runtime from now on; `None` when it is closed already.
    async fn wire(&self, socket: OwnedFd) -> Option<(Wire<TcpStream>, Arc<Parting>)> {
        let socket = TcpStream::from_std(std::net::TcpStream::from(socket)).ok()?;
        // a fresh registration knows no readiness: hyper's answer to a malformed head would be dropped unflushed
        socket.writable().await.ok()?;
        let patience = self.app.config().stream.write_timeout.std();
        let parting = Arc::default();
        Some((Wire::new(socket, patience, Arc::clone(&parting)), parting))
    }

    async fn serve_http2<S: Io>(&self, io: S, bytes: Bytes, remote: Remote) {
        let config = self.app.config();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(config.http.max_concurrent_streams)
            .max_header_list_size(
                u32::try_from(config.http.max_head_bytes.get()).unwrap_or(u32::MAX),
            )
            .keep_alive_interval(Some(HTTP2_PING));
        let service = self.service(remote, None);
        let io = Rewind::new(bytes, TokioIo::new(io));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut stop = self.stop.clone();
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        let mut told = false;
        let _ = poll_fn(|cx| {
            // first: hyper would close a connection unanswered that is told before it has read
            let polled = connection.as_mut().poll(cx);
            if polled.is_pending() && !told && stopped.as_mut().poll(cx).is_ready() {
                told = true;
                connection.as_mut().graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            polled
        })
        .await; // an error is the client's going away
    }

    /// Serves requests until the connection ends, or is a stream's.
    async fn serve_http1<S: Io>(
        &self,
        io: S,
        bytes: Bytes,
        remote: Remote,
    ) -> Option<(S, Box<Opening>)> {
        let config = self.app.config();
        let http = &config.http;
        let stopping = *self.stop.borrow();
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(http.idle_timeout.std())
            .keep_alive(!stopping)
            // an answer is short: one piece costs less than a list of two
            .writev(false)
            .max_buf_size(http.max_head_bytes.as_usize().max(MIN_BUFFER));
        let taken = Taken::default();
        let heads = Heads::new(&bytes, http.max_head_bytes.as_usize());
        let io = TokioIo::new(Noted::new(io, heads.clone()));
        let service = ConnectionService {
            heads: Some(heads),
            ..self.service(remote, Some(taken.clone()))
        };
        let mut connection = builder.serve_connection(Rewind::new(bytes, io), service);
        let mut stop = self.stop.clone();
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        let mut told = stopping;
        let opening = poll_fn(|cx| {
            // first: hyper would close a connection unanswered that is told before it has read
            let polled = connection.poll_without_shutdown(cx);
            if polled.is_pending() && !told && stopped.as_mut().poll(cx).is_ready() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            match (taken.lock().take(), polled) {
                // the client may have gone away in the same poll: then there is nothing to take
                (_, Poll::Ready(Err(error))) => {
                    self.count_unreadable(&error);
                    Poll::Ready(None)
                }
                (Some(opening), _) => Poll::Ready(Some(opening)),
                (None, polled) => polled.map(|_| None),
            }
        })
        .await;
        let io = connection.into_parts().io.into_inner();
        let io = io.into_inner().into_inner();
        match opening {
            Some(opening) => Some((io, opening)),
            None => {
                linger(io).await;
                None
            }
        }
    }

    fn service(&self, remote: Remote, taken: Option<Taken>) -> ConnectionService {
        ConnectionService {
            context: self.clone(),
            peer: remote.peer,
            certificate: remote.certificate,
            arrival: Arrival {
                shard: self.shard,
                parting: remote.parting,
            },
            taken,
            heads: None,
        }
    }

    /// Answers without hyper, and closes. A page may read it as any refusal: `head` is what came of the
    /// request.
    async fn refuse(&self, mut socket: impl Io, problem: Problem, head: &[u8]) {
        self.app.hub.stats.problems.of(problem.kind).add(1);
        let (status, body) = (problem.kind.status(), problem.to_json().to_string());
        let shared = self.app.settings().cors.lines(head::origin(head));
        let lines = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n",
            body.len()
        );
        let answer = [lines.as_bytes(), &shared, b"\r\n", body.as_bytes()].concat();
        let _ = socket.write_all(&answer).await;
        linger(socket).await;
    }

    /// Hyper has answered what it could not read, and says nothing of it to its service.
    fn count_unreadable(&self, error: &hyper::Error) {
        let kind = match error {
            error if error.is_parse_too_large() => Kind::HeadTooLarge,
            error if error.is_parse() => Kind::MalformedRequest,
            _ => return, // the client went away
        };
        self.app.hub.stats.problems.of(kind).add(1);
    }
}

/// What a connection is served over.
trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// Who is at the other end of a connection, and what says why it ended.
struct Remote {
    peer: Option<SocketAddr>,
    /// What the client has shown in the handshake, and an authority has vouched for.
    certificate: Option<Arc<ClientCertificate>>,
    parting: Arc<Parting>,
}

/// How often an HTTP/2 connection is asked whether it is still there.
const HTTP2_PING: Duration = Duration::from_secs(20);
/// The smallest buffer that hyper takes.
const MIN_BUFFER: usize = 8192;
/// How long, and how much, is read from a connection whose answer is sent, so that the answer arrives
/// although the client was still sending.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

async fn linger(mut socket: impl Io) {
    if socket.shutdown().await.is_err() {
        return;
    }
    let mut buffer = [0; 4096];
    let reading = async {
        let mut left = LINGER_BYTES;
        while let Ok(n) = socket.read(&mut buffer).await
            && n > 0
            && n < left
        {
            left -= n;
        }
    };
    let _ = tokio::time::timeout(LINGER, reading).await;
}

/// Whoever stands in front may have taken the other length for the right one: nothing that follows on
/// this connection is known to be a request.
fn two_lengths() -> Response {
    let mut response = Problem::new(
        Kind::MalformedRequest,
        "a request has Content-Length or Transfer-Encoding, not both",
    )
    .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    hardening::harden(headers);
    response
}

fn version_is_off() -> Problem {
    Problem::new(
        Kind::HttpVersion,
        "this relay speaks only one of HTTP/1.1 and HTTP/2; use the other one",
    )
}

/// Why the first request of a connection cannot be read, if it cannot. Hyper would say it without a
/// sentence.
fn unreadable(bytes: &[u8], max: usize) -> Option<Problem> {
    match head::parse(bytes, max) {
        head::Parsed::Partial | head::Parsed::Request { .. } => None,
        head::Parsed::TooLarge => Some(Problem::new(
            Kind::HeadTooLarge,
            format!(
                "a request's head may have {max} bytes and {} lines",
                head::MAX_HEADERS
            ),
        )),
        head::Parsed::Foreign => Some(Problem::new(
            Kind::MalformedRequest,
            "send HTTP/1.1 or HTTP/2 in plain text; this port has no TLS, and header lines have no control characters",
        )),
    }
}

/// A connection that counts for its shard until it ends.
struct Load {
    context: Option<Context>,
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(context) = &self.context {
            context
                .app
                .hub
                .load(context.shard)
                .fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Where a service leaves the stream that its connection becomes.
type Taken = Arc<Mutex<Option<Box<Opening>>>>;

/// The requests of one connection.
struct ConnectionService {
    context: Context,
    peer: Option<SocketAddr>,
    certificate: Option<Arc<ClientCertificate>>,
    arrival: Arrival,
    /// `None` where the connection cannot be taken over.
    taken: Option<Taken>,
    /// Requests as they came; `None` where a request has one length only (HTTP/2).
    heads: Option<Heads>,
}

impl ConnectionService {
    /// Who asks; a proxy's word that is not believed is counted.
    fn client(&self, headers: &HeaderMap) -> Client {
        let settings = self.context.app.settings();
        let claims = settings
            .proxies
            .disbelieves(self.peer, |name| headers.contains_key(name));
        if claims {
            self.context.app.hub.stats.disbelieved.add(1);
        }
        settings.proxies.client(self.peer, |name| {
            let values = headers.get_all(name).iter();
            values.map(http::HeaderValue::as_bytes)
        })
    }

    fn is_stream(&self, path: &str) -> bool {
        path == EVENTS || self.context.app.settings().routes.find(path).is_some()
    }

    /// Whether a request may become a stream on its own socket.
    fn may_take_over(&self, request: &hyper::Request<Incoming>) -> bool {
        request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && self.is_stream(request.uri().path())
            && super::says_its_host_once(request)
            && self.context.app.phase() != Phase::Draining
    }

    /// The stream that a request opens on its own socket, if it does. Who asks may have to be waited for.
    fn take_over(
        &self,
        taken: &Taken,
        request: hyper::Request<Incoming>,
    ) -> BoxFuture<'static, Result<Response, Infallible>> {
        let app = self.context.app.clone();
        let client = self.client(request.headers());
        if limited::shows_too_often(&app, &request, client).is_some() {
            return self.routing(client)(request);
        }
        let asked = events::subscribe(&app, &request, client, Framing::Chunked);
        let decided = asked.answer_at_once(&app);
        if let Some(Answer::Open(opening)) = decided {
            *taken.lock() = Some(opening);
            // parked for good: the connection is taken apart before this could be answered
            return Box::pin(std::future::pending());
        }
        if decided.is_some() {
            return self.routing(client)(request);
        }
        let (taken, routed) = (taken.clone(), self.routing(client));
        Box::pin(async move {
            let asked = events::subscribe(&app, &request, client, Framing::Chunked);
            let identity = asked.identify(&app, request.headers()).await;
            if let Answer::Open(opening) = asked.answer(&app, identity.clone()).await {
                *taken.lock() = Some(opening);
                return std::future::pending().await;
            }
            let mut request = request;
            request.extensions_mut().insert(Identified(identity));
            routed(request).await
        })
    }

    /// What the routes answer.
    fn routing(
        &self,
        client: Client,
    ) -> impl FnOnce(hyper::Request<Incoming>) -> BoxFuture<'static, Result<Response, Infallible>>
    + Send
    + use<> {
        let (context, arrival) = (self.context.clone(), self.arrival.clone());
        let heads = self.heads.clone();
        move |request| {
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(client);
            request.extensions_mut().insert(arrival);
            let asked = (request.method().clone(), request.uri().clone());
            let app = context.app;
            Box::pin(async move {
                let response = context.router.oneshot(request).await?;
                answered(&app, client, heads, &asked, &response);
                Ok(response)
            })
        }
    }

    /// The same for a publish, without the way that others take.
    fn publishing(
        &self,
        client: Client,
        request: hyper::Request<Incoming>,
    ) -> BoxFuture<'static, Result<Response, Infallible>> {
        let (app, heads) = (self.context.app.clone(), self.heads.clone());
        let asked = (request.method().clone(), request.uri().clone());
        Box::pin(async move {
            let response = super::publish_directly(app.clone(), request, client).await;
            answered(&app, client, heads, &asked, &response);
            Ok(response)
        })
    }
}

/// What an answer means besides: counts, tries that failed, the audit log.
fn answered(
    app: &App,
    client: Client,
    heads: Option<Heads>,
    asked: &(Method, Uri),
    response: &Response,
) {
    if let Some(heads) = heads {
        heads.answered();
    }
    let said = response.extensions();
    if let Some(kind) = said.get::<Kind>() {
        app.hub.stats.problems.of(*kind).add(1);
    }
    if let Some(AuthRefusal::Refused(refused)) = said.get::<AuthRefusal>() {
        app.limits.failed(client.address, *refused);
    }
    if let Some(denial) = said.get::<Denial>() {
        app.audit.record(&Entry {
            action: Action::Denied,
            who: denial.who.as_deref(),
            address: client.address,
            // without the query, which may hold a credential
            target: &format!("{} {}", asked.0, asked.1.path()),
            outcome: denial.reason,
        });
    }
}

impl Service<hyper::Request<Incoming>> for ConnectionService {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        if let Some(heads) = &self.heads
            && heads.says_two_lengths(request.headers())
        {
            let kind = Kind::MalformedRequest;
            self.context.app.hub.stats.problems.of(kind).add(1);
            return Box::pin(async { Ok(two_lengths()) });
        }
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        match &self.taken {
            Some(taken) if self.may_take_over(&request) => self.take_over(taken, request),
            _ => {
                let client = self.client(request.headers());
                match super::is_publish(&request) {
                    true => self.publishing(client, request),
                    false => self.routing(client)(request),
                }
            }
        }
    }
}

/// The headers of a subscribe; `None` when one is there twice, or Host is not, which is for the router
/// to judge.
struct Headers<'a> {
    last_event_id: Option<&'a [u8]>,
    user_agent: Option<&'a str>,
    caller: super::access::Caller<'a>,
}

impl<'a> Headers<'a> {
    fn of(request: &head::Request<'a>) -> Option<Headers<'a>> {
        let mut headers = Headers {
            last_event_id: None,
            user_agent: None,
            caller: super::access::Caller::default(),
        };
        for header in &request.headers {
            let text = std::str::from_utf8(header.value).ok();
            match header.name.to_ascii_lowercase().as_str() {
                "host" if headers.caller.host.is_some() => return None,
                "host" => headers.caller.host = Some(text.unwrap_or("")),
                "origin" if headers.caller.origin.is_some() => return None,
                "origin" => headers.caller.origin = Some(text.unwrap_or("null")),
                "sec-fetch-site" if headers.caller.sec_fetch_site.is_some() => return None,
                "sec-fetch-site" => headers.caller.sec_fetch_site = Some(text.unwrap_or("")),
                "last-event-id" => headers.last_event_id = Some(header.value),
                "user-agent" => headers.user_agent = text,
                // a body, an upgrade or a wait for 100: nothing of a plain subscribe
                "content-length" | "transfer-encoding" | "upgrade" | "expect" => return None,
                _ => {}
            }
        }
        headers.caller.host.is_some().then_some(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_noticed_when_a_thread_ends_by_a_panic() {
        let (_first, first_lives) = oneshot::channel();
        let (second, second_lives) = oneshot::channel();
        let mut threads = Threads {
            alive: vec![first_lives, second_lives],
        };
        let nobody = tokio::time::timeout(Duration::from_millis(1), threads.one_ended()).await;
        assert!(nobody.is_err());
        let panicked = std::thread::spawn(move || {
            let _life: oneshot::Sender<Infallible> = second;
            panic!("as a shard would");
        });
        assert_eq!(threads.one_ended().await, 1);
        assert!(panicked.join().is_err());
    }
}
