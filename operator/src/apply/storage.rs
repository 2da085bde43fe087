//! A volume that grows. The claims that a StatefulSet makes cannot be changed in it: its claim is
//! changed, and it is made anew around its pod, which goes on.

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::trouble::{Trouble, cannot_grow, classify};
use super::{api, api_of};

const SIZE: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";

/// What becomes of a StatefulSet whose volume is wanted in another size.
pub enum Growth {
    /// The volume has the size: there is nothing to do for it.
    None,
    /// The StatefulSet is being made anew, so that it is nothing to write to: it comes back with one of
    /// the next looks.
    Anew,
    /// The volume stays as large as it is, and so must what the StatefulSet says of it.
    Refused {
        /// The StatefulSet with everything else that is wanted of it.
        stays: Box<DynamicObject>,
        /// Why.
        trouble: Trouble,
    },
}

/// Lets the volume of the StatefulSet `there` be as large as `wanted` says.
pub async fn grow(
    client: &Client,
    wanted: &DynamicObject,
    there: &DynamicObject,
) -> Result<Growth, Trouble> {
    if there.metadata.deletion_timestamp.is_some() {
        return Ok(Growth::Anew);
    }
    let (Some(size), Some(was)) = (size(wanted), size(there)) else {
        return Ok(Growth::None);
    };
    if size == was {
        return Ok(Growth::None);
    }
    if let Err(trouble) = claim(client, wanted, size).await {
        let mut stays = Box::new(wanted.clone());
        if let Some(of_volume) = stays.data.pointer_mut(SIZE) {
            *of_volume = was.into();
        }
        return Ok(Growth::Refused { stays, trouble });
    }
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        preconditions: Some(Preconditions {
            uid: there.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let deleted = api_of(client, there)
        .delete(&there.name_any(), &params)
        .await;
    deleted.map_err(|error| classify(there, &error))?;
    Ok(Growth::Anew)
}

fn size(set: &DynamicObject) -> Option<&str> {
    set.data.pointer(SIZE).and_then(Value::as_str)
}

async fn claim(client: &Client, wanted: &DynamicObject, size: &str) -> Result<(), Trouble> {
    let template = "/spec/volumeClaimTemplates/0/metadata/name";
    let template = wanted.data.pointer(template).and_then(Value::as_str);
    let name = format!("{}-{}-0", template.unwrap_or_default(), wanted.name_any());
    let kind = GroupVersionKind::gvk("", "v1", "PersistentVolumeClaim");
    let claims = api(client, &wanted.namespace().unwrap_or_default(), &kind);
    let patch = json!({ "spec": { "resources": { "requests": { "storage": size } } } });
    let patched = claims
        .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await;
    match patched {
        // its pod never ran: the new one makes it as large as it must be
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => {
            let mut claim = DynamicObject::new(&name, &kube::core::ApiResource::from_gvk(&kind));
            claim.metadata.namespace = wanted.namespace();
            Err(cannot_grow(&claim, size, &error))
        }
        Ok(_) => Ok(()),
    }
}
