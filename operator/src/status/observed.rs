//! What follows from what replicas say about themselves.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::conditions::{Finding, merge};
use super::rollout::PodTrouble;
use crate::crd::{
    Condition, ConditionStatus as Holds, ConditionType as About, Reason, SseRelay, SseRelayStatus,
};
use crate::observe::{Reading, Unclear};

/// What one replica says.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Name of its pod.
    pub pod: String,
    /// What it says, or why that is not known.
    pub said: Result<Reading, Unclear>,
}

/// The part of the status that comes from replicas. The rest is not its business, and its
/// conditions are nobody else's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observed {
    /// Streams that are open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<i64>,
    /// What holds.
    pub conditions: Vec<Condition>,
}

/// What only replicas can tell.
const OBSERVED: [About; 1] = [About::RedisReady];

/// Past this a replica hears nothing of Redis: it hears of itself once a second.
const TOO_LATE: f64 = 5.0;

impl Observed {
    /// Whether `status` says it already.
    #[must_use]
    pub fn same_as(&self, status: &SseRelayStatus) -> bool {
        let told = status.conditions.iter();
        let told = told.filter(|condition| OBSERVED.contains(&condition.r#type));
        self.streams == status.streams && told.eq(&self.conditions)
    }
}

/// The status without what comes from replicas.
#[must_use]
pub fn without_observed(mut status: SseRelayStatus) -> SseRelayStatus {
    status.streams = None;
    status
        .conditions
        .retain(|condition| !OBSERVED.contains(&condition.r#type));
    status
}

/// What `heard` means for `relay`. `trouble` is why one of its pods cannot start.
#[must_use]
pub fn observed(
    relay: &SseRelay,
    heard: &[Heard],
    trouble: Option<&PodTrouble>,
    now: &Time,
) -> Observed {
    let before = relay.status.clone().unwrap_or_default();
    let findings = redis(relay, heard, trouble).into_iter().collect();
    Observed {
        streams: streams(heard),
        conditions: merge(&before.conditions, findings, relay.metadata.generation, now),
    }
}

/// The streams of all replicas, in two digits: not every coming and going is worth a write. Not
/// known while a replica is silent.
fn streams(heard: &[Heard]) -> Option<i64> {
    let each: Result<Vec<u64>, Unclear> = heard
        .iter()
        .map(|heard| heard.said.map(|reading| reading.streams))
        .collect();
    let sum: u64 = each.ok()?.iter().sum();
    let mut step = 1;
    while sum / step >= 100 {
        step *= 10;
    }
    i64::try_from((sum + step / 2) / step * step).ok()
}

fn redis(relay: &SseRelay, heard: &[Heard], trouble: Option<&PodTrouble>) -> Option<Finding> {
    relay.spec.redis.as_ref()?;
    let finding = |holds, reason, message: &str| {
        Some(Finding::new(About::RedisReady, holds, reason, message))
    };
    if relay.spec.replicas == 0 {
        return finding(
            Holds::Unknown,
            Reason::Stopped,
            "no replica is there to ask",
        );
    }
    let deaf = heard.iter().find_map(|heard| match heard.said {
        Ok(Reading { lag, .. }) if lag > TOO_LATE => Some((&heard.pod, lag)),
        _ => None,
    });
    if let Some((pod, lag)) = deaf {
        let message = format!(
            "pod {pod} hears nothing of Redis for {lag:.0}s: streams stay open and publishing gets 503; look at Redis, at the network policies between them, and at the pod's log"
        );
        return finding(Holds::False, Reason::RedisNotAnswering, &message);
    }
    let silent = heard.iter().find_map(|heard| match heard.said {
        Err(why) => Some((&heard.pod, why)),
        Ok(_) => None,
    });
    if let Some((pod, why)) = silent {
        let message = format!(
            "pod {pod} cannot be asked: {why}; let the operator reach port 8081 (spec.networkPolicy.metricsFrom)"
        );
        return finding(Holds::Unknown, Reason::NotReachable, &message);
    }
    match (heard.len(), trouble) {
        (0, Some(PodTrouble { pod, message, .. })) => finding(
            Holds::Unknown,
            Reason::NoReplicaReady,
            &format!("no replica is there to ask; pod {pod}: {message}"),
        ),
        (0, None) => finding(
            Holds::Unknown,
            Reason::NoReplicaReady,
            "no replica is there to ask yet",
        ),
        (count, _) => finding(
            Holds::True,
            Reason::AsAsked,
            &format!("what {count} replicas append comes back to them"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn relay() -> SseRelay {
        let spec = json!({ "redis": { "external": { "standalone": { "host": "redis" } } } });
        SseRelay::new("live", serde_json::from_value(spec).unwrap())
    }

    fn said(streams: u64, lag: f64) -> Heard {
        Heard {
            pod: "live-1".into(),
            said: Ok(Reading { streams, lag }),
        }
    }

    fn silent() -> Heard {
        Heard {
            pod: "live-2".into(),
            said: Err(Unclear::Timeout),
        }
    }

    #[test]
    fn redis_is_ready_when_every_replica_hears_itself() {
        let found = |heard: &[Heard]| {
            let finding = redis(&relay(), heard, None).unwrap();
            (finding.holds, finding.reason)
        };
        assert_eq!(
            found(&[said(1, 0.1), said(2, 0.2)]),
            (Holds::True, Reason::AsAsked)
        );
        let late = [said(1, 0.1), said(2, 60.0), silent()];
        assert_eq!(found(&late), (Holds::False, Reason::RedisNotAnswering));
        assert_eq!(
            found(&[said(1, 0.1), silent()]),
            (Holds::Unknown, Reason::NotReachable)
        );
        assert_eq!(found(&[]), (Holds::Unknown, Reason::NoReplicaReady));
        assert_eq!(
            redis(&SseRelay::new("live", Default::default()), &[], None),
            None
        );
    }

    #[test]
    fn a_replica_that_does_not_start_is_quoted() {
        let trouble = PodTrouble {
            pod: "live-1".into(),
            reason: "CrashLoopBackOff".into(),
            message: "NOAUTH".into(),
        };
        let finding = redis(&relay(), &[], Some(&trouble)).unwrap();
        assert!(
            finding.message.ends_with("pod live-1: NOAUTH"),
            "{finding:?}"
        );
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
        let new = observed(&relay, &[said(3, 0.0)], None, &now);
        let mut status = SseRelayStatus {
            streams: new.streams,
            conditions: new.conditions.clone(),
            ..SseRelayStatus::default()
        };
        assert!(new.same_as(&status));
        assert_eq!(without_observed(status.clone()), SseRelayStatus::default());
        status.streams = Some(4);
        assert!(!new.same_as(&status));
        relay.status = Some(status);
        assert_eq!(observed(&relay, &[said(3, 0.0)], None, &now), new);
    }
}
