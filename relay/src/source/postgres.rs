//! What sources in PostgreSQL have in common.

use super::{Fault, FaultReason};
use crate::postgres::{ConnectError, Postgres, SqlError};

/// The server of a source.
///
/// # Errors
/// Settings that are wrong in themselves.
pub fn server(settings: &relay_config::Postgres) -> Result<Postgres, Fault> {
    Postgres::new(settings, "postgres").map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Fault::new(FaultReason::Settings, lines.join("; "))
    })
}

impl From<ConnectError> for Fault {
    fn from(error: ConnectError) -> Fault {
        let reason = match &error {
            ConnectError::PasswordFile { .. }
            | ConnectError::PasswordVariable(_)
            | ConnectError::NoPassword => FaultReason::Credentials,
            ConnectError::Tls(_) => FaultReason::Tls,
            ConnectError::Unreachable { .. } | ConnectError::Timeout(_) => FaultReason::Unreachable,
            ConnectError::Refused(error) => refused(error),
            ConnectError::Prepared(_) => FaultReason::Closed,
        };
        Fault::new(reason, error.to_string())
    }
}

/// Of its classes: 28 is who somebody is, 3D which database, 53 and 57 that the server cannot now.
fn refused(error: &tokio_postgres::Error) -> FaultReason {
    match error.code().map(|code| &code.code()[..2]) {
        Some("28") => FaultReason::Credentials,
        Some("3D") => FaultReason::Settings,
        Some("53" | "57") | None => FaultReason::Unreachable,
        Some(_) => FaultReason::Refused,
    }
}

impl From<SqlError> for Fault {
    fn from(error: SqlError) -> Fault {
        let reason = match (&error, error.code().map(|code| &code.code()[..2])) {
            (SqlError::Timeout(_), _) => FaultReason::Unreachable,
            // no such table, no such column, no right to it
            (_, Some("42" | "3F")) => FaultReason::Refused,
            (_, Some("57" | "08") | None) => FaultReason::Closed,
            (_, Some(_)) => FaultReason::Refused,
        };
        let text = match error.code().map(tokio_postgres::error::SqlState::code) {
            Some("42P01" | "42703") => {
                format!("{error}; docs/sources.md has the definition of a table to pull from")
            }
            Some("42501") => format!("{error}; give the user that right there (GRANT)"),
            _ => error.to_string(),
        };
        Fault::new(reason, text)
    }
}
