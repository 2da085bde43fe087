//! Which relay may follow the operator to a new version now: one at a time.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use crate::controller::Life;
use crate::crd::{ConditionStatus, ConditionType, Pinned, SseRelay, UpgradePolicy};

/// A relay that does not get there in this time lets others pass.
pub const LONGEST: Duration = Duration::from_secs(1_800);

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Turn {
    holder: Option<(Life, Instant)>,
}

impl Turn {
    /// Whether it is `relay`'s turn; it takes a turn that is free.
    pub fn take(&mut self, relay: &Life, now: Instant) -> bool {
        match &self.holder {
            Some((holder, _)) if holder == relay => true,
            Some((_, since)) if now.duration_since(*since) < LONGEST => false,
            _ => {
                self.holder = Some((relay.clone(), now));
                true
            }
        }
    }

    /// Takes the turn from a relay that is not among `there`.
    pub fn only(&mut self, there: &HashSet<Life>) {
        self.holder.take_if(|(holder, _)| !there.contains(holder));
    }

    /// `relay` has got there, cannot go on, or is gone.
    pub fn pass(&mut self, relay: &Life) {
        if self
            .holder
            .as_ref()
            .is_some_and(|(holder, _)| holder == relay)
        {
            self.holder = None;
        }
    }
}

/// Whether `relay` follows operators, has gone to `own`, and is not there yet by its status. Who has the
/// turn is not known to an operator that has just begun to act; this is.
#[must_use]
pub fn on_its_way(relay: &SseRelay, own: &Pinned, now: Timestamp) -> bool {
    let Some(status) = &relay.status else {
        return false;
    };
    let begun = status.pinned.as_ref() == Some(own);
    let lately = |since: Timestamp| now.duration_since(since).unsigned_abs() < LONGEST;
    let moves = status.conditions.iter().any(|held| {
        held.r#type == ConditionType::Progressing
            && held.status == ConditionStatus::True
            && lately(held.last_transition_time.0)
    });
    follows(relay) && begun && moves && relay.metadata.deletion_timestamp.is_none()
}

fn follows(relay: &SseRelay) -> bool {
    relay.spec.upgrade_policy == UpgradePolicy::Auto && relay.spec.version.is_none()
}

/// What is to be done about a relay's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing.
    Stay,
    /// It wants to follow the operator.
    Wanted,
}

/// Whether `relay`, which stays at `pinned`, wants to follow an operator that brings `own`.
#[must_use]
pub fn upgrade(relay: &SseRelay, pinned: &Pinned, own: &Pinned) -> Upgrade {
    if follows(relay) && pinned != own {
        Upgrade::Wanted
    } else {
        Upgrade::Stay
    }
}

/// What a relay stays at: what its status says, else what its Deployment runs (a restored backup
/// has no status), else what the operator brings.
#[must_use]
pub fn pinned(relay: &SseRelay, deployed: Option<&str>, own: &Pinned) -> Pinned {
    if let Some(pinned) = relay
        .status
        .as_ref()
        .and_then(|status| status.pinned.clone())
    {
        return Pinned {
            redis_image: pinned.redis_image.or_else(|| own.redis_image.clone()),
            ..pinned
        };
    }
    match deployed.and_then(parts) {
        Some((repository, version)) => Pinned {
            version,
            repository,
            redis_image: own.redis_image.clone(),
        },
        None => own.clone(),
    }
}

