//! One look at one relay: resolve, validate, desired, apply, status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::life::Life;
use super::relays::Watched;
use super::told::{tell, tell_healed};
use super::{Context, LOOK_AGAIN, ON_ITS_WAY, after, soonest};
use crate::apply::{Applied, Owner, Part, apply, foreign_kind, foreign_kinds, may_not_read};
use crate::crd::{
    ConditionStatus, ConditionType, Pinned, Reason, SseRelay, SseRelayStatus, UpgradePolicy,
};
use crate::desired::desired;
use crate::metrics::Outcome;
use crate::names::{OPERATOR, PAUSED, owner};
use crate::resolve::{Resolved, resolve};
use crate::status::{
    Rollout, Waits, Went, not_accepted, rollout, status, transitions, without_observed,
};
use crate::upgrade::{Upgrade, on_its_way, pinned, upgrade};
use crate::validate::{Fault, Valid, validate};

/// Why a look at a relay came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server could not be asked, or refused.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// The stored resource is not what its definition says: they are of different versions.
    #[error("the resource cannot be read: {0}")]
    Unreadable(String),
    /// Something could not be read or written; the status says what.
    #[error("not everything could be done: {0}")]
    Incomplete(String),
}

/// At most so many pods are looked at for one that cannot start.
const PODS: u32 = 50;

/// Looks at `watched`, and counts how it went.
pub async fn reconcile(watched: Arc<Watched>, context: Arc<Context>) -> Result<Action, Error> {
    let started = Instant::now();
    let result = match &watched.0 {
        Ok(relay) => look(relay, &context).await,
        Err(invalid) => Err(Error::Unreadable(invalid.error.clone())),
    };
    let outcome = match &result {
        Ok((outcome, _)) => *outcome,
        Err(Error::Incomplete(_)) => Outcome::incomplete,
        Err(Error::Api(_) | Error::Unreadable(_)) => Outcome::failed,
    };
    context.shown.metrics.reconciled(outcome, started.elapsed());
    result.map(|(_, action)| action)
}

/// When to look again after `error`.
pub fn on_error(watched: Arc<Watched>, error: &Error, context: Arc<Context>) -> Action {
    let relay = ObjectRef::from_obj(&*watched);
    let wait = context.backoff.lock().failed(&Life::of(&*watched));
    tracing::warn!(event = "reconcile.failed", %relay, %error, ?wait, "trying again");
    after(wait)
}

async fn look(relay: &SseRelay, context: &Context) -> Result<(Outcome, Action), Error> {
    let key = Life::of(relay);
    if relay.metadata.deletion_timestamp.is_some() {
        forget(context, &key);
        return Ok((Outcome::unchanged, Action::await_change()));
    }
    if relay
        .annotations()
        .get(PAUSED)
        .is_some_and(|value| value == "true")
    {
        context.turn.lock().pass(&key);
        report(relay, context, &Went::Paused).await?;
        return Ok((Outcome::paused, Action::await_change()));
    }
    let read = async {
        let (pinned, waits) = version(relay, context, &key).await?;
        let resolved = resolve(&context.client, relay, pinned.clone()).await?;
        Ok((pinned, waits, resolved))
    };
    let (pinned, waits, resolved) = match read.await {
        Ok(read) => read,
        Err(error) => {
            context.turn.lock().pass(&key);
            return Err(not_read(relay, context, error).await);
        }
    };
    let valid = match validate(relay, &resolved) {
        Ok(valid) => valid,
        Err(faults) => {
            context.turn.lock().pass(&key);
            report(relay, context, &Went::Faults(&faults)).await?;
            context.backoff.lock().forget(&key);
            // what must change is watched: the resource, its Secrets
            return Ok((Outcome::invalid, after(LOOK_AGAIN)));
        }
    };
    if let Some(begun) = begun(relay, &pinned) {
        // before the first pod is replaced, so that another operator knows whose turn it is
        write(relay, context, &begun).await?;
    }
    let objects = desired(&valid, &resolved.generated).objects(&valid, owner(relay).as_ref());
    let mut foreign = foreign_kinds(&objects);
    let before = context
        .kinds
        .lock()
        .begin(&key, &foreign, kinds_in_status(relay));
    let owner = owned_by(relay, &valid, &resolved, &before);
    let applied = apply(&context.client, &owner, &objects).await;
    if applied.troubles.iter().any(|t| t.part == Part::Namespace) {
        // the relay goes too, in a moment; nobody is to hear of what it lacks until then
        forget(context, &key);
        return Ok((Outcome::unchanged, after(LOOK_AGAIN)));
    }
    if applied.troubles.is_empty() {
        context.kinds.lock().settled(&key, &foreign);
    } else {
        // what could not be removed must be found again
        foreign = before;
    }
    let done = Done {
        valid: &valid,
        foreign: &foreign,
        pinned: &pinned,
        waits,
        applied,
    };
    let (outcome, wait) = finish(relay, context, &key, done).await?;
    let passwords = &resolved.generated.redis.passwords;
    let step = valid.redis.as_ref().and(passwords.due(Timestamp::now()));
    Ok((outcome, soonest(wait, step)))
}

