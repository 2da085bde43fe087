//! What can go wrong, told apart by whether a command was executed.

use crate::label::labels;
use std::{io, path::PathBuf, sync::Arc};

/// Why a command has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommandError {
    /// It did not leave this process.
    #[error("not sent: {0}")]
    NotSent(NotSent),
    /// The server refused it before executing anything. Another moment or node may take it.
    #[error("not executed: {text}")]
    NotExecuted { why: NotExecuted, text: Box<str> },
    /// It was sent, and whether it was executed, or still will be, is not known.
    #[error("{0}")]
    Unknown(Lost),
    /// The server refuses it, and will again. A script may have written a part: `wrote`.
    #[error("refused by Redis: {text}")]
    Refused {
        why: Refusal,
        wrote: Wrote,
        text: Box<str>,
    },
}

/// Why a command did not leave this process.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotSent {
    #[error("no connection: {0}")]
    NoConnection(Arc<ConnectError>),
    /// The session of the command ended; a new one may be there.
    #[error("the connection was given up: {0}")]
    SessionEnded(Arc<ConnectError>),
    /// So many commands wait for answers that there was no room for another within the timeout.
    #[error("too many commands wait for Redis")]
    Busy,
}

/// Why a server did not execute a command, although it may do so later or elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotExecuted {
    Moved,
    Ask,
    TryAgain,
    ClusterDown,
    Loading,
    ReadOnly,
    MasterDown,
    BusyScript,
    NoReplicas,
    NoScript,
}

labels!(NotExecuted {
    Moved => "moved",
    Ask => "ask",
    TryAgain => "try-again",
    ClusterDown => "cluster-down",
    Loading => "loading",
    ReadOnly => "read-only",
    MasterDown => "master-down",
    BusyScript => "busy-script",
    NoReplicas => "no-replicas",
    NoScript => "no-script",
});

/// Why the answer to a command that was sent is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("Redis did not answer in time; whether the command was executed is not known")]
    TimedOut,
    #[error(
        "the connection was lost before the answer; whether the command was executed is not known"
    )]
    ConnectionLost,
    #[error("Redis answered with what this relay does not understand ({0})")]
    Unreadable(Box<str>),
}

/// Why a server refuses a command for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// `maxmemory` is reached and nothing may be evicted.
    OutOfMemory,
    NoPermission,
    /// The connection has no user any more.
    NotAuthenticated,
    /// A key under our prefix holds something else.
    WrongType,
    /// The disk of the server fails.
    Misconfigured,
    /// Keys of more than one slot: a fault of this program.
    CrossSlot,
    /// An error raised by a script or a command in it.
    Other,
}

labels!(Refusal {
    OutOfMemory => "out-of-memory",
    NoPermission => "no-permission",
    NotAuthenticated => "not-authenticated",
    WrongType => "wrong-type",
    Misconfigured => "misconfigured",
    CrossSlot => "cross-slot",
    Other => "other",
});

/// Whether a refused command may have written something. Scripts are not rolled back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrote {
    Nothing,
    /// The error came from within a script: what it did before stays.
    Perhaps,
}

/// Why there is no connection to a node.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the first connection is being made")]
    Starting,
    #[error(
        "{address} cannot be reached ({error}): is the address right, and does Redis run there?"
    )]
    Unreachable {
        address: Box<str>,
        error: Arc<io::Error>,
    },
    #[error(
        "{0} did not answer in time: does Redis run there, do both sides mean TLS, and does a firewall drop packets?"
    )]
    TimedOut(Box<str>),
    #[error("the password cannot be read from {} ({error})", .path.display())]
    PasswordFile {
        path: PathBuf,
        error: Arc<io::Error>,
    },
    #[error("the environment variable {0}, which should hold the password, is not set")]
    PasswordVariable(Box<str>),
    #[error("Redis does not know user or password ({0}): check `redis.credentials`")]
    Authentication(Box<str>),
    #[error(
        "the Redis user may not do what the relay needs ({0}): `sse-relay redis-acl relay` prints \
         the rights"
    )]
    Permission(Box<str>),
    #[error(
        "this server is a replica, which takes no writes: name the primary, or use \
         `redis.sentinel` or `redis.cluster`"
    )]
    NotPrimary,
    #[error("Redis {0} is too old: use Redis 7.0 or later, or Valkey")]
    TooOld(Box<str>),
    #[error(
        "this server is part of a cluster: configure `redis.cluster.nodes` instead of `redis.url`"
    )]
    Cluster,
    #[error("Redis refuses the database: {0}")]
    Database(Box<str>),
    #[error("the server is not ready yet: {0}")]
    NotReady(Box<str>),
    #[error("TLS: {0}")]
    Tls(Box<str>),
    #[error(
        "this server is no part of a cluster: configure `redis.url` instead of `redis.cluster`"
    )]
    NotCluster,
    #[error("no node of the cluster serves this part of it")]
    NoOwner,
    #[error(
        "the Sentinels do not know the primary `{0}`: is `redis.sentinel.service` what they call it?"
    )]
    UnknownService(Box<str>),
    #[error("the server closed the connection (does it want TLS, `rediss://` or `redis.tls`?)")]
    Closed,
    #[error("the server does not answer")]
    Unresponsive,
    #[error("the server's replication id has changed")]
    OtherReplicationId,
    #[error("the slot has moved to another node")]
    Moved,
    #[error("the node serves nothing any more")]
    Retired,
    #[error("the server does not speak as Redis does: {0}")]
    Protocol(Box<str>),
}

