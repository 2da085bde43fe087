//! What each replica is meant to serve.

use std::time::Duration;

use crate::crd::{SseRelaySpec, SseRelayStatus, StreamScaling};
use crate::document::Unread;

/// What each replica is meant to serve, and how many there may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Aim {
    /// Least number of replicas.
    pub min: i32,
    /// Largest number of replicas.
    pub max: i32,
    /// Streams of each, at least one.
    pub streams: u64,
    /// Bytes that each hands to its streams in a second, at least one.
    pub egress: Option<u64>,
    /// For so long fewer must have been enough before one leaves.
    pub down_after: Duration,
}

/// Percent of `maxStreams` that are kept free, if the resource does not say it.
pub const HEADROOM: i32 = 25;

impl Aim {
    /// What `spec` asks for with `autoscaling.streams`; `None`, if it does not, or if what it says
    /// means nothing, which `unread` then has.
    #[must_use]
    pub fn of(spec: &SseRelaySpec, unread: &mut Unread) -> Option<Self> {
        let asked = streams(spec)?;
        let down_after = unread.span(
            "autoscaling.streams.scaleDownAfter",
            &asked.scale_down_after,
        );
        let egress = asked.egress_per_replica.as_ref();
        let egress = egress.map(|bytes| {
            unread
                .bytes("autoscaling.streams.egressPerReplica", bytes)
                .get()
        });
        let free = i64::from(100 - asked.headroom.unwrap_or(HEADROOM).clamp(0, 90));
        let less = i64::from(spec.max_streams) * free / 100;
        let each = asked.per_replica.map_or(less, i64::from).max(1);
        unread.0.is_empty().then(|| Self {
            min: asked.min,
            max: asked.max,
            streams: each.unsigned_abs(),
            egress: egress.map(|bytes| bytes.max(1)),
            down_after: Duration::from_millis(down_after.as_millis()),
        })
    }

    /// `replicas`, or the nearest number that is allowed.
    #[must_use]
    pub fn within(&self, replicas: i32) -> i32 {
        replicas.min(self.max).max(self.min)
    }
}

fn streams(spec: &SseRelaySpec) -> Option<&StreamScaling> {
    spec.autoscaling.as_ref()?.streams.as_ref()
}

/// Replicas that the Deployment is to have: as many as were decided on; before anything was, as many
/// as there are (`deployed`), so that none is taken away only because the status was lost.
#[must_use]
pub fn replicas(
    spec: &SseRelaySpec,
    status: Option<&SseRelayStatus>,
    deployed: Option<i32>,
) -> i32 {
    let Some(asked) = streams(spec).filter(|_| spec.replicas > 0) else {
        return spec.replicas;
    };
    let decided = status.and_then(|status| status.desired_replicas);
    let there = deployed.filter(|replicas| *replicas > 0);
    let wanted = decided.or(there).unwrap_or(spec.replicas);
    wanted.min(asked.max).max(asked.min)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(streams: Value) -> SseRelaySpec {
        let spec =
            json!({ "maxStreams": 1000, "replicas": 3, "autoscaling": { "streams": streams } });
        serde_json::from_value(spec).unwrap()
    }

    fn aim(streams: Value) -> Option<Aim> {
        Aim::of(&spec(streams), &mut Unread::default())
    }

    #[test]
    fn a_quarter_of_a_replica_is_kept_free_unless_something_else_is_said() {
        assert_eq!(aim(json!({ "max": 5 })).unwrap().streams, 750);
        assert_eq!(
            aim(json!({ "max": 5, "headroom": 50 })).unwrap().streams,
            500
        );
        assert_eq!(
            aim(json!({ "max": 5, "perReplica": 900 })).unwrap().streams,
            900
        );
        let egress = aim(json!({ "max": 5, "egressPerReplica": "1Mi" })).unwrap();
        assert_eq!(egress.egress, Some(1 << 20));
        assert_eq!(
            Aim::of(&SseRelaySpec::default(), &mut Unread::default()),
            None
        );
        let mut unread = Unread::default();
        assert_eq!(
            Aim::of(
                &spec(json!({ "max": 5, "scaleDownAfter": "soon" })),
                &mut unread
            ),
            None
        );
        assert_eq!(unread.0[0].0, "autoscaling.streams.scaleDownAfter");
    }

    #[test]
    fn what_was_decided_holds_then_what_is_there_then_what_is_written() {
        let spec = spec(json!({ "max": 5 }));
        let status = |desired| SseRelayStatus {
            desired_replicas: desired,
            ..SseRelayStatus::default()
        };
        assert_eq!(replicas(&spec, Some(&status(Some(4))), Some(2)), 4);
        assert_eq!(replicas(&spec, Some(&status(Some(40))), None), 5);
        assert_eq!(replicas(&spec, Some(&status(None)), Some(5)), 5);
        assert_eq!(replicas(&spec, None, Some(0)), 3);
        let stopped = SseRelaySpec {
            replicas: 0,
            ..spec
        };
        assert_eq!(replicas(&stopped, Some(&status(Some(4))), Some(4)), 0);
        let by_hand = SseRelaySpec {
            autoscaling: None,
            replicas: 7,
            ..SseRelaySpec::default()
        };
        assert_eq!(replicas(&by_hand, Some(&status(Some(4))), Some(4)), 7);
    }
}
