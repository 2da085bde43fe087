//! A channel that is purged at one replica, and what the others still serve of it: nothing.

use super::*;
use crate::servers::Proxy;

const CHANNEL: &str = "/v1/channels/orders.eu";

/// Publishes; the event's id.
fn published(relay: &Relay, data: &str) -> String {
    let target = format!("{CHANNEL}/events");
    let answer = relay.request("POST", &target, &[BACKEND], data.as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Purges; how many events that dropped.
fn purge(relay: &Relay) -> u64 {
    let answer = relay.request("DELETE", CHANNEL, &[OPERATOR], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["events"].as_u64().unwrap()
}

/// What is found by who comes to this replica, which has heard of the purge and of `next` after it.
fn expect_purged(relay: &Relay, before: &str, next: &str) {
    let page = get(relay, &format!("{CHANNEL}/events?after={before}")).json();
    assert_eq!(page["gap"]["reason"], "purged", "{page}");
    assert_eq!(page["events"].as_array().unwrap().len(), 1, "{page}");
    let resumed = format!("channel=orders.eu&lastEventId={before}");
    let (mut back, _) = open(relay, &resumed, &[ANN]);
    back.until("event: gap\ndata: {\"reason\":\"purged\",\"certain\":true,");
    let told = back.until(&format!("data: {next}\n\n"));
    assert!(!told.contains("private"), "{told}");
    let (mut all, _) = open(relay, "channel=orders.eu&from=earliest", &[ANN]);
    let told = all.until(&format!("data: {next}\n\n"));
    assert!(!told.contains("private"), "{told}");
}

#[test]
fn what_is_purged_at_one_replica_is_served_by_none() {
    let server = Server::start();
    let [one, two] = relays(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    let (mut at_one, _) = open(&one, "channel=orders.eu", &[BOB]);
    let (mut at_two, _) = open(&two, "channel=orders.eu", &[BOB]);
    let rounds = [("a", &one, &two), ("b", &two, &one)];
    let mut kept = 0;
    for (round, purging, other) in rounds {
        let before = published(purging, "before");
        published(purging, &format!("private {round}"));
        for stream in [&mut at_one, &mut at_two] {
            stream.until(&format!("data: private {round}\n\n"));
        }
        assert_eq!(purge(purging), kept + 2);
        let next = format!("next {round}");
        published(other, &next);
        // open streams that have all go on; after this event both have heard of the purge
        for stream in [&mut at_one, &mut at_two] {
            let told = stream.until(&format!("data: {next}\n\n"));
            assert!(!told.contains("gap") && !told.contains("private"), "{told}");
        }
        for relay in [purging, other] {
            expect_purged(relay, &before, &next);
        }
        kept = 1;
    }
}

#[test]
fn a_stream_of_another_replica_that_is_owed_what_was_purged_is_closed() {
    let server = Server::start();
    let queue = r#"{"maxQueueBytes": "64Mi"}"#;
    let [one, two] = relays(&[
        ("SSE_RELAY_REDIS__URL", &server.url()),
        ("SSE_RELAY_STREAM", queue),
    ]);
    let before = published(&one, "before");
    // it does not read
    let (slow, _) = open(&two, "channel=orders.eu", &[ANN]);
    let large = format!("private {}", "x".repeat(500_000));
    until("a stream with much that waits for it", || {
        published(&one, &large);
        let streams = get(&one, "/v1/connections").json();
        (streams["connections"][0]["queueBytes"].as_u64()? > 1_000_000).then_some(())
    });
    purge(&one);
    until("the end of the stream", || {
        let line = "streams_closed_total{reason=\"purged\"} 1\n";
        two.scrape().contains(line).then_some(())
    });
    rest(slow);
    published(&one, "next");
    let (mut back, _) = open(
        &two,
        &format!("channel=orders.eu&lastEventId={before}"),
        &[ANN],
    );
    back.until("event: gap\ndata: {\"reason\":\"purged\",\"certain\":true,");
    let told = back.until("data: next\n\n");
    assert!(!told.contains("private"), "{told}");
}

#[test]
fn a_replica_that_was_cut_off_during_a_purge_serves_nothing_of_it_afterwards() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let one = relay_on(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    let cut = relay_on(&[("SSE_RELAY_REDIS__URL", &proxy.url())]);
    until_known(&[&one, &cut], 2);
    let (mut live, _) = open(&cut, "channel=orders.eu", &[BOB]);
    let before = published(&one, "before");
    published(&one, "private");
    live.until("data: private\n\n");
    proxy.cut_both_ways();
    assert_eq!(purge(&one), 2);
    published(&one, "next");
    proxy.mend();
    let told = live.until("data: next\n\n");
    assert!(!told.contains("private"), "{told}");
    expect_purged(&cut, &before, "next");
}
