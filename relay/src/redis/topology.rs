//! Which node owns which slot: asked of Sentinels and clusters, and asked again on trouble.

mod cluster;
mod sentinel;

pub(super) use cluster::Cluster;
pub(super) use sentinel::{Sentinels, connector as sentinel_connector};

use super::{ConnectError, Slot, connect::Connector, node::Node};
use parking_lot::Mutex;
use relay_config::RedisAddress;
use std::{ops::RangeInclusive, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout_at},
};

/// Time between two questions while nothing is wrong.
const CALM: Duration = Duration::from_secs(1);
/// Time between two questions while something is.
const TROUBLED: Duration = Duration::from_millis(100);
/// A promoted node tells all others at once; who was frozen meanwhile hears of it when it is asked.
const GOSSIP: Duration = Duration::from_secs(2);

/// A part of the slots and the address of its primary.
pub(super) type Part = (RangeInclusive<u16>, RedisAddress);

/// Which node owns which slot.
pub(super) struct SlotMap {
    parts: Vec<(RangeInclusive<u16>, Arc<Node>)>,
}

impl SlotMap {
    /// All slots at one node.
    pub(super) fn whole(node: Arc<Node>) -> SlotMap {
        SlotMap {
            parts: vec![(all(), node)],
        }
    }

    /// Parts are in the order of their slots.
    pub(super) fn owner(&self, slot: Slot) -> Option<&Arc<Node>> {
        let slot = slot.number();
        let after = self
            .parts
            .partition_point(|(slots, _)| *slots.start() <= slot);
        let (slots, node) = self.parts.get(after.checked_sub(1)?)?;
        slots.contains(&slot).then_some(node)
    }

    /// Each node once.
    pub(super) fn nodes(&self) -> Vec<&Arc<Node>> {
        let mut nodes: Vec<&Arc<Node>> = Vec::new();
        for (_, node) in &self.parts {
            if !nodes.iter().any(|known| known.address() == node.address()) {
                nodes.push(node);
            }
        }
        nodes
    }

    /// One slot of each node.
    pub(super) fn first_slots(&self) -> Vec<Slot> {
        let first = |node: &Arc<Node>| {
            let mut parts = self.parts.iter();
            let part = parts.find(|(_, owner)| owner.address() == node.address());
            part.and_then(|(slots, _)| Slot::new(*slots.start()))
        };
        self.nodes().into_iter().filter_map(first).collect()
    }

    /// The same nodes as far as they stay; what owns nothing any more is left out.
    fn next(&self, parts: &[Part], connector: &Arc<Connector>) -> SlotMap {
        let mut made: Vec<Arc<Node>> = self.nodes().into_iter().cloned().collect();
        let parts = parts.iter().map(|(slots, address)| {
            let node = made.iter().find(|node| node.address() == address).cloned();
            let node = node.unwrap_or_else(|| {
                let node = Node::start(address.clone(), connector.clone());
                made.push(node.clone());
                node
            });
            (slots.clone(), node)
        });
        SlotMap {
            parts: parts.collect(),
        }
    }

    fn is(&self, parts: &[Part]) -> bool {
        let mine = self
            .parts
            .iter()
            .map(|(slots, node)| (slots, node.address()));
        mine.eq(parts.iter().map(|(slots, address)| (slots, address)))
    }
}

fn all() -> RangeInclusive<u16> {
    0..=super::SLOTS - 1
}

/// The map of this moment, or why there is none.
pub(super) type State = Result<Arc<SlotMap>, Arc<ConnectError>>;

/// A question for the map that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirmation {
    /// What was known everywhere by then is in the answer.
    asked: std::time::Instant,
    /// The map is as answered from then on.
    adopted: std::time::Instant,
}

impl Confirmation {
    /// From when on the map has everything that anybody could know at a time, if that is sure.
    pub(super) fn of(self, since: std::time::Instant) -> Option<std::time::Instant> {
        (self.asked > since).then_some(self.adopted)
    }
}

