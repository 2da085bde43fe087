//! `LISTEN` of PostgreSQL as a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::on_demand;
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
    /// The channels that are always listened to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// What a name means.
    #[serde(default)]
    pub names: ListenNames,
    /// Channels of the relay, as patterns of the relay, that are listened to in PostgreSQL under the same
    /// names, as `names` means them, as long as streams want them. A stream begins once its channels
    /// are listened to. The mapping must leave the channel as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_demand: Vec<String>,
}

/// What the name of a channel means to PostgreSQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ListenNames {
    /// Just that name, as `pg_notify('Orders', …)` and `NOTIFY "Orders"` have it.
    #[default]
    Exact,
    /// The name as SQL has it: in lower case, as `NOTIFY Orders` means it, unless it stands in quotes,
    /// as in `NOTIFY "Orders"`.
    Folded,
}

impl ListenNames {
    /// The name of a channel of PostgreSQL. Folding is that of names in SQL: without quotes, ASCII letters
    /// become small ones. PostgreSQL cuts a name after 63 bytes, in the midst of no character.
    #[must_use]
    pub fn of(self, name: &str) -> String {
        match (self, quoted(name)) {
            (Self::Exact, _) => name.to_owned(),
            (Self::Folded, Some(inside)) => cut(&inside).to_owned(),
            (Self::Folded, None) => cut(name).to_ascii_lowercase(),
        }
    }

    /// The name in PostgreSQL of a channel of the relay; none if PostgreSQL has no such name, since it
    /// is longer than 63 bytes.
    #[must_use]
    pub fn wanted(self, channel: &str) -> Option<String> {
        self.is_legal(channel).then(|| self.of(channel))
    }

    fn is_legal(self, name: &str) -> bool {
        let short = self == Self::Folded || name.len() <= MAX_POSTGRES_NAME;
        !name.is_empty() && short && !name.contains('\0')
    }
}

/// What stands in quotes, if the whole name does.
fn quoted(name: &str) -> Option<String> {
    let inside = name.strip_prefix('"')?.strip_suffix('"')?;
    let text = inside.replace("\"\"", "");
    (!inside.is_empty() && !text.contains('"')).then(|| inside.replace("\"\"", "\""))
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_POSTGRES_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
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
        if self.channels.is_empty() && self.on_demand.is_empty() {
            wrong(
                "channels",
                "name 1 to 1000 channels, or set `onDemand: [\"**\"]`",
            );
        }
        if self.channels.len() > MAX_CHANNELS {
            wrong("channels", "has more than 1000 entries; use `onDemand`");
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
        let path = format!("{path}.onDemand");
        problems.extend(on_demand::problems(&path, &self.on_demand));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_as_sql_folds_them() {
        let folded = |name: &str| ListenNames::Folded.of(name);
        assert_eq!(folded("NOTIFICATIONS"), "notifications");
        assert_eq!(folded("É-Ü x"), "É-Ü x", "letters beyond ASCII stay");
        assert_eq!(folded(&"N".repeat(70)), "n".repeat(63));
        assert_eq!(folded(&format!("{}é", "n".repeat(62))), "n".repeat(62));
        for (name, expected) in [
            (r#""Orders""#, "Orders"),
            (r#""a ""b c""#, r#"a "b c"#),
            // no name in quotes: taken as it is, and harmless
            (r#""""#, r#""""#),
            (r#""a" B""#, r#""a" b""#),
            (r#"""#, r#"""#),
        ] {
            assert_eq!(folded(name), expected, "{name}");
        }
        assert_eq!(ListenNames::Exact.of("\"A b\""), "\"A b\"");
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
            on_demand: vec!["page.**".into(), "a.**.b".into()],
        };
        let paths: Vec<String> = listen
            .problems("x")
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        let expected = ["channels[1]", "channels[2]", "channels[3]", "onDemand[1]"];
        assert_eq!(paths, expected.map(|field| format!("x.{field}")));
        let none = PostgresListenSource {
            channels: Vec::new(),
            on_demand: Vec::new(),
            ..listen
        };
        assert_eq!(none.problems("x")[0].path, "x.channels");
    }

    #[test]
    fn a_channel_that_no_name_of_postgresql_means_cannot_be_wanted() {
        let long = "N".repeat(64);
        assert_eq!(ListenNames::Exact.wanted(&long), None);
        assert_eq!(ListenNames::Folded.wanted(&long), Some("n".repeat(63)));
        assert_eq!(ListenNames::Exact.wanted("A b"), Some("A b".into()));
    }
}
