//! The archive's tables, brought to this version.

use super::error::ArchiveError;
use crate::postgres::{Session, quoted};

mod versions {
    refinery::embed_migrations!("src/archive/migrations");
}

/// Where the versions that were applied stand, in the archive's schema.
const HISTORY: &str = "schema_history";
/// Of the lock that replicas take which start at the same time.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('sse-relay archive', 0))";
const UNLOCK: &str = "SELECT pg_advisory_unlock(hashtextextended('sse-relay archive', 0))";

/// Makes what is missing, once, whoever else begins now. The session's statements find the tables
/// afterwards.
///
/// # Errors
/// Also when a newer version has changed the tables: then this one keeps its hands off.
pub async fn migrate(session: &mut Session, schema: &str) -> Result<(), ArchiveError> {
    let encoding = session.timed(session.query_one("SHOW server_encoding", &[]));
    let encoding: String = encoding.await?.get(0);
    if encoding != "UTF8" {
        return Err(ArchiveError::Encoding(encoding));
    }
    session.run(LOCK).await?;
    let done = prepare(session, schema).await;
    session.run(UNLOCK).await?;
    done
}

async fn prepare(session: &mut Session, schema: &str) -> Result<(), ArchiveError> {
    find(session, schema).await?;
    let exists = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    let exists = session.timed(session.query_one(exists, &[&schema])).await?;
    if !exists.get::<_, bool>(0) {
        // only then, since it takes a right that a careful administrator does not give
        let create = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
        session.run(&create).await?;
    }
    let mut runner = versions::migrations::runner();
    runner.set_migration_table_name(HISTORY);
    let migrated = runner.run_async(&mut **session).await;
    migrated.map_err(|error| ArchiveError::Migration(error.to_string()))?;
    Ok(())
}

/// Names of tables mean those of the archive.
///
/// # Errors
/// PostgreSQL's.
pub async fn find(session: &Session, schema: &str) -> Result<(), ArchiveError> {
    let path = format!("SET search_path = {}", quoted(schema));
    Ok(session.run(&path).await?)
}
