//! What follows from what replicas say about themselves.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::conditions::{Finding, merge};
use super::redis::redis;
use super::rollout::PodTrouble;
use super::scaling::Scaled;
use crate::crd::{
    Condition, ConditionStatus as Holds, ConditionType as About, Reason, SseRelay, SseRelayStatus,
};
use crate::observe::{Findings, Reading, Unclear};

/// What one replica says.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Name of its pod.
    pub pod: String,
    /// What it says of itself and of its Redis, or why that is not known.
    pub said: Result<(Reading, Findings), Unclear>,
}

/// The part of the status that comes from replicas. The rest is not its business, and its
/// conditions are nobody else's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Replicas that there should be, if the operator decides that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Streams that are open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<i64>,
    /// What holds.
    pub conditions: Vec<Condition>,
}

/// What comes from elsewhere than the reconcile: from replicas, and from outside.
const OF_OTHERS: [About; 3] = [
    About::RedisReady,
    About::AutoscalingReady,
    About::StreamingVerified,
];
/// What only replicas can tell.
const OBSERVED: [About; 2] = [About::RedisReady, About::AutoscalingReady];

impl Observed {
    /// Whether `status` says it already.
    #[must_use]
    pub fn same_as(&self, status: &SseRelayStatus) -> bool {
        let told = status.conditions.iter();
        let told = told.filter(|condition| OBSERVED.contains(&condition.r#type));
        self.desired_replicas == status.desired_replicas
            && self.streams == status.streams
            && told.eq(&self.conditions)
    }

    /// Takes what changes with every look from `status`: the number of streams, and the words of
    /// conditions that hold as before for the same reason.
    pub fn keep_details(&mut self, status: &SseRelayStatus) {
        self.streams = status.streams;
        for condition in &mut self.conditions {
            let same = status.conditions.iter().find(|old| {
                (old.r#type, old.status, old.reason, old.observed_generation)
                    == (
                        condition.r#type,
                        condition.status,
                        condition.reason,
                        condition.observed_generation,
                    )
            });
            if let Some(same) = same {
                condition.message.clone_from(&same.message);
            }
        }
    }
}

/// The status without what comes from replicas and from outside.
#[must_use]
pub fn without_observed(mut status: SseRelayStatus) -> SseRelayStatus {
    status.streams = None;
    status.desired_replicas = None;
    status
        .conditions
        .retain(|condition| !OF_OTHERS.contains(&condition.r#type));
    status
}

/// Why pods cannot start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hindered {
    /// A replica.
    pub replica: Option<PodTrouble>,
    /// The pod of a Redis of its own.
    pub redis: Option<PodTrouble>,
}

/// What is known of the replicas of `relay` when the operator may not list pods: nothing, and why.
#[must_use]
pub fn blind(relay: &SseRelay, reason: Reason, message: &str, now: &Time) -> Observed {
    let before = relay.status.clone().unwrap_or_default();
    let about = [
        relay.spec.redis.as_ref().map(|_| About::RedisReady),
        by_streams(relay).then_some(About::AutoscalingReady),
    ];
    let unknown = |about| Finding::new(about, Holds::Unknown, reason, message);
    let findings = about.into_iter().flatten().map(unknown).collect();
    Observed {
        desired_replicas: before.desired_replicas,
        streams: None,
        conditions: merge(&before.conditions, findings, relay.metadata.generation, now),
    }
}

fn by_streams(relay: &SseRelay) -> bool {
    let autoscaling = relay.spec.autoscaling.as_ref();
    autoscaling.is_some_and(|asked| asked.streams.is_some())
}

/// What `heard` means for `relay`. `hindered` says why pods cannot start; `scaled`, what was decided of
/// their number.
#[must_use]
pub fn observed(
    relay: &SseRelay,
    heard: &[Heard],
    hindered: &Hindered,
    scaled: Option<Scaled>,
    now: &Time,
) -> Observed {
    let before = relay.status.clone().unwrap_or_default();
    let mut findings: Vec<_> = redis(relay, heard, hindered).into_iter().collect();
    let desired_replicas = scaled.as_ref().and_then(|scaled| scaled.replicas);
    findings.extend(scaled.map(|scaled| scaled.finding));
    Observed {
        desired_replicas,
        streams: streams(heard),
        conditions: merge(&before.conditions, findings, relay.metadata.generation, now),
    }
}

/// The streams of all replicas, in two digits: not every coming and going is worth a write. Not
/// known while a replica is silent.
fn streams(heard: &[Heard]) -> Option<i64> {
    let each: Result<Vec<u64>, Unclear> = heard
        .iter()
        .map(|heard| match &heard.said {
            Ok((reading, _)) => Ok(reading.streams),
            Err(why) => Err(*why),
        })
        .collect();
    let sum: u64 = each.ok()?.iter().sum();
    let mut step = 1;
    while sum / step >= 100 {
        step *= 10;
    }
    i64::try_from((sum + step / 2) / step * step).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe::{Found, Severity};

    pub fn relay() -> SseRelay {
        let spec = json!({ "redis": { "external": { "standalone": { "host": "redis" } } } });
        SseRelay::new("live", serde_json::from_value(spec).unwrap())
    }

    pub fn said(streams: u64, lag: f64) -> Heard {
        let reading = Reading {
            streams,
            delivered: 0,
            lag,
        };
        Heard {
            pod: "live-1".into(),
            said: Ok((reading, Findings::default())),
        }
    }

    pub fn finds(findings: &[(Severity, &str, &str)]) -> Heard {
        let mut heard = said(1, 0.0);
        let found = findings.iter().map(|(severity, reason, message)| Found {
            severity: *severity,
            reason: (*reason).to_owned(),
            message: (*message).to_owned(),
        });
        if let Ok((_, findings)) = &mut heard.said {
            findings.0.extend(found);
        }
        heard
    }

    pub fn silent() -> Heard {
        Heard {
            pod: "live-2".into(),
            said: Err(Unclear::Timeout),
        }
    }

    #[test]
    fn streams_are_told_in_two_digits_and_not_while_a_replica_is_silent() {
        for (sum, told) in [
            (0, 0),
            (99, 99),
            (104, 100),
            (105, 110),
            (1_251, 1_300),
            (99_999, 100_000),
        ] {
            assert_eq!(streams(&[said(sum, 0.0)]), Some(told), "{sum}");
        }
        assert_eq!(streams(&[said(60, 0.0), said(60, 0.0)]), Some(120));
        assert_eq!(streams(&[said(60, 0.0), silent()]), None);
        assert_eq!(streams(&[]), Some(0));
    }

    #[test]
    fn what_replicas_say_is_kept_apart_from_the_rest() {
        let mut relay = relay();
        let now = Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        let scaled = Some(Scaled::stopped());
        let new = observed(
            &relay,
            &[said(3, 0.0)],
            &Hindered::default(),
            scaled.clone(),
            &now,
        );
        let mut status = SseRelayStatus {
            streams: new.streams,
            conditions: new.conditions.clone(),
            ..SseRelayStatus::default()
        };
        assert!(new.same_as(&status));
        assert_eq!(without_observed(status.clone()), SseRelayStatus::default());
        status.streams = Some(4);
        assert!(!new.same_as(&status));
        status.streams = Some(3);
        status.desired_replicas = Some(3);
        assert!(!new.same_as(&status));
        relay.status = Some(status);
        assert_eq!(
            observed(&relay, &[said(3, 0.0)], &Hindered::default(), scaled, &now),
            new
        );
    }

    #[test]
    fn other_words_for_the_same_thing_can_wait() {
        let now = Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        let look = |lag| observed(&relay(), &[said(3, lag)], &Hindered::default(), None, &now);
        let before = look(60.0);
        let status = SseRelayStatus {
            streams: Some(7),
            conditions: before.conditions.clone(),
            ..SseRelayStatus::default()
        };
        let mut later = look(61.0);
        assert_ne!(later.conditions, before.conditions);
        later.keep_details(&status);
        assert!(later.same_as(&status));
        let mut mended = look(0.0);
        mended.keep_details(&status);
        assert_ne!(mended.conditions, before.conditions);
    }
}
