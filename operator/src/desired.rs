//! Every object that a relay needs, as a pure function of what the resource means.

mod config_map;
mod deployment;
mod disruption_budget;
mod exposure;
pub mod http_route;
mod ingress;
mod monitoring;
mod network_policy;
mod quantity;
pub mod redis;
mod scaling;
mod service;
mod service_account;
mod token_secret;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::DynamicObject;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::exposure::beginning;

pub use self::deployment::container::resources;
pub use self::redis::maxmemory;
pub use self::scaling::per_replica as streams_each;

use self::deployment::container::policy;
use self::deployment::tolerated;
use crate::names::{APPLIED, COMPONENT};
use crate::prove::wanted;
use crate::tokens::{Generated, hex};
use crate::validate::Valid;

/// Every object of one relay.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The relay's configuration.
    pub config_map: ConfigMap,
    /// Whom pods run as; it may do nothing.
    pub service_account: ServiceAccount,
    /// Generated tokens, for a resource without `auth`.
    pub token_secret: Option<Secret>,
    /// The token by which the operator proves that streams stream.
    pub probe_secret: Option<Secret>,
    /// The way in from inside of the cluster.
    pub service: Service,
    /// Each pod by its address.
    pub pods: Service,
    /// How many pods may be away at once.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// Who may reach the pods.
    pub network_policy: Option<NetworkPolicy>,
    /// A Redis of its own.
    pub redis: Option<redis::Redis>,
    /// Objects of the ingress controller's own kinds.
    pub of_controller: Vec<DynamicObject>,
    /// The way in from outside.
    pub ingress: Option<Ingress>,
    /// The way in from outside, by a Gateway.
    pub http_route: Option<DynamicObject>,
    /// Where Prometheus finds metrics.
    pub pod_monitor: Option<DynamicObject>,
    /// Alerts.
    pub rule: Option<DynamicObject>,
    /// A dashboard.
    pub dashboard: Option<ConfigMap>,
    /// Changes the number of replicas, by Kubernetes' own means.
    pub autoscaler: Option<HorizontalPodAutoscaler>,
    /// Changes the number of replicas, by KEDA.
    pub scaled_object: Option<DynamicObject>,
    /// The pods.
    pub deployment: Deployment,
}

/// Every object that `valid` needs.
#[must_use]
pub fn desired(valid: &Valid, generated: &Generated) -> Desired {
    Desired {
        deployment: deployment::build(valid),
        config_map: config_map::build(valid),
        service_account: service_account::build(valid),
        token_secret: valid
            .spec
            .auth
            .is_none()
            .then(|| token_secret::build(valid, generated)),
        probe_secret: wanted(&valid.spec).then(|| token_secret::probe(valid, generated)),
        service: service::public(valid),
        pods: service::headless(valid),
        disruption_budget: disruption_budget::build(valid),
        network_policy: network_policy::build(valid),
        redis: redis::build(valid, &generated.redis),
        of_controller: valid
            .profile()
            .into_iter()
            .flat_map(|profile| &profile.objects)
            .map(|companion| companion.object.clone())
            .collect(),
        http_route: http_route::build(valid),
        pod_monitor: monitoring::pod_monitor(valid),
        rule: monitoring::rule(valid),
        dashboard: monitoring::dashboard(valid),
        autoscaler: scaling::hpa(valid),
        scaled_object: scaling::scaled_object(valid),
        ingress: ingress::build(valid),
    }
}

impl Desired {
    /// All objects, those first that others refer to: an ingress controller that adds readiness
    /// gates to pods must know the Ingress before the pods.
    ///
    /// Each belongs to `owner`, has the relay's labels, and says what it was written as.
    #[must_use]
    pub fn objects(self, valid: &Valid, owner: Option<&OwnerReference>) -> Vec<DynamicObject> {
        let Self {
            config_map,
            service_account,
            token_secret,
            probe_secret,
            service,
            pods,
            disruption_budget,
            network_policy,
            redis,
            of_controller,
            ingress,
            http_route,
            pod_monitor,
            rule,
            dashboard,
            autoscaler,
            scaled_object,
            deployment,
        } = self;
        let mut objects = vec![dynamic(&config_map), dynamic(&service_account)];
        objects.extend(token_secret.as_ref().map(dynamic));
        objects.extend(probe_secret.as_ref().map(dynamic));
        objects.extend(of_controller);
        objects.extend([dynamic(&service), dynamic(&pods)]);
        objects.extend(disruption_budget.as_ref().map(dynamic));
        objects.extend(network_policy.as_ref().map(dynamic));
        if let Some(redis::Redis {
            config_map,
            users,
            service,
            network_policy,
            stateful_set,
        }) = redis
        {
            objects.extend([dynamic(&config_map), dynamic(&users), dynamic(&service)]);
            objects.extend(network_policy.as_ref().map(dynamic));
            objects.push(dynamic(&stateful_set));
        }
        objects.extend(ingress.as_ref().map(dynamic));
        objects.extend(http_route);
        objects.extend(pod_monitor);
        objects.extend(rule);
        objects.extend(dashboard.as_ref().map(dynamic));
        objects.extend(autoscaler.as_ref().map(dynamic));
        objects.extend(scaled_object);
        objects.push(dynamic(&deployment));
        for object in &mut objects {
            let labels = object.metadata.labels.get_or_insert_default();
            for (key, value) in valid.names.labels() {
                if key == COMPONENT {
                    labels.entry(key).or_insert(value);
                } else {
                    labels.insert(key, value);
                }
            }
            object.metadata.owner_references = owner.map(|owner| vec![owner.clone()]);
            let hash = hash(object);
            let annotations = object.metadata.annotations.get_or_insert_default();
            annotations.insert(APPLIED.to_owned(), hash);
        }
        objects
    }
}

fn dynamic(object: &impl Serialize) -> DynamicObject {
    let mut json = serde_json::to_value(object).expect("an object is plain data");
    without_nothing(&mut json);
    serde_json::from_value(json).expect("every object has kind and metadata")
}

/// To the API server a null is a field that is asked to be absent; we say nothing about it. Of its own
/// kinds it stores no empty list and no empty `matchLabels`, which say nothing either.
fn without_nothing(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(without_nothing);
            fields.retain(|name, value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(labels) => name != "matchLabels" || !labels.is_empty(),
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(without_nothing),
        _ => {}
    }
}

/// Sixteen hexadecimal digits that change with the object: enough to notice a change, since
/// nobody gains by a collision.
fn hash(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).expect("an object is plain data");
    hex(&Sha256::digest(json))[..16].to_owned()
}
