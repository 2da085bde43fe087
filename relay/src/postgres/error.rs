//! What goes wrong between this process and PostgreSQL.

use std::{error::Error, io, path::PathBuf, time::Duration};

/// Why there is no connection. No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot read the password from {}: {error}", .path.display())]
    PasswordFile { path: PathBuf, error: io::Error },
    #[error("the environment variable {0}, which should hold the password, is not set")]
    PasswordVariable(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("cannot reach {address}: {error}")]
    Unreachable { address: String, error: io::Error },
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("{}", told(.0))]
    Refused(tokio_postgres::Error),
    #[error("the connection could not be set up: {0}")]
    Prepared(SqlError),
}

impl ConnectError {
    /// As metrics and logs call it.
    pub fn reason(&self) -> &'static str {
        match self {
            ConnectError::PasswordFile { .. } | ConnectError::PasswordVariable(_) => "password",
            ConnectError::Tls(_) => "tls",
            ConnectError::Unreachable { .. } => "unreachable",
            ConnectError::Timeout(_) => "timeout",
            ConnectError::Refused(_) => "refused",
            ConnectError::Prepared(_) => "statement",
        }
    }
}

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    #[error("{}", told(.0))]
    Server(#[from] tokio_postgres::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl SqlError {
    /// PostgreSQL's code of the error, if the server itself refused the statement.
    pub fn code(&self) -> Option<&tokio_postgres::error::SqlState> {
        match self {
            SqlError::Server(error) => error.code(),
            SqlError::Timeout(_) => None,
        }
    }
}

/// The server's sentence with its code, or what happened to the connection. Not the server's detail,
/// which repeats values.
fn told(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
