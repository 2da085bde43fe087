//! Limits that hold for all replicas together.

use super::{
    lost::{Moment, server},
    *,
};
use std::time::{Duration, Instant};

fn limited(server: &Server, limits: &Value) -> [Relay; 3] {
    let limits = limits.to_string();
    relays(&[
        ("SSE_RELAY_REDIS__URL", &server.url()),
        ("SSE_RELAY_LIMITS", &limits),
    ])
}

/// The stream, unless it is refused.
fn try_stream(relay: &Relay, who: &str) -> Option<Connection> {
    let mut stream = relay.connect();
    let target = "/v1/events?channel=orders.eu";
    stream.send(support::request("GET", target, &[who], b""));
    let head = stream.head();
    match head.status {
        200 => Some(stream),
        429 => {
            assert!(head.header("retry-after").is_some());
            None
        }
        _ => panic!("{head:?}"),
    }
}

#[test]
fn streams_of_a_subject_are_limited_over_all_replicas_wherever_they_are() {
    const MAX: usize = 12;
    let server = Server::start();
    let relays = limited(&server, &json!({"perSubject": {"streams": MAX}}));
    // all at one replica: it gets what the others do not use
    let mut streams = Vec::new();
    until("as many streams as may be, at one replica", || {
        streams.extend(try_stream(&relays[0], ANN));
        (streams.len() == MAX).then_some(())
    });
    let refused = relays[0].request("GET", "/v1/events?channel=orders.eu", &[ANN], b"");
    assert_eq!(refused.problem(), "limit-reached");
    // the others let in one each at most, before they are told
    for relay in &relays[1..] {
        streams.extend(try_stream(relay, ANN));
        until("a replica that has been told", || {
            match try_stream(relay, ANN) {
                None => Some(()),
                stream => {
                    streams.extend(stream);
                    None
                }
            }
        });
    }
    // an even share of each, before it is told
    assert!(
        streams.len() <= MAX + 2 * MAX.div_ceil(3),
        "{}",
        streams.len()
    );
    assert!(try_stream(&relays[1], BOB).is_some(), "another subject");
    // what is given back at one replica is there at another
    drop(streams);
    let mut streams = Vec::new();
    until("as many streams as may be, at another replica", || {
        streams.extend(try_stream(&relays[2], ANN));
        (streams.len() == MAX).then_some(())
    });
}

#[test]
fn streams_of_a_replica_that_was_killed_count_no_more() {
    const MAX: usize = 6;
    let server = Server::start();
    let [one, two, _three] = limited(&server, &json!({"perSubject": {"streams": MAX}}));
    let mut streams = Vec::new();
    until("as many streams as may be, at one replica", || {
        streams.extend(try_stream(&one, ANN));
        (streams.len() == MAX).then_some(())
    });
    one.signal(rustix::process::Signal::KILL);
    let mut streams = Vec::new();
    until("as many streams as may be, at another", || {
        streams.extend(try_stream(&two, ANN));
        (streams.len() == MAX).then_some(())
    });
}

#[test]
fn what_a_token_publishes_is_limited_over_all_replicas() {
    let server = Server::start();
    let limits = json!({"perSubject": {"publishesPerSecond": 60}, "burst": "1s"});
    let relays = limited(&server, &limits);
    let publish = |relay: &Relay| {
        let target = "/v1/channels/orders.eu/events";
        let answer = relay.request("POST", target, &[BACKEND], b"x");
        assert!([201, 429].contains(&answer.status), "{answer:?}");
        answer.status == 201
    };
    // as fast as it goes, at all of them
    let (began, mut published) = (Instant::now(), 0_u32);
    until("many events", || {
        published += relays
            .iter()
            .map(|relay| u32::from(publish(relay)))
            .sum::<u32>();
        (published >= 400).then_some(())
    });
    let most = 60.0 * 1.1 * began.elapsed().as_secs_f64() + 2.0 * 60.0;
    assert!(
        f64::from(published) < most,
        "{published} of {most}: the rate, and a burst"
    );
    // one alone gets nearly all of it
    until("all of the rate at one replica", || {
        let (began, mut published) = (Instant::now(), 0.0);
        while began.elapsed() < Duration::from_secs(2) {
            published += f64::from(u8::from(publish(&relays[0])));
        }
        (published / began.elapsed().as_secs_f64() > 45.0).then_some(())
    });
}

#[test]
fn without_redis_each_replica_keeps_its_last_share() {
    const MAX: usize = 9;
    let mut server = Server::start();
    let [one, two, _three] = limited(&server, &json!({"perSubject": {"streams": MAX}}));
    let mut streams = Vec::new();
    until("as many streams as may be, at one replica", || {
        streams.extend(try_stream(&one, ANN));
        (streams.len() == MAX).then_some(())
    });
    server.kill();
    until("a replica that knows it", || {
        two.scrape()
            .contains("sse_relay_fleet_in_touch 0\n")
            .then_some(())
    });
    assert!(try_stream(&one, ANN).is_none(), "it has what it had");
    let here: Vec<_> = (0..MAX).filter_map(|_| try_stream(&two, ANN)).collect();
    assert_eq!(
        here.len(),
        3,
        "who was never told otherwise has an even share"
    );
}

#[test]
fn what_a_failover_forgot_of_streams_that_ended_is_taken_back() {
    const MAX: usize = 6;
    let server = server();
    let [one, two, _three] = limited(&server, &json!({"perSubject": {"streams": MAX}}));
    let used = || server.cli(&["HVALS", "sse-relay:{fleet}:used"]);
    let stream = try_stream(&two, ANN).unwrap();
    until("a stream that is counted", || {
        used().starts_with("1 ").then_some(())
    });
    let before = Moment::of(&server);
    drop(stream);
    until("a stream that is not counted any more", || {
        used().trim().is_empty().then_some(())
    });
    let left = before.comes_back("used");
    assert!(left.starts_with("1 "), "{left}");
    let mut streams = Vec::new();
    until("as many streams as may be", || {
        streams.extend(try_stream(&one, ANN));
        (streams.len() == MAX).then_some(())
    });
    until("what is used, and no more", || {
        (used().trim() == format!("{MAX} 0 0 0")).then_some(())
    });
}