/// What the operator needs of `relay` could not be read. Where it may not, the status says so.
async fn not_read(relay: &SseRelay, context: &Context, error: kube::Error) -> Error {
    let Some((reason, message)) = may_not_read(&error) else {
        return error.into();
    };
    let fault = Fault { reason, message };
    match report(relay, context, &Went::Faults(std::slice::from_ref(&fault))).await {
        Ok(()) => Error::Incomplete(fault.message),
        Err(error) => error,
    }
}

fn owned_by<'a>(
    relay: &'a SseRelay,
    valid: &'a Valid,
    resolved: &'a Resolved,
    kinds: &[String],
) -> Owner<'a> {
    Owner {
        names: &valid.names,
        uid: relay.metadata.uid.as_deref().unwrap_or_default(),
        versions: &resolved.versions,
        before: kinds.iter().filter_map(|text| foreign_kind(text)).collect(),
    }
}

/// Kinds of others that `relay` had objects of, by its status.
fn kinds_in_status(relay: &SseRelay) -> &[String] {
    let status = relay.status.as_ref();
    let effective = status.and_then(|status| status.effective.as_ref());
    effective.map_or(&[], |effective| &effective.foreign_kinds)
}

/// What a look has come to.
struct Done<'a> {
    valid: &'a Valid,
    foreign: &'a [String],
    pinned: &'a Pinned,
    waits: Waits,
    applied: Applied,
}

async fn finish(
    relay: &SseRelay,
    context: &Context,
    key: &Life,
    done: Done<'_>,
) -> Result<(Outcome, Duration), Error> {
    let Done {
        valid,
        foreign,
        pinned,
        waits,
        applied,
    } = done;
    let refused = applied.http_route.as_ref().and_then(not_accepted);
    let rivals = rivals(context, key, &applied);
    tell_healed(&context.recorder, relay, &applied.healed).await;
    let changes = applied.written + applied.removed;
    context.shown.metrics.wrote(changes, applied.healed.len());
    let rollout = observe(context, valid, &applied).await;
    let went = Went::Done {
        valid,
        pinned,
        foreign,
        troubles: &applied.troubles,
        as_asked: &applied.as_asked,
        route_refused: refused.as_deref(),
        rollout: &rollout,
        rivals: &rivals,
        waits,
    };
    report(relay, context, &went).await?;
    let complete = rollout.complete(valid.replicas);
    if complete && waits == Waits::No && *pinned == context.own {
        context.turn.lock().pass(key);
    }
    if !applied.troubles.is_empty() {
        let texts: Vec<String> = applied.troubles.into_iter().map(|t| t.message).collect();
        return Err(Error::Incomplete(texts.join("; ")));
    }
    context.backoff.lock().forget(key);
    let outcome = if changes == 0 {
        Outcome::unchanged
    } else {
        Outcome::changed
    };
    let soon = !complete || waits == Waits::Yes || refused.is_some();
    Ok((outcome, if soon { ON_ITS_WAY } else { LOOK_AGAIN }))
}

fn forget(context: &Context, key: &Life) {
    context.backoff.lock().forget(key);
    context.rivals.lock().forget(key);
    context.kinds.lock().forget(key);
    context.turn.lock().pass(key);
}

