//! What goes wrong between this process and PostgreSQL.

use super::remedy::remedy;
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
    #[error(
        "PostgreSQL asks for a password: let `credentials` name one (`passwordFile`, `passwordVariable`)"
    )]
    NoPassword,
    #[error(
        "cannot reach {address}: {error}; is PostgreSQL running there, and may this machine reach it?"
    )]
    Unreachable { address: String, error: io::Error },
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("{}", advised(.0))]
    Refused(tokio_postgres::Error),
    #[error("the connection could not be set up: {0}")]
    Prepared(SqlError),
}

impl From<tokio_postgres::Error> for ConnectError {
    /// What connecting ended with.
    fn from(error: tokio_postgres::Error) -> ConnectError {
        match error.source().map(ToString::to_string).as_deref() {
            Some("password missing") => ConnectError::NoPassword,
            _ => ConnectError::Refused(error),
        }
    }
}

impl ConnectError {
    /// As metrics and logs call it.
    pub fn reason(&self) -> &'static str {
        match self {
            ConnectError::PasswordFile { .. }
            | ConnectError::PasswordVariable(_)
            | ConnectError::NoPassword => "password",
            ConnectError::Tls(_) => "tls",
            ConnectError::Unreachable { .. } => "unreachable",
            ConnectError::Timeout(_) => "timeout",
            ConnectError::Refused(_) => "refused",
            ConnectError::Prepared(_) => "statement",
        }
    }
}

/// The same with what to do about it.
fn advised(error: &tokio_postgres::Error) -> String {
    let told = told(error);
    let known = error.as_db_error();
    match known.and_then(|error| remedy(error.code().code(), error.message())) {
        Some(remedy) => format!("{told}; {remedy}"),
        None => told,
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