impl CommandError {
    /// A value that no command of ours is answered with.
    pub(super) fn unreadable(kind: &str) -> CommandError {
        CommandError::Unknown(Lost::Unreadable(kind.into()))
    }

    /// From a closed set, for labels of metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            CommandError::NotSent(NotSent::NoConnection(_)) => "no-connection",
            CommandError::NotSent(NotSent::SessionEnded(_)) => "session-ended",
            CommandError::NotSent(NotSent::Busy) => "busy",
            CommandError::NotExecuted { why, .. } => why.as_str(),
            CommandError::Unknown(Lost::TimedOut) => "timeout",
            CommandError::Unknown(Lost::ConnectionLost) => "connection-lost",
            CommandError::Unknown(Lost::Unreadable(_)) => "unreadable",
            CommandError::Refused { why, .. } => why.as_str(),
        }
    }
}

impl CommandError {
    /// What a script told of a command in it that failed, and caught. It may have written before.
    pub fn caught(text: &str) -> CommandError {
        let (code, detail) = match text.split_once(' ') {
            Some((code, detail)) => (code, Some(detail)),
            None => (text, None),
        };
        match from_server(code, detail) {
            CommandError::Refused { why, text, .. } => CommandError::Refused {
                why,
                wrote: Wrote::Perhaps,
                text,
            },
            CommandError::NotExecuted { text, .. } => CommandError::Refused {
                why: Refusal::Other,
                wrote: Wrote::Perhaps,
                text,
            },
            other => other,
        }
    }
}

impl ConnectError {
    /// From a closed set, for labels of metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            ConnectError::Starting => "starting",
            ConnectError::Unreachable { .. } => "unreachable",
            ConnectError::TimedOut(_) => "timeout",
            ConnectError::PasswordFile { .. } | ConnectError::PasswordVariable(_) => "password",
            ConnectError::Authentication(_) => "authentication",
            ConnectError::Permission(_) => "no-permission",
            ConnectError::NotPrimary => "not-primary",
            ConnectError::TooOld(_) => "too-old",
            ConnectError::Cluster => "cluster",
            ConnectError::Database(_) => "database",
            ConnectError::NotReady(_) => "not-ready",
            ConnectError::Closed => "closed",
            ConnectError::Unresponsive => "unresponsive",
            ConnectError::OtherReplicationId => "other-replication-id",
            ConnectError::Moved => "moved",
            ConnectError::Retired => "retired",
            ConnectError::Tls(_) => "tls",
            ConnectError::NotCluster => "not-cluster",
            ConnectError::NoOwner => "no-owner",
            ConnectError::UnknownService(_) => "unknown-service",
            ConnectError::Protocol(_) => "protocol",
        }
    }
}

