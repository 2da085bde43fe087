//! The Redis of the resource, as the relay reads it.

use std::collections::BTreeMap;

use relay_config as config;
use sha2::{Digest, Sha256};

use super::Unread;
use super::server::{files, username};
use crate::crd::{ExternalRedis, Redis, ServerCredentials, ServerTls};
use crate::names::Names;
use crate::references::redis::{FOLDER, SENTINEL_PASSWORD};
use crate::references::server::password;
use crate::references::{Key, path_in_pod};
use crate::tokens::hex;

/// The longest prefix that the relay takes.
const LONGEST_PREFIX: usize = 64;

/// What every key of the relay begins with: as the resource says, else its namespace and name, which
/// no other relay of the cluster has.
#[must_use]
pub fn prefix(redis: &Redis, names: &Names) -> String {
    if let Some(prefix) = &redis.prefix {
        return prefix.clone();
    }
    let full = format!("{}:{}", names.namespace, names.relay);
    if full.len() <= LONGEST_PREFIX {
        return full;
    }
    // neither holds a colon, so this is no other relay's namespace and name
    format!("{}:{}", names.relay, &hex(&Sha256::digest(full))[..12])
}

pub(super) fn redis(
    from: &Redis,
    names: &Names,
    texts: &BTreeMap<Key, String>,
    unread: &mut Unread,
) -> config::Redis {
    let mut to = config::Redis {
        prefix: prefix(from, names),
        ..config::Redis::default()
    };
    if from.managed.is_some() {
        to.url = Some(format!("redis://{}.{}.svc", names.redis(), names.namespace));
        to.credentials = Some(config::RedisCredentials {
            username: Some("relay".to_owned()),
            password_file: Some(path_in_pod(&password(FOLDER))),
            password_variable: None,
        });
    }
    if let Some(external) = &from.external {
        external_redis(&mut to, external, texts, unread);
    }
    to
}

fn external_redis(
    to: &mut config::Redis,
    from: &ExternalRedis,
    texts: &BTreeMap<Key, String>,
    unread: &mut Unread,
) {
    let number = |database: i32| u32::try_from(database).unwrap_or(0);
    to.url = from.standalone.as_ref().map(|one| {
        let scheme = if from.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        match one.database {
            0 => format!("{scheme}://{}", one.host),
            database => format!("{scheme}://{}/{database}", one.host),
        }
    });
    to.sentinel = from
        .sentinel
        .as_ref()
        .map(|sentinel| config::RedisSentinel {
            service: sentinel.master.clone(),
            nodes: sentinel.hosts.clone(),
            credentials: sentinel
                .credentials
                .as_ref()
                .map(|named| credentials(named, SENTINEL_PASSWORD, texts)),
            database: number(sentinel.database),
        });
    to.cluster = from.cluster.as_ref().map(|cluster| config::RedisCluster {
        nodes: cluster.hosts.clone(),
    });
    to.credentials = from
        .credentials
        .as_ref()
        .map(|named| credentials(named, &password(FOLDER), texts));
    to.tls = from.tls.as_ref().map(tls);
    let replicas = from.min_replicas_ack;
    to.min_replicas_ack = replicas.and_then(|n| u32::try_from(n).ok());
    if let Some(time) = &from.connect_timeout {
        to.connect_timeout = unread.span("redis.external.connectTimeout", time);
    }
    if let Some(time) = &from.command_timeout {
        to.command_timeout = unread.span("redis.external.commandTimeout", time);
    }
}

fn credentials(
    named: &ServerCredentials,
    file: &str,
    texts: &BTreeMap<Key, String>,
) -> config::RedisCredentials {
    config::RedisCredentials {
        username: username(named, texts),
        password_file: Some(path_in_pod(file)),
        password_variable: None,
    }
}

fn tls(from: &ServerTls) -> config::RedisTls {
    let files = files(from, FOLDER);
    config::RedisTls {
        ca: files.ca,
        certificate: files.certificate,
        key: files.key,
        server_name: from.server_name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(namespace: &str, relay: &str) -> Names {
        Names {
            relay: relay.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    fn left_out() -> Redis {
        Redis {
            managed: None,
            external: None,
            prefix: None,
        }
    }

    #[test]
    fn a_prefix_that_is_left_out_is_of_this_relay_alone_and_never_too_long() {
        assert_eq!(prefix(&left_out(), &names("shop", "live")), "shop:live");
        let long = prefix(&left_out(), &names(&"n".repeat(63), &"r".repeat(50)));
        let other = prefix(&left_out(), &names(&"m".repeat(63), &"r".repeat(50)));
        assert!(long.len() <= LONGEST_PREFIX && long != other, "{long}");
    }
}
