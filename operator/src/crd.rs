//! The resource `SseRelay`: what people write.
//!
//! Every type here deserializes whatever the schema admits: texts with a meaning stay texts until
//! [`crate::validate`] reads them, so that one odd resource can never stop the watch on all.

mod archive;
mod auth;
mod autoscaling;
mod channels;
mod connections;
mod cors;
mod definition;
mod forward;
mod gateway;
mod ingress;
mod jwt;
mod limits;
mod monitoring;
mod pod;
mod policy;
mod proxies;
mod redis;
mod rollout;
mod server;
mod status;
mod streaming_check;
mod text;
mod tls;
mod traces;
mod verbatim;

pub use archive::{Archive, Postgres};
pub use auth::{Anonymous, Auth, Right, SecretKey, ServiceAccounts, Token};
pub use autoscaling::{Autoscaling, Scaling, StreamScaling};
pub use channels::{Access, Channel, Overflow, Retention, RetentionOverride};
pub use connections::{Revocations, Tcp};
pub use cors::{Cors, Method};
pub use definition::{definition, yaml};
pub use forward::Forward;
pub use gateway::{Gateway, ParentRef, Scheme};
pub use ingress::{Exposed, Ingress, IngressTls, Issuer, IssuerKind};
pub use jwt::{Algorithm, Claims, Grant, Jwks, Jwt, KnownKey};
pub use limits::{AttributeLimit, Limit};
pub use monitoring::Monitoring;
pub use pod::{Image, PodTemplate, PullPolicy, PullSecret};
pub use policy::{DisruptionBudget, NetworkPolicy};
pub use proxies::{ForwardedHeader, Plaintext, Proxies, ProxyProtocol};
pub use redis::{
    Cluster, DeletionPolicy, ExternalRedis, ManagedRedis, Redis, Sentinel, Standalone, Storage,
};
pub use rollout::{Rollout, Strategy};
pub use server::{Authorities, KeyKind, ServerCredentials, ServerTls};
pub use status::{
    Condition, ConditionStatus, ConditionType, Effective, Pinned, Reason, SseRelayStatus,
};
pub use streaming_check::StreamingCheck;
pub use text::{Bytes, Span};
pub use tls::{CertificateRule, ClientAuth, Tls, TlsVersion};
pub use traces::Traces;
pub use verbatim::{File, Route, Settings, Source};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A relay for server-sent events, and everything that runs it.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sserelay.dev",
    version = "v1alpha1",
    kind = "SseRelay",
    plural = "sserelays",
    shortname = "sser",
    category = "sse",
    namespaced,
    status = "SseRelayStatus",
    derive = "PartialEq",
    doc = "A relay for server-sent events: publishers hand it events over HTTP, browsers and programs stream them.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Streams", type_ = "integer", json_path = ".status.streams"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Controller", type_ = "string", json_path = ".status.effective.ingressController", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.pinned.version", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name is also that of a Service: use at most 50 lowercase letters, digits and hyphens, beginning with a letter"),
    validation = Rule::new("!self.metadata.name.matches('-(config|pods|tokens|redis|users|dashboard|probe)$')")
        .message("names that end in -config, -pods, -tokens, -redis, -users, -dashboard or -probe belong to the objects of another relay; choose another ending"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.replicas <= 1 || has(self.redis)")
        .message("without redis each replica has a log of its own in memory, so a second one would not see the events of the first; name a Redis, or write 1, or 0 to stop the relay")
        .field_path(".replicas"),
    validation = Rule::new("!has(oldSelf.redis) || has(self.redis)")
        .message("without redis the relay would begin an empty log; make another SseRelay for that")
        .field_path(".redis"),
    validation = Rule::new("!has(self.expose) || has(self.ingress) || has(self.gateway)")
        .message("it says what the way in from outside shows; set ingress or gateway too, or remove expose")
        .field_path(".expose"),
    validation = Rule::new("!has(self.ingress) || !has(self.gateway)")
        .message("there is one way in from outside; remove ingress or gateway")
        .field_path(".gateway"),
    validation = Rule::new("!has(self.tls) || (!has(self.ingress) && !has(self.gateway))")
        .message("what serves an Ingress or a Gateway ends TLS by itself and speaks plain HTTP with pods; remove tls, or ingress and gateway")
        .field_path(".tls"),
    validation = Rule::new("!has(self.auth) || !has(self.auth.certificates) || (has(self.tls) && has(self.tls.clientCa))")
        .message("somebody must vouch for certificates; name the authorities in tls.clientCa")
        .field_path(".auth.certificates"),
    validation = Rule::new("!has(self.autoscaling) || has(self.redis)")
        .message("more than one replica takes a Redis; name one in redis, or remove autoscaling")
        .field_path(".autoscaling"),
    validation = Rule::new("!has(self.autoscaling) || !has(self.autoscaling.streams) || !has(self.autoscaling.streams.perReplica) || self.autoscaling.streams.perReplica <= self.maxStreams")
        .message("a replica takes no more streams than maxStreams; write at most that, or raise maxStreams")
        .field_path(".autoscaling.streams.perReplica"),
    validation = Rule::new("!has(self.ingress) || !has(self.ingress.controller) || !has(self.heartbeat) || !has(self.heartbeat.interval) || (self.ingress.controller in ['haproxy-technologies', 'haproxy-ingress'] ? duration(self.heartbeat.interval) < duration('25s') : self.ingress.controller in ['contour', 'cilium'] ? duration(self.heartbeat.interval) < duration('150s') : self.ingress.controller != 'generic' || duration(self.heartbeat.interval) < duration('30s'))")
        .message("must be under half of the idle timeout of ingress.controller, or quiet streams are cut: under 25s for the HAProxy controllers, 150s for contour and cilium, 30s for generic")
        .field_path(".heartbeat.interval"),
    validation = Rule::new("!has(self.ingress) || !has(self.ingress.className) || !has(self.ingress.annotations) || !('kubernetes.io/ingress.class' in self.ingress.annotations)")
        .message("className and the annotation kubernetes.io/ingress.class exclude each other; remove the annotation")
        .field_path(".ingress.annotations")
)]
pub struct SseRelaySpec {
    /// Version of the relay, the tag of its image. Left out, it is the operator's own version when
    /// the resource is created and stays that, unless `upgradePolicy` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 63),
        regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub version: Option<String>,
    /// What an upgrade of the operator does to a relay whose `version` is left out.
    #[serde(default)]
    pub upgrade_policy: UpgradePolicy,
    /// Where the relay's image comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Number of replicas; 0 stops the relay. More than one takes `redis`.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Streams that one replica serves at once. Memory and limits are derived from it.
    #[serde(default = "ten_thousand")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_streams: i32,
    /// Bytes that the log of one replica keeps for all channels together, without `redis`; past it
    /// the oldest events give way.
    #[serde(default = "default_log")]
    pub max_log_bytes: Bytes,
    /// Where the log is kept. Left out, it is in the memory of the one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// A long-term copy of events in PostgreSQL. Left out, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// How much of each channel the log keeps: whatever bound is reached first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Rules for channels. For each field the first matching rule that sets it wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub channels: Vec<Channel>,
    /// The sign of life on quiet streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// Bounds on what publishers and subscribers may send and ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Who may do what. Left out, the operator makes a Secret with one token each to publish, to
    /// subscribe and to observe, and names it in the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Credentials that are refused before they end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocations: Option<Revocations>,
    /// TLS in the relay's own pods, for those that reach them inside of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Paths of other systems, which the relay serves as those did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub routes: Vec<Route>,
    /// Systems that events are pulled from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub sources: Vec<Source>,
    /// Files from Secrets that sources may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub files: Vec<File>,
    /// How soon lost connections are noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// What OpenTelemetry is told of publishes and deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// Pages of other origins that may use the relay from a browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// The proxies in front of the relay, and what is believed of what they say about clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Proxies>,
    /// The way in from outside of the cluster by an Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// The way in from outside of the cluster by the Gateway API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// What the way in from outside shows; only subscribing, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub expose: Option<Vec<Exposed>>,
    /// Whether the operator tries through the way in from outside that streams really stream.
    #[serde(default)]
    pub streaming_check: StreamingCheck,
    /// Who changes the number of replicas with what is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Objects for those who watch the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// What else the relay can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// How replicas are replaced, and how their streams leave them.
    #[serde(default)]
    pub rollout: Rollout,
    /// How many replicas may be taken away at once on purpose, as when a node is emptied.
    #[serde(default)]
    pub disruption_budget: DisruptionBudget,
    /// Who may reach the relay's pods, and whom they may reach.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
    /// What the relay writes about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// What else its pods need. What is written here wins over what the operator derives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

impl Default for SseRelaySpec {
    /// As an empty spec is read: the defaults stand once, beside the fields.
    fn default() -> Self {
        serde_json::from_value(serde_json::json!({})).expect("every field has a default")
    }
}

/// What an upgrade of the operator does to a relay whose `version` is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradePolicy {
    /// Nothing: the relay stays what it is.
    #[default]
    Manual,
    /// The relay follows the operator, one relay at a time.
    Auto,
}

