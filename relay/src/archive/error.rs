//! Why the archive does not do what was asked of it.

use super::row::Damaged;
use crate::postgres::{ConnectError, SqlError};

/// All of it may pass; who asks again later may get an answer.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error("the database is encoded as {0}; the archive needs one with ENCODING 'UTF8'")]
    Encoding(String),
    #[error("the archive's tables cannot be brought to this version: {0}")]
    Migration(String),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Another replica wrote meanwhile.
    #[error("another replica writes the archive")]
    Displaced,
    /// No connection so far.
    #[error("the archive is not ready yet")]
    NotReady,
    #[error("so many read the archive at once that there was no turn for this one")]
    Busy,
    #[error("the log cannot be read: {0}")]
    Log(String),
}

impl From<tokio_postgres::Error> for ArchiveError {
    fn from(error: tokio_postgres::Error) -> ArchiveError {
        ArchiveError::Sql(error.into())
    }
}

impl ArchiveError {
    /// As metrics and logs call it.
    pub fn reason(&self) -> &'static str {
        match self {
            ArchiveError::Connect(error) => error.reason(),
            ArchiveError::Sql(SqlError::Timeout(_)) => "timeout",
            ArchiveError::Sql(SqlError::Server(_)) => "statement",
            ArchiveError::Encoding(_) => "encoding",
            ArchiveError::Migration(_) => "migration",
            ArchiveError::Damaged(_) => "damaged",
            ArchiveError::Displaced => "displaced",
            ArchiveError::NotReady => "not-ready",
            ArchiveError::Busy => "busy",
            ArchiveError::Log(_) => "log",
        }
    }
}
