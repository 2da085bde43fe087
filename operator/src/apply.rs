//! Makes what is there what must be there: writes what differs, removes what is left over, touches
//! nothing that belongs to somebody else.

pub mod difference;
mod storage;
mod trouble;

pub use trouble::{Part, Trouble, classify, may_not_read, namespace_goes};

use std::collections::{BTreeMap, HashSet};

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};

use self::storage::Growth;
use self::trouble::title;
use crate::names::{APPLIED, Names, OPERATOR};

/// What was done.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many objects were written.
    pub written: usize,
    /// How many were removed.
    pub removed: usize,
    /// Objects of which somebody else had changed what is ours, and who.
    pub healed: Vec<Healed>,
    /// What of what runs the relay is as it must be, in the order in which it is written.
    pub as_asked: Vec<String>,
    /// What could not be done; with [`Part::Namespace`] among it, nothing else was tried.
    pub troubles: Vec<Trouble>,
    /// The Deployment as it is now.
    pub deployment: Option<DynamicObject>,
    /// The HTTPRoute as it is now.
    pub http_route: Option<DynamicObject>,
}

/// An object that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// Its kind and name.
    pub object: String,
    /// Field managers that had changed it.
    pub by: Vec<String>,
}

/// Whose objects these are.
pub struct Owner<'a> {
    /// The relay's names.
    pub names: &'a Names,
    /// Its UID: an object belongs to it if it says so by this.
    pub uid: &'a str,
    /// The versions of its Secrets that its objects were made from.
    pub versions: &'a BTreeMap<String, Option<String>>,
    /// Kinds of others that it had objects of when it was last looked at.
    pub before: Vec<GroupVersionKind>,
}

/// Kinds that every relay may have; Secrets are looked for by name, so that nobody needs the right
/// to list them for this.
const KINDS: [(&str, &str, &str); 9] = [
    ("", "v1", "ConfigMap"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "Service"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
];

/// Writes `desired`, in order, and removes what else `owner` has.
pub async fn apply(client: &Client, owner: &Owner<'_>, desired: &[DynamicObject]) -> Applied {
    let mut applied = Applied::default();
    let live = live(client, owner, desired, &mut applied).await;
    for object in desired {
        if kind(object) == "Deployment" && applied.troubles.iter().any(|t| t.part == Part::Relay) {
            // pods must not start with half of what they need
            continue;
        }
        let known = live.iter().find(|there| same(there, object));
        if let Err(trouble) = one(client, owner, object, known, &mut applied).await {
            let part = trouble.part;
            applied.troubles.push(trouble);
            if part == Part::Namespace {
                return applied;
            }
        }
    }
    for object in &live {
        let wanted = desired.iter().any(|wanted| same(wanted, object));
        if !wanted && belongs(object, owner.uid) {
            match remove(client, object).await {
                Ok(()) => applied.removed += 1,
                Err(error) => applied.troubles.push(classify(object, &error)),
            }
        }
    }
    applied
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| &types.kind)
}

fn same(one: &DynamicObject, other: &DynamicObject) -> bool {
    one.types == other.types && one.metadata.name == other.metadata.name
}

/// Whether `object` says that it is controlled by the relay with this UID.
#[must_use]
pub fn belongs(object: &DynamicObject, uid: &str) -> bool {
    let owners = object.metadata.owner_references.iter().flatten();
    owners
        .filter(|owner| owner.controller == Some(true))
        .any(|owner| owner.uid == uid)
}

fn api(client: &Client, namespace: &str, kind: &GroupVersionKind) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(kind))
}

/// Kinds among `objects` that are not Kubernetes' own, as `group/version/Kind`.
#[must_use]
pub fn foreign_kinds(objects: &[DynamicObject]) -> Vec<String> {
    let kinds = objects.iter().map(gvk);
    let foreign = kinds.filter(|kind| {
        let known = |own: &(&str, &str, &str)| own.0 == kind.group && own.2 == kind.kind;
        kind.kind != "Secret" && !KINDS.iter().any(known)
    });
    let mut texts: Vec<String> = foreign
        .map(|kind| format!("{}/{}", kind.api_version(), kind.kind))
        .collect();
    texts.sort();
    texts.dedup();
    texts
}

/// The kind that [`foreign_kinds`] calls so.
#[must_use]
pub fn foreign_kind(text: &str) -> Option<GroupVersionKind> {
    let mut parts = text.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(group), Some(version), Some(kind), None) => {
            Some(GroupVersionKind::gvk(group, version, kind))
        }
        _ => None,
    }
}

fn gvk(object: &DynamicObject) -> GroupVersionKind {
    let types = object.types.clone().unwrap_or_default();
    GroupVersionKind::try_from(types).unwrap_or_else(|_| GroupVersionKind::gvk("", "v1", ""))
}

fn api_of(client: &Client, object: &DynamicObject) -> Api<DynamicObject> {
    let namespace = object.namespace().unwrap_or_default();
    api(client, &namespace, &gvk(object))
}

