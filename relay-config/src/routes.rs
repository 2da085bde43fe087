//! Paths of other systems, which the relay serves as those did.

mod dialect;
mod path;

pub use dialect::{
    BeatWhen, Dialect, DialectFarewell, DialectHeartbeat, FarewellWhen, FilledKey, FrameField,
    JsonStyle, LineEnd,
};

pub use path::{RoutePath, RoutePathError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::delivery::Overflow;
use crate::timespan::Timespan;

/// A path of another system, the channels that it means, and how its streams are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Paths of the stream, of which all mean the same. `{name}` is the rest of a segment, and at
    /// least one character of it. What the relay itself has under a path goes first.
    pub paths: Vec<String>,
    /// Channels and patterns that a stream receives. `{name}` is what the path has there.
    pub channels: Vec<String>,
    /// Parameters of the address that choose among the events. Others are passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<RouteFilter>,
    /// Where a request may carry its token, besides where every request may.
    #[serde(default)]
    pub credentials: RouteCredentials,
    /// Whether `cors` holds here too. `off` where a proxy in front says it instead.
    #[serde(default)]
    pub cors: RouteCors,
    /// What the header Content-Type says besides `text/event-stream`.
    #[serde(default)]
    pub charset: Charset,
    /// What happens to a stream whose client reads too slowly, instead of what its channels say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Overflow>,
    /// How long a stream lives at most, instead of `stream.maxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Timespan>,
    /// How streams are written.
    #[serde(default)]
    pub dialect: Dialect,
    /// A path that tells of the streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RouteStatus>,
    /// Answers to those who get no stream, instead of the relay's own. The first that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
}

/// A parameter of the address that chooses among the events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteFilter {
    /// Its name. Without it, or empty, it chooses all.
    #[schemars(length(min = 1, max = 100), example = &"msg_types")]
    pub parameter: String,
    /// What of an event must be one of the parameter's values, as a template. JSON that is no
    /// string is never one, unless it is written with the form `:text`.
    #[schemars(example = "${data.msg_type|''}")]
    pub value: String,
    /// How several values are written.
    #[serde(default)]
    pub values: FilterValues,
    /// Which count if the parameter comes twice.
    #[serde(default)]
    pub repeated: Repeated,
}

/// How a parameter has several values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FilterValues {
    /// With commas between them; white space around them is none of theirs.
    #[default]
    Commas,
    /// It has one.
    One,
}

/// Which values of a parameter count that comes twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Repeated {
    /// Those of all.
    #[default]
    All,
    /// Those of the last.
    Last,
}

/// Where a request may carry its token, besides where every request may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteCredentials {
    /// A scheme of the header Authorization that means the same as `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"Token")]
    pub scheme: Option<String>,
    /// A parameter of the address, instead of `auth.queryParameter`. Addresses are written to the
    /// logs of proxies: use it only for tokens that live shortly.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"token")]
    pub query_parameter: Option<String>,
}

/// Whether a route's answers tell browsers which pages may read them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RouteCors {
    /// As `cors` says.
    #[default]
    AsConfigured,
    /// They say nothing.
    Off,
}

/// What the header Content-Type says besides `text/event-stream`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Charset {
    /// `charset=utf-8`.
    #[default]
    Named,
    /// Nothing, for clients that compare it as a whole.
    Unnamed,
}

/// A path that tells of a route's streams, to those who may open one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteStatus {
    /// Its paths, of which all mean the same.
    pub paths: Vec<String>,
    /// Its answer, as a template of JSON.
    #[schemars(example = "{\"clients\": ${clients}}")]
    pub json: String,
    /// Answers to those who get no status. Where none fits, those of the route count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
}

/// An answer to those who get no stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// Why they get none.
    pub problem: RefusedFor,
    /// Only for this reason: as the label of `sse_relay_auth_refused_total` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"missing", example = &"expired")]
    pub reason: Option<String>,
    /// The status, instead of the relay's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<u16>,
    /// The body, as a template of JSON.
    pub json: String,
}

/// Why a request for a stream is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RefusedFor {
    /// For anything.
    Any,
    /// Nobody may do this without a credential, or the one that came is refused.
    Unauthenticated,
    /// The credential does not allow it.
    NotGranted,
    /// Who could tell whether the credential is right cannot be asked.
    AuthUnavailable,
    /// The client has, or does, more than it may.
    LimitReached,
    /// The replica does as much as it may.
    Overloaded,
    /// The replica is about to stop.
    Draining,
}
