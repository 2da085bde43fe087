//! The fault test: three relays behind nginx, one Redis, and whatever can fail.

use crate::{
    balancer::Balancer,
    counting::{Load, assert_exact},
    fleet::Fleet,
    servers::Server,
    subscriber::Manner,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

const RELAYS: usize = 3;
const CHANNELS: &[&str] = &["a", "b", "c", "x.1", "x.2"];
const SUBSCRIPTIONS: &[(&[&str], Manner)] = &[
    (&["a"], Manner::Steady),
    (&["**"], Manner::Steady),
    (&["a", "c"], Manner::Restless),
    (&["**"], Manner::Restless),
    (&["b", "a", "x.1"], Manner::Restless),
];

#[derive(Clone, Copy, Debug)]
enum Fault {
    RelayKilled,
    RedisRestarted,
    RedisFrozen,
    SubscriptionsCut,
    CommandsCut,
}

const FAULTS: [Fault; 5] = [
    Fault::RelayKilled,
    Fault::RedisRestarted,
    Fault::RedisFrozen,
    Fault::SubscriptionsCut,
    Fault::CommandsCut,
];

pub fn rounds() -> usize {
    let rounds = std::env::var("SOAK_ROUNDS").ok();
    rounds
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(FAULTS.len())
}

pub fn seed() -> u64 {
    let seed = std::env::var("FAULT_SEED").ok();
    let seed = seed
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("FAULT_SEED={seed}");
    seed
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_fails() {
    let mut random = StdRng::seed_from_u64(seed());
    let mut server = Server::start_with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let mut fleet = Fleet::on_redis(RELAYS, &server.url());
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 4, SUBSCRIPTIONS);
    for round in 0..rounds() {
        std::thread::sleep(Duration::from_millis(random.random_range(100..900)));
        // each at least once
        let fault = match FAULTS.get(round) {
            Some(fault) => *fault,
            None => FAULTS[random.random_range(0..FAULTS.len())],
        };
        println!("{round}: {fault:?}");
        match fault {
            Fault::RelayKilled => fleet.kill(random.random_range(0..RELAYS)),
            Fault::RedisRestarted => server.restart(),
            Fault::RedisFrozen => {
                server.freeze();
                std::thread::sleep(Duration::from_millis(random.random_range(100..3000)));
                server.thaw();
            }
            Fault::SubscriptionsCut => drop(server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"])),
            Fault::CommandsCut => drop(server.cli(&["CLIENT", "KILL", "TYPE", "normal"])),
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_exact(&load.settle(), &fleet);
}

#[test]
#[ignore = "half a minute in which nothing happens; make soak runs it"]
fn nothing_is_lost_doubled_or_out_of_order_when_redis_is_frozen_for_half_a_minute() {
    let server = Server::start();
    let fleet = Fleet::on_redis(RELAYS, &server.url());
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 4, SUBSCRIPTIONS);
    std::thread::sleep(Duration::from_millis(500));
    server.freeze();
    std::thread::sleep(Duration::from_secs(30));
    server.thaw();
    assert_exact(&load.settle(), &fleet);
}
