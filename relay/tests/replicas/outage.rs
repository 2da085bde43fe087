//! Redis is away for a while: nobody is lost, and everybody is told.

use crate::{
    fleet::Fleet,
    http,
    servers::{Server, until},
    subscriber::Subscriber,
};

fn server() -> Server {
    Server::start_with(&[("appendonly", "yes"), ("appendfsync", "always")])
}

fn reading(
    to: std::net::SocketAddr,
    query: &'static str,
    events: usize,
) -> std::thread::JoinHandle<Subscriber> {
    std::thread::spawn(move || {
        let mut subscriber = Subscriber::new(to, query);
        subscriber.read_soon(|subscriber| subscriber.events.len() >= events);
        subscriber
    })
}

/// What a reader saw; if it is not satisfied, what the relays said is told, too.
fn seen(reader: std::thread::JoinHandle<Subscriber>, fleet: &Fleet) -> Subscriber {
    reader.join().unwrap_or_else(|_| panic!("{}", fleet.said()))
}

/// Publishes until it is taken; the refusals before that.
fn publish_until_taken(to: std::net::SocketAddr, data: &str) -> Vec<String> {
    let mut refusals = Vec::new();
    until("a publish that is taken", || {
        let answer = http::publish(to, "a", data, data).unwrap();
        if answer.status < 300 {
            return Some(());
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        refusals.push(answer.problem().to_owned());
        None
    });
    refusals
}

#[test]
fn while_redis_is_down_publishes_are_refused_and_streams_wait_old_and_new() {
    let mut server = server();
    let fleet = Fleet::on_redis(1, &server.url());
    let to = fleet.addresses()[0];
    let before = reading(to, "channel=a&from=earliest", 2);
    publish_until_taken(to, "1");
    server.kill();
    // one that was sent just before may have been executed; soon nothing is sent any more
    until("a refusal", || {
        let answer = http::publish(to, "a", "refused", "refused").unwrap();
        assert_eq!(answer.status, 503);
        (answer.problem() == "unavailable").then_some(())
    });
    let during = reading(to, "channel=a&from=earliest", 2);
    server.restart();
    publish_until_taken(to, "2");
    for subscriber in [before, during] {
        let subscriber = seen(subscriber, &fleet);
        let data: Vec<&str> = subscriber
            .events
            .iter()
            .map(|(_, data)| data.as_str())
            .collect();
        assert_eq!(data, ["1", "2"]);
        assert_eq!(subscriber.connections, 1, "it stayed open");
        assert!(subscriber.gaps.is_empty(), "{:?}", subscriber.gaps);
    }
}

#[test]
fn while_redis_is_frozen_nothing_is_called_published_that_is_not_known_to_be() {
    let server = server();
    let fleet = Fleet::on_redis(1, &server.url());
    let to = fleet.addresses()[0];
    let reader = reading(to, "channel=a&from=earliest", 3);
    publish_until_taken(to, "1");
    server.freeze();
    let answer = http::publish(to, "a", "2", "2").unwrap();
    assert_eq!((answer.status, answer.problem()), (503, "outcome-unknown"));
    let answer = http::publish(to, "a", "3", "3").unwrap();
    assert_eq!(answer.status, 503);
    server.thaw();
    publish_until_taken(to, "2");
    publish_until_taken(to, "3");
    let subscriber = seen(reader, &fleet);
    let data: Vec<&str> = subscriber
        .events
        .iter()
        .map(|(_, data)| data.as_str())
        .collect();
    assert_eq!(
        data,
        ["1", "2", "3"],
        "each once: the keys tell the second try"
    );
}

#[test]
fn a_flushed_log_is_told_to_streams_and_goes_on() {
    let server = Server::start();
    let fleet = Fleet::on_redis(1, &server.url());
    let to = fleet.addresses()[0];
    let reader = reading(to, "channel=a&from=earliest", 2);
    publish_until_taken(to, "1");
    until("the first event at the stream", || {
        let scraped = fleet.at(0).scrape();
        scraped
            .contains("sse_relay_events_delivered_total 1")
            .then_some(())
    });
    server.cli(&["FLUSHALL"]);
    publish_until_taken(to, "2");
    let subscriber = seen(reader, &fleet);
    assert_eq!(subscriber.gaps.len(), 1, "{:?}", subscriber.gaps);
    assert_eq!(subscriber.gaps[0]["reason"], "epoch");
    assert_eq!(subscriber.gaps[0]["certain"], false);
}

#[test]
fn a_relay_starts_without_redis_and_serves_when_it_comes() {
    let mut server = server();
    server.kill();
    let fleet = Fleet::on_redis(1, &server.url());
    let to = fleet.addresses()[0];
    let answer = http::publish(to, "a", "0", "0").unwrap();
    assert_eq!((answer.status, answer.problem()), (503, "unavailable"));
    let reader = reading(to, "channel=a&from=earliest", 1);
    server.restart();
    publish_until_taken(to, "1");
    assert_eq!(seen(reader, &fleet).events[0].1, "1");
}
