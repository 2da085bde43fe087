//! How far a relay's pods are.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::conditions::Finding;
use crate::crd::{ConditionStatus as Holds, ConditionType as About, Reason};

/// How far a relay's pods are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Pods.
    pub replicas: i32,
    /// Pods that take streams.
    pub ready: i32,
    /// Pods that have done so for long enough.
    pub available: i32,
    /// Pods that are as the Deployment says.
    pub updated: i32,
    /// Whether the Deployment's controller has seen its last change.
    pub seen: bool,
    /// Why no pod can be made, in the words of the Deployment's controller.
    pub failure: Option<String>,
    /// Whether it did not get there in time.
    pub late: bool,
    /// A pod that cannot start.
    pub pod: Option<PodTrouble>,
    /// Why pods could not be looked at, and what to do.
    pub unseen: Option<(Reason, String)>,
}

/// Why a pod cannot start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodTrouble {
    /// Name of the pod.
    pub pod: String,
    /// What Kubernetes calls it.
    pub reason: String,
    /// What Kubernetes says about it.
    pub message: String,
}

/// What kind of thing keeps a pod from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// Its image cannot be had.
    Image,
    /// Its image is to be on the node, and is not.
    NeverPulled,
    /// It starts, and ends.
    Ends,
    /// No node takes it.
    NoRoom,
    /// Something else.
    Other,
}

impl Hindrance {
    /// What Kubernetes calls `reason`: the kubelet's names (`pkg/kubelet/images`), and the scheduler's.
    #[must_use]
    pub fn of(reason: &str) -> Self {
        match reason {
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => Self::Image,
            "ErrImageNeverPull" => Self::NeverPulled,
            "CrashLoopBackOff" => Self::Ends,
            "Unschedulable" => Self::NoRoom,
            _ => Self::Other,
        }
    }
}

/// What `deployment` and its pods say.
#[must_use]
pub fn rollout(deployment: Option<&Deployment>, pods: &[Pod]) -> Rollout {
    let Some(deployment) = deployment else {
        return Rollout::default();
    };
    let status = deployment.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let condition = |name: &str| conditions.iter().find(|condition| condition.type_ == name);
    let failure = condition("ReplicaFailure").filter(|failure| failure.status == "True");
    let progress = condition("Progressing");
    Rollout {
        replicas: status.replicas.unwrap_or(0),
        ready: status.ready_replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        seen: status.observed_generation >= deployment.metadata.generation,
        failure: failure.map(|failure| failure.message.clone().unwrap_or_default()),
        late: progress.and_then(|progress| progress.reason.as_deref())
            == Some("ProgressDeadlineExceeded"),
        pod: pods.iter().find_map(trouble),
        unseen: None,
    }
}

/// What keeps a pod from starting, as far as it is not just on its way. Of a container that ended,
/// its own last words.
#[must_use]
pub fn trouble(pod: &Pod) -> Option<PodTrouble> {
    let status = pod.status.as_ref()?;
    let told = |reason: &str, message: Option<&String>| PodTrouble {
        pod: pod.name_any(),
        reason: reason.to_owned(),
        message: message.cloned().unwrap_or_default(),
    };
    let waiting = status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            let reason = waiting.reason.as_deref()?;
            let on_its_way = matches!(reason, "ContainerCreating" | "PodInitializing");
            let ended = container.last_state.as_ref();
            let ended = ended.and_then(|state| state.terminated.as_ref());
            let words = ended.and_then(|ended| last_line(ended.message.as_deref()?));
            (!on_its_way).then(|| told(reason, words.as_ref().or(waiting.message.as_ref())))
        });
    let unscheduled = || {
        let scheduled = status.conditions.iter().flatten();
        let mut scheduled = scheduled.filter(|condition| condition.type_ == "PodScheduled");
        let refused = scheduled.find(|condition| condition.status == "False")?;
        Some(told(
            refused.reason.as_deref().unwrap_or("Unschedulable"),
            refused.message.as_ref(),
        ))
    };
    waiting.or_else(unscheduled)
}

/// The last line that says something, at most 500 characters of it.
fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(500).collect())
}

impl Rollout {
    /// Whether all pods are there, and as they must be.
    #[must_use]
    pub fn complete(&self, wanted: i32) -> bool {
        self.seen && self.updated >= wanted && self.available >= wanted && self.replicas == wanted
    }

    /// What it means for a relay that wants so many replicas. The first finding is about Ready.
    #[must_use]
    pub fn findings(&self, wanted: i32) -> Vec<Finding> {
        let (ready, reason, message) = self.ready(wanted);
        let mut findings = vec![Finding::new(About::Ready, ready, reason, &message)];
        let (progressing, why, text) = if self.complete(wanted) {
            (
                Holds::False,
                Reason::AsAsked,
                "all replicas are as they must be".to_owned(),
            )
        } else if self.late {
            (Holds::False, Reason::DeadlineExceeded, self.late_message())
        } else {
            let far = format!(
                "{} of {wanted} replicas are up to date, {} take streams",
                self.updated.min(wanted),
                self.ready
            );
            match self.cause() {
                // also while those before it go on serving
                Some((reason, text)) => (Holds::True, reason, format!("{far}; {text}")),
                None => (Holds::True, Reason::RollingOut, far),
            }
        };
        findings.push(Finding::new(About::Progressing, progressing, why, &text));
        findings.push(Finding::new(About::Reconciling, progressing, why, &text));
        let stalled = if self.late && !self.complete(wanted) {
            Holds::True
        } else {
            Holds::False
        };
        findings.push(Finding::new(About::Stalled, stalled, why, &text));
        findings
    }

