//! What is reported about a relay, as a pure function of what was found and done.

mod conditions;
mod defaults;
mod effective;
mod observed;
mod redis;
mod rollout;
mod scaling;

pub use conditions::unproved;
pub use conditions::{Finding, merge, transitions};
pub use observed::{Heard, Hindered, Observed, blind, observed, without_observed};
pub use rollout::{Hindrance, PodTrouble, Rollout, rollout, trouble};
pub use scaling::Scaled;

use self::effective::{effective, url};
use kube::core::DynamicObject;

use crate::apply::{Part, Trouble};
use crate::crd::{
    Condition, ConditionStatus as Holds, ConditionType as About, Pinned, Reason, SseRelay,
    SseRelayStatus,
};
use crate::names::Names;
use crate::validate::{Fault, Valid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How a reconcile went.
pub enum Went<'a> {
    /// The annotation says to leave the relay alone.
    Paused,
    /// Nothing was changed, since this must be corrected first.
    Faults(&'a [Fault]),
    /// Objects were looked at, and written where they differed.
    Done {
        /// What the resource means.
        valid: &'a Valid,
        /// What it stays at.
        pinned: &'a Pinned,
        /// Kinds of others that it has objects of.
        foreign: &'a [String],
        /// What could not be done.
        troubles: &'a [Trouble],
        /// What of what runs the relay is as it must be.
        as_asked: &'a [String],
        /// Why no Gateway takes the route.
        route_refused: Option<&'a str>,
        /// How far the pods are.
        rollout: &'a Rollout,
        /// Who changes the relay's objects again and again.
        rivals: &'a [String],
        /// Whether it waits for another relay's upgrade.
        waits: Waits,
    },
}

/// Whether a relay waits for another one's upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// The new status, but for what replicas say; equal to the old one if nothing changed.
#[must_use]
pub fn status(relay: &SseRelay, went: &Went<'_>, now: &Time) -> SseRelayStatus {
    let before = without_observed(relay.status.clone().unwrap_or_default());
    let generation = relay.metadata.generation;
    let findings = findings(went);
    let mut after = SseRelayStatus {
        observed_generation: generation,
        conditions: merge(&before.conditions, findings, generation, now),
        selector: Some(Names::of(relay).selector_text()),
        ..before.clone()
    };
    let Went::Done {
        valid,
        foreign,
        pinned,
        rollout,
        ..
    } = went
    else {
        // nothing was changed: what held of the objects still does
        after.conditions = with_others(after.conditions, before.conditions);
        return after;
    };
    after.url = Some(url(valid));
    after.replicas = rollout.replicas;
    after.ready_replicas = rollout.ready;
    after.token_secret = valid.spec.auth.is_none().then(|| valid.names.tokens());
    after.pinned = Some((*pinned).clone());
    after.effective = Some(effective(valid, foreign));
    after
}

/// `new`, and what `old` says about anything else.
fn with_others(mut new: Vec<Condition>, old: Vec<Condition>) -> Vec<Condition> {
    let others = old
        .into_iter()
        .filter(|old| new.iter().all(|new| new.r#type != old.r#type));
    let others: Vec<_> = others.collect();
    new.extend(others);
    new.sort_by_key(|condition| condition.r#type);
    new
}

fn findings(went: &Went<'_>) -> Vec<Finding> {
    match went {
        Went::Paused => {
            let message = "the annotation sserelay.dev/paused is set: nothing is looked at or changed; remove it to go on";
            vec![
                Finding::new(About::Ready, Holds::Unknown, Reason::Paused, message),
                Finding::new(About::Progressing, Holds::False, Reason::Paused, message),
                Finding::new(About::Reconciling, Holds::False, Reason::Paused, message),
                Finding::new(About::Stalled, Holds::False, Reason::Paused, message),
            ]
        }
        Went::Faults(faults) => {
            let reason = faults
                .first()
                .map_or(Reason::InvalidSpec, |fault| fault.reason);
            let lines: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
            let message = format!("nothing was changed: {}", lines.join("; "));
            vec![
                Finding::new(About::Ready, Holds::False, reason, &message),
                Finding::new(About::Progressing, Holds::False, reason, &message),
                Finding::new(About::Reconciling, Holds::False, reason, &message),
                Finding::new(About::Stalled, Holds::True, reason, &message),
            ]
        }
        Went::Done {
            valid,
            troubles,
            as_asked,
            route_refused,
            rollout,
            rivals,
            waits,
            ..
        } => {
            let own: Vec<&Trouble> = troubles.iter().filter(|t| t.part == Part::Relay).collect();
            let mut findings = match own.is_empty() {
                false => half_done(&own, as_asked),
                true => done(valid, rollout, rivals, *waits),
            };
            findings.extend(redis(valid));
            volume(valid, troubles, &mut findings);
            findings.extend(route(valid, troubles, *route_refused));
            findings.extend(add_ons(valid, troubles));
            findings
        }
    }
}

/// Of a relay that something stands against. What was written before it holds, and is named: running
/// replicas take a changed configuration by themselves.
fn half_done(troubles: &[&Trouble], as_asked: &[String]) -> Vec<Finding> {
    let lines: Vec<&str> = troubles.iter().map(|t| t.message.as_str()).collect();
    let mut message = format!("not everything could be written: {}", lines.join("; "));
    message.push_str(". The Deployment was left as it is");
    if !as_asked.is_empty() {
        message.push_str("; as the resource says are already ");
        message.push_str(&as_asked.join(", "));
    }
    let reason = troubles
        .first()
        .map_or(Reason::Unavailable, |trouble| trouble.reason);
    let (reconciling, stalled) = match reason {
        Reason::Unavailable | Reason::QuotaExceeded => (Holds::True, Holds::False),
        _ => (Holds::False, Holds::True),
    };
    vec![
        Finding::new(About::Ready, Holds::False, reason, &message),
        Finding::new(About::Progressing, Holds::False, reason, &message),
        Finding::new(About::Reconciling, reconciling, reason, &message),
        Finding::new(About::Stalled, stalled, reason, &message),
    ]
}

fn done(valid: &Valid, rollout: &Rollout, rivals: &[String], waits: Waits) -> Vec<Finding> {
    let mut findings = rollout.findings(valid.replicas);
    if let (Some(ready), false) = (findings.first_mut(), rivals.is_empty())
        && ready.holds == Holds::True
    {
        ready.reason = Reason::FieldConflict;
        ready.message = format!(
            "{} changes this relay's objects again and again, and they are put back each time; let it leave them alone, or set sserelay.dev/paused",
            rivals.join(", ")
        );
    }
    if waits == Waits::Yes {
        for finding in &mut findings {
            if finding.about == About::Progressing && finding.holds == Holds::False {
                finding.reason = Reason::WaitsForUpgrade;
                finding.message =
                    "another relay is being upgraded; this one follows when that is done"
                        .to_owned();
            }
        }
    }
    findings
}

/// A Redis that the operator runs is one server; how it is, its replicas tell.
fn redis(valid: &Valid) -> Option<Finding> {
    valid.redis.as_ref()?;
    Some(Finding::new(
        About::RedisHighlyAvailable,
        Holds::False,
        Reason::SingleServer,
        "there is one Redis: while it is replaced or its node is lost, streams stay open and publishing gets 503; for a Redis that fails over, make a relay with redis.external",
    ))
}

/// Whether the volume of a Redis that the operator runs is as large as the resource says. One that
/// cannot grow keeps nothing else from being done; it takes somebody's help all the same.
fn volume(valid: &Valid, troubles: &[Trouble], findings: &mut Vec<Finding>) {
    if valid.redis.is_none() {
        return;
    }
    let Some(trouble) = troubles.iter().find(|t| t.part == Part::Volume) else {
        findings.push(Finding::new(
            About::VolumeReady,
            Holds::True,
            Reason::AsAsked,
            "the volume is asked for in the size that the resource says",
        ));
        return;
    };
    for finding in findings.iter_mut() {
        if finding.about == About::Stalled && finding.holds == Holds::False {
            *finding = Finding::new(
                About::Stalled,
                Holds::True,
                trouble.reason,
                &trouble.message,
            );
        }
    }
    findings.push(Finding::new(
        About::VolumeReady,
        Holds::False,
        trouble.reason,
        &trouble.message,
    ));
}

/// Objects for monitoring and autoscaling, if the resource asks for any.
fn add_ons(valid: &Valid, troubles: &[Trouble]) -> Option<Finding> {
    let asked = valid.spec.monitoring.is_some() || valid.spec.autoscaling.is_some();
    let trouble = troubles.iter().find(|trouble| trouble.part == Part::AddOn);
    match trouble {
        Some(trouble) => Some(Finding::new(
            About::AddOnsReady,
            Holds::False,
            trouble.reason,
            &trouble.message,
        )),
        None => asked.then(|| {
            Finding::new(
                About::AddOnsReady,
                Holds::True,
                Reason::AsAsked,
                "the objects for monitoring and autoscaling are there",
            )
        }),
    }
}

/// Why no Gateway takes `route`; nothing if one does and none refuses it.
#[must_use]
pub fn not_accepted(route: &DynamicObject) -> Option<String> {
    let parents = route.data["status"]["parents"].as_array();
    let parents = parents.map_or(&[][..], Vec::as_slice);
    if parents.is_empty() {
        return Some("no Gateway has taken the route yet; if that lasts, check spec.gateway.parentRefs, and whether the Gateway's listeners allow routes of this namespace".to_owned());
    }
    let conditions = parents.iter().filter_map(|p| p["conditions"].as_array());
    let mut refused = conditions.flatten().filter(|condition| {
        let about = condition["type"].as_str();
        matches!(about, Some("Accepted" | "ResolvedRefs")) && condition["status"] == "False"
    });
    let message = refused.next()?["message"].as_str().unwrap_or_default();
    Some(format!("the Gateway does not take the route: {message}"))
}

fn route(valid: &Valid, troubles: &[Trouble], refused: Option<&str>) -> Option<Finding> {
    valid.profile()?;
    let mut of_route = troubles.iter();
    if let Some(trouble) = of_route.find(|trouble| trouble.part == Part::Route) {
        return Some(Finding::new(
            About::RouteReady,
            Holds::False,
            trouble.reason,
            &trouble.message,
        ));
    }
    if let Some(refused) = refused {
        return Some(Finding::new(
            About::RouteReady,
            Holds::False,
            Reason::RouteNotAccepted,
            refused,
        ));
    }
    Some(match valid.doubt() {
        None => Finding::new(
            About::RouteReady,
            Holds::True,
            Reason::AsAsked,
            "the way in from outside is set up for streams",
        ),
        Some(doubt) => Finding::new(
            About::RouteReady,
            match doubt.works {
                Some(true) => Holds::True,
                Some(false) => Holds::False,
                None => Holds::Unknown,
            },
            doubt.reason,
            &doubt.message,
        ),
    })
}
