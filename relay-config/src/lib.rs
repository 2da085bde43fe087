//! The one document that the operator writes and sse-relay reads.
//!
//! [`Config`] is the document: every field has a default and a description, [`schema`] is its
//! JSON Schema. [`Config::from_sources`] reads it from YAML and environment variables, refuses
//! unknown keys with the nearest right name, and returns only what [`Config::validate`] finds
//! right. [`Config::effective`] says what holds for one channel.
//!
//! Nothing here does I/O: texts and variables are arguments.

mod archive;
mod audit;
mod auth;
mod byte_size;
mod channels;
mod claim;
mod client_certificates;
mod client_tls;
mod config;
mod cookie;
mod cors;
mod delivery;
mod error;
mod forward;
mod http;
mod jwks;
mod jwt;
mod limits;
mod load;
mod log;
mod log_filter;
mod nearest;
mod origin;
mod origin_pattern;
mod pattern;
mod postgres;
mod process;
mod proxies;
mod redis;
mod reload;
mod revocations;
#[cfg(test)]
mod round_trip;
mod routes;
mod schema;
mod service_links;
mod shape;
mod sources;
mod tcp;
mod template;
mod tickets;
mod timespan;
mod tls;
mod traces;
mod tree;
mod unix_socket;
mod validate;
mod variables;
mod web_address;

pub use archive::Archive;
pub use audit::{Audit, AuditTarget};
pub use auth::{Anonymous, Auth, Right, StaticToken};
pub use byte_size::{ByteSize, ByteSizeError};
pub use channels::{Access, ChannelRule, ChannelSettings, RetentionOverride};
pub use claim::{ClaimPath, ClaimPathError, PatternTemplate, TemplateError};
pub use client_certificates::CertificateRule;
pub use client_tls::ClientTls;
pub use config::Config;
pub use cookie::Cookie;
pub use cors::{Cors, CorsMethod};
pub use delivery::{Heartbeat, HeartbeatAs, Overflow, Stream};
pub use error::{LoadError, Located, Unknown};
pub use forward::Forward;
pub use http::Http;
pub use jwks::Jwks;
pub use jwt::{Algorithm, Claims, Expiry, GrantTemplate, Jwt, JwtKey};
pub use limits::{AttributeLimit, Limit, Limits, ToBrowsers};
pub use log::{Data, EventLimits, Fsync, Idempotency, Retention};
pub use log_filter::{LogDirective, LogFilter, LogFilterError, Severity};
pub use origin::Origin;
pub use origin_pattern::{MAX_ORIGIN_BYTES, OriginError, OriginPattern};
pub use pattern::{ChannelPattern, MAX_PATTERN_BYTES, PatternError};
pub use postgres::{
    MAX_POSTGRES_NAME, Postgres, PostgresAddress, PostgresCredentials, PostgresTarget, PostgresTls,
    PostgresUrl,
};
pub use process::{Demo, Drain, LogFormat, Logging};
pub use proxies::{ForwardedHeader, Network, NetworkError, Plaintext, Proxies, ProxyProtocol};
pub use redis::{
    Redis, RedisAddress, RedisCluster, RedisCredentials, RedisMode, RedisRole, RedisSentinel,
    RedisServer, RedisTarget, RedisTls,
};
pub use reload::Changes;
pub use revocations::Revocations;
pub use routes::{
    BeatWhen, Charset, Dialect, DialectFarewell, DialectHeartbeat, FarewellWhen, FilledKey,
    FilterValues, FrameField, JsonStyle, LineEnd, Refusal, RefusedFor, Repeated, Route, RouteCors,
    RouteCredentials, RouteFilter, RoutePath, RoutePathError, RouteStatus,
};
pub use schema::schema;
pub use sources::{
    AmqpSource, Begin, Broker, BrokerAddress, BrokerCredentials, BrokerProtocol, BrokerTls,
    ChannelsLayer, DjangoChannelsSource, Durable, EncryptionKey, Expect, ListenNames, Mapping,
    PostgresListenSource, PostgresOutboxSource, RabbitmqSource, RedisPubSubSource,
    RedisStreamSource, Routing, Source, SourceKind, SourceRedis, SseCredentials, SseScheme,
    SseSource, StompSource, TakenRow,
};
pub use tcp::Tcp;
pub use template::{Choice, Form, Language, Name, Part, Place, Scope, Template, TemplateFault};
pub use tickets::{TicketBinding, Tickets};
pub use timespan::{Timespan, TimespanError};
pub use tls::{ClientAuth, Tls, TlsVersion};
pub use traces::Traces;
pub use unix_socket::UnixSocket;
pub use validate::Problem;
pub use variables::{NOT_CONFIGURATION, PREFIX, variable_names};
pub use web_address::AddressError;
