//! One server whose volume outlives its pod.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::pod::{self, DATA_VOLUME};
use crate::crd::{DeletionPolicy, ManagedRedis};
use crate::desired::hash;
use crate::desired::quantity::quantity;
use crate::names::CONFIGURATION;
use crate::validate::{Store, Valid};

pub fn build(
    valid: &Valid,
    managed: &ManagedRedis,
    store: &Store,
    config: &ConfigMap,
) -> StatefulSet {
    let names = &valid.names;
    let labels = names.redis_labels();
    let policy = match managed.deletion_policy {
        DeletionPolicy::Delete => "Delete",
        DeletionPolicy::Retain => "Retain",
    };
    StatefulSet {
        metadata: names.redis_meta(&names.redis()),
        spec: Some(StatefulSetSpec {
            service_name: Some(names.redis()),
            replicas: Some(1),
            revision_history_limit: Some(3),
            selector: LabelSelector {
                match_labels: Some(names.redis_selector()),
                ..LabelSelector::default()
            },
            persistent_volume_claim_retention_policy: Some(
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some(policy.to_owned()),
                    when_scaled: Some("Retain".to_owned()),
                },
            ),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    // users are not in it: they change while Redis runs
                    annotations: Some(BTreeMap::from([(
                        CONFIGURATION.to_owned(),
                        hash(&config.data),
                    )])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod::build(valid, managed, store)),
            },
            volume_claim_templates: Some(vec![claim(valid, managed, store)]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn claim(valid: &Valid, managed: &ManagedRedis, store: &Store) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA_VOLUME.to_owned()),
            labels: Some(valid.names.redis_selector()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: managed.storage.class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([(
                    "storage".to_owned(),
                    quantity(&store.size.to_string()),
                )])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
