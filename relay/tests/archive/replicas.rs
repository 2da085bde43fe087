//! Replicas that share a log in Redis: one writes, all read.

use super::*;
use rustix::process::Signal;

fn replica(server: &Server, url: &str) -> Relay {
    relay(
        server,
        &[
            ("SSE_RELAY_REDIS__URL", url),
            ("SSE_RELAY_RETENTION__EVENTS", "200"),
        ],
    )
}

#[test]
fn another_replica_goes_on_where_one_that_crashed_stopped() {
    let (server, redis) = (Server::start(), redis::Server::start());
    let url = redis.url();
    let mut replicas: Vec<Option<Relay>> = (0..2).map(|_| Some(replica(&server, &url))).collect();
    let mut published = 0;
    let mut first = None;
    for _ in 0..3 {
        let writing = until("one that writes", || {
            let writes = |relay: &Option<Relay>| {
                relay
                    .as_ref()
                    .is_some_and(|relay| figure(relay, "sse_relay_archive_writing") == 1.0)
            };
            replicas.iter().position(writes)
        });
        let other = replicas[1 - writing].as_ref().unwrap();
        let ids = publish(other, "a", published..published + 60);
        first.get_or_insert(ids[0].clone());
        archived(&server, "a", published + 20);
        published += 60;
        replicas[writing].take().unwrap().signal(Signal::KILL);
        let other = replicas[1 - writing].as_ref().unwrap();
        publish(other, "a", published..published + 60);
        published += 60;
        archived(&server, "a", published);
        replicas[writing] = Some(replica(&server, &url));
    }
    assert_eq!(texts(&server, "a"), numbers(0..published));
    assert_eq!(server.number("SELECT count(*) FROM sse_relay.holes"), 0);
    for replica in replicas.iter().flatten() {
        let mut stream = replica.subscribe(&format!(
            "channel=a&lastEventId={}",
            first.as_ref().unwrap()
        ));
        let last = (published - 1).to_string();
        assert_eq!(seen_until(&mut stream, &last), numbers(1..published));
        let (texts, gap) = history(replica, "a", &format!("after={}", first.as_ref().unwrap()));
        assert_eq!((texts, gap), (numbers(1..published), None));
    }
}

#[test]
fn a_replica_that_leaves_in_order_hands_over_at_once() {
    let (server, redis) = (Server::start(), redis::Server::start());
    let url = redis.url();
    let one = replica(&server, &url);
    until("one that writes", || {
        (figure(&one, "sse_relay_archive_writing") == 1.0).then_some(())
    });
    let two = replica(&server, &url);
    publish(&one, "a", 0..10);
    archived(&server, "a", 10);
    assert_eq!(figure(&two, "sse_relay_archive_writing"), 0.0);
    assert!(one.stop().success());
    until("the other one", || {
        (figure(&two, "sse_relay_archive_writing") == 1.0).then_some(())
    });
    publish(&two, "a", 10..20);
    archived(&server, "a", 20);
    assert_eq!(texts(&server, "a"), numbers(0..20));
    assert_eq!(server.number("SELECT term FROM sse_relay.writer"), 2);
}
