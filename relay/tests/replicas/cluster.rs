//! On a Cluster: channels in eight partitions, and slots that move.

use crate::{
    balancer::Balancer,
    counting::{Load, assert_exact},
    fleet::Fleet,
    servers::Cluster,
    subscriber::Manner,
};

const CHANNELS: &[&str] = &["a", "b", "c", "d", "e", "x.1", "x.2", "x.3"];
const SUBSCRIPTIONS: &[(&[&str], Manner)] = &[
    (&["a"], Manner::Steady),
    (&["**"], Manner::Steady),
    (&["a", "c", "x.1"], Manner::Restless),
    (&["**"], Manner::Restless),
];

/// Slots of the partitions ([0015](../../../docs/decisions/0015-log-in-redis.md)).
pub const SLOTS: [u16; 4] = [1024, 5120, 9216, 13312];

#[test]
fn slots_move_under_load_and_nothing_is_lost_doubled_or_out_of_order() {
    let cluster = Cluster::start();
    let nodes = serde_json::to_string(&cluster.nodes()).unwrap();
    let fleet = Fleet::start(2, &[("SSE_RELAY_REDIS__CLUSTER__NODES", &nodes)]);
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 4, SUBSCRIPTIONS);
    for (round, slot) in SLOTS.iter().cycle().take(8).enumerate() {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = cluster.owner(*slot).unwrap();
        cluster.move_slot(*slot, (now + 1 + round % 2) % 3);
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_exact(&load.settle(), &fleet);
}
