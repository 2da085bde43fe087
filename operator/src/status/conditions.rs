//! Conditions over time: what holds now, and since when.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::crd::{Condition, ConditionStatus, ConditionType, Reason};

/// What holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: ConditionType,
    /// Whether it holds.
    pub holds: ConditionStatus,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, and what to do.
    pub message: String,
}

impl Finding {
    /// At most so much of `message` is kept as a condition may have.
    #[must_use]
    pub fn new(
        about: ConditionType,
        holds: ConditionStatus,
        reason: Reason,
        message: &str,
    ) -> Self {
        Self {
            about,
            holds,
            reason,
            message: message.chars().take(2_000).collect(),
        }
    }
}

impl Finding {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holds == ConditionStatus::True
    }
}

/// Of a relay that has nobody to be tried with.
#[must_use]
pub fn unproved() -> Finding {
    Finding::new(
        ConditionType::StreamingVerified,
        ConditionStatus::Unknown,
        Reason::NoReplicaReady,
        "no replica is there yet to try it with",
    )
}

/// The new conditions. One that holds as before does so since before.
#[must_use]
pub fn merge(
    before: &[Condition],
    findings: Vec<Finding>,
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let mut after: Vec<Condition> = findings
        .into_iter()
        .map(|finding| {
            let same = before
                .iter()
                .find(|known| known.r#type == finding.about && known.status == finding.holds);
            Condition {
                r#type: finding.about,
                status: finding.holds,
                reason: finding.reason,
                message: finding.message,
                last_transition_time: same
                    .map_or_else(|| now.clone(), |known| known.last_transition_time.clone()),
                observed_generation: generation,
            }
        })
        .collect();
    after.sort_by_key(|condition| condition.r#type);
    after
}

/// The conditions that say something else than before: worth an Event.
#[must_use]
pub fn transitions<'a>(before: &[Condition], after: &'a [Condition]) -> Vec<&'a Condition> {
    let told = |new: &&Condition| {
        before
            .iter()
            .any(|old| (old.r#type, old.status, old.reason) == (new.r#type, new.status, new.reason))
    };
    // what GitOps tools read says nothing that the others do not
    let counts = |new: &&Condition| {
        !matches!(
            new.r#type,
            ConditionType::Reconciling | ConditionType::Stalled
        )
    };
    after
        .iter()
        .filter(counts)
        .filter(|new| !told(new))
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn ready(holds: ConditionStatus, reason: Reason) -> Vec<Finding> {
        vec![Finding::new(ConditionType::Ready, holds, reason, "m")]
    }

    #[test]
    fn a_condition_keeps_its_time_while_it_holds_and_is_told_when_its_reason_changes() {
        let first = merge(
            &[],
            ready(ConditionStatus::False, Reason::RollingOut),
            Some(1),
            &at(1),
        );
        assert_eq!(transitions(&[], &first).len(), 1);
        let second = merge(
            &first,
            ready(ConditionStatus::False, Reason::PodCannotStart),
            Some(1),
            &at(2),
        );
        assert_eq!(second[0].last_transition_time, at(1));
        assert_eq!(transitions(&first, &second).len(), 1);
        let third = merge(
            &second,
            ready(ConditionStatus::True, Reason::AsAsked),
            Some(1),
            &at(3),
        );
        assert_eq!(third[0].last_transition_time, at(3));
        let same = merge(
            &third,
            ready(ConditionStatus::True, Reason::AsAsked),
            Some(1),
            &at(4),
        );
        assert_eq!(same, third);
        assert!(transitions(&third, &same).is_empty());
    }
}
