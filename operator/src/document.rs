//! The relay's configuration, as the resource asks for it.

mod archive;
mod connections;
mod forward;
pub mod jwt;
mod limits;
mod redis;
mod server;
pub mod settings;
mod tls;
mod verbatim;

pub use redis::prefix;

use std::collections::BTreeMap;

use relay_config::{self as config, ByteSize, Config, Timespan};
use serde_json::Value;

use crate::crd::{self, Bytes, Span, SseRelaySpec};
use crate::names::{ADMIN_PORT, Names, PUBLIC_PORT};
use crate::references::Key;
use crate::sizing::Sizing;
use crate::tokens::{Generated, Token};

/// Texts of the resource that do not mean anything, each with its path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unread(pub Vec<(String, String)>);

impl Unread {
    /// The time that the field at `path` says.
    pub fn span(&mut self, path: &str, span: &Span) -> Timespan {
        span.read().unwrap_or_else(|error| {
            self.0.push((path.to_owned(), error.to_string()));
            Timespan::default()
        })
    }

    /// The number of bytes that the field at `path` says.
    pub fn bytes(&mut self, path: &str, bytes: &Bytes) -> ByteSize {
        bytes.read().unwrap_or_else(|error| {
            self.0.push((path.to_owned(), error.to_string()));
            ByteSize::default()
        })
    }
}

/// What a replica keeps of a log in Redis: recent events, for clients that come back, and what it
/// knows of channels.
const RECENT: ByteSize = ByteSize::from_mib(32);

/// How long a replica takes to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Everything is still served.
    pub propagation: Timespan,
    /// Streams are closed, spread over it.
    pub window: Timespan,
    /// After that the process ends in any case.
    pub timeout: Timespan,
}

/// The longest time that Kubernetes is asked to wait.
const LONGEST: Timespan = Timespan::from_secs(600);
/// Room for the last requests after the last stream.
const ROOM: u64 = 5_000;
/// Room for the process to end after that.
const GRACE: u64 = 10;

impl Leaving {
    /// Seconds that a pod gets after it was asked to leave.
    #[must_use]
    pub fn grace_seconds(&self) -> u64 {
        self.timeout.as_millis().div_ceil(1_000) + GRACE
    }

    /// Seconds in which streams are still served.
    #[must_use]
    pub fn drain_seconds(&self) -> u64 {
        (self.propagation.as_millis() + self.window.as_millis()).div_ceil(1_000)
    }
}

/// Who may do what, with secrets already hashed.
pub enum Credentials<'a> {
    /// The resource names none.
    Generated(&'a Generated),
    /// The resource names these; the hashes stand in the order of its tokens.
    Named(&'a crd::Auth, &'a [String]),
}

/// What the spec refers to, as it was found.
pub struct Given<'a> {
    /// What the relay's objects are called.
    pub names: &'a Names,
    /// Who may do what.
    pub credentials: Credentials<'a>,
    /// The token by which the operator proves that streams stream, if it does.
    pub probe: Option<&'a Token>,
    /// Texts that stand in Secrets.
    pub texts: &'a BTreeMap<Key, String>,
}

