//! A token that a browser sends by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The cookie that holds the token of a browser's user. Pages of other origins use it only where
/// `cors` lends it to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cookie {
    /// Its name.
    #[schemars(example = &"__Host-sse")]
    pub name: String,
}
