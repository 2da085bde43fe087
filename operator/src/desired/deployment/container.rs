//! The relay's container: restricted, read-only, probed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, HTTPGetAction, Probe, ResourceRequirements,
    SecurityContext, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::crd::PullPolicy;
use crate::desired::config_map::FILE;
use crate::desired::quantity::{self, quantity};
use crate::desired::service::{ADMIN, HTTP};
use crate::names::{ADMIN_PORT, PUBLIC_PORT};
use crate::validate::Valid;

pub const CONFIG_VOLUME: &str = "config";
const CONFIG_DIRECTORY: &str = "/etc/sse-relay";

pub fn build(valid: &Valid, pull: PullPolicy) -> Container {
    Container {
        name: "relay".to_owned(),
        image: Some(valid.image.clone()),
        image_pull_policy: Some(policy(pull).to_owned()),
        args: Some(vec![
            "serve".to_owned(),
            "--config".to_owned(),
            format!("{CONFIG_DIRECTORY}/{FILE}"),
        ]),
        ports: Some(vec![port(HTTP, PUBLIC_PORT), port(ADMIN, ADMIN_PORT)]),
        resources: Some(resources(valid)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        // why a relay does not start shows in its pod's status, and so in the SseRelay's
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        // once a second for a minute: a pod that is soon there serves soon
        startup_probe: Some(probe("/readyz", 1, 60, 1)),
        readiness_probe: Some(probe("/readyz", 5, 2, 2)),
        // /livez itself waits up to 5s for the delivery threads
        liveness_probe: Some(probe("/livez", 10, 3, 6)),
        volume_mounts: Some(vec![VolumeMount {
            name: CONFIG_VOLUME.to_owned(),
            mount_path: CONFIG_DIRECTORY.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

/// As Kubernetes writes it.
pub fn policy(pull: PullPolicy) -> &'static str {
    match pull {
        PullPolicy::Always => "Always",
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Never => "Never",
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

fn probe(path: &str, period: i32, failures: i32, timeout: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(timeout),
        ..Probe::default()
    }
}

/// What a pod asks for: what the resource says, else what is derived.
#[must_use]
pub fn resources(valid: &Valid) -> ResourceRequirements {
    let given = valid.spec.pod_template.as_ref();
    match given.and_then(|given| given.resources.clone()) {
        Some(given) => quantity::resources(given),
        None => derived(valid),
    }
}

/// Memory as request and limit, since what the relay keeps is bounded; processor time as request
/// only, since a limit would delay events.
fn derived(valid: &Valid) -> ResourceRequirements {
    let memory = (
        "memory".to_owned(),
        quantity(&valid.sizing.memory.to_string()),
    );
    ResourceRequirements {
        requests: Some(BTreeMap::from([
            ("cpu".to_owned(), quantity(&valid.sizing.cpu())),
            memory.clone(),
        ])),
        limits: Some(BTreeMap::from([memory])),
        ..ResourceRequirements::default()
    }
}
