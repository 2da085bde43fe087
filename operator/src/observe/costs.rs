//! Tells Kubernetes which replica leaves first.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::json;

use super::pods::Own;
use crate::apply::{Trouble, classify};
use crate::names::{DELETION_COST, OPERATOR};
use crate::status::Heard;

/// Writes to each pod that answered how many streams it has, as what its deletion costs, where that is
/// not written yet. It is done just before a replica is taken away, and not otherwise.
pub async fn tell(
    client: &Client,
    namespace: &str,
    pods: &Own<'_>,
    heard: &[Heard],
) -> Result<(), Trouble> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams {
        field_manager: Some(OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    for Heard { pod, said } in heard {
        let Ok((reading, _)) = said else { continue };
        let cost = cost(reading.streams);
        if pods.cost(pod) == Some(cost.as_str()) {
            continue;
        }
        let patch = json!({ "metadata": { "annotations": { DELETION_COST: cost } } });
        match api.patch(pod, &params, &Patch::Merge(&patch)).await {
            Ok(_) => {}
            // it has gone by itself
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                let kind = ApiResource::erase::<Pod>(&());
                return Err(classify(&DynamicObject::new(pod, &kind), &error));
            }
        }
    }
    Ok(())
}

/// Kubernetes takes an `i32`.
fn cost(streams: u64) -> String {
    i32::try_from(streams).unwrap_or(i32::MAX).to_string()
}
