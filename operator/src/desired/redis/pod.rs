//! The pod of the relay's own Redis: the server, and beside it an agent that applies changed users.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction, KeyToPath,
    LocalObjectReference, PodSecurityContext, PodSpec, Probe, ResourceRequirements, SeccompProfile,
    SecretVolumeSource, SecurityContext, TCPSocketAction, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::PORT;
use super::configuration::FILE;
use super::service::REDIS;
use super::users::{ACL, AGENT};
use crate::crd::ManagedRedis;
use crate::desired::quantity::quantity;
use crate::desired::{policy, tolerated};
use crate::validate::{Store, Valid};

/// Where the volume is.
pub const DATA: &str = "/data";
/// Where the file of users is.
pub const USERS: &str = "/etc/redis-users";
/// Where the agent's password is.
const AGENT_SECRET: &str = "/run/secrets/redis-agent";
const CONFIGURATION: &str = "/etc/redis";
/// Name of the volume's claim.
pub const DATA_VOLUME: &str = "data";
/// Port of the agent's probe.
const AGENT_PORT: i32 = 8082;
/// The user that images of Redis and Valkey have for the server.
const USER: i64 = 999;

pub fn build(valid: &Valid, managed: &ManagedRedis, store: &Store) -> PodSpec {
    let image = valid.spec.image.clone().unwrap_or_default();
    let secrets: Vec<LocalObjectReference> = image
        .pull_secrets
        .into_iter()
        .map(|secret| LocalObjectReference { name: secret.name })
        .collect();
    let pull = policy(image.pull_policy).to_owned();
    PodSpec {
        service_account_name: Some(valid.names.relay.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(60),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        containers: vec![server(store, &pull), agent(valid, &pull)],
        volumes: Some(volumes(valid)),
        node_selector: (!managed.node_selector.is_empty()).then(|| managed.node_selector.clone()),
        tolerations: tolerated(managed.tolerations.clone()),
        priority_class_name: managed.priority_class_name.clone(),
        ..PodSpec::default()
    }
}

fn server(store: &Store, pull: &str) -> Container {
    let memory = ("memory".to_owned(), quantity(&store.memory.to_string()));
    Container {
        name: "redis".to_owned(),
        image: Some(store.image.clone()),
        image_pull_policy: Some(pull.to_owned()),
        // images of Redis and of Valkey both have it under this name
        command: Some(vec!["redis-server".to_owned()]),
        args: Some(vec![format!("{CONFIGURATION}/{FILE}")]),
        working_dir: Some(DATA.to_owned()),
        ports: Some(vec![port(REDIS, PORT)]),
        resources: Some(ResourceRequirements {
            requests: Some(BTreeMap::from([
                ("cpu".to_owned(), quantity("250m")),
                memory.clone(),
            ])),
            limits: Some(BTreeMap::from([memory])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        // it listens while it reads its log, however long that takes
        startup_probe: Some(listens(1, 60)),
        liveness_probe: Some(listens(10, 6)),
        volume_mounts: Some(vec![
            mount(DATA_VOLUME, DATA, None),
            mount("config", CONFIGURATION, Some(true)),
            mount("users", USERS, Some(true)),
        ]),
        ..Container::default()
    }
}

fn agent(valid: &Valid, pull: &str) -> Container {
    let resource = |name: &str, amount: &str| (name.to_owned(), quantity(amount));
    Container {
        name: "agent".to_owned(),
        image: Some(valid.image.clone()),
        image_pull_policy: Some(pull.to_owned()),
        args: Some(
            [
                "redis-agent",
                "--users",
                &format!("{USERS}/{ACL}"),
                "--password-file",
                &format!("{AGENT_SECRET}/{AGENT}"),
                "--listen",
                &format!("0.0.0.0:{AGENT_PORT}"),
            ]
            .map(str::to_owned)
            .into(),
        ),
        ports: Some(vec![port("agent", AGENT_PORT)]),
        resources: Some(ResourceRequirements {
            requests: Some(BTreeMap::from([
                resource("cpu", "10m"),
                resource("memory", "32Mi"),
            ])),
            limits: Some(BTreeMap::from([resource("memory", "64Mi")])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(restricted()),
        // ready means that Redis answers, with its log read
        readiness_probe: Some(Probe {
            http_get: Some(HTTPGetAction {
                path: Some("/readyz".to_owned()),
                port: IntOrString::String("agent".to_owned()),
                ..HTTPGetAction::default()
            }),
            period_seconds: Some(2),
            failure_threshold: Some(3),
            timeout_seconds: Some(2),
            ..Probe::default()
        }),
        volume_mounts: Some(vec![
            mount("users", USERS, Some(true)),
            mount("agent", AGENT_SECRET, Some(true)),
        ]),
        ..Container::default()
    }
}

fn listens(period: i32, failures: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::String(REDIS.to_owned()),
            host: None,
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn volumes(valid: &Valid) -> Vec<Volume> {
    let names = &valid.names;
    vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names.redis(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        secret(valid, "users", ACL),
        secret(valid, "agent", AGENT),
    ]
}

/// One key of the Secret of users; as a folder, which follows changes.
fn secret(valid: &Valid, volume: &str, key: &str) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(valid.names.users()),
            items: Some(vec![KeyToPath {
                key: key.to_owned(),
                path: key.to_owned(),
                mode: None,
            }]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn mount(name: &str, path: &str, read_only: Option<bool>) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    }
}
