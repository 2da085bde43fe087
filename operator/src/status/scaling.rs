//! Whether the number of replicas can follow the streams, in words.

use super::conditions::Finding;
use super::observed::Heard;
use super::redis::unreachable;
use crate::apply::Trouble;
use crate::crd::{ConditionStatus as Holds, ConditionType as About, Reason};
use crate::scaling::{Aim, Verdict};

/// What became of a look at the replicas of a relay with `autoscaling.streams`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaled {
    /// Replicas that there should be; `None` while the relay is stopped.
    pub replicas: Option<i32>,
    /// How it goes.
    pub finding: Finding,
}

impl Scaled {
    /// Of a relay with `spec.replicas` 0.
    #[must_use]
    pub fn stopped() -> Self {
        Self {
            replicas: None,
            finding: finding(
                Holds::Unknown,
                Reason::Stopped,
                "spec.replicas is 0; raise it to start the relay",
            ),
        }
    }

    /// One that nothing came of, since `trouble` stood against it.
    #[must_use]
    pub fn hindered(replicas: i32, trouble: &Trouble) -> Self {
        let message = format!(
            "no replica is taken away, since which one leaves could not be said: {}; or set spec.autoscaling.streams.emptiestFirst to false",
            trouble.message
        );
        Self {
            replicas: Some(replicas),
            finding: finding(Holds::False, trouble.reason, &message),
        }
    }

    /// What `verdict` means, with what replicas said. No number that changes with each look stands in
    /// the message, or each look would be a write.
    #[must_use]
    pub fn decided(aim: &Aim, verdict: Verdict, heard: &[Heard]) -> Self {
        let silent = heard.iter().find_map(|heard| match &heard.said {
            Err(why) => Some((&heard.pod, why)),
            Ok(_) => None,
        });
        let finding = if verdict.needed > aim.max {
            let message = format!(
                "what is served asks for more than {} replicas; raise spec.autoscaling.streams.max, or have each serve more by spec.maxStreams",
                aim.max
            );
            finding(Holds::False, Reason::AtMaximum, &message)
        } else if let Some((pod, why)) = silent {
            let message = format!(
                "{}. Until then it counts as busy, and replicas are added only for what the others serve",
                unreachable(pod, why)
            );
            finding(Holds::Unknown, Reason::NotReachable, &message)
        } else if heard.is_empty() {
            finding(
                Holds::Unknown,
                Reason::NoReplicaReady,
                "no replica is there to ask yet",
            )
        } else {
            finding(
                Holds::True,
                Reason::AsAsked,
                "the number of replicas follows what they serve",
            )
        };
        Self {
            replicas: Some(verdict.replicas),
            finding,
        }
    }
}

fn finding(holds: Holds, reason: Reason, message: &str) -> Finding {
    Finding::new(About::AutoscalingReady, holds, reason, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::observed::tests::{said, silent};
    use super::*;

    #[test]
    fn it_says_why_the_number_does_not_follow() {
        let aim = Aim {
            min: 1,
            max: 3,
            streams: 10,
            egress: None,
            down_after: Duration::ZERO,
        };
        let decided = |needed, heard: &[Heard]| {
            let verdict = Verdict {
                replicas: 3,
                needed,
            };
            let scaled = Scaled::decided(&aim, verdict, heard);
            (scaled.finding.holds, scaled.finding.reason)
        };
        assert_eq!(decided(3, &[said(1, 0.0)]), (Holds::True, Reason::AsAsked));
        assert_eq!(
            decided(4, &[said(1, 0.0)]),
            (Holds::False, Reason::AtMaximum)
        );
        let one_silent = [said(1, 0.0), silent()];
        assert_eq!(
            decided(3, &one_silent),
            (Holds::Unknown, Reason::NotReachable)
        );
        assert_eq!(decided(0, &[]), (Holds::Unknown, Reason::NoReplicaReady));
    }
}