/// Where the last one stands.
pub(super) type Confirmed = Arc<Mutex<Option<Confirmation>>>;

/// Whom to ask.
pub(super) enum Oracle {
    Sentinels(Sentinels),
    Cluster(Cluster),
}

impl Oracle {
    async fn ask(&mut self) -> Result<Vec<Part>, ConnectError> {
        match self {
            Oracle::Sentinels(sentinels) => Ok(vec![(all(), sentinels.ask().await?)]),
            Oracle::Cluster(cluster) => cluster.ask().await,
        }
    }

    /// What was answered may be out of date.
    fn doubt(&mut self) {
        match self {
            // All of them are asked anyway.
            Oracle::Sentinels(_) => {}
            Oracle::Cluster(cluster) => cluster.doubt(),
        }
    }

    /// What one process was answered, every process is that asks so much later. All Sentinels are
    /// asked, so the newest answer is there at once; of a cluster one node is.
    fn spreads_within(&self) -> Duration {
        match self {
            Oracle::Sentinels(_) => Duration::ZERO,
            Oracle::Cluster(_) => GOSSIP,
        }
    }

    fn describe(&self) -> &'static str {
        match self {
            Oracle::Sentinels(_) => "the Sentinels name the primary",
            Oracle::Cluster(_) => "the cluster tells its nodes",
        }
    }
}

/// Keeps the map right until it is aborted.
pub(super) async fn follow(
    mut oracle: Oracle,
    connector: Arc<Connector>,
    trouble: Arc<Notify>,
    state: watch::Sender<State>,
    confirmed: Confirmed,
) {
    loop {
        let asked = Instant::now();
        let answer = oracle.ask().await;
        let fine = answer.is_ok();
        match answer {
            Ok(parts) => {
                adopt(&parts, &oracle, &connector, &state);
                let knew = asked.into_std().checked_sub(oracle.spreads_within());
                *confirmed.lock() = knew.map(|asked| Confirmation {
                    asked,
                    adopted: std::time::Instant::now(),
                });
            }
            Err(error) => keep_or_tell(error, &state),
        }
        let next = if fine { CALM } else { TROUBLED };
        // Trouble hurries the next question, but never past a rate.
        if timeout_at(asked + next, trouble.notified()).await.is_ok() {
            oracle.doubt();
        }
        sleep_until(asked + TROUBLED).await;
    }
}

fn adopt(
    parts: &[Part],
    oracle: &Oracle,
    connector: &Arc<Connector>,
    state: &watch::Sender<State>,
) {
    let now = state.borrow().clone();
    let next = match &now {
        Ok(map) if map.is(parts) => return,
        Ok(map) => map.next(parts, connector),
        Err(_) => SlotMap { parts: Vec::new() }.next(parts, connector),
    };
    let addresses: Vec<_> = next
        .nodes()
        .iter()
        .map(|n| n.address().to_string())
        .collect();
    tracing::info!(nodes = addresses.join(" "), "{}", oracle.describe());
    state.send_modify(|state| *state = Ok(Arc::new(next)));
}

/// A map that was right a moment ago is better than none.
fn keep_or_tell(error: ConnectError, state: &watch::Sender<State>) {
    state.send_if_modified(|state| {
        let Err(before) = state else {
            return false;
        };
        if before.reason() != error.reason() {
            tracing::warn!(
                reason = error.reason(),
                "no Redis primary is known: {error}"
            );
        }
        *state = Err(Arc::new(error));
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_confirmed_by_a_question_that_was_asked_later_and_from_its_answer_on() {
        let start = std::time::Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let confirmation = Confirmation {
            asked: at(5),
            adopted: at(6),
        };
        assert_eq!(confirmation.of(at(4)), Some(at(6)));
        assert_eq!(confirmation.of(at(5)), None);
        assert_eq!(confirmation.of(at(7)), None);
    }
}