/// Objects that carry the relay's labels, and its Secrets.
async fn live(
    client: &Client,
    owner: &Owner<'_>,
    desired: &[DynamicObject],
    applied: &mut Applied,
) -> Vec<DynamicObject> {
    let mut kinds: Vec<GroupVersionKind> = KINDS
        .iter()
        .map(|(group, version, kind)| GroupVersionKind::gvk(group, version, kind))
        .collect();
    kinds.extend(owner.before.iter().cloned());
    kinds.extend(desired.iter().map(gvk).filter(|gvk| gvk.kind != "Secret"));
    let mut seen = HashSet::new();
    kinds.retain(|kind| seen.insert(kind.clone()));
    let selector = ListParams::default().labels(&owner.names.owned_text());
    let mut found = Vec::new();
    for kind in kinds {
        let types = Some(kube::core::TypeMeta {
            api_version: kind.api_version(),
            kind: kind.kind.clone(),
        });
        match api(client, &owner.names.namespace, &kind)
            .list(&selector)
            .await
        {
            Ok(list) => found.extend(list.into_iter().map(|mut object| {
                object.types.clone_from(&types);
                object
            })),
            // a kind that is not installed has no objects; writing one will say so
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                let mut object = DynamicObject::new("", &ApiResource::from_gvk(&kind));
                object.types = types;
                applied.troubles.push(classify(&object, &error));
            }
        }
    }
    let secret = GroupVersionKind::gvk("", "v1", "Secret");
    let secret = api(client, &owner.names.namespace, &secret);
    for name in [
        owner.names.tokens(),
        owner.names.users(),
        owner.names.probe(),
    ] {
        match secret.get_opt(&name).await {
            Ok(secret) => found.extend(secret),
            Err(error) => {
                let object = DynamicObject::new(&name, &secret_resource());
                applied.troubles.push(classify(&object, &error));
            }
        }
    }
    found
}

fn secret_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"))
}

async fn one(
    client: &Client,
    owner: &Owner<'_>,
    object: &DynamicObject,
    known: Option<&DynamicObject>,
    applied: &mut Applied,
) -> Result<(), Trouble> {
    let api = api_of(client, object);
    let name = object.name_any();
    let looked;
    let there = match known {
        Some(known) => Some(known),
        None => {
            looked = api.get_opt(&name).await.map_err(|e| classify(object, &e))?;
            looked.as_ref()
        }
    };
    let mut object = object.clone();
    if let Some(there) = there {
        if !belongs(there, owner.uid) {
            return Err(Trouble::taken(&object, there));
        }
        if changed_since(owner, &object, there) {
            // somebody has changed a token or a password: what was made from the former one must not
            // put it back. The change itself wakes the next look
            return Ok(());
        }
        if kind(&object) == "StatefulSet" {
            match storage::grow(client, &object, there).await? {
                Growth::None => {}
                Growth::Anew => {
                    applied.written += 1;
                    return Ok(());
                }
                Growth::Refused { stays, trouble } => {
                    applied.troubles.push(trouble);
                    object = *stays;
                }
            }
        }
        if unchanged(&object, there) {
            keep(applied, &object, there);
            return Ok(());
        }
    }
    if kind(&object) == "Secret" {
        // also between this look and the write
        object.metadata.resource_version = there.and_then(ResourceExt::resource_version);
    }
    let (written, by) = write(&api, &object)
        .await
        .map_err(|e| classify(&object, &e))?;
    applied.written += 1;
    if !by.is_empty() {
        applied.healed.push(Healed {
            object: format!("{} {name}", kind(&object)),
            by,
        });
    }
    keep(applied, &object, &written);
    Ok(())
}

/// Whether a Secret of the operator's own making is another than when it was read.
fn changed_since(owner: &Owner<'_>, object: &DynamicObject, there: &DynamicObject) -> bool {
    let read = owner.versions.get(&object.name_any());
    kind(object) == "Secret" && read.is_some_and(|version| *version != there.resource_version())
}

fn keep(applied: &mut Applied, object: &DynamicObject, there: &DynamicObject) {
    if Part::of(object) == Part::Relay {
        applied.as_asked.push(title(object));
    }
    if kind(object) == "Deployment" {
        applied.deployment = Some(there.clone());
    }
    if kind(object) == "HTTPRoute" {
        applied.http_route = Some(there.clone());
    }
}

fn unchanged(object: &DynamicObject, there: &DynamicObject) -> bool {
    let hash = |object: &DynamicObject| object.annotations().get(APPLIED).cloned();
    hash(object) == hash(there) && difference::contains(there, object)
}

/// Server-side apply. Whoever else wrote our fields is overruled, and named.
async fn write(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
) -> Result<(DynamicObject, Vec<String>), kube::Error> {
    let name = object.name_any();
    let gentle = PatchParams::apply(OPERATOR);
    match api.patch(&name, &gentle, &Patch::Apply(object)).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let by = trouble::conflicting_managers(&status);
            let firm = gentle.force();
            let written = api.patch(&name, &firm, &Patch::Apply(object)).await?;
            Ok((written, by))
        }
        other => other.map(|written| (written, Vec::new())),
    }
}

async fn remove(client: &Client, object: &DynamicObject) -> Result<(), kube::Error> {
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: object.uid(),
        resource_version: None,
    });
    let deleted = api_of(client, object)
        .delete(&object.name_any(), &params)
        .await;
    match deleted {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}
