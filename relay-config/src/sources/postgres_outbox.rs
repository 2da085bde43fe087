//! An outbox table in PostgreSQL as a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::postgres::{MAX_POSTGRES_NAME, Postgres};
use crate::timespan::Timespan;
use crate::validate::Problem;

const MIN_POLL: Timespan = Timespan::from_millis(10);
const MAX_POLL: Timespan = Timespan::from_secs(3_600);

/// A table that an application writes its events to, in the transaction that they tell of. Rows are
/// taken in the order of their `id`; each is deleted or marked once the event log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresOutboxSource {
    /// The server, and the database.
    pub postgres: Postgres,
    /// The table, with its schema if it is not in the user's search path: `app.sse_outbox`. It has the
    /// columns `id`, `channel` and `data`, and perhaps `type` and `attributes`.
    #[serde(default = "table")]
    pub table: String,
    /// The channel of PostgreSQL that is notified of new rows. Without it they are found by looking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"sse_outbox")]
    pub notify: Option<String>,
    /// How often is looked whether nothing was notified.
    #[serde(default = "poll")]
    pub poll: Timespan,
    /// What becomes of a row that the event log has.
    #[serde(default)]
    pub taken: TakenRow,
}

/// What becomes of a row that the event log has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TakenRow {
    /// It is deleted.
    #[default]
    Delete,
    /// Its column `sent_at` says when it was taken. Who writes the table deletes it some day.
    Mark,
}

fn table() -> String {
    "sse_outbox".to_owned()
}

fn poll() -> Timespan {
    Timespan::from_secs(1)
}

/// Whether a text is a name as PostgreSQL keeps it whole.
fn is_name(text: &str) -> bool {
    (1..=MAX_POSTGRES_NAME).contains(&text.len()) && !text.contains('\0')
}

impl PostgresOutboxSource {
    /// The table's name, after its schema if that is named.
    #[must_use]
    pub fn table_names(&self) -> (Option<&str>, &str) {
        match self.table.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, &self.table),
        }
    }

    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let mut problems = self.postgres.problems(&format!("{path}.postgres"));
        let mut wrong = |field: &str, message: &str| {
            problems.push(Problem {
                path: format!("{path}.{field}"),
                message: message.to_owned(),
            });
        };
        let (schema, table) = self.table_names();
        if !is_name(table) || schema.is_some_and(|schema| !is_name(schema)) {
            wrong(
                "table",
                "write the table's name, or the schema's and the table's with a dot between, each at \
                 most 63 bytes",
            );
        }
        if self.notify.as_deref().is_some_and(|name| !is_name(name)) {
            wrong("notify", "write a name of 1 to 63 bytes");
        }
        if !(MIN_POLL..=MAX_POLL).contains(&self.poll) {
            wrong("poll", "write a time from 10ms to 1h");
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> PostgresOutboxSource {
        PostgresOutboxSource {
            postgres: Postgres {
                url: "postgres://db/app".into(),
                ..Postgres::default()
            },
            table: table(),
            notify: Some("sse_outbox".into()),
            poll: poll(),
            taken: TakenRow::default(),
        }
    }

    #[test]
    fn an_outbox_needs_no_more_than_a_server() {
        assert_eq!(outbox().problems("x"), []);
        assert_eq!(outbox().table_names(), (None, "sse_outbox"));
        let elsewhere = PostgresOutboxSource {
            table: "app.My Box".into(),
            ..outbox()
        };
        assert_eq!(elsewhere.table_names(), (Some("app"), "My Box"));
    }

    #[test]
    fn what_cannot_work_is_said() {
        let wrong = PostgresOutboxSource {
            postgres: Postgres::default(),
            table: "a.".into(),
            notify: Some("n".repeat(64)),
            poll: Timespan::from_millis(1),
            ..outbox()
        };
        let paths: Vec<String> = wrong
            .problems("x")
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        assert_eq!(paths, ["x.postgres.url", "x.table", "x.notify", "x.poll"]);
    }
}
