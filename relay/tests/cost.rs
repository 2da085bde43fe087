//! What an event, a publish and a stream cost, in things that can be counted: allocations, bytes,
//! system calls. No times, so it says the same on a machine that is busy. A bound that is
//! passed means that something was put on the way of every event, publish or stream.

#[path = "cost/client.rs"]
mod client;
#[path = "cost/counted.rs"]
mod counted;
#[path = "cost/inside.rs"]
mod inside;

use client::Client;
use counted::{Counted, Work};
use inside::Inside;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One at a time: all tests of this file share an allocator.
static ALONE: Mutex<()> = Mutex::new(());

/// How far a count may be off for what happens beside: a heartbeat's tick, a buffer that grows.
const BESIDE: f64 = 0.05;

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn within(what: &str, counted: f64, bound: f64) {
    println!("{what}: {counted:.2} (at most {bound})");
    assert!(
        counted <= bound,
        "{what}: {counted:.2}, and it was at most {bound}"
    );
}

/// Allocations of so many publishes, one after another, each received by all streams.
fn allocations(client: &mut Client, publishes: usize) -> f64 {
    let region = Region::new(ALLOCATOR);
    client.publish(publishes);
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / publishes as f64
}

#[test]
fn a_delivery_allocates_nothing_and_a_publish_little() {
    const PUBLISHES: usize = 400;
    let _alone = alone();
    let relay = Inside::start();
    let mut client = Client::new(relay.public);
    client.open(1);
    client.publish(100); // what grows once has grown
    let one = allocations(&mut client, PUBLISHES);
    client.open(100);
    client.publish(100);
    let many = allocations(&mut client, PUBLISHES);
    within("allocations of a publish", one, 28.0);
    within("allocations of a delivery", (many - one) / 100.0, BESIDE);
}

#[test]
fn an_idle_stream_is_small() {
    const STREAMS: usize = 1000;
    let _alone = alone();
    let relay = Inside::start();
    let mut client = Client::new(relay.public);
    client.reserve(STREAMS + 100);
    client.open(100);
    let region = Region::new(ALLOCATOR);
    client.open(STREAMS);
    let change = region.change();
    let live = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    let each = |all: f64| all / STREAMS as f64;
    within("bytes that a stream keeps", each(live), 690.0);
    let allocations = (change.allocations + change.reallocations) as f64;
    within("allocations of a stream", each(allocations), 51.0);
}

#[test]
fn a_delivery_is_one_system_call() {
    let _alone = alone();
    if !counted::may_trace() {
        println!("nobody may trace a program here, so no system calls are counted");
        return;
    }
    let [publish, delivery, stream] = costs(200);
    within("system calls of a publish", publish, 3.2);
    within("system calls of a delivery", delivery, 1.0 + BESIDE);
    within("system calls of a stream", stream, 7.5);
}

/// What a publish with one stream, a delivery more and a stream more cost: differences of whole runs,
/// so that starting and ending the relay does not count.
fn costs(publishes: usize) -> [f64; 3] {
    const STREAMS: usize = 100;
    const BEFORE: usize = 20;
    let count = |streams, publishes| {
        let work = Work { streams, publishes };
        Counted::run(work)
    };
    let (few, one) = (count(1, BEFORE), count(1, BEFORE + publishes));
    let (idle, many) = (count(STREAMS, BEFORE), count(STREAMS, BEFORE + publishes));
    let publish = (one - few) / publishes as f64;
    let more = (STREAMS - 1) as f64;
    let delivery = ((many - idle) / publishes as f64 - publish) / more;
    let stream = (idle - few) / more - delivery * BEFORE as f64;
    [publish, delivery, stream]
}