/// The sign of life on quiet streams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Time between two heartbeats, from 1s to 10m; 15s, if it is left out. Shorter than half the
    /// idle timeout of every proxy on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// What a heartbeat is on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "as")]
    pub kind: Option<HeartbeatAs>,
}

/// What a heartbeat is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HeartbeatAs {
    /// A comment, which programs do not see.
    Comment,
    /// An event named `heartbeat`, so that programs can notice its absence.
    Event,
}

/// Bounds on what publishers and subscribers may send and ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Bytes of one event's data and attributes together; 1Mi, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_bytes: Option<Bytes>,
    /// Bytes of the body of one publish, which may be a batch; 1Mi, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<Bytes>,
    /// Number of events in one batch; 1000, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_events: Option<i32>,
    /// Number of channels and patterns of one stream; 100, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub channels_per_stream: Option<i32>,
    /// The longest life of a stream; 1h, if it is left out. It ends in the last tenth of it, and
    /// its client resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_age: Option<Span>,
    /// Bytes that may wait for one slow stream; 1Mi, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<Bytes>,
    /// Bytes that may wait for all slow streams of a replica together; 256Mi, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_memory: Option<Bytes>,
    /// For everybody together; past it the answer is 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Limit>,
    /// For each subject of credentials; past it, as past those that follow, the answer is 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_subject: Option<Limit>,
    /// For each address of clients; behind proxies name these first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_address: Option<Limit>,
    /// Credentials of one address that are refused in a second; any number, if it is left out. Past it,
    /// whatever that address sends with a credential is answered 429, unchecked, until it is calm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub auth_failures_per_second: Option<i32>,
    /// For all whose credential has the same value of an attribute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["attribute".into()]))]
    pub per_attribute: Vec<AttributeLimit>,
}

/// What the relay writes about itself, as one JSON object per line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logging {
    /// Least severity that is written (`error`, `warn`, `info`, `debug`, `trace`), also per module
    /// as in `info,sse_relay::http=debug`; `off` for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub level: Option<String>,
    /// Name of the environment, the label `env` of each line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub environment: Option<String>,
}

fn one() -> i32 {
    1
}

fn ten_thousand() -> i32 {
    10_000
}

fn default_log() -> Bytes {
    Bytes("256Mi".to_owned())
}
