//! Why a source cannot go on.

use crate::{
    label::labels,
    redis::{CommandError, ConnectError, NotSent},
};

/// Why a source cannot go on, for now.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    pub reason: FaultReason,
    /// For who reads the log. It never holds a password or a message.
    text: String,
}

/// The kinds of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultReason {
    /// There is no server, or it does not answer.
    Unreachable,
    /// The connection was there, and ended.
    Closed,
    /// No connection with TLS can be had.
    Tls,
    /// The server refuses the user or the password, or a file that holds it cannot be read.
    Credentials,
    /// The server does not allow what the source does, or knows nothing of it.
    Refused,
    /// The server answers what nobody understands.
    Protocol,
    /// The settings do not fit the server.
    Settings,
    /// The log cannot be written.
    Log,
}

labels!(FaultReason {
    Unreachable => "unreachable",
    Closed => "closed",
    Tls => "tls",
    Credentials => "credentials",
    Refused => "refused",
    Protocol => "protocol",
    Settings => "settings",
    Log => "log",
});

impl Fault {
    pub fn new(reason: FaultReason, text: impl Into<String>) -> Fault {
        Fault {
            reason,
            text: text.into(),
        }
    }
}

impl From<&ConnectError> for Fault {
    fn from(error: &ConnectError) -> Fault {
        use ConnectError as C;
        let reason = match error {
            C::Starting
            | C::Unreachable { .. }
            | C::TimedOut(_)
            | C::Unresponsive
            | C::NotReady(_)
            | C::NoOwner => FaultReason::Unreachable,
            C::Closed | C::OtherReplicationId | C::Moved | C::Retired | C::NotPrimary => {
                FaultReason::Closed
            }
            C::Tls(_) => FaultReason::Tls,
            C::PasswordFile { .. } | C::PasswordVariable(_) | C::Authentication(_) => {
                FaultReason::Credentials
            }
            C::Permission(_) => FaultReason::Refused,
            C::TooOld(_) | C::Cluster | C::NotCluster | C::Database(_) | C::UnknownService(_) => {
                FaultReason::Settings
            }
            C::Protocol(_) => FaultReason::Protocol,
        };
        Fault::new(reason, error.to_string())
    }
}

impl From<CommandError> for Fault {
    fn from(error: CommandError) -> Fault {
        let reason = match &error {
            CommandError::NotSent(NotSent::NoConnection(why) | NotSent::SessionEnded(why)) => {
                return Fault::from(&**why);
            }
            CommandError::NotSent(_) | CommandError::NotExecuted { .. } => FaultReason::Unreachable,
            CommandError::Unknown(_) => FaultReason::Closed,
            CommandError::Refused { .. } => FaultReason::Refused,
        };
        Fault::new(reason, error.to_string())
    }
}
