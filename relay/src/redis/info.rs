//! What a server says of itself.

use super::ConnectError;
use std::{fmt, sync::Arc};

/// The oldest release whose scripts and shard channels suffice.
const OLDEST_MAJOR: u32 = 7;

/// Names the history of a primary's data set (`master_replid`): another one after every restart
/// and promotion.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReplicationId(Arc<str>);

impl ReplicationId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
impl From<&str> for ReplicationId {
    fn from(text: &str) -> ReplicationId {
        ReplicationId(text.into())
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a server takes part in a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ServerMode {
    Cluster,
    Single,
}

/// `INFO replication` of a primary.
pub(super) fn replication(info: &str) -> Result<ReplicationId, ConnectError> {
    let role = field(info, "role").unwrap_or("unknown");
    if role != "master" {
        return Err(ConnectError::NotPrimary);
    }
    match field(info, "master_replid") {
        Some(id) if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Ok(ReplicationId(id.into()))
        }
        _ => Err(ConnectError::Protocol(
            "INFO replication has no master_replid".into(),
        )),
    }
}

/// `INFO server`: refuses releases that are too old.
pub(super) fn server(info: &str) -> Result<ServerMode, ConnectError> {
    let version = field(info, "redis_version").unwrap_or("unknown");
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major < OLDEST_MAJOR) {
        return Err(ConnectError::TooOld(version.into()));
    }
    // Valkey 8 and later say `server_mode`.
    match field(info, "redis_mode").or_else(|| field(info, "server_mode")) {
        Some("cluster") => Ok(ServerMode::Cluster),
        _ => Ok(ServerMode::Single),
    }
}

/// The value of `name:value` on a line of its own.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_primary_with_its_id_is_accepted() {
        let primary = "# Replication\r\nrole:master\r\nmaster_replid:0123abc\r\n";
        assert_eq!(replication(primary).unwrap().as_str(), "0123abc");
        let replica = "role:slave\r\nmaster_replid:0123abc\r\n";
        assert!(matches!(
            replication(replica),
            Err(ConnectError::NotPrimary)
        ));
        assert!(matches!(
            replication("role:master\r\n"),
            Err(ConnectError::Protocol(_))
        ));
    }

    #[test]
    fn releases_before_7_are_refused_by_name() {
        assert!(matches!(
            server("redis_version:6.2.14\r\n"),
            Err(ConnectError::TooOld(version)) if &*version == "6.2.14"
        ));
        assert_eq!(
            server("redis_version:7.0.15\r\nredis_mode:standalone\r\n").unwrap(),
            ServerMode::Single
        );
        // Valkey tells the Redis release that it stands for.
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nserver_mode:cluster\r\n";
        assert_eq!(server(valkey).unwrap(), ServerMode::Cluster);
    }
}
