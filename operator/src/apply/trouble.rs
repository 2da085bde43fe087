//! What stood against a write, in words that say what to do.

use kube::ResourceExt;
use kube::core::{DynamicObject, Status};

use crate::crd::Reason;

/// What stood against writing, reading or removing one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Why, in one word.
    pub reason: Reason,
    /// Why, and what to do.
    pub message: String,
    /// What suffers.
    pub part: Part,
}

/// What an object is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What runs the relay.
    Relay,
    /// The way in from outside.
    Route,
    /// Monitoring and autoscaling.
    AddOn,
    /// The size of the volume that the log of its own Redis is on.
    Volume,
    /// Everything: the namespace is being deleted, and the relay with it.
    Namespace,
}

impl Part {
    pub(super) fn of(object: &DynamicObject) -> Self {
        let types = object.types.clone().unwrap_or_default();
        let group = types.api_version.split('/').next().unwrap_or_default();
        match group {
            "v1" if types.kind == "PersistentVolumeClaim" => Self::Volume,
            // no relay's name ends so, so it is the dashboard
            "v1" if types.kind == "ConfigMap" && object.name_any().ends_with("-dashboard") => {
                Self::AddOn
            }
            "monitoring.coreos.com" | "keda.sh" | "autoscaling" => Self::AddOn,
            "v1" | "apps" | "policy" => Self::Relay,
            "networking.k8s.io" if types.kind == "NetworkPolicy" => Self::Relay,
            _ => Self::Route,
        }
    }
}

impl Trouble {
    /// `wanted` cannot be written since `there` belongs to somebody else.
    pub(super) fn taken(wanted: &DynamicObject, there: &DynamicObject) -> Self {
        let owners = there.metadata.owner_references.iter().flatten();
        let owner = owners
            .map(|owner| format!("{} {}", owner.kind, owner.name))
            .next();
        let owner = owner.unwrap_or_else(|| "nobody that it names".to_owned());
        Self::of(
            wanted,
            Reason::NameTaken,
            format!(
                "{} exists already and belongs to {owner}; it is left alone. Remove it, or give this relay another name",
                title(wanted)
            ),
        )
    }

    fn of(object: &DynamicObject, reason: Reason, message: String) -> Self {
        Self {
            reason,
            message,
            part: Part::of(object),
        }
    }
}

pub(super) fn title(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("object", |types| &types.kind);
    format!("{kind} `{}`", object.name_any())
}

/// What `error` means for `object`.
#[must_use]
pub fn classify(object: &DynamicObject, error: &kube::Error) -> Trouble {
    let title = title(object);
    if namespace_goes(error) {
        return Trouble {
            reason: Reason::Unavailable,
            message: format!("{title}: its namespace is being deleted"),
            part: Part::Namespace,
        };
    }
    let (reason, message) = match error {
        kube::Error::Api(status) => refused(&title, status),
        other => (
            Reason::Unavailable,
            format!(
                "{title}: the API server did not answer; it is tried again ({})",
                brief(&other.to_string())
            ),
        ),
    };
    Trouble::of(object, reason, message)
}

/// What it means that the API server refuses to let the volume of `claim` grow.
///
/// Who lacks the right is told so by every authorizer in the same words ("cannot patch resource"). All
/// other refusals are of the size: the class does not let volumes grow, or there is no volume yet.
#[must_use]
pub fn cannot_grow(claim: &DynamicObject, size: &str, error: &kube::Error) -> Trouble {
    match error {
        kube::Error::Api(status)
            if matches!(status.code, 403 | 422)
                && !status.message.contains("cannot patch resource")
                && !status.message.contains("exceeded quota")
                && !namespace_goes(error) =>
        {
            Trouble::of(
                claim,
                Reason::VolumeCannotGrow,
                format!(
                    "{}: its volume cannot grow to {size} ({}); Redis goes on with the size that it has. Let its StorageClass allow it (allowVolumeExpansion: true), or move the log to another SseRelay; a claim without a volume yet grows when it has one",
                    title(claim),
                    brief(&status.message)
                ),
            )
        }
        other => classify(claim, other),
    }
}

/// What it means that something cannot be read: why, and what to do. `None` for what is no refusal.
#[must_use]
pub fn may_not_read(error: &kube::Error) -> Option<(Reason, String)> {
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
            Some(refused("what the relay needs cannot be read", status))
        }
        _ => None,
    }
}

/// Whether `error` is the API server's answer to who makes something in a namespace that is being
/// deleted. It answers 403, though nobody lacks a right.
#[must_use]
pub fn namespace_goes(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

fn refused(title: &str, status: &Status) -> (Reason, String) {
    let said = brief(&status.message);
    match status.code {
        403 if said.contains("exceeded quota") => (
            Reason::QuotaExceeded,
            format!(
                "{title}: a quota of the namespace is used up ({said}); raise it, or ask for less"
            ),
        ),
        401 | 403 => (
            Reason::Forbidden,
            format!(
                "{title}: the operator may not do this ({said}); install its chart's roles, or serve this namespace with it"
            ),
        ),
        404 => (
            Reason::KindNotInstalled,
            format!(
                "{title}: its kind is not installed in this cluster, or its namespace is gone ({said}); install it, or do without it in the resource"
            ),
        ),
        400 | 422 => (
            Reason::Rejected,
            format!("{title}: the API server refuses it ({said}); correct the resource"),
        ),
        _ => (
            Reason::Unavailable,
            format!(
                "{title}: the API server answers {} ({said}); it is tried again",
                status.code
            ),
        ),
    }
}

/// At most 500 characters of what somebody else wrote, in one line.
fn brief(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(500)
        .collect()
}

/// Who owns the fields that an apply was refused for: the API server names each as
/// `conflict with "manager" using apps/v1`.
pub(super) fn conflicting_managers(status: &Status) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut managers: Vec<String> = causes
        .filter_map(|cause| cause.message.split('"').nth(1))
        .map(ToOwned::to_owned)
        .collect();
    managers.sort();
    managers.dedup();
    if managers.is_empty() {
        managers.push("somebody".to_owned());
    }
    managers
}
