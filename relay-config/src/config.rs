//! The document as a whole.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::audit::Audit;
use crate::auth::Auth;
use crate::byte_size::ByteSize;
use crate::channels::ChannelRule;
use crate::cors::Cors;
use crate::delivery::{Heartbeat, Stream};
use crate::http::Http;
use crate::limits::Limits;
use crate::log::{Data, EventLimits, Idempotency, Retention};
use crate::process::{Demo, Drain, Logging};
use crate::proxies::Proxies;
use crate::redis::Redis;
use crate::revocations::Revocations;
use crate::routes::Route;
use crate::sources::Source;
use crate::tcp::Tcp;
use crate::tickets::Tickets;
use crate::tls::Tls;
use crate::traces::Traces;
use crate::unix_socket::UnixSocket;

/// The configuration of one sse-relay. Every field has a default; an empty document is legal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Address and port for publishers and subscribers.
    #[schemars(with = "String", example = "0.0.0.0:8080", example = "[::]:8080")]
    pub listen: SocketAddr,
    /// Address and port for health, metrics and administration.
    #[schemars(with = "String", example = "0.0.0.0:8081")]
    pub admin_listen: SocketAddr,
    /// Unix sockets that are served besides `listen`.
    pub unix_sockets: Vec<UnixSocket>,
    /// TLS on `listen`, with HTTP/1.1 and HTTP/2. Without this section it is plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whether to listen beyond the loopback interface although no credentials are configured,
    /// so that everybody who reaches the port may publish and subscribe.
    pub insecure_open: bool,
    /// Credentials. Without this section a loopback listener is open, and no other address is
    /// served unless `insecureOpen` says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Credentials that are refused before they end.
    pub revocations: Revocations,
    /// Short-lived credentials for the address of a stream.
    pub tickets: Tickets,
    /// Where refusals and uses of power are written down.
    pub audit: Audit,
    /// Pages of other origins that may use the relay from a browser.
    pub cors: Cors,
    /// The proxies in front of the relay, and what is believed of what they say about clients.
    pub proxies: Proxies,
    /// How much this replica does at once and in a second.
    pub limits: Limits,
    /// Name of the environment, the label `env` in logs.
    pub environment: String,
    /// What the process writes about itself.
    pub logging: Logging,
    /// Where the event log is kept between starts.
    pub data: Data,
    /// The Redis that replicas share their event log through. Without it the log is this process's
    /// own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// A long-term copy of events in PostgreSQL. Without this section there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// How much of each channel the event log keeps: whatever bound is reached first.
    pub retention: Retention,
    /// Bytes that the event log of this process keeps for all channels together; past it the oldest
    /// events give way. In Redis, its `maxmemory` bounds all channels, and publishes are refused
    /// past it.
    pub max_log_bytes: ByteSize,
    /// Rules for channels. For each field the first matching rule that sets it wins; without
    /// one, the defaults of the rest of this document hold.
    pub channels: Vec<ChannelRule>,
    /// Paths of other systems, which the relay serves as those did.
    pub routes: Vec<Route>,
    /// Systems that events are pulled from, by one of the replicas.
    pub sources: Vec<Source>,
    /// What one event may contain.
    pub event: EventLimits,
    /// How long repeated publishes with the same `Idempotency-Key` are recognised.
    pub idempotency: Idempotency,
    /// The sign of life on quiet streams.
    pub heartbeat: Heartbeat,
    /// What one stream may ask for and how much of it may wait.
    pub stream: Stream,
    /// Protocols, deadlines and limits of HTTP.
    pub http: Http,
    /// How soon the system notices that the other end of a connection is gone.
    pub tcp: Tcp,
    /// What OpenTelemetry is told of publishes and deliveries. Without this section it is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// How the process leaves: its streams move to other replicas before it exits.
    pub drain: Drain,
    /// Events made up by the relay itself, to try it out.
    pub demo: Demo,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            unix_sockets: Vec::new(),
            tls: None,
            insecure_open: false,
            auth: None,
            revocations: Revocations::default(),
            tickets: Tickets::default(),
            audit: Audit::default(),
            cors: Cors::default(),
            proxies: Proxies::default(),
            limits: Limits::default(),
            environment: "production".to_owned(),
            logging: Logging::default(),
            data: Data::default(),
            redis: None,
            archive: None,
            retention: Retention::default(),
            max_log_bytes: ByteSize::from_mib(1024),
            channels: Vec::new(),
            routes: Vec::new(),
            sources: Vec::new(),
            event: EventLimits::default(),
            idempotency: Idempotency::default(),
            heartbeat: Heartbeat::default(),
            stream: Stream::default(),
            http: Http::default(),
            tcp: Tcp::default(),
            traces: None,
            drain: Drain::default(),
            demo: Demo::default(),
        }
    }
}

impl Config {
    /// The whole document as YAML, with every default written out.
    ///
    /// [`Config::from_sources`] reads the same configuration back if it is a valid one.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("only strings, numbers, lists and string-keyed maps")
    }
}
