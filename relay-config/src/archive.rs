//! The archive: a long-term copy of events in PostgreSQL.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::postgres::{MAX_POSTGRES_NAME, Postgres};
use crate::timespan::Timespan;

/// A long-term copy of events in PostgreSQL, which history and resumed streams reach into past the
/// log's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Archive {
    /// The server, and the database.
    pub postgres: Postgres,
    /// The schema with the archive's tables, which is made if it is not there. One for each relay:
    /// two relays never share one.
    #[schemars(length(min = 1, max = 63))]
    pub schema: String,
    /// Patterns of the channels whose events are kept.
    pub channels: Vec<String>,
    /// Whether streams of receivers that gave themselves a name (`client=NAME`) are written down: their
    /// name, subject, address, channels, when they were open, and what they got.
    pub clients: bool,
    /// How long events are kept. They are dropped by whole tables, so some stay longer: at most by
    /// `tableSpan`.
    pub retention: Timespan,
    /// The time that one table of events covers. It counts for tables that are made from then on.
    pub table_span: Timespan,
    /// How long events wait in the log until they are written together.
    pub interval: Timespan,
    /// Events that are written together at most.
    pub batch_events: usize,
    /// Readers of the archive that this replica serves at once, each with a connection of its own;
    /// more wait for their turn.
    pub readers: usize,
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            postgres: Postgres::default(),
            schema: "sse_relay".to_owned(),
            channels: vec!["**".to_owned()],
            clients: true,
            retention: Timespan::from_secs(30 * 24 * 3600),
            table_span: Timespan::from_secs(24 * 3600),
            interval: Timespan::from_millis(200),
            batch_events: 1_000,
            readers: 4,
        }
    }
}

/// Whether a text can name the schema: lower case, so that it needs no quotes in anybody's queries.
pub(crate) fn is_schema_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.len() <= MAX_POSTGRES_NAME
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(legal)
        && !text.starts_with("pg_")
}