/// The version that the relay stays at or goes to now.
async fn version(
    relay: &SseRelay,
    context: &Context,
    key: &Life,
) -> Result<(Pinned, Waits), kube::Error> {
    let known = relay
        .status
        .as_ref()
        .and_then(|status| status.pinned.as_ref());
    let deployed = match known {
        Some(_) => None,
        None => deployed(relay, context).await?,
    };
    let stays = pinned(relay, deployed.as_deref(), &context.own);
    if upgrade(relay, &stays, &context.own) == Upgrade::Stay {
        return Ok((stays, Waits::No));
    }
    let now = Timestamp::now();
    let another =
        |other: &SseRelay| Life::of(other) != *key && on_its_way(other, &context.own, now);
    let free = !context.shown.relays.any(another);
    if free && context.turn.lock().take(key, Instant::now()) {
        Ok((context.own.clone(), Waits::No))
    } else {
        Ok((stays, Waits::Yes))
    }
}

/// What the status says from the moment on at which `relay` goes from one version to another.
fn begun(relay: &SseRelay, to: &Pinned) -> Option<SseRelayStatus> {
    let mut status = without_observed(relay.status.clone()?);
    let from = status.pinned.replace(to.clone())?;
    let upgraded = (&from.version, &from.repository) != (&to.version, &to.repository);
    if !upgraded || relay.spec.upgrade_policy != UpgradePolicy::Auto {
        return None;
    }
    let about = status.conditions.iter_mut();
    for held in about.filter(|held| held.r#type == ConditionType::Progressing) {
        held.status = ConditionStatus::True;
        held.reason = Reason::RollingOut;
        held.message = format!("version {} is on its way", to.version);
        held.last_transition_time = Time(Timestamp::now());
    }
    Some(status)
}

/// The image of the relay's Deployment, if it has one.
async fn deployed(relay: &SseRelay, context: &Context) -> Result<Option<String>, kube::Error> {
    let namespace = relay.namespace().unwrap_or_default();
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
    let deployment = api.get_opt(&relay.name_any()).await?;
    let template = deployment.and_then(|deployment| deployment.spec?.template.spec);
    Ok(template.and_then(|pod| pod.containers.into_iter().next()?.image))
}

fn rivals(context: &Context, key: &Life, applied: &Applied) -> Vec<String> {
    let mut rivals = context.rivals.lock();
    let now = Instant::now();
    for manager in applied.healed.iter().flat_map(|healed| &healed.by) {
        rivals.healed(key, manager, now);
    }
    rivals.of(key, now)
}

/// How far the pods are; they are asked for only until all are as they must be. What stands against
/// looking at them is told, and nothing else waits for it.
async fn observe(context: &Context, valid: &Valid, applied: &Applied) -> Rollout {
    let deployment = applied.deployment.clone();
    let deployment: Option<Deployment> =
        deployment.and_then(|deployment| deployment.try_parse().ok());
    let first = rollout(deployment.as_ref(), &[]);
    if first.complete(valid.replicas) {
        return first;
    }
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &valid.names.namespace);
    let mine = ListParams::default()
        .labels(&valid.names.selector_text())
        .limit(PODS);
    match pods.list(&mine).await {
        Ok(pods) => rollout(deployment.as_ref(), &pods.items),
        Err(error) => {
            tracing::warn!(event = "reconcile.pods", %error, "pods cannot be listed");
            Rollout {
                unseen: may_not_read(&error),
                ..first
            }
        }
    }
}

/// Writes the status if it says something new, and tells what changed.
async fn report(relay: &SseRelay, context: &Context, went: &Went<'_>) -> Result<(), Error> {
    let new = status(relay, went, &Time(Timestamp::now()));
    let old = without_observed(relay.status.clone().unwrap_or_default());
    if new == old {
        return Ok(());
    }
    write(relay, context, &new).await?;
    let changed = transitions(&old.conditions, &new.conditions);
    tell(&context.recorder, relay, &changed).await;
    Ok(())
}

async fn write(
    relay: &SseRelay,
    context: &Context,
    new: &SseRelayStatus,
) -> Result<(), kube::Error> {
    let namespace = relay.namespace().unwrap_or_default();
    let api: Api<SseRelay> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": "sserelay.dev/v1alpha1",
        "kind": "SseRelay",
        "status": new,
    });
    let params = PatchParams::apply(&format!("{OPERATOR}/status")).force();
    let written = api
        .patch_status(&relay.name_any(), &params, &Patch::Apply(&patch))
        .await;
    match written {
        // deleted in the meantime: nothing to report on any more
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(|_| ()),
    }
}
