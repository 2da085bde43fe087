//! Another primary: what Sentinels promote may lack what was acknowledged, and that is told.

use crate::{
    balancer::Balancer,
    counting::{Load, assert_told},
    findings::is_told,
    fleet::Fleet,
    http,
    servers::{Sentinels, until},
    subscriber::{Manner, Subscriber},
};
use sse_relay::cursor::Place;
use std::{net::SocketAddr, thread::JoinHandle, time::Duration};

const CHANNELS: &[&str] = &["a", "b", "x.1"];
const SUBSCRIPTIONS: &[(&[&str], Manner)] = &[
    (&["a"], Manner::Steady),
    (&["**"], Manner::Steady),
    (&["a", "b"], Manner::Restless),
    (&["**"], Manner::Restless),
];

/// Publishes until it is taken; its id.
fn publish(to: SocketAddr, data: &str) -> String {
    until("a publish that is taken", || {
        let answer = http::publish(to, "a", data, data).ok()?;
        (answer.status < 300).then(|| answer.id().to_owned())
    })
}

/// A stream of channel `a` until it has this event.
fn reading(subscriber: Subscriber, last: &'static str) -> JoinHandle<Subscriber> {
    std::thread::spawn(move || {
        let mut subscriber = subscriber;
        subscriber.read_soon(|seen| seen.events.iter().any(|(_, data)| data == last));
        subscriber
    })
}

fn seen(reader: JoinHandle<Subscriber>, fleet: &Fleet) -> (Vec<String>, Subscriber) {
    let subscriber = reader.join();
    let subscriber = subscriber.unwrap_or_else(|_| panic!("{}", fleet.said()));
    let data = subscriber.events.iter().map(|(_, data)| data.clone());
    (data.collect(), subscriber)
}

#[test]
fn what_a_promoted_replica_lacks_is_a_gap_that_names_it_for_all_whom_it_concerns() {
    let mut sentinels = Sentinels::start();
    let fleet = Fleet::on_sentinels(2, &sentinels);
    let [one, other] = fleet.addresses()[..] else {
        panic!("two relays");
    };
    let live = [one, other].map(|to| Subscriber::new(to, "channel=a&from=earliest"));
    let live = live.map(|subscriber| reading(subscriber, "after"));
    let kept = ["1", "2", "3"].map(|data| publish(one, data));
    sentinels.until_in_step();
    sentinels.cut_replicas();
    let lost = ["4", "5"].map(|data| publish(one, data));
    // both relays have heard of them: they are witnesses
    for relay in [0, 1] {
        until("the events at the streams", || {
            let scraped = fleet.at(relay).scrape();
            scraped
                .contains("sse_relay_events_delivered_total 5")
                .then_some(())
        });
    }
    sentinels.kill_primary();
    publish(other, "after");

    // who was away before the loss, and who had seen a part of it
    let away = [&kept[2], &lost[0]].map(|last| Subscriber::new(other, "channel=a").resuming(last));
    let away = away.map(|subscriber| reading(subscriber, "after"));
    for (reader, all) in live
        .into_iter()
        .zip([["1", "2", "3", "4", "5", "after"]; 2])
    {
        let (data, subscriber) = seen(reader, &fleet);
        assert_eq!(data, all, "it saw them before they were lost");
        assert!(
            lost.iter().all(|id| told(&subscriber, id)),
            "{:?}",
            subscriber.notes
        );
    }
    for (reader, missed) in away.into_iter().zip([&["4", "5"][..], &["5"]]) {
        let (data, subscriber) = seen(reader, &fleet);
        // a relay that has not heard of the new primary yet still has them in its memory
        let (last, had) = data.split_last().unwrap();
        assert!(
            last == "after" && (had.is_empty() || had == missed),
            "{data:?}"
        );
        assert_eq!(subscriber.gaps.len(), 1, "{:?}", subscriber.gaps);
        assert!(told(&subscriber, &lost[1]), "{:?}", subscriber.gaps);
        assert!(!told(&subscriber, &kept[2]), "{:?}", subscriber.gaps);
    }
}

fn told(subscriber: &Subscriber, id: &str) -> bool {
    is_told(&subscriber.gaps, Place::parse(id).unwrap())
}

#[test]
fn a_failover_under_load_loses_nothing_that_is_not_told() {
    let sentinels = Sentinels::start();
    let fleet = Fleet::on_sentinels(2, &sentinels);
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 3, SUBSCRIPTIONS);
    std::thread::sleep(Duration::from_millis(500));
    sentinels.fail_over();
    std::thread::sleep(Duration::from_millis(500));
    assert_told(&load.settle(), &fleet);
}