/// The configuration and what follows from the same fields, or what means nothing.
pub fn configuration(
    spec: &SseRelaySpec,
    given: &Given<'_>,
) -> Result<(Config, Sizing, Leaving), Unread> {
    let mut unread = Unread::default();
    let leaving = leaving(spec, &mut unread);
    let mut config = Config {
        listen: ([0, 0, 0, 0], PUBLIC_PORT as u16).into(),
        admin_listen: ([0, 0, 0, 0], ADMIN_PORT as u16).into(),
        auth: Some(auth(&given.credentials, &mut unread)),
        max_log_bytes: unread.bytes("maxLogBytes", &spec.max_log_bytes),
        drain: config::Drain {
            propagation: leaving.propagation,
            window: leaving.window,
            timeout: leaving.timeout,
        },
        ..Config::default()
    };
    config.logging.format = config::LogFormat::Json;
    if let Some(logging) = &spec.logging {
        set(&mut config.logging.level, logging.level.clone());
        set(&mut config.environment, logging.environment.clone());
    }
    if let (Some(token), Some(auth)) = (given.probe, &mut config.auth) {
        auth.tokens.push(probe(token));
    }
    log(&mut config, spec, &mut unread);
    let routes = spec.routes.iter().map(|route| &route.0);
    config.routes = verbatim::read("routes", routes, &mut unread);
    let sources = spec.sources.iter().map(|source| &source.0);
    config.sources = verbatim::read("sources", sources, &mut unread);
    verbatim::missing(&spec.sources, &spec.files, &mut unread);
    connections(&mut config, spec, &mut unread);
    config.redis = spec
        .redis
        .as_ref()
        .map(|from| redis::redis(from, given.names, given.texts, &mut unread));
    config.archive = spec
        .archive
        .as_ref()
        .map(|from| archive::archive(from, given.names, given.texts, &mut unread));
    stream(&mut config, spec, &mut unread);
    if let Some(from) = &spec.settings {
        config = settings::settings(config, &from.0, &mut unread);
    }
    let sizing = Sizing::of(
        u64::try_from(spec.max_streams).unwrap_or(0),
        match config.redis {
            Some(_) => RECENT,
            None => config.max_log_bytes,
        },
        config.stream.max_memory,
    );
    config.stream.max_connections = usize::try_from(sizing.connections).ok();
    if unread.0.is_empty() {
        Ok((config, sizing, leaving))
    } else {
        Err(unread)
    }
}

