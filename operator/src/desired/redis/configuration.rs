//! `redis.conf`, for a log that is appended to and fanned out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use relay_config::ByteSize;

use super::pod::{DATA, USERS};
use super::users::ACL;
use crate::validate::{Store, Valid};

/// The file's name within the ConfigMap.
pub const FILE: &str = "redis.conf";

/// What Redis may fill with data: the rest of its memory is for buffers of clients, and for pages
/// that are copied while the log is rewritten.
#[must_use]
pub fn maxmemory(memory: ByteSize) -> ByteSize {
    ByteSize(memory.get() / 10 * 7)
}

pub fn build(valid: &Valid, store: &Store) -> ConfigMap {
    ConfigMap {
        metadata: valid.names.redis_meta(&valid.names.redis()),
        data: Some(BTreeMap::from([(FILE.to_owned(), text(store))])),
        ..ConfigMap::default()
    }
}

fn text(store: &Store) -> String {
    let maxmemory = maxmemory(store.memory).get();
    format!(
        "# Written by the operator; what a person changes is put back.
bind * -::*
port 6379
# users have passwords, and a network policy lets only the relay in
protected-mode no
aclfile {USERS}/{ACL}
dir {DATA}

# everything is on the disk within a second, and nowhere twice
appendonly yes
appendfsync everysec
no-appendfsync-on-rewrite yes
save \"\"

# a full Redis refuses publishes, which is told; evicting would drop history in silence
maxmemory {maxmemory}
maxmemory-policy noeviction
maxmemory-clients 10%
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit pubsub 64mb 16mb 30

# many channels with few events each
stream-node-max-bytes 1024
stream-node-max-entries 100

timeout 0
tcp-keepalive 60
lazyfree-lazy-eviction yes
lazyfree-lazy-expire yes
lazyfree-lazy-server-del yes
latency-monitor-threshold 100
notify-keyspace-events \"\"
"
    )
}
