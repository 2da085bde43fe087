//! What the operator reports.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::controller_profile::Controller;
use crate::gateway_profile::Implementation;

/// What the operator reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SseRelayStatus {
    /// The generation that the rest of the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How things stand, each with a reason and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Where subscribers reach the relay: outside, if there is a way in, else in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Pods of the relay.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that take streams.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Replicas that `autoscaling.streams` has decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Streams that are open, in two digits, and never newer than a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<i64>,
    /// Labels of the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Secret with the generated tokens, under the keys `publish`, `subscribe` and `manage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret: Option<String>,
    /// The version and image that the relay stays at while the resource does not name them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pinned>,
    /// What was derived from the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
}

/// The version and image that a relay stays at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pinned {
    /// Version of the relay.
    pub version: String,
    /// Repository of its image.
    pub repository: String,
    /// The image of a Redis that the operator runs for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_image: Option<String>,
}

/// What was derived from the resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// The image that runs.
    pub image: String,
    /// Replicas that the Deployment is asked for.
    #[serde(default)]
    pub replicas: i32,
    /// Memory that a pod asks for; absent, if `podTemplate.resources` asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Processor time that a pod asks for; absent, if `podTemplate.resources` asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Connections that a replica takes.
    pub connections: i64,
    /// Time that a pod gets to leave.
    pub termination_grace_period: String,
    /// Time that a pod takes to drain. Load balancers whose time for that the operator sets get as much,
    /// up to an hour.
    #[serde(default)]
    pub drain: String,
    /// Streams of each replica that autoscaling aims at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams_per_replica: Option<i64>,
    /// Bytes that a Redis of the relay's own may fill with events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_max_memory: Option<String>,
    /// What holds where the resource says nothing: its fields, and their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, String>,
    /// What every key of this relay begins with in Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_prefix: Option<String>,
    /// The schema of the archive in PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_schema: Option<String>,
    /// The program that serves the Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_controller: Option<Controller>,
    /// The program that serves the Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Implementation>,
    /// Kinds of others that the relay has objects of, so that they are found again to be removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_kinds: Vec<String>,
    /// The longest silence on a stream that it allows; absent, if it allows any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<String>,
}

/// One thing about the relay that holds or does not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    pub r#type: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, and what to do.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// Since when it holds or does not.
    pub last_transition_time: Time,
    /// The generation that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// What a condition is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ConditionType {
    /// The relay takes streams as the resource asks.
    Ready,
    /// Replicas are being started or replaced.
    Progressing,
    /// What replicas append to Redis comes back to them.
    RedisReady,
    /// The number of replicas can follow the streams.
    AutoscalingReady,
    /// The relay's own Redis goes on when its node is lost.
    RedisHighlyAvailable,
    /// The volume of the relay's own Redis has been asked for in the size that the resource says.
    VolumeReady,
    /// The way in from outside is set up for streams.
    RouteReady,
    /// A stream through the address outside brought an event that was published inside.
    StreamingVerified,
    /// Objects for monitoring and for autoscaling are there.
    AddOnsReady,
    /// For GitOps tools: the last change is not in effect yet.
    Reconciling,
    /// For GitOps tools: it will not be without somebody's help.
    Stalled,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be known.
    Unknown,
}

/// Why a condition holds or does not.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Reason {
    /// Everything is as the resource asks.
    AsAsked,
    /// Replicas are being started or replaced.
    RollingOut,
    /// `replicas` is 0.
    Stopped,
    /// The annotation `sserelay.dev/paused` is set.
    Paused,
    /// No pod takes streams.
    NoReplicaReady,
    /// A pod cannot start.
    PodCannotStart,
    /// The Deployment did not get there in time.
    DeadlineExceeded,
    /// The resource says what cannot work.
    InvalidSpec,
    /// There is one server, and none to take its place.
    SingleServer,
    /// A replica does not hear of Redis what it appends.
    RedisNotAnswering,
    /// The operator cannot reach the replicas to ask them.
    NotReachable,
    /// More replicas are needed than there may be.
    AtMaximum,
    /// Redis, or the way to it, is away.
    RedisUnreachable,
    /// Redis knows no such user, or another password.
    RedisCredentials,
    /// The user at Redis lacks a right.
    RedisPermission,
    /// The two have no TLS in common, or one does not believe the other.
    RedisTls,
    /// Redis is of a release that lacks what is needed.
    RedisTooOld,
    /// Redis is not set up as the resource says: a Cluster, or none, or a database that it lacks.
    RedisMode,
    /// Redis has no memory for more.
    RedisOutOfMemory,
    /// Under the relay's prefix stands something that is not its log.
    RedisForeignKeys,
    /// Something else at Redis keeps the log from working.
    RedisFault,
    /// Something on the way from outside holds answers back.
    Buffered,
    /// Something on the way from outside ends streams.
    StreamCut,
    /// The address outside answers something else than a stream.
    NotAStream,
    /// The address outside leads to another one.
    Redirected,
    /// The operator cannot reach the address outside.
    UrlNotReachable,
    /// The operator does not believe the certificate of the address outside.
    CertificateNotTrusted,
    /// A replica did not do its part of a proof.
    ProbeFailed,
    /// Redis works, and may lose events when something fails.
    RedisAtRisk,
    /// A Secret that the resource names is not there.
    SecretNotFound,
    /// A Secret lacks the key that the resource names.
    SecretKeyNotFound,
    /// A ConfigMap that the resource names is not there.
    ConfigMapNotFound,
    /// A ConfigMap lacks the key that the resource names.
    ConfigMapKeyNotFound,
    /// An object of that name belongs to somebody else.
    NameTaken,
    /// Somebody else writes the same fields again and again.
    FieldConflict,
    /// The operator may not do what it has to.
    Forbidden,
    /// A quota of the namespace is used up.
    QuotaExceeded,
    /// The volume cannot have the size that the resource says.
    VolumeCannotGrow,
    /// The API server refused an object.
    Rejected,
    /// The API server could not be reached or did not answer.
    Unavailable,
    /// The IngressClass is not there.
    IngressClassNotFound,
    /// The Gateway is not there.
    GatewayNotFound,
    /// No Gateway takes the route.
    RouteNotAccepted,
    /// It cannot be known which program serves the Ingress or Gateway.
    ControllerUnknown,
    /// Only an administrator of the cluster can change something that cuts streams.
    NeedsAdministrator,
    /// Heartbeats come too rarely for a proxy on the way.
    HeartbeatTooSlow,
    /// A kind that is needed is not installed in the cluster.
    KindNotInstalled,
    /// The operator waits for the relay that it upgrades at present.
    WaitsForUpgrade,
}
