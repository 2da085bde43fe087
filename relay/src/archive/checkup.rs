//! Whether the archive could be written, found out before it has to be.

use super::error::ArchiveError;
use crate::postgres::{Postgres, Session};
use relay_config::Problem;
use tokio_postgres::{Row, types::ToSql};

/// The oldest release, as `server_version_num` has it.
const OLDEST: i32 = 130_000;

/// Why the archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<Problem>),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("PostgreSQL {0} is too old: the archive needs 13 or later")]
    TooOld(String),
    #[error("this is a standby, which cannot be written to: name the primary")]
    Standby,
    #[error(
        "the user may not make the schema `{0}`: make it and give it to the user \
         (CREATE SCHEMA … AUTHORIZATION …), or GRANT CREATE ON DATABASE"
    )]
    NoSchema(String),
    #[error(
        "the user may not make tables in the schema `{0}`: give it to the user (ALTER SCHEMA … OWNER TO …), \
         or GRANT CREATE, USAGE ON SCHEMA"
    )]
    NoTables(String),
}

/// What the server says of itself and of the user.
struct Seen {
    number: i32,
    version: String,
    encoding: String,
    is_standby: bool,
    may_make_schemas: bool,
    /// Whether the user may make tables in the archive's schema, if that is there.
    may_make_tables: Option<bool>,
}

/// Connects, and looks. Nothing is changed there.
///
/// # Errors
/// What is in the way, and what to do about it.
pub async fn once(settings: &relay_config::Archive) -> Result<(), Obstacle> {
    let postgres = Postgres::new(&settings.postgres, "archive.postgres");
    let postgres = postgres.map_err(Obstacle::Settings)?;
    let session = postgres.connect().await.map_err(ArchiveError::from)?;
    let row = look(&session, &settings.schema).await?;
    judge(&seen(&row), &settings.schema)
}

async fn look(session: &Session, schema: &str) -> Result<Row, ArchiveError> {
    const STATEMENT: &str = "\
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
       current_setting('server_encoding'), pg_is_in_recovery(),
       has_database_privilege(current_database(), 'CREATE'),
       (SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')
        FROM pg_namespace WHERE nspname = $1)";
    let parameters: [&(dyn ToSql + Sync); 1] = [&schema];
    let row = session.timed(session.query_one(STATEMENT, &parameters));
    Ok(row.await?)
}

fn seen(row: &Row) -> Seen {
    Seen {
        number: row.get(0),
        version: row.get(1),
        encoding: row.get(2),
        is_standby: row.get(3),
        may_make_schemas: row.get(4),
        may_make_tables: row.get(5),
    }
}

fn judge(seen: &Seen, schema: &str) -> Result<(), Obstacle> {
    if seen.number < OLDEST {
        return Err(Obstacle::TooOld(seen.version.clone()));
    }
    if seen.encoding != "UTF8" {
        return Err(ArchiveError::Encoding(seen.encoding.clone()).into());
    }
    if seen.is_standby {
        return Err(Obstacle::Standby);
    }
    match seen.may_make_tables {
        Some(true) => Ok(()),
        Some(false) => Err(Obstacle::NoTables(schema.to_owned())),
        None if seen.may_make_schemas => Ok(()),
        None => Err(Obstacle::NoSchema(schema.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_named_with_what_to_do() {
        let fine = || Seen {
            number: 150_018,
            version: "15.18".into(),
            encoding: "UTF8".into(),
            is_standby: false,
            may_make_schemas: true,
            may_make_tables: None,
        };
        let said = |seen: Seen| {
            judge(&seen, "sse_relay")
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(said(fine()), None);
        for (seen, expected) in [
            (
                Seen {
                    number: 120_009,
                    version: "12.9".into(),
                    ..fine()
                },
                "12.9 is too old",
            ),
            (
                Seen {
                    encoding: "LATIN1".into(),
                    ..fine()
                },
                "ENCODING",
            ),
            (
                Seen {
                    is_standby: true,
                    ..fine()
                },
                "primary",
            ),
            (
                Seen {
                    may_make_schemas: false,
                    ..fine()
                },
                "CREATE SCHEMA",
            ),
            (
                Seen {
                    may_make_tables: Some(false),
                    ..fine()
                },
                "ALTER SCHEMA",
            ),
        ] {
            let said = said(seen).unwrap_or_default();
            assert!(said.contains(expected), "{said}");
        }
        let given = Seen {
            may_make_schemas: false,
            may_make_tables: Some(true),
            ..fine()
        };
        assert_eq!(said(given), None, "a schema of its own is enough");
    }
}
