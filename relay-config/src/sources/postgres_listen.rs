//! `LISTEN` of PostgreSQL as a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::postgres::{MAX_POSTGRES_NAME, Postgres};
use crate::validate::Problem;

/// The most channels that a source names.
const MAX_CHANNELS: usize = 1_000;

/// Notifications of PostgreSQL (`NOTIFY`, `pg_notify`). PostgreSQL keeps none: what is notified while
/// nobody listens is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresListenSource {
    /// The server, and the database. A pooler that shares connections by transaction (as PgBouncer
    /// may) carries no notifications.
    pub postgres: Postgres,
    /// The channels that are listened to.
    pub channels: Vec<String>,
    /// What a name means.
    #[serde(default)]
    pub names: ListenNames,
}

/// What the name of a channel means to PostgreSQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ListenNames {
    /// Just that name, as `pg_notify('Orders', …)` and `NOTIFY "Orders"` have it.
    #[default]
    Exact,
    /// The name as PostgreSQL takes one without quotes, as `NOTIFY Orders` does: in lower case.
    Folded,
}

impl ListenNames {
    /// The name of a channel of PostgreSQL. Folding is that of a name without quotes: ASCII letters
    /// become small ones. PostgreSQL cuts a name after 63 bytes, in the midst of no character.
    #[must_use]
    pub fn of(self, name: &str) -> String {
        match self {
            Self::Exact => name.to_owned(),
            Self::Folded => {
                let mut end = name.len().min(MAX_POSTGRES_NAME);
                while !name.is_char_boundary(end) {
                    end -= 1;
                }
                name[..end].to_ascii_lowercase()
            }
        }
    }

    fn is_legal(self, name: &str) -> bool {
        let short = self == Self::Folded || name.len() <= MAX_POSTGRES_NAME;
        !name.is_empty() && short && !name.contains('\0')
    }
}

impl PostgresListenSource {
    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let mut problems = self.postgres.problems(&format!("{path}.postgres"));
        let mut wrong = |field: &str, message: &str| {
            problems.push(Problem {
                path: format!("{path}.{field}"),
                message: message.to_owned(),
            });
        };
        if !(1..=MAX_CHANNELS).contains(&self.channels.len()) {
            wrong("channels", "name 1 to 1000 channels");
        }
        for (index, name) in self.channels.iter().enumerate() {
            if !self.names.is_legal(name) {
                let field = format!("channels[{index}]");
                wrong(
                    &field,
                    "write 1 to 63 bytes; PostgreSQL has no longer names",
                );
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_as_postgresql_folds_those_without_quotes() {
        let folded = |name: &str| ListenNames::Folded.of(name);
        assert_eq!(folded("NOTIFICATIONS"), "notifications");
        assert_eq!(folded("É-Ü x"), "É-Ü x", "letters beyond ASCII stay");
        assert_eq!(folded(&"N".repeat(70)), "n".repeat(63));
        assert_eq!(folded(&format!("{}é", "n".repeat(62))), "n".repeat(62));
        assert_eq!(ListenNames::Exact.of("A b"), "A b");
    }

    #[test]
    fn a_name_that_postgresql_would_cut_is_refused() {
        let listen = PostgresListenSource {
            postgres: Postgres {
                url: "postgres://db/app".into(),
                ..Postgres::default()
            },
            channels: vec!["a".into(), "n".repeat(64), String::new(), "a\0b".into()],
            names: ListenNames::Exact,
        };
        let paths: Vec<String> = listen
            .problems("x")
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        assert_eq!(paths, ["x.channels[1]", "x.channels[2]", "x.channels[3]"]);
        let none = PostgresListenSource {
            channels: Vec::new(),
            ..listen
        };
        assert_eq!(none.problems("x")[0].path, "x.channels");
    }
}
