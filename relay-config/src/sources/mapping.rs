//! From a message of a source to an event.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of a message becomes an event. All but `expect`, `keys` and the names of attributes are
/// templates over the message: `data` and `data.NAME` (what it says), `channel` (where it came
/// from: a channel, a stream, a queue), `id`, `type`, `time`, `attributes.NAME` (its headers or
/// fields).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Mapping {
    /// Which messages are meant; others are dropped and counted.
    pub expect: Expect,
    /// The keys that a message, a JSON object, may have; one with others is dropped and counted. Any,
    /// if the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The event's channel. A message for which it gives no legal name is dropped and counted.
    #[schemars(example = &"orders.${data.region|'all'}")]
    pub channel: String,
    /// The event's type. Without one, it is of the type `message`.
    #[schemars(example = &"${data.kind|'message'}")]
    pub r#type: String,
    /// What makes a repeat of the same message recognisable, within `idempotency.window`. A message
    /// without one is appended whenever it comes.
    #[schemars(example = &"${data.order_id|id}")]
    pub idempotency_key: String,
    /// The event's attributes, by which streams can choose. Those that a message does not have are
    /// left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The event's data. A message for which it gives nothing is dropped and counted.
    #[schemars(example = &"${data.payload}")]
    pub data: String,
}

/// Which messages are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Expect {
    /// Any text.
    #[default]
    Text,
    /// JSON.
    Json,
    /// A JSON object.
    Object,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            expect: Expect::default(),
            keys: Vec::new(),
            channel: "${channel}".to_owned(),
            r#type: "${type|'message'}".to_owned(),
            idempotency_key: "${id}".to_owned(),
            attributes: BTreeMap::new(),
            data: "${data}".to_owned(),
        }
    }
}

impl Mapping {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
