//! The network between a relay and Redis fails, in one direction or both, while the others' works.

use crate::{
    balancer::Balancer,
    counting::{Load, assert_exact},
    faults::seed,
    fleet::Fleet,
    http,
    servers::{Proxy, Server, until},
    subscriber::{Manner, Subscriber},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

const CHANNELS: &[&str] = &["a", "b", "x.1"];
const SUBSCRIPTIONS: &[(&[&str], Manner)] = &[
    (&["a"], Manner::Steady),
    (&["**"], Manner::Steady),
    (&["a", "b"], Manner::Restless),
    (&["**"], Manner::Restless),
];

#[derive(Clone, Copy, Debug)]
enum Cut {
    BothWays,
    WayBack,
    Reset,
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_when_one_relay_is_cut_off_from_redis() {
    let mut random = StdRng::seed_from_u64(seed());
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let fleet = Fleet::on_each(&[proxy.url(), server.url()]);
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 3, SUBSCRIPTIONS);
    for cut in [Cut::BothWays, Cut::Reset, Cut::WayBack] {
        std::thread::sleep(Duration::from_millis(random.random_range(100..500)));
        println!("{cut:?}");
        match cut {
            Cut::BothWays => proxy.cut_both_ways(),
            Cut::WayBack => proxy.cut_way_back(),
            Cut::Reset => proxy.reset(),
        }
        std::thread::sleep(Duration::from_millis(random.random_range(100..2500)));
        proxy.mend();
    }
    assert_exact(&load.settle(), &fleet);
}

/// Events of this size fill what lies between Redis and a relay that does not read.
const LARGE: usize = 60_000;
const EVENTS: usize = 200;

#[test]
fn a_subscription_that_redis_gives_up_because_it_is_not_read_misses_nothing() {
    let server = Server::start_with(&[("client-output-buffer-limit", "pubsub 65536 0 0")]);
    let proxy = Proxy::start(server.port);
    // a subscriber that hardly gets its turn on a busy machine is not slow
    let room = [("SSE_RELAY_STREAM__MAX_QUEUE_BYTES", "64Mi")];
    let fleet = Fleet::on_each_with(&[proxy.url(), server.url()], &room);
    let [behind, other] = fleet.addresses()[..] else {
        panic!("two relays");
    };
    let reader = std::thread::spawn(move || {
        let mut subscriber = Subscriber::new(behind, "channel=a&from=earliest");
        subscriber.read_soon(|subscriber| subscriber.events.len() > EVENTS);
        subscriber
    });
    let publish = |number: usize| {
        let data = format!("{number} {}", "x".repeat(LARGE));
        let answer = http::publish(other, "a", &data, &number.to_string()).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
    };
    publish(0);
    until("the first event at the stream", || {
        let scraped = fleet.at(0).scrape();
        scraped
            .contains("sse_relay_events_delivered_total 1\n")
            .then_some(())
    });
    proxy.cut_way_back();
    (1..=EVENTS).for_each(publish);
    until("Redis to give up", || {
        server
            .log()
            .contains("overcoming of output buffer limits")
            .then_some(())
    });
    proxy.mend();
    let subscriber = reader.join().unwrap_or_else(|_| panic!("{}", fleet.said()));
    let numbers: Vec<usize> = subscriber
        .events
        .iter()
        .map(|(_, data)| data.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..=EVENTS).collect::<Vec<_>>());
    let (notes, said) = (&subscriber.notes, fleet.said());
    let seen = (subscriber.gaps.len(), subscriber.connections);
    assert_eq!(seen, (0, 1), "{notes:#?} {said}");
}
