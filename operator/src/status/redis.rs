//! What replicas say of Redis: how they hear of it, and what they find there.

use super::conditions::Finding;
use super::observed::{Heard, Hindered};
use super::rollout::{Hindrance, PodTrouble};
use crate::crd::{ConditionStatus as Holds, ConditionType as About, Reason, SseRelay};
use crate::observe::{Found, Reading, Severity, Unclear};

/// Past this a replica hears nothing of Redis: it hears of itself once a second.
const TOO_LATE: f64 = 5.0;
/// Findings that are told in one message.
const TOLD: usize = 4;

/// What `heard` means for `relay`, if it has a Redis. `hindered` says why pods cannot start.
pub(super) fn redis(relay: &SseRelay, heard: &[Heard], hindered: &Hindered) -> Option<Finding> {
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
    let own = hindered.redis.as_ref().map(own);
    let well = well(heard);
    if let (Some((reason, message)), false) = (&own, well) {
        let message =
            format!("{message}. Until then streams stay open and wait, and publishing gets 503");
        return finding(Holds::False, *reason, &message);
    }
    if let Some((reason, message)) = found(heard, Severity::Error) {
        let message =
            format!("{message}. Until then streams stay open and wait, and publishing gets 503");
        return finding(Holds::False, reason, &message);
    }
    let deaf = heard.iter().find_map(|heard| match &heard.said {
        Ok((Reading { lag, .. }, _)) if *lag > TOO_LATE => Some((&heard.pod, lag)),
        _ => None,
    });
    if let Some((pod, lag)) = deaf {
        let message = format!(
            "pod {pod} hears nothing of Redis for {lag:.0}s: streams stay open and publishing gets 503; look at Redis, at the network policies between them, and at the pod's log"
        );
        return finding(Holds::False, Reason::RedisNotAnswering, &message);
    }
    let silent = heard.iter().find_map(|heard| match &heard.said {
        Err(why) => Some((&heard.pod, why)),
        Ok(_) => None,
    });
    if let Some((pod, why)) = silent {
        return finding(Holds::Unknown, Reason::NotReachable, &unreachable(pod, why));
    }
    if let Some((_, message)) = own {
        // it serves: what cannot start is beside it, or what is to replace it
        return finding(Holds::True, Reason::RedisAtRisk, &message);
    }
    match (heard.len(), &hindered.replica) {
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
        (count, _) => match found(heard, Severity::Warning) {
            Some((_, message)) => finding(Holds::True, Reason::RedisAtRisk, &message),
            None => finding(
                Holds::True,
                Reason::AsAsked,
                &format!("what {count} replicas append comes back to them"),
            ),
        },
    }
}

/// Whether replicas say that Redis serves them, and none says that it does not.
fn well(heard: &[Heard]) -> bool {
    let hears = |heard: &Heard| match &heard.said {
        Ok((reading, _)) => reading.lag <= TOO_LATE,
        Err(_) => false,
    };
    !heard.is_empty() && heard.iter().all(hears) && found(heard, Severity::Error).is_none()
}

/// Why the pod of the relay's own Redis is not there or does not start, and what to do.
fn own(trouble: &PodTrouble) -> (Reason, String) {
    let PodTrouble {
        pod,
        reason,
        message,
    } = trouble;
    if message.contains("exceeded quota") {
        let message = format!(
            "pod {pod} of Redis cannot be made: {message}; raise the quota of the namespace, or ask for less by spec.redis.managed"
        );
        return (Reason::QuotaExceeded, message);
    }
    let remedy = match Hindrance::of(reason) {
        Hindrance::Image => "; check spec.redis.managed.image, spec.image and the pull secrets",
        Hindrance::NeverPulled => {
            "; put the images on the node, or set spec.image.pullPolicy to IfNotPresent"
        }
        Hindrance::Ends => "; its log says more",
        Hindrance::NoRoom if message.contains("PersistentVolumeClaim") => {
            "; its volume is not there: check spec.redis.managed.storage.className, and whether what makes volumes runs"
        }
        Hindrance::NoRoom => "; make room, or ask for less by spec.redis.managed.memory",
        Hindrance::Other => "",
    };
    let message = format!("pod {pod} of Redis: {reason}: {message}{remedy}");
    (Reason::PodCannotStart, message)
}

/// Why a replica that cannot be asked is not, and what to do.
pub(super) fn unreachable(pod: &str, why: &Unclear) -> String {
    format!(
        "pod {pod} cannot be asked: {why}; let the operator reach port 8081 (spec.networkPolicy.metricsFrom)"
    )
}

/// What replicas find of this severity, each once, and the reason of the first.
fn found(heard: &[Heard], severity: Severity) -> Option<(Reason, String)> {
    let mut told: Vec<&Found> = Vec::new();
    let said = heard.iter().filter_map(|heard| heard.said.as_ref().ok());
    for found in said.flat_map(|(_, findings)| &findings.0) {
        let known = told.iter().any(|other| other.reason == found.reason);
        if found.severity == severity && !known {
            told.push(found);
        }
    }
    let first = told.first()?;
    let messages: Vec<&str> = told
        .iter()
        .take(TOLD)
        .map(|found| found.message.as_str())
        .collect();
    Some((meaning(&first.reason), messages.join("; ")))
}