/// Sorts an error answer by its first word, as Redis means it to be (`MOVED 1 host:port`).
pub(super) fn from_server(code: &str, detail: Option<&str>) -> CommandError {
    use {NotExecuted as N, Refusal as R};
    let text = match detail {
        Some(detail) => format!("{code} {detail}").into_boxed_str(),
        None => code.into(),
    };
    let wrote = if within_script(&text) {
        Wrote::Perhaps
    } else {
        Wrote::Nothing
    };
    let before = |why| (wrote == Wrote::Nothing).then_some(why);
    let why = match code {
        "MOVED" => Some(N::Moved),
        "ASK" => Some(N::Ask),
        "TRYAGAIN" => Some(N::TryAgain),
        "CLUSTERDOWN" => Some(N::ClusterDown),
        "LOADING" => Some(N::Loading),
        "NOSCRIPT" => Some(N::NoScript),
        "MASTERDOWN" => before(N::MasterDown),
        "READONLY" => before(N::ReadOnly),
        "BUSY" => before(N::BusyScript),
        "NOREPLICAS" => before(N::NoReplicas),
        _ => None,
    };
    if let Some(why) = why {
        return CommandError::NotExecuted { why, text };
    }
    let why = match code {
        // the rights of who runs a script, for a command in it
        "ERR" if text.contains("The user executing the script can't") => R::NoPermission,
        "OOM" => R::OutOfMemory,
        "NOPERM" => R::NoPermission,
        "NOAUTH" | "WRONGPASS" => R::NotAuthenticated,
        "WRONGTYPE" => R::WrongType,
        "MISCONF" => R::Misconfigured,
        "CROSSSLOT" => R::CrossSlot,
        _ => R::Other,
    };
    CommandError::Refused { why, wrote, text }
}

/// An error answer, or none, during the making of a connection.
pub(super) fn told(error: CommandError) -> ConnectError {
    match error {
        CommandError::Refused { why, text, .. } => match why {
            Refusal::NotAuthenticated => ConnectError::Authentication(text),
            Refusal::NoPermission => ConnectError::Permission(text),
            _ if text.contains("cluster mode") => ConnectError::Cluster,
            _ if text.contains("cluster support disabled") => ConnectError::NotCluster,
            _ if text.contains("DB index") => ConnectError::Database(text),
            _ => ConnectError::Protocol(text),
        },
        CommandError::NotExecuted { text, .. } => ConnectError::NotReady(text),
        CommandError::Unknown(Lost::Unreadable(text)) if text.contains("fatal alert") => {
            let remedy = "does the server want another `redis.tls.certificate` and `key`?";
            ConnectError::Tls(format!("{text}; {remedy}").into())
        }
        CommandError::Unknown(Lost::Unreadable(text)) => ConnectError::Protocol(text),
        CommandError::Unknown(Lost::TimedOut) => ConnectError::Unresponsive,
        CommandError::NotSent(_) | CommandError::Unknown(Lost::ConnectionLost) => {
            ConnectError::Closed
        }
    }
}

/// Redis adds to an error of a running script where it stood: `… script: HASH, on @user_script:3.`
fn within_script(text: &str) -> bool {
    text.contains(" script: ") && text.contains("on @user_script")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_surely_did_not_execute_may_be_tried_again() {
        for (code, expected) in [
            ("MOVED", NotExecuted::Moved),
            ("TRYAGAIN", NotExecuted::TryAgain),
            ("CLUSTERDOWN", NotExecuted::ClusterDown),
            ("READONLY", NotExecuted::ReadOnly),
            ("NOREPLICAS", NotExecuted::NoReplicas),
        ] {
            let error = from_server(code, Some("detail"));
            assert!(
                matches!(&error, CommandError::NotExecuted { why, .. } if *why == expected),
                "{error}"
            );
        }
    }

    #[test]
    fn an_error_from_within_a_script_may_have_written() {
        let inside =
            "You can't write against a read only replica. script: 0a1b, on @user_script:3.";
        let error = from_server("READONLY", Some(inside));
        assert!(
            matches!(
                error,
                CommandError::Refused {
                    wrote: Wrote::Perhaps,
                    ..
                }
            ),
            "{error}"
        );
        let error = from_server(
            "NOPERM",
            Some("User x has no permissions to run the 'evalsha' command"),
        );
        assert!(matches!(
            error,
            CommandError::Refused {
                why: Refusal::NoPermission,
                wrote: Wrote::Nothing,
                ..
            }
        ));
        let inside = "The user executing the script can't run this command or subcommand script: \
                      0a1b, on @user_script:3.";
        assert!(matches!(
            from_server("ERR", Some(inside)),
            CommandError::Refused {
                why: Refusal::NoPermission,
                wrote: Wrote::Perhaps,
                ..
            }
        ));
    }
}
