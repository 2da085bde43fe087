//! Faults at random, several at once: networks that are cut while Redis freezes and relays are killed,
//! primaries that change, slots that move. `FAULT_SEED` gives the same mix again.

use crate::{
    balancer::Balancer,
    cluster::SLOTS,
    counting::{Load, assert_exact, assert_told},
    faults::{rounds, seed},
    fleet::Fleet,
    servers::{Cluster, Proxy, Sentinels, Server},
    subscriber::Manner,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

const RELAYS: usize = 3;
const CHANNELS: &[&str] = &["a", "b", "c", "x.1", "x.2"];
const SUBSCRIPTIONS: &[(&[&str], Manner)] = &[
    (&["a"], Manner::Steady),
    (&["**"], Manner::Steady),
    (&["a", "c"], Manner::Restless),
    (&["**"], Manner::Restless),
];

fn millis(random: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}

/// Strikes so many times, at random moments.
fn mix<F: Copy + std::fmt::Debug>(
    random: &mut StdRng,
    faults: &[F],
    mut strike: impl FnMut(F, &mut StdRng),
) {
    let (rounds, began) = (rounds(), Instant::now());
    for round in 1..=rounds {
        sleep(millis(random, 50..700));
        let fault = faults[random.random_range(0..faults.len())];
        let seconds = began.elapsed().as_secs();
        println!("{round} of {rounds}, after {seconds} s: {fault:?}");
        strike(fault, random);
    }
}

fn frozen(server: &Server, pause: Duration) {
    server.freeze();
    sleep(pause);
    server.thaw();
}

#[derive(Clone, Copy, Debug)]
enum OnOne {
    RelayKilled,
    RedisRestarted,
    RedisFrozen,
    RedisFrozenAndRelayKilled,
    /// Of one relay, until it is mended.
    CutBothWays,
    CutWayBack,
    Reset,
    AllMended,
    SubscriptionsCut,
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_fails_at_once() {
    use OnOne::*;
    let mut random = StdRng::seed_from_u64(seed());
    let mut server = Server::start_with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let proxies: Vec<Proxy> = (0..RELAYS).map(|_| Proxy::start(server.port)).collect();
    let urls: Vec<String> = proxies.iter().map(Proxy::url).collect();
    let mut fleet = Fleet::on_each(&urls);
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 4, SUBSCRIPTIONS);
    let faults = [
        RelayKilled,
        RedisRestarted,
        RedisFrozen,
        RedisFrozenAndRelayKilled,
        CutBothWays,
        CutWayBack,
        Reset,
        AllMended,
        SubscriptionsCut,
    ];
    mix(&mut random, &faults, |fault, random| {
        let which = random.random_range(0..RELAYS);
        let pause = millis(random, 100..2500);
        match fault {
            RelayKilled => fleet.kill(which),
            RedisRestarted => server.restart(),
            RedisFrozen => frozen(&server, pause),
            RedisFrozenAndRelayKilled => {
                server.freeze();
                fleet.kill(which);
                sleep(pause);
                server.thaw();
            }
            CutBothWays => proxies[which].cut_both_ways(),
            CutWayBack => proxies[which].cut_way_back(),
            Reset => proxies[which].reset(),
            AllMended => proxies.iter().for_each(Proxy::mend),
            SubscriptionsCut => drop(server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"])),
        }
    });
    proxies.iter().for_each(Proxy::mend);
    assert_exact(&load.settle(), &fleet);
}

#[derive(Clone, Copy, Debug)]
enum OnSentinels {
    FailedOver,
    PrimaryFrozen,
    RelayKilled,
    SubscriptionsCut,
}

#[test]
fn what_is_lost_is_told_whatever_fails_while_primaries_change() {
    use OnSentinels::*;
    let mut random = StdRng::seed_from_u64(seed());
    let sentinels = Sentinels::start();
    let mut fleet = Fleet::on_sentinels(RELAYS, &sentinels);
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 4, SUBSCRIPTIONS);
    let faults = [FailedOver, PrimaryFrozen, RelayKilled, SubscriptionsCut];
    mix(&mut random, &faults, |fault, random| {
        let which = random.random_range(0..RELAYS);
        let pause = millis(random, 100..2500);
        match fault {
            // who is promoted need not have heard of the primary before
            FailedOver => sentinels.fail_over(),
            // long enough, now and then, for another primary
            PrimaryFrozen => frozen(sentinels.primary(), pause),
            RelayKilled => {
                // it may be the only one that knows what was lost: it must have told the others
                sentinels.until_in_step();
                fleet.kill(which);
            }
            SubscriptionsCut => {
                let primary = sentinels.primary();
                drop(primary.try_cli(&["CLIENT", "KILL", "TYPE", "pubsub"]));
            }
        }
    });
    assert_told(&load.settle(), &fleet);
}

#[derive(Clone, Copy, Debug)]
enum OnCluster {
    SlotMoved,
    SlotMovedLate,
    NodeFrozen,
    RelayKilled,
    SubscriptionsCut,
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_fails_while_slots_move() {
    use OnCluster::*;
    let mut random = StdRng::seed_from_u64(seed());
    let cluster = Cluster::start();
    let nodes = serde_json::to_string(&cluster.nodes()).unwrap();
    let mut fleet = Fleet::start(RELAYS, &[("SSE_RELAY_REDIS__CLUSTER__NODES", &nodes)]);
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 4, SUBSCRIPTIONS);
    let faults = [
        SlotMoved,
        SlotMovedLate,
        NodeFrozen,
        RelayKilled,
        SubscriptionsCut,
    ];
    mix(&mut random, &faults, |fault, random| {
        let which = random.random_range(0..3);
        let slot = SLOTS[random.random_range(0..SLOTS.len())];
        match fault {
            SlotMoved | SlotMovedLate => {
                let now = cluster.owner(slot).unwrap();
                let to = (now + 1 + random.random_range(0..2)) % 3;
                cluster.begin_move(slot, to);
                if matches!(fault, SlotMovedLate) {
                    sleep(millis(random, 100..1500));
                }
                cluster.finish_move(slot, now, to);
            }
            // shorter than the cluster waits before it takes a node for dead
            NodeFrozen => frozen(&cluster.servers[which], millis(random, 50..600)),
            RelayKilled => fleet.kill(which),
            SubscriptionsCut => {
                drop(cluster.servers[which].cli(&["CLIENT", "KILL", "TYPE", "pubsub"]))
            }
        }
    });
    assert_exact(&load.settle(), &fleet);
}
