//! The archive: a long-term copy of events in PostgreSQL.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::server::{ServerCredentials, ServerTls};
use super::text::Span;

/// A long-term copy of events in PostgreSQL, which history and resumed streams reach into past the
/// log's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// The server, and the database.
    pub postgres: Postgres,
    /// The schema with the archive's tables, which is made if it is not there. Left out, it is derived
    /// from namespace and name, and no other relay has the same. With another one another archive
    /// begins, and the former one stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z_][a-z0-9_]*$"))]
    pub schema: Option<String>,
    /// Patterns of the channels whose events are kept; all, if it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 200)))]
    pub channels: Vec<String>,
    /// Whether streams of receivers that gave themselves a name (`client=NAME`) are written down.
    #[serde(default = "yes")]
    pub clients: bool,
    /// How long events are kept; 720h, if it is left out. They are dropped by whole tables, so some
    /// stay longer: at most by `tableSpan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Span>,
    /// The time that one table of events covers; 24h, if it is left out. It counts for tables that are
    /// made from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_span: Option<Span>,
    /// How long events wait in the log until they are written together; 200ms, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Events that are written together at most; 1000, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub batch_events: Option<i32>,
    /// Readers of the archive that one replica serves at once, each with a connection of its own; 4, if
    /// it is left out. More wait for their turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub readers: Option<i32>,
}

/// A PostgreSQL server (13 and later) and one of its databases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Postgres {
    /// Its name or address, with `:port` unless that is 5432.
    #[schemars(
        length(min = 1, max = 260),
        regex(pattern = r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")
    )]
    pub host: String,
    /// The database, which is there.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9_.$-]+$"))]
    pub database: String,
    /// Who the relay is to PostgreSQL; the user `postgres` without a password, if it is left out. Name
    /// a user: here there is no default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<ServerCredentials>,
    /// Encrypts the way to PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Time for a connection; 5s, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Span>,
    /// Time for the answer to a statement; 5s, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_timeout: Option<Span>,
}

fn yes() -> bool {
    true
}