/// The relay's reasons are more, and may become more.
fn meaning(reason: &str) -> Reason {
    match reason {
        "unreachable" | "no-connection" | "timeout" | "starting" | "not-ready" | "closed"
        | "connection-lost" | "session-ended" | "unresponsive" | "no-owner" | "unknown-service" => {
            Reason::RedisUnreachable
        }
        "authentication" | "password" => Reason::RedisCredentials,
        "no-permission" => Reason::RedisPermission,
        "tls" => Reason::RedisTls,
        "too-old" => Reason::RedisTooOld,
        "cluster" | "not-cluster" | "database" | "not-primary" => Reason::RedisMode,
        "out-of-memory" => Reason::RedisOutOfMemory,
        "wrong-type" | "other-log" => Reason::RedisForeignKeys,
        "not-heard" => Reason::RedisNotAnswering,
        _ => Reason::RedisFault,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::observed::tests::{finds, relay, said, silent};
    use super::*;

    fn verdict(heard: &[Heard]) -> (Holds, Reason) {
        let finding = redis(&relay(), heard, &Hindered::default()).unwrap();
        (finding.holds, finding.reason)
    }

    #[test]
    fn redis_is_ready_when_every_replica_hears_itself() {
        assert_eq!(
            verdict(&[said(1, 0.1), said(2, 0.2)]),
            (Holds::True, Reason::AsAsked)
        );
        let late = [said(1, 0.1), said(2, 60.0), silent()];
        assert_eq!(verdict(&late), (Holds::False, Reason::RedisNotAnswering));
        assert_eq!(
            verdict(&[said(1, 0.1), silent()]),
            (Holds::Unknown, Reason::NotReachable)
        );
        assert_eq!(verdict(&[]), (Holds::Unknown, Reason::NoReplicaReady));
        assert_eq!(
            redis(
                &SseRelay::new("live", Default::default()),
                &[],
                &Hindered::default()
            ),
            None
        );
        let stopped = json!({ "replicas": 0, "redis": { "external": { "standalone": { "host": "redis" } } } });
        let stopped = SseRelay::new("live", serde_json::from_value(stopped).unwrap());
        let finding = redis(&stopped, &[], &Hindered::default()).unwrap();
        assert_eq!(finding.reason, Reason::Stopped);
    }

    #[test]
    fn errors_that_a_replica_finds_come_first_and_warnings_leave_redis_ready() {
        let risk = finds(&[(
            Severity::Warning,
            "eviction",
            "Redis may evict; set noeviction",
        )]);
        assert_eq!(
            verdict(&[said(1, 0.1), risk.clone()]),
            (Holds::True, Reason::RedisAtRisk)
        );
        let full = finds(&[
            (Severity::Warning, "memory-short", "nearly full"),
            (Severity::Error, "out-of-memory", "raise maxmemory"),
            (Severity::Error, "disk", "mend the disk"),
        ]);
        let heard = [said(1, 60.0), risk, full.clone(), full, silent()];
        let finding = redis(&relay(), &heard, &Hindered::default()).unwrap();
        assert_eq!(
            (finding.holds, finding.reason),
            (Holds::False, Reason::RedisOutOfMemory)
        );
        assert!(
            finding
                .message
                .starts_with("raise maxmemory; mend the disk. Until"),
            "{}",
            finding.message
        );
        let unheard_of = finds(&[(Severity::Error, "bewitched", "call somebody")]);
        assert_eq!(verdict(&[unheard_of]), (Holds::False, Reason::RedisFault));
    }

    #[test]
    fn a_replica_that_does_not_start_is_quoted() {
        let trouble = PodTrouble {
            pod: "live-1".into(),
            reason: "CrashLoopBackOff".into(),
            message: "NOAUTH".into(),
        };
        let hindered = Hindered {
            replica: Some(trouble),
            redis: None,
        };
        let finding = redis(&relay(), &[], &hindered).unwrap();
        assert!(
            finding.message.ends_with("pod live-1: NOAUTH"),
            "{finding:?}"
        );
    }

    #[test]
    fn a_redis_of_its_own_whose_pod_does_not_start_is_told_with_what_to_do() {
        let says = |heard: &[Heard], reason: &str, message: &str| {
            let hindered = Hindered {
                replica: None,
                redis: Some(PodTrouble {
                    pod: "live-redis-0".into(),
                    reason: reason.into(),
                    message: message.into(),
                }),
            };
            redis(&relay(), heard, &hindered).unwrap()
        };
        let cases = [
            ("ImagePullBackOff", "no such image", "managed.image"),
            ("ErrImageNeverPull", "", "IfNotPresent"),
            ("CrashLoopBackOff", "bad file", "log says more"),
            ("Unschedulable", "Insufficient memory", "managed.memory"),
            (
                "Unschedulable",
                "pod has unbound immediate PersistentVolumeClaims",
                "storage.className",
            ),
        ];
        for (reason, message, remedy) in cases {
            for heard in [&[][..], &[silent()], &[said(1, 60.0)]] {
                let finding = says(heard, reason, message);
                let held = (finding.holds, finding.reason);
                assert_eq!(held, (Holds::False, Reason::PodCannotStart), "{reason}");
                assert!(finding.message.contains(remedy), "{finding:?}");
                assert!(finding.message.contains("gets 503"), "{finding:?}");
            }
        }
        let quota = says(&[], "FailedCreate", "forbidden: exceeded quota: tiny");
        assert_eq!(quota.reason, Reason::QuotaExceeded);
        let serves = says(&[said(1, 0.1)], "ImagePullBackOff", "no such image");
        let held = (serves.holds, serves.reason);
        assert_eq!(held, (Holds::True, Reason::RedisAtRisk));
    }
}
