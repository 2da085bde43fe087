//! Losses one after the other: of a whole epoch the next primary has heard nothing.

use crate::{
    findings::is_told,
    fleet::Fleet,
    http,
    servers::{Server, until},
    subscriber::Subscriber,
};
use sse_relay::cursor::{Partition, Place};
use std::{net::SocketAddr, thread::JoinHandle};

/// Publishes until it is taken; its id.
fn publish(to: SocketAddr, data: &str) -> String {
    until("a publish that is taken", || {
        let answer = http::publish(to, "a", data, data).ok()?;
        (answer.status < 300).then(|| answer.id().to_owned())
    })
}

fn place(id: &str) -> Place {
    Place::parse(id).unwrap()
}

/// A stream of channel `a` until it has this event.
fn reading(subscriber: Subscriber, last: &'static str) -> JoinHandle<Subscriber> {
    std::thread::spawn(move || {
        let mut subscriber = subscriber;
        subscriber.read_soon(|seen| seen.events.iter().any(|(_, data)| data == last));
        subscriber
    })
}

/// Until the stream at each relay has had so many events, gaps included.
fn until_delivered(fleet: &Fleet, count: usize) {
    for relay in [0, 1] {
        until("the events at the streams", || {
            let scraped = fleet.at(relay).scrape();
            let mut lines = scraped.lines();
            let of = lines.find_map(|line| line.strip_prefix("sse_relay_events_delivered_total "));
            let delivered: f64 = of?.parse().ok()?;
            (delivered as usize >= count).then_some(())
        });
    }
}

#[test]
fn an_epoch_of_which_the_next_primary_knows_nothing_is_a_gap_that_names_what_it_had() {
    // it comes back with what it had when it was saved, twice: as two primaries that each lack the last
    let mut server = Server::start();
    let fleet = Fleet::on_redis(2, &server.url());
    let [one, other] = fleet.addresses()[..] else {
        panic!("two relays");
    };
    let live = [one, other].map(|to| Subscriber::new(to, "channel=a&from=earliest"));
    let live = live.map(|subscriber| reading(subscriber, "5"));
    let kept = ["1", "2"].map(|data| publish(one, data));
    server.cli(&["SAVE"]);
    let third = publish(one, "3");
    until_delivered(&fleet, 3);
    server.restart();
    let fourth = publish(other, "4");
    until_delivered(&fleet, 5);
    server.restart();
    publish(one, "5");
    until_delivered(&fleet, 7);
    let epochs = [&kept[0], &third, &fourth].map(|id| place(id).epoch);
    assert!(epochs[0] == epochs[1] && epochs[1] != epochs[2]);
    assert_eq!(place(&third).partition, Partition::ONLY);

    for reader in live {
        let stream = reader.join().unwrap_or_else(|_| panic!("{}", fleet.said()));
        let data: Vec<&str> = stream
            .events
            .iter()
            .map(|(_, data)| data.as_str())
            .collect();
        assert_eq!(data, ["1", "2", "3", "4", "5"], "{:#?}", stream.notes);
        for lost in [&third, &fourth] {
            assert!(is_told(&stream.gaps, place(lost)), "{:#?}", stream.notes);
        }
    }
    // whose cursor is of the first epoch, or of the one that nobody but the relays knows
    for (last, lost) in [
        (&kept[1], vec![&third, &fourth]),
        (&third, vec![&fourth]),
        (&fourth, vec![&fourth]),
    ] {
        let stream = reading(Subscriber::new(other, "channel=a").resuming(last), "5");
        let stream = stream.join().unwrap_or_else(|_| panic!("{}", fleet.said()));
        let data: Vec<&str> = stream
            .events
            .iter()
            .map(|(_, data)| data.as_str())
            .collect();
        assert_eq!(data, ["5"], "after {last}: {:#?}", stream.notes);
        assert!(!is_told(&stream.gaps, place(&kept[1])));
        assert!(stream.gaps.iter().all(|gap| gap["certain"] == true));
        for lost in lost {
            assert!(is_told(&stream.gaps, place(lost)), "{:#?}", stream.notes);
        }
    }
}
