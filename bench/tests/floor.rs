//! The floor delivers everything, whichever way it writes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use relay_bench::floor::{self, Writes};
use relay_bench::load::generator::{Generator, Plan, Publishing};
use relay_bench::load::outcome::Outcome;
use relay_bench::load::pace::Pace;
use relay_bench::load::subscribers::Subscribers;
use relay_bench::process::free_port;

fn plan(writes: Writes) -> Plan {
    let port = free_port().unwrap();
    std::thread::spawn(move || floor::serve(port, writes));
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    Plan {
        subscribe: format!("http://127.0.0.1:{port}/any?channel={{channel}}")
            .parse()
            .unwrap(),
        publish: format!("http://127.0.0.1:{port}/v1/channels/{{channel}}/events")
            .parse()
            .unwrap(),
        channels: 3,
        streams_per_channel: 5,
        stopped_readers: 0,
        publish_connections: 4,
        publishing: Publishing::default(),
        subscribers: Subscribers::default(),
        payload: 256,
        patience: Duration::from_secs(5),
    }
}

fn run(plan: Plan, pace: Pace) -> Outcome {
    let mut generator = Generator::new(plan).unwrap();
    generator.open().unwrap();
    generator.start(pace);
    generator.finish().unwrap();
    generator.outcome()
}

#[test]
fn paced_events_reach_every_stream_of_their_channel_once_and_in_order() {
    for writes in [Writes::Single, Writes::Batched] {
        let outcome = run(
            plan(writes),
            Pace::Open {
                rate: 2000.0,
                events: 300,
            },
        );
        assert!(outcome.faults.none(), "{}", outcome.faults);
        assert_eq!((outcome.published, outcome.delivered), (300, 300 * 5));
    }
}

#[test]
fn a_closed_loop_ends_with_everything_delivered() {
    for writes in [Writes::Single, Writes::Batched] {
        let time = Duration::from_millis(100);
        let outcome = run(
            plan(writes),
            Pace::Closed {
                outstanding: 4,
                time,
            },
        );
        assert!(outcome.faults.none(), "{}", outcome.faults);
        assert!(outcome.published > 0);
        assert_eq!(outcome.delivered, outcome.published * 5);
    }
}

#[test]
fn a_reader_that_stops_takes_nothing_from_the_others() {
    for writes in [Writes::Single, Writes::Batched] {
        let large = Plan {
            stopped_readers: 1,
            payload: 256 * 1024,
            ..plan(writes)
        };
        let outcome = run(
            large,
            Pace::Open {
                rate: 1000.0,
                events: 90,
            },
        );
        assert!(outcome.faults.none(), "{}", outcome.faults);
        assert_eq!(outcome.delivered, 90 * 5);
    }
}

#[test]
fn streams_cut_and_reopened_get_what_is_published_then() {
    let mut generator = Generator::new(plan(Writes::Single)).unwrap();
    generator.open().unwrap();
    generator.cut();
    generator.open().unwrap();
    generator.start(Pace::Open {
        rate: 1000.0,
        events: 30,
    });
    generator.finish().unwrap();
    let outcome = generator.outcome();
    assert!(outcome.faults.none(), "{}", outcome.faults);
    assert_eq!(outcome.delivered, 30 * 5);
}

#[test]
fn what_is_published_while_streams_are_away_is_seen_as_lost_on_a_server_without_resume() {
    let patience = Duration::from_millis(300);
    let mut generator = Generator::new(Plan {
        patience,
        ..plan(Writes::Single)
    })
    .unwrap();
    generator.open().unwrap();
    generator.cut();
    generator.start(Pace::Open {
        rate: 10_000.0,
        events: 30,
    });
    generator.run_for(Duration::from_millis(100)).unwrap();
    assert_eq!(generator.resume().unwrap(), None);
    generator.finish().unwrap();
    assert_eq!(generator.outcome().faults.lost, 30 * 5);
}