/// Repository, with the digest if there is one, and tag of an image that has a tag.
fn parts(image: &str) -> Option<(String, String)> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, format!("@{digest}")),
        None => (image, String::new()),
    };
    let (repository, version) = name.rsplit_once(':')?;
    // a port in the registry's name has a colon too, but a slash behind it
    let tagged = !version.contains('/');
    tagged.then(|| (format!("{repository}{digest}"), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use crate::crd::{Condition, Reason, SseRelaySpec, SseRelayStatus};

    fn at(version: &str) -> Pinned {
        Pinned {
            version: version.into(),
            repository: "sse-relay".into(),
            redis_image: Some("redis:7".into()),
        }
    }

    #[test]
    fn one_relay_at_a_time_has_the_turn() {
        let (one, other) = (Life::named("one"), Life::named("other"));
        let now = Instant::now();
        let mut turn = Turn::default();
        assert!(turn.take(&one, now) && turn.take(&one, now));
        assert!(!turn.take(&other, now));
        turn.pass(&other);
        assert!(!turn.take(&other, now));
        turn.pass(&one);
        assert!(turn.take(&other, now));
        assert!(
            turn.take(&one, now + LONGEST),
            "one that hangs lets others pass"
        );
    }

    #[test]
    fn a_relay_that_is_gone_keeps_no_turn() {
        let (one, other) = (Life::named("one"), Life::named("other"));
        let mut turn = Turn::default();
        assert!(turn.take(&one, Instant::now()));
        turn.only(&HashSet::from([one.clone(), other.clone()]));
        assert!(!turn.take(&other, Instant::now()));
        turn.only(&HashSet::from([other.clone()]));
        assert!(turn.take(&other, Instant::now()));
    }

    #[test]
    fn a_relay_is_on_its_way_by_its_status_for_a_bounded_time() {
        let start = Timestamp::UNIX_EPOCH;
        let mut relay = SseRelay::new("live", SseRelaySpec::default());
        relay.spec.upgrade_policy = UpgradePolicy::Auto;
        let progressing = |status| Condition {
            r#type: ConditionType::Progressing,
            status,
            reason: Reason::RollingOut,
            message: String::new(),
            last_transition_time: Time(start),
            observed_generation: None,
        };
        relay.status = Some(SseRelayStatus {
            pinned: Some(at("0.2.0")),
            conditions: vec![progressing(ConditionStatus::True)],
            ..SseRelayStatus::default()
        });
        assert!(on_its_way(&relay, &at("0.2.0"), start));
        assert!(!on_its_way(&relay, &at("0.3.0"), start));
        assert!(!on_its_way(&relay, &at("0.2.0"), start + LONGEST));
        relay.spec.upgrade_policy = UpgradePolicy::Manual;
        assert!(!on_its_way(&relay, &at("0.2.0"), start));
        relay.spec.upgrade_policy = UpgradePolicy::Auto;
        let there = vec![progressing(ConditionStatus::False)];
        relay.status.as_mut().unwrap().conditions = there;
        assert!(!on_its_way(&relay, &at("0.2.0"), start));
    }

    #[test]
    fn only_a_relay_that_asks_for_it_follows_the_operator() {
        let mut relay = SseRelay::new("live", SseRelaySpec::default());
        assert_eq!(upgrade(&relay, &at("0.1.0"), &at("0.2.0")), Upgrade::Stay);
        relay.spec.upgrade_policy = UpgradePolicy::Auto;
        assert_eq!(upgrade(&relay, &at("0.1.0"), &at("0.2.0")), Upgrade::Wanted);
        assert_eq!(upgrade(&relay, &at("0.2.0"), &at("0.2.0")), Upgrade::Stay);
        relay.spec.version = Some("0.1.0".into());
        assert_eq!(upgrade(&relay, &at("0.1.0"), &at("0.2.0")), Upgrade::Stay);
    }

    #[test]
    fn without_a_status_the_deployment_says_what_it_stays_at() {
        let mut relay = SseRelay::new("live", SseRelaySpec::default());
        let own = at("0.2.0");
        let cases = [
            (None, "sse-relay", "0.2.0"),
            (
                Some("host:5000/sse-relay:0.1.0"),
                "host:5000/sse-relay",
                "0.1.0",
            ),
            (Some("host:5000/sse-relay"), "sse-relay", "0.2.0"),
            (Some("sse-relay@sha256:00"), "sse-relay", "0.2.0"),
            (
                Some("host:5000/sse-relay:0.1.0@sha256:00"),
                "host:5000/sse-relay@sha256:00",
                "0.1.0",
            ),
        ];
        for (image, repository, version) in cases {
            let pinned = pinned(&relay, image, &own);
            assert_eq!(
                (pinned.repository.as_str(), pinned.version.as_str()),
                (repository, version)
            );
        }
        relay.status = Some(SseRelayStatus {
            pinned: Some(at("0.0.9")),
            ..SseRelayStatus::default()
        });
        assert_eq!(pinned(&relay, Some("sse-relay:0.1.0"), &own), at("0.0.9"));
    }
}
