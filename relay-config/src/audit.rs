//! Where it is written down who did what to whom.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where refusals and uses of power are written down: a line for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Audit {
    /// Where the lines go.
    pub target: AuditTarget,
    /// The file that they are appended to, with `target: file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub file: Option<PathBuf>,
}

/// Where the lines of the audit log go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuditTarget {
    /// Among the process's other lines, with the level `info`.
    #[default]
    Log,
    /// To a file of their own, as JSON.
    File,
    /// Nowhere.
    Off,
}