    fn late_message(&self) -> String {
        let cause = self
            .cause()
            .map_or_else(String::new, |(_, text)| format!(": {text}"));
        format!("the Deployment did not get there in time{cause}; look at its pods and events")
    }

    /// Why pods are missing, if it is known.
    fn cause(&self) -> Option<(Reason, String)> {
        if let Some(failure) = &self.failure {
            let reason = if failure.contains("exceeded quota") {
                Reason::QuotaExceeded
            } else {
                Reason::PodCannotStart
            };
            return Some((reason, format!("no pod can be made: {failure}")));
        }
        let PodTrouble {
            pod,
            reason,
            message,
        } = match (&self.pod, &self.unseen) {
            (Some(pod), _) => pod,
            (None, unseen) => return unseen.clone(),
        };
        let remedy = match Hindrance::of(reason) {
            Hindrance::Image => "; check spec.image, spec.version and the pull secrets",
            Hindrance::NeverPulled => {
                "; put the image on the node, or set spec.image.pullPolicy to IfNotPresent"
            }
            Hindrance::Ends => "; its log says more",
            Hindrance::NoRoom => "; make room, or ask for less by spec.maxStreams",
            Hindrance::Other => "",
        };
        Some((
            Reason::PodCannotStart,
            format!("pod {pod}: {reason}: {message}{remedy}"),
        ))
    }

    fn ready(&self, wanted: i32) -> (Holds, Reason, String) {
        if wanted == 0 {
            return (
                Holds::False,
                Reason::Stopped,
                "spec.replicas is 0; raise it to start the relay".to_owned(),
            );
        }
        if self.available >= wanted && self.seen {
            return (
                Holds::True,
                Reason::AsAsked,
                format!("{} of {wanted} replicas take streams", self.ready),
            );
        }
        match self.cause() {
            Some((reason, text)) => (Holds::False, reason, text),
            None if self.ready == 0 => (
                Holds::False,
                Reason::NoReplicaReady,
                "no replica takes streams yet".to_owned(),
            ),
            None => (
                Holds::False,
                Reason::RollingOut,
                format!("{} of {wanted} replicas take streams", self.ready),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(status: Value) -> Deployment {
        serde_json::from_value(json!({ "metadata": { "generation": 2 }, "spec": { "selector": {}, "template": {} }, "status": status })).unwrap()
    }

    fn found(rollout: &Rollout, about: About) -> (Holds, Reason) {
        let findings = rollout.findings(1);
        let finding = findings
            .iter()
            .find(|finding| finding.about == about)
            .unwrap();
        (finding.holds, finding.reason)
    }

    #[test]
    fn a_relay_is_ready_when_its_replicas_are_available() {
        let full = json!({ "observedGeneration": 2, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1 });
        let rollout = rollout(Some(&deployment(full)), &[]);
        assert_eq!(
            found(&rollout, About::Ready),
            (Holds::True, Reason::AsAsked)
        );
        assert_eq!(found(&rollout, About::Reconciling).0, Holds::False);
        assert!(rollout.complete(1));
    }

    #[test]
    fn it_stays_ready_while_its_replicas_are_replaced() {
        let surge = json!({ "observedGeneration": 2, "replicas": 2, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1 });
        let rollout = rollout(Some(&deployment(surge)), &[]);
        assert_eq!(found(&rollout, About::Ready).0, Holds::True);
        assert_eq!(
            found(&rollout, About::Progressing),
            (Holds::True, Reason::RollingOut)
        );
    }

    #[test]
    fn what_was_not_seen_yet_is_not_ready() {
        let stale = json!({ "observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1 });
        let rollout = rollout(Some(&deployment(stale)), &[]);
        assert_eq!(found(&rollout, About::Ready).0, Holds::False);
    }

    #[test]
    fn a_pod_that_cannot_start_says_why_and_what_to_do() {
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": "live-1" }, "status": { "containerStatuses": [{
            "name": "relay", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ImagePullBackOff", "message": "not found" } } }] } })).unwrap();
        let none = json!({ "observedGeneration": 2, "replicas": 1 });
        let rollout = rollout(Some(&deployment(none)), &[pod]);
        assert_eq!(
            found(&rollout, About::Ready),
            (Holds::False, Reason::PodCannotStart)
        );
        let message = &rollout.findings(1)[0].message;
        assert!(message.contains("not found; check spec.image"), "{message}");
    }

    #[test]
    fn a_used_up_quota_and_a_missed_deadline_are_told() {
        let quota = json!({ "observedGeneration": 2, "conditions": [
            { "type": "ReplicaFailure", "status": "True", "message": "exceeded quota: tiny" },
            { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }] });
        let rollout = rollout(Some(&deployment(quota)), &[]);
        assert_eq!(
            found(&rollout, About::Ready),
            (Holds::False, Reason::QuotaExceeded)
        );
        assert_eq!(
            found(&rollout, About::Stalled),
            (Holds::True, Reason::DeadlineExceeded)
        );
    }
}
