//! Many streams at once while primaries change and slots move: minutes, so only `make soak` runs them.

use crate::cluster::SLOTS;
use crate::{
    balancer::Balancer,
    counting::{Load, assert_exact, assert_told},
    fleet::Fleet,
    servers::{Cluster, Sentinels},
    subscriber::Manner,
};
use std::time::Duration;

const CHANNELS: &[&str] = &["a", "b", "c", "d", "x.1", "x.2"];
/// Of each kind.
const STREAMS: usize = 200;

/// A thousand.
fn streams() -> Vec<(&'static [&'static str], Manner)> {
    let kinds: [(&[&str], Manner); 5] = [
        (&["a"], Manner::Steady),
        (&["b", "x.1"], Manner::Steady),
        (&["**"], Manner::Steady),
        (&["c", "a"], Manner::Restless),
        (&["**"], Manner::Restless),
    ];
    (0..STREAMS).flat_map(|_| kinds).collect()
}

#[test]
#[ignore = "a thousand streams take minutes; make soak runs it"]
fn a_thousand_streams_are_told_of_all_that_a_failover_loses() {
    let mut sentinels = Sentinels::start();
    let fleet = Fleet::on_sentinels(3, &sentinels);
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 2, &streams());
    std::thread::sleep(Duration::from_secs(2));
    sentinels.fail_over();
    std::thread::sleep(Duration::from_secs(2));
    sentinels.kill_primary();
    std::thread::sleep(Duration::from_secs(1));
    assert_told(&load.settle(), &fleet);
}

#[test]
#[ignore = "a thousand streams take minutes; make soak runs it"]
fn a_thousand_streams_miss_nothing_while_slots_move() {
    let cluster = Cluster::start();
    let nodes = serde_json::to_string(&cluster.nodes()).unwrap();
    let fleet = Fleet::start(3, &[("SSE_RELAY_REDIS__CLUSTER__NODES", &nodes)]);
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 2, &streams());
    for (round, slot) in SLOTS.iter().cycle().take(8).enumerate() {
        std::thread::sleep(Duration::from_millis(500));
        let now = cluster.owner(*slot).unwrap();
        cluster.move_slot(*slot, (now + 1 + round % 2) % 3);
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_exact(&load.settle(), &fleet);
}
