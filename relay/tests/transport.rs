//! What carries the streams: connections that end without a word, and how soon they are gone.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with the tests of delivery")]
#[path = "delivery/client.rs"]
mod client;
#[path = "transport/network.rs"]
mod network;
#[allow(dead_code, reason = "shared with the tests of delivery")]
#[path = "delivery/relay.rs"]
mod relay;

use client::{End, Request, Subscriber, Version};
use network::{Island, Proxy};
use relay::{Event, Publisher, Relay, eventually};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::sleep};

const VERSIONS: [Version; 3] = [Version::Http10, Version::Http11, Version::Http2];

/// Waits until so many streams ended for a reason, and nothing is left of them.
async fn all_ended(relay: &Relay, reason: &str, count: u64) {
    let name = format!("sse_relay_streams_closed_total{{reason=\"{reason}\"}}");
    eventually(&format!("{count} streams ended as {reason}"), async || {
        relay.sample(&name).await >= count
    })
    .await;
    assert_eq!(relay.sample(&name).await, count, "{}", relay.log());
    assert_eq!(relay.status("/streams").await, 0, "{}", relay.log());
}

/// More than the buffers of a connection take.
async fn publish_much(relay: &Relay) {
    let mut publisher = Publisher::new(relay).await;
    for _ in 0..20 {
        publisher
            .publish("news", Event::new("x".repeat(500_000)))
            .await;
    }
}

/// Room for all that is published, so that no stream is closed as slow.
const ROOM: &str = "maxQueueBytes: 64Mi, maxMemory: 512Mi";

#[tokio::test]
async fn peers_that_vanish_without_a_word_are_gone_within_the_bound() {
    let relay = Relay::start_everywhere(
        "tcp: {keepAlive: 1s, userTimeout: 2s}\nheartbeat: {interval: 1s}\n\
         stream: {writeTimeout: 1h, maxQueueBytes: 64Mi}",
    )
    .await;
    let mut readers = Vec::new();
    if let Some(mut island) = Island::new() {
        let url = format!(
            "http://{}:{}/v1/events?channel=news",
            island.shore,
            relay.public.port()
        );
        (0..3).for_each(|_| island.stream(&url));
        relay.wait_for_streams(3).await;
        island.pull_the_cable();
        all_ended(&relay, "unreachable", 3).await;
    } else {
        // whoever may not make networks has peers whose system is there and whose program is not
        for _ in 0..3 {
            let request = Request::new("channel=news");
            readers.push(Subscriber::open_narrow(relay.public, &request).await);
        }
        publish_much(&relay).await;
        all_ended(&relay, "unreachable", 3).await;
    }
}

#[tokio::test]
async fn peers_that_have_no_room_for_long_are_given_up_by_the_system() {
    let yaml = format!(
        "tcp: {{userTimeout: 2s}}\nheartbeat: {{interval: 1s}}\nstream: {{writeTimeout: 1h, {ROOM}}}"
    );
    let relay = Relay::start(&yaml).await;
    let mut readers = Vec::new();
    for version in [Version::Http11, Version::Http10] {
        let request = Request::new("channel=news").version(version);
        readers.push(Subscriber::open_narrow(relay.public, &request).await);
    }
    publish_much(&relay).await;
    all_ended(&relay, "unreachable", 2).await;
}

#[tokio::test]
async fn a_connection_that_takes_nothing_for_the_write_timeout_is_closed() {
    let yaml = format!(
        "tcp: {{userTimeout: 1h}}\nheartbeat: {{interval: 1s}}\nstream: {{writeTimeout: 1s, {ROOM}}}"
    );
    let relay = Relay::start(&yaml).await;
    let mut readers = Vec::new();
    for version in VERSIONS {
        let request = Request::new("channel=news").version(version);
        readers.push(Subscriber::open_narrow(relay.public, &request).await);
    }
    let mut well = Subscriber::open(relay.public, &Request::new("channel=news")).await;
    let (_, ()) = tokio::join!(well.data(20), publish_much(&relay));
    let reason = "sse_relay_streams_closed_total{reason=\"stalled\"}";
    eventually("those who read nothing are gone", async || {
        relay.sample(reason).await == 3
    })
    .await;
    assert_eq!(relay.status("/streams").await, 1, "who reads is served");
    // an HTTP/2 connection may have other streams: it goes on as long as it answers pings
    eventually("two of three connections are gone", async || {
        relay.sample("sse_relay_connections").await == 2
    })
    .await;
}

#[tokio::test]
async fn a_client_that_is_gone_behind_a_proxy_is_gone_here_within_the_bound() {
    for (proxy, settings, reason) in [
        (Proxy::Absorbs, "maxAge: 2s, writeTimeout: 1h", "max-age"),
        (Proxy::Holds, "maxAge: 1h, writeTimeout: 1s", "stalled"),
    ] {
        let yaml = format!(
            "tcp: {{userTimeout: 1h}}\nheartbeat: {{interval: 1s}}\nstream: {{{settings}, {ROOM}}}"
        );
        let relay = Relay::start(&yaml).await;
        let gone = Arc::new(Notify::new());
        let address = proxy.start(relay.public, gone.clone()).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(Subscriber::open(address, &Request::new("channel=news")).await);
        }
        relay.wait_for_streams(5).await;
        gone.notify_waiters();
        drop(clients);
        publish_much(&relay).await;
        all_ended(&relay, reason, 5).await;
    }
}

#[tokio::test]
async fn a_stream_that_reaches_its_age_ends_well_and_its_client_resumes_exactly() {
    let relay = Relay::start("stream: {maxAge: 1s, retry: 10ms}\nheartbeat: {interval: 1s}").await;
    let done = Notify::new();
    let publishing = async {
        let (mut publisher, mut count) = (Publisher::new(&relay).await, 0);
        loop {
            publisher
                .publish("news", Event::new(count.to_string()))
                .await;
            count += 1;
            tokio::select! {
                () = done.notified() => break,
                () = sleep(Duration::from_millis(5)) => {}
            }
        }
        publisher.publish("news", Event::new("last").last()).await;
        count
    };
    let follow = async |version| {
        let (mut got, mut lives) = (Vec::new(), 0);
        let mut id = String::new();
        loop {
            let mut request = Request::new("channel=news&from=earliest").version(version);
            if !id.is_empty() {
                request = request.header("Last-Event-ID", &id);
            }
            let mut stream = Subscriber::open(relay.public, &request).await;
            if stream.status == 204 {
                return got;
            }
            let all = stream.rest().await;
            assert_eq!(stream.end, Some(End::Whole), "{version:?}");
            assert!(stream.retry.is_some());
            id = stream.last_id().to_owned();
            got.extend(all.into_iter().filter(|event| event.kind == "message"));
            lives += 1;
            if lives == 2 {
                done.notify_one();
            }
        }
    };
    let (count, one, two, three) = tokio::join!(
        publishing,
        follow(VERSIONS[0]),
        follow(VERSIONS[1]),
        follow(VERSIONS[2]),
    );
    let mut expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    expected.push("last".to_owned());
    for got in [one, two, three] {
        let got: Vec<String> = got.into_iter().map(|event| event.data).collect();
        assert_eq!(got, expected);
    }
    let aged = relay
        .sample("sse_relay_streams_closed_total{reason=\"max-age\"}")
        .await;
    assert!(aged >= 3, "{aged}");
}
