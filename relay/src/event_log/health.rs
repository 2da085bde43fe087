//! How a log is that servers elsewhere keep, as this process sees it.

use crate::{cursor::UnixMillis, label::labels, redis::preflight::Finding};
use std::sync::Arc;

/// Whether what is published reaches this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Hearing {
    /// It does, or nobody hears anything: no replica is better than this one.
    #[default]
    Shared,
    /// It does not, though others hear it: streams are better off at another replica.
    Alone,
}

labels!(Hearing {
    Shared => "shared",
    Alone => "alone",
});

/// What was found at the log's servers.
#[derive(Clone, Debug)]
pub struct Checked {
    pub at: UnixMillis,
    pub findings: Vec<Finding>,
}

/// How the log is.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub hearing: Hearing,
    /// `None` for a log that has no servers, or before they were looked at.
    pub checked: Option<Arc<Checked>>,
}
