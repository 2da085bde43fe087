//! How much the relay does for everybody, for one user, for one address.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_size::ByteSize;
use crate::timespan::Timespan;

/// How much this replica does at once and in a second. What is left out has no bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// For everybody together. Past it the answer is 503: it is nobody's own fault.
    pub total: Limit,
    /// For each subject of credentials, or each token that names none. Past it, as past all that
    /// follow, the answer is 429.
    pub per_subject: Limit,
    /// For each address of clients (see `proxies`).
    pub per_address: Limit,
    /// Credentials of one address that are refused in a second. Past it, whatever that address sends
    /// with a credential is answered 429, unchecked, until it is calm; what needs none goes on. Name
    /// the proxies under `proxies.trusted` first, or all clients behind one are one address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_failures_per_second: Option<u32>,
    /// For all whose grant has the same value of an attribute: a team, a customer.
    pub per_attribute: Vec<AttributeLimit>,
    /// Leading bits of an IPv4 address that make one address here.
    #[schemars(range(min = 8, max = 32))]
    pub ipv4_prefix: u8,
    /// Leading bits of an IPv6 address that make one address here: who has one address of a
    /// network usually has all of it.
    #[schemars(range(min = 16, max = 128))]
    pub ipv6_prefix: u8,
    /// How much of a rate may be saved up while nothing is asked.
    pub burst: Timespan,
    /// Number of subjects, of addresses and of attributes' values that are told apart. Those that
    /// come when all have something to remember share one account.
    pub max_tracked: usize,
    /// What a browser that subscribes is answered.
    pub to_browsers: ToBrowsers,
}

/// Bounds of one kind of asker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limit {
    /// Streams that are open at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<u32>,
    /// Streams opened in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_per_second: Option<u32>,
    /// Events published in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publishes_per_second: Option<u32>,
    /// Bytes of bodies published in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_bytes_per_second: Option<ByteSize>,
}

impl Limit {
    /// Whether it bounds nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Bounds for all whose grant has the same value of an attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttributeLimit {
    /// The attribute of the grant.
    #[schemars(length(min = 1, max = 100))]
    pub attribute: String,
    /// Streams that are open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<u32>,
    /// Streams opened in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_per_second: Option<u32>,
    /// Events published in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publishes_per_second: Option<u32>,
    /// Bytes of bodies published in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_bytes_per_second: Option<ByteSize>,
}

impl AttributeLimit {
    /// Its bounds.
    #[must_use]
    pub const fn limit(&self) -> Limit {
        Limit {
            streams: self.streams,
            opens_per_second: self.opens_per_second,
            publishes_per_second: self.publishes_per_second,
            publish_bytes_per_second: self.publish_bytes_per_second,
        }
    }
}

/// What a browser that subscribes past a limit is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ToBrowsers {
    /// A stream that only says when to come back: EventSource never returns after another status.
    Retry,
    /// The status.
    Status,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: Limit::default(),
            per_subject: Limit::default(),
            per_address: Limit::default(),
            auth_failures_per_second: None,
            per_attribute: Vec::new(),
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            burst: Timespan::from_secs(5),
            max_tracked: 100_000,
            to_browsers: ToBrowsers::Retry,
        }
    }
}
