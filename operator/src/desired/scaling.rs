//! Who changes the number of replicas. Up at once, down slowly: each replica that leaves moves people.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::quantity::quantity;
use crate::crd::Scaling;
use crate::names::ADMIN_PORT;
use crate::validate::Valid;

/// The metric that replicas have.
const STREAMS: &str = "sse_relay_streams";

/// The HorizontalPodAutoscaler, if the resource asks for one.
pub fn hpa(valid: &Valid) -> Option<HorizontalPodAutoscaler> {
    let scaling = valid.spec.autoscaling.as_ref()?.hpa.as_ref()?;
    let object = json!({
        "metadata": valid.names.meta(&valid.names.relay),
        "spec": {
            "scaleTargetRef": target(valid),
            "minReplicas": scaling.min,
            "maxReplicas": scaling.max,
            "metrics": [{ "type": "Pods", "pods": {
                "metric": { "name": STREAMS },
                "target": { "type": "AverageValue", "averageValue": quantity(&per_replica(valid, scaling).to_string()) },
            } }],
            "behavior": behavior(),
        },
    });
    Some(serde_json::from_value(object).expect("it is written as its type has it"))
}

/// The ScaledObject of KEDA, if the resource asks for one.
pub fn scaled_object(valid: &Valid) -> Option<DynamicObject> {
    let scaling = valid.spec.autoscaling.as_ref()?.keda.as_ref()?;
    let names = &valid.names;
    let url = format!(
        "http://{}.{}.svc:{ADMIN_PORT}/metrics",
        names.pods(),
        names.namespace
    );
    let kind = GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject");
    let object = DynamicObject::new(&names.relay, &ApiResource::from_gvk(&kind))
        .within(&names.namespace)
        .data(json!({ "spec": {
            "scaleTargetRef": target(valid),
            "minReplicaCount": scaling.min,
            "maxReplicaCount": scaling.max,
            "advanced": { "horizontalPodAutoscalerConfig": { "behavior": behavior() } },
            "triggers": [{ "type": "metrics-api", "metricType": "AverageValue", "metadata": {
                "url": url,
                "format": "prometheus",
                "valueLocation": STREAMS,
                "targetValue": per_replica(valid, scaling).to_string(),
                // the sum over all replicas, not what one of them says
                "aggregateFromKubeServiceEndpoints": "true",
            } }],
        } }));
    Some(object)
}

/// The SseRelay, whose scale the operator follows.
fn target(valid: &Valid) -> Value {
    json!({ "apiVersion": "sserelay.dev/v1alpha1", "kind": "SseRelay", "name": valid.names.relay })
}

/// Streams of each replica that are aimed at.
pub fn per_replica(valid: &Valid, scaling: &Scaling) -> i32 {
    let three_quarters = (valid.spec.max_streams / 4).saturating_mul(3).max(1);
    scaling.per_replica.unwrap_or(three_quarters)
}

fn behavior() -> Value {
    json!({
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{ "type": "Percent", "value": 100, "periodSeconds": 30 }],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 600,
            "policies": [{ "type": "Pods", "value": 1, "periodSeconds": 180 }],
        },
    })
}
