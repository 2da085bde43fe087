//! The relay's own Redis: one server with its log on a volume.

mod configuration;
mod network_policy;
mod pod;
mod service;
mod stateful_set;
mod users;

pub use configuration::maxmemory;
pub use users::{ACL, AGENT, ASKED, NEXT, PASSWORD, PREVIOUS, SINCE};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::tokens::RedisUsers;
use crate::validate::Valid;

/// Port of Redis.
pub const PORT: i32 = 6379;

/// Everything of the relay's own Redis.
#[derive(Debug, Clone, PartialEq)]
pub struct Redis {
    /// `redis.conf`.
    pub config_map: ConfigMap,
    /// Users, their rights and their passwords.
    pub users: Secret,
    /// Where the relay finds it.
    pub service: Service,
    /// Who may reach it: the relay.
    pub network_policy: Option<NetworkPolicy>,
    /// The server.
    pub stateful_set: StatefulSet,
}

/// What `valid` asks for, if it asks for a Redis of its own.
pub fn build(valid: &Valid, users: &RedisUsers) -> Option<Redis> {
    let managed = valid.spec.redis.as_ref()?.managed.as_ref()?;
    let store = valid.redis.as_ref()?;
    let config_map = configuration::build(valid, store);
    Some(Redis {
        stateful_set: stateful_set::build(valid, managed, store, &config_map),
        config_map,
        users: users::build(valid, users),
        service: service::build(valid),
        network_policy: network_policy::build(valid),
    })
}
