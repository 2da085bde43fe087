//! The relay's pods.

pub mod container;
mod files;
mod placement;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec,
    SeccompProfile, Toleration, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::hash;
use crate::crd::{PodTemplate, Strategy};
use crate::document;
use crate::names::CONFIGURATION;
use crate::validate::Valid;

const VERSION: &str = "app.kubernetes.io/version";
/// A pod counts as there when it has served for so long: streams that come back too early to one
/// that dies again have moved twice.
const MIN_READY_SECONDS: i32 = 10;
/// What a replacement may take besides the time that pods take to leave.
const PROGRESS_SECONDS: u64 = 600;

pub fn build(valid: &Valid) -> Deployment {
    let spec = &valid.spec;
    let mut metadata = valid.names.meta(&valid.names.relay);
    metadata
        .labels
        .get_or_insert_default()
        .insert(VERSION.to_owned(), valid.version.clone());
    let progress = PROGRESS_SECONDS + valid.leaving.grace_seconds();
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(valid.replicas),
            selector: LabelSelector {
                match_labels: Some(valid.names.selector()),
                ..LabelSelector::default()
            },
            strategy: Some(strategy(spec.rollout.strategy)),
            min_ready_seconds: Some(MIN_READY_SECONDS),
            progress_deadline_seconds: i32::try_from(progress).ok(),
            revision_history_limit: Some(3),
            template: template(valid),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// None leaves before its successor is there.
fn strategy(strategy: Strategy) -> DeploymentStrategy {
    let surge = match strategy {
        Strategy::Surge => "100%",
        Strategy::Rolling => "25%",
    };
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::String(surge.to_owned())),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

fn template(valid: &Valid) -> PodTemplateSpec {
    let given = valid.spec.pod_template.clone().unwrap_or_default();
    let mut labels = given.labels.clone();
    labels.extend(valid.names.labels());
    labels.insert(VERSION.to_owned(), valid.version.clone());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations(valid, &given)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(valid, given)),
    }
}

fn annotations(valid: &Valid, given: &PodTemplate) -> BTreeMap<String, String> {
    let settings = valid.profile().into_iter().flat_map(|profile| &profile.pod);
    let mut annotations: BTreeMap<String, String> = settings
        .map(|setting| (setting.key.to_owned(), setting.value.clone()))
        .collect();
    annotations.extend(given.annotations.clone());
    annotations.insert(
        CONFIGURATION.to_owned(),
        hash(&document::needing_restart(&valid.config)),
    );
    annotations
}

/// As the API server stores them: it drops texts that are empty.
pub fn tolerated(mut tolerations: Vec<Toleration>) -> Option<Vec<Toleration>> {
    for toleration in &mut tolerations {
        let Toleration {
            effect,
            key,
            operator,
            value,
            toleration_seconds: _,
        } = toleration;
        for text in [effect, key, operator, value] {
            text.take_if(|text| text.is_empty());
        }
    }
    (!tolerations.is_empty()).then_some(tolerations)
}

fn pod(valid: &Valid, given: PodTemplate) -> PodSpec {
    let names = &valid.names;
    let image = valid.spec.image.clone().unwrap_or_default();
    let secrets: Vec<LocalObjectReference> = image
        .pull_secrets
        .into_iter()
        .map(|secret| LocalObjectReference { name: secret.name })
        .collect();
    let mut volumes = vec![Volume {
        name: container::CONFIG_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: names.config(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }];
    let spread = placement::spread(valid, &given);
    let mut container = container::build(valid, image.pull_policy);
    if let Some((volume, mount)) = files::build(valid) {
        volumes.push(volume);
        container.volume_mounts.get_or_insert_default().push(mount);
    }
    PodSpec {
        service_account_name: Some(names.relay.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: i64::try_from(valid.leaving.grace_seconds()).ok(),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        topology_spread_constraints: Some(spread),
        containers: vec![container],
        volumes: Some(volumes),
        affinity: given.affinity,
        node_selector: (!given.node_selector.is_empty()).then_some(given.node_selector),
        tolerations: tolerated(given.tolerations),
        priority_class_name: given.priority_class_name,
        ..PodSpec::default()
    }
}