fn connections(config: &mut Config, spec: &SseRelaySpec, unread: &mut Unread) {
    config.tls = spec.tls.as_ref().map(tls::tls);
    config.traces = spec.traces.as_ref().map(connections::traces);
    if let Some(tcp) = &spec.tcp {
        connections::tcp(&mut config.tcp, tcp, unread);
    }
    if let Some(revocations) = &spec.revocations {
        connections::revocations(&mut config.revocations, revocations, unread);
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn leaving(spec: &SseRelaySpec, unread: &mut Unread) -> Leaving {
    let propagation = unread.span("rollout.propagation", &spec.rollout.propagation);
    let window = unread.span("rollout.drainWindow", &spec.rollout.drain_window);
    let timeout = Timespan::from_millis(propagation.as_millis() + window.as_millis() + ROOM);
    Leaving {
        propagation,
        window,
        timeout: timeout.min(LONGEST),
    }
}

fn log(config: &mut Config, spec: &SseRelaySpec, unread: &mut Unread) {
    if let Some(retention) = &spec.retention {
        let events = retention.events.map(|n| u64::try_from(n).unwrap_or(0));
        set(&mut config.retention.events, events);
        let age = retention.age.as_ref();
        let age = age.map(|age| unread.span("retention.age", age));
        set(&mut config.retention.age, age);
        let bytes = retention.bytes.as_ref();
        let bytes = bytes.map(|bytes| unread.bytes("retention.bytes", bytes));
        set(&mut config.retention.bytes, bytes);
    }
    let rules = spec.channels.iter().enumerate();
    config.channels = rules
        .map(|(index, rule)| channel(&format!("channels[{index}]"), rule, unread))
        .collect();
}

fn channel(path: &str, rule: &crd::Channel, unread: &mut Unread) -> config::ChannelRule {
    let mut to = config::ChannelRule::new(rule.r#match.as_str());
    to.retention = rule
        .retention
        .as_ref()
        .map(|from| config::RetentionOverride {
            events: from.events.map(|n| u64::try_from(n).unwrap_or(0)),
            age: from
                .age
                .as_ref()
                .map(|age| unread.span(&format!("{path}.retention.age"), age)),
            bytes: from
                .bytes
                .as_ref()
                .map(|bytes| unread.bytes(&format!("{path}.retention.bytes"), bytes)),
        });
    to.overflow = rule.overflow.map(|overflow| match overflow {
        crd::Overflow::Disconnect => config::Overflow::Disconnect,
        crd::Overflow::DropOldest => config::Overflow::DropOldest,
        crd::Overflow::DropNewest => config::Overflow::DropNewest,
        crd::Overflow::CatchUp => config::Overflow::CatchUp,
        crd::Overflow::Coalesce => config::Overflow::Coalesce,
    });
    to.coalesce_by.clone_from(&rule.coalesce_by);
    to.max_event_bytes = rule
        .max_event_bytes
        .as_ref()
        .map(|bytes| unread.bytes(&format!("{path}.maxEventBytes"), bytes));
    to.publish = rule.publish.map(access);
    to.subscribe = rule.subscribe.map(access);
    to
}

fn access(access: crd::Access) -> config::Access {
    match access {
        crd::Access::Allow => config::Access::Allow,
        crd::Access::Deny => config::Access::Deny,
    }
}

fn stream(config: &mut Config, spec: &SseRelaySpec, unread: &mut Unread) {
    if let Some(heartbeat) = &spec.heartbeat {
        let interval = heartbeat.interval.as_ref();
        let interval = interval.map(|interval| unread.span("heartbeat.interval", interval));
        set(&mut config.heartbeat.interval, interval);
        let kind = heartbeat.kind.map(|kind| match kind {
            crd::HeartbeatAs::Comment => config::HeartbeatAs::Comment,
            crd::HeartbeatAs::Event => config::HeartbeatAs::Event,
        });
        set(&mut config.heartbeat.r#as, kind);
    }
    if let Some(from) = &spec.cors {
        cors(&mut config.cors, from, unread);
    }
    if let Some(from) = &spec.proxies {
        config.proxies = proxies(from);
    }
    let Some(limits) = &spec.limits else { return };
    limits::limits(&mut config.limits, limits, unread);
    let age = limits.stream_age.as_ref();
    let age = age.map(|age| unread.span("limits.streamAge", age));
    set(&mut config.stream.max_age, age);
    let mut size = |path: &str, field: &mut ByteSize, bytes: &Option<Bytes>| {
        if let Some(bytes) = bytes {
            *field = unread.bytes(path, bytes);
        }
    };
    size(
        "limits.eventBytes",
        &mut config.event.max_bytes,
        &limits.event_bytes,
    );
    size(
        "limits.bodyBytes",
        &mut config.http.max_body_bytes,
        &limits.body_bytes,
    );
    size(
        "limits.queueBytes",
        &mut config.stream.max_queue_bytes,
        &limits.queue_bytes,
    );
    size(
        "limits.queueMemory",
        &mut config.stream.max_memory,
        &limits.queue_memory,
    );
    let count = |number: Option<i32>| number.and_then(|n| usize::try_from(n).ok());
    set(
        &mut config.http.max_batch_events,
        count(limits.batch_events),
    );
    set(
        &mut config.stream.max_channels,
        count(limits.channels_per_stream),
    );
}

fn proxies(from: &crd::Proxies) -> config::Proxies {
    config::Proxies {
        trusted: from.trusted.clone(),
        header: match from.header {
            crd::ForwardedHeader::XForwardedFor => config::ForwardedHeader::XForwardedFor,
            crd::ForwardedHeader::Forwarded => config::ForwardedHeader::Forwarded,
        },
        plaintext: match from.plaintext {
            crd::Plaintext::Allow => config::Plaintext::Allow,
            crd::Plaintext::Refuse => config::Plaintext::Refuse,
            crd::Plaintext::Redirect => config::Plaintext::Redirect,
        },
        proxy_protocol: match from.proxy_protocol {
            crd::ProxyProtocol::Off => config::ProxyProtocol::Off,
            crd::ProxyProtocol::Accept => config::ProxyProtocol::Accept,
            crd::ProxyProtocol::Require => config::ProxyProtocol::Require,
        },
        ..config::Proxies::default()
    }
}

fn cors(to: &mut config::Cors, from: &crd::Cors, unread: &mut Unread) {
    to.origins.clone_from(&from.origins);
    let methods = from.methods.as_ref();
    let methods = methods.map(|methods| methods.iter().copied().map(method).collect());
    set(&mut to.methods, methods);
    set(&mut to.headers, from.headers.clone());
    set(&mut to.exposed_headers, from.exposed_headers.clone());
    to.credentials = from.credentials;
    let age = from.max_age.as_ref();
    set(
        &mut to.max_age,
        age.map(|age| unread.span("cors.maxAge", age)),
    );
}

fn method(method: crd::Method) -> config::CorsMethod {
    match method {
        crd::Method::Get => config::CorsMethod::Get,
        crd::Method::Head => config::CorsMethod::Head,
        crd::Method::Post => config::CorsMethod::Post,
        crd::Method::Delete => config::CorsMethod::Delete,
    }
}

fn auth(credentials: &Credentials<'_>, unread: &mut Unread) -> config::Auth {
    match credentials {
        Credentials::Generated(tokens) => generated(tokens),
        Credentials::Named(auth, hashes) => config::Auth {
            tokens: auth
                .tokens
                .iter()
                .zip(*hashes)
                .map(|(token, hash)| named(token, hash))
                .collect(),
            jwt: jwt::issuers(&auth.jwt, unread)
                .into_iter()
                .chain(auth.service_accounts.as_ref().map(jwt::cluster))
                .collect(),
            certificates: auth.certificates.iter().map(tls::certificate).collect(),
            cookie: auth.cookie.clone().map(|name| config::Cookie { name }),
            query_parameter: auth.query_parameter.clone(),
            forward: auth
                .forward
                .as_ref()
                .map(|from| forward::forward(from, unread)),
            anonymous: auth
                .anonymous
                .as_ref()
                .map(|anonymous| config::Anonymous {
                    publish: anonymous.publish.clone(),
                    subscribe: anonymous.subscribe.clone(),
                })
                .unwrap_or_default(),
        },
    }
}

fn named(token: &crd::Token, hash: &str) -> config::StaticToken {
    config::StaticToken {
        name: token.name.clone(),
        sha256: hash.to_owned(),
        publish: token.publish.clone(),
        subscribe: token.subscribe.clone(),
        manage: token.manage.iter().copied().map(right).collect(),
        subject: token.subject.clone(),
        expires: token.expires.clone(),
    }
}

fn right(right: crd::Right) -> config::Right {
    match right {
        crd::Right::Observe => config::Right::Observe,
        crd::Right::Direct => config::Right::Direct,
        crd::Right::Disconnect => config::Right::Disconnect,
        crd::Right::Tickets => config::Right::Tickets,
        crd::Right::Purge => config::Right::Purge,
    }
}

/// What the generated token `manage` may do. A right that comes later is not added to relays that
/// are there: an older relay could not read it.
const MANAGE: [config::Right; 3] = [
    config::Right::Observe,
    config::Right::Direct,
    config::Right::Disconnect,
];

/// The channel by which the operator proves that streams stream. Only its own token is made for it.
pub const PROBE_CHANNEL: &str = "sserelay.probe";
/// What that token is called.
const PROBE_NAME: &str = "sse-relay-operator";

fn probe(token: &Token) -> config::StaticToken {
    let channel = vec![PROBE_CHANNEL.to_owned()];
    config::StaticToken {
        name: PROBE_NAME.to_owned(),
        sha256: token.hash(),
        publish: channel.clone(),
        subscribe: channel,
        manage: Vec::new(),
        subject: None,
        expires: None,
    }
}

fn generated(tokens: &Generated) -> config::Auth {
    let everything = || vec!["**".to_owned()];
    let token = |name: &str, hash: String| config::StaticToken {
        name: name.to_owned(),
        sha256: hash,
        publish: Vec::new(),
        subscribe: Vec::new(),
        manage: Vec::new(),
        subject: None,
        expires: None,
    };
    config::Auth {
        tokens: vec![
            config::StaticToken {
                publish: everything(),
                ..token("publish", tokens.publish.hash())
            },
            config::StaticToken {
                subscribe: everything(),
                ..token("subscribe", tokens.subscribe.hash())
            },
            config::StaticToken {
                manage: MANAGE.to_vec(),
                ..token("manage", tokens.manage.hash())
            },
        ],
        ..config::Auth::default()
    }
}

/// The document as the relay reads it: only what differs from the defaults.
///
/// So a newer operator writes no key that an older relay does not know yet, unless the resource
/// asks for it, and its pods need not be replaced because of a new default.
#[must_use]
pub fn yaml(config: &Config) -> String {
    let value = |config: &Config| serde_json::to_value(config).expect("plain data");
    let mut document = value(config);
    without(&mut document, &value(&Config::default()));
    serde_saphyr::to_string(&document).expect("plain data")
}

/// What of the document a running relay cannot take: while it is the same, pods stay.
///
/// Only what differs from the defaults counts, so that a key that comes with a newer operator
/// replaces no pod.
#[must_use]
pub fn needing_restart(config: &Config) -> Value {
    let mut fields = config.needing_restart();
    let defaults = Config::default().needing_restart();
    if let (Value::Object(fields), Value::Object(defaults)) = (&mut fields, &defaults) {
        fields.retain(|path, value| defaults.get(path) != Some(value));
    }
    fields
}

/// Takes the fields of `defaults` that are the same away from `document`, and what is then empty.
fn without(document: &mut Value, defaults: &Value) {
    let (Value::Object(fields), Value::Object(defaults)) = (document, defaults) else {
        return;
    };
    fields.retain(|name, value| {
        let Some(default) = defaults.get(name) else {
            return true;
        };
        let same = value == default;
        without(value, default);
        !same
    });
}

/// Where the resource has what the configuration calls `path`.
#[must_use]
pub fn path_in_resource(path: &str) -> String {
    const MOVED: [(&str, &str); 16] = [
        ("drain.window", "rollout.drainWindow"),
        ("drain.propagation", "rollout.propagation"),
        ("drain.timeout", "rollout.drainWindow"),
        ("event.maxBytes", "limits.eventBytes"),
        ("http.maxBodyBytes", "limits.bodyBytes"),
        ("http.maxBatchEvents", "limits.batchEvents"),
        ("stream.maxQueueBytes", "limits.queueBytes"),
        ("stream.maxMemory", "limits.queueMemory"),
        ("stream.maxChannels", "limits.channelsPerStream"),
        ("stream.maxAge", "limits.streamAge"),
        ("archive.postgres.url", "archive.postgres.host"),
        ("environment", "logging.environment"),
        ("tls.certificate", "tls.secretName"),
        ("tls.key", "tls.secretName"),
        ("traces.headersFile", "traces.headers"),
        ("traces.caFile", "traces.ca"),
    ];
    if settings::FIELDS.contains(&path) {
        return format!("settings.{path}");
    }
    if let Some(rest) = path.strip_prefix("redis.") {
        return in_redis(rest);
    }
    let moved = MOVED.iter().find(|(from, _)| *from == path);
    moved.map_or_else(|| path.to_owned(), |(_, to)| (*to).to_owned())
}

/// Where the resource has what the configuration calls `redis.…`.
fn in_redis(rest: &str) -> String {
    let moved = match rest {
        "prefix" => return "redis.prefix".to_owned(),
        "url" => "standalone.host",
        "sentinel.service" => "sentinel.master",
        rest => rest,
    };
    format!("redis.external.{}", moved.replace(".nodes", ".hosts"))
}
