//! Many clients at once, and what they cost Redis.

use crate::{
    servers::{Server, until},
    support::{Connection, Relay, request},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{collections::HashMap, net::SocketAddr};

/// As many open files as the system allows: each client is one.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// How often Redis was asked each command since its figures were reset.
fn calls(server: &Server) -> HashMap<String, u64> {
    let stats = server.cli(&["INFO", "commandstats"]);
    let calls = stats.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    });
    calls.collect()
}

/// Reads of history, and subscriptions; what replicas say of themselves each second reads none.
fn reads(server: &Server) -> u64 {
    let calls = calls(server);
    let reads = ["xrange", "ssubscribe"];
    reads.iter().filter_map(|name| calls.get(*name)).sum()
}

fn figure(relay: &Relay, name: &str) -> u64 {
    let scraped = relay.scrape();
    let line = scraped
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

/// Opens a stream that comes back with an id.
fn open(to: SocketAddr, channel: usize, last_event_id: &str) -> Connection {
    let mut connection = Connection::to(to);
    let header = format!("Last-Event-ID: {last_event_id}");
    let target = format!("/v1/events?channel=c{channel}");
    connection.send(request("GET", &target, &[&header], b""));
    connection
}

/// Where clients come back to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Back {
    ToTheSameReplica,
    /// One that never had any of the channels.
    ToAnother,
}

/// Clients that come back at once, to so many channels, each of which has missed events.
fn storm(clients: usize, channels: usize, back: Back) {
    raise_open_files();
    let server = Server::start();
    let start = || {
        Relay::start_with_descriptors_and(
            u32::try_from(clients * 2 + 1000).unwrap(),
            &[("SSE_RELAY_REDIS__URL", &server.url())],
        )
    };
    let relay = start();
    // half of the clients of each channel have missed one more
    let ids: Vec<[String; 2]> = (0..channels)
        .map(|channel| {
            let name = format!("c{channel}");
            let mut first = relay.subscribe(&format!("channel={name}&from=earliest"));
            // the channel is attached from here on: what comes now is among the recent events
            relay.publish(&name, "before");
            first.until("data: before\n");
            let earlier = relay.publish(&name, "seen by some");
            let id = relay.publish(&name, "seen");
            first.until("data: seen\n");
            for missed in 0..3 {
                relay.publish(&name, &format!("missed {missed}"));
            }
            first.until("data: missed 2\n");
            [id, earlier]
        })
        .collect();
    until("all streams gone", || {
        (figure(&relay, "sse_relay_streams") == 0).then_some(())
    });
    let other = (back == Back::ToAnother).then(start);
    let to = other.as_ref().unwrap_or(&relay).public;
    server.cli(&["CONFIG", "RESETSTAT"]);
    let id = |client: usize| &ids[client % channels][client / channels % 2];
    let mut streams: Vec<Connection> = (0..clients)
        .map(|client| open(to, client % channels, id(client)))
        .collect();
    for (client, stream) in streams.iter_mut().enumerate() {
        let replayed = stream.until("data: missed 2\n");
        assert!(!replayed.contains("event: gap"), "{replayed}");
        assert!(replayed.contains("data: missed 0\n") && replayed.contains("data: missed 1\n"));
        assert!(!replayed.contains("data: seen by some\n"));
        let missed_one_more = client / channels % 2 == 1;
        assert_eq!(replayed.contains("data: seen\n"), missed_one_more);
    }
    // what canaries, checks and looks at Redis cost meanwhile is not theirs
    let reads = reads(&server);
    let bound = channels as u64 * 10;
    assert!(
        reads < bound,
        "{reads} reads for {clients} clients of {channels} channels"
    );
}

#[test]
fn a_thousand_clients_that_come_back_at_once_cost_redis_reads_by_channel_not_by_client() {
    storm(1000, 5, Back::ToTheSameReplica);
    storm(1000, 5, Back::ToAnother);
}

#[test]
#[ignore = "make soak runs it"]
fn five_thousand_clients_that_come_back_at_once_cost_redis_reads_by_channel_not_by_client() {
    storm(5000, 20, Back::ToTheSameReplica);
    storm(5000, 20, Back::ToAnother);
}

/// Streams of many channels each; what they cost is printed.
fn many_channels(channels: usize, of_a_stream: usize) {
    raise_open_files();
    let server = Server::start();
    let relay = Relay::start_with(&[("SSE_RELAY_REDIS__URL", &server.url())], &[]);
    let before = figure(&relay, "process_resident_memory_bytes");
    let redis_before = memory(&server);
    let mut streams = Vec::new();
    for first in (0..channels).step_by(of_a_stream) {
        let query: Vec<String> = (first..first + of_a_stream)
            .map(|channel| format!("channel=c{channel}"))
            .collect();
        streams.push(relay.subscribe(&query.join("&")));
    }
    until("all channels subscribed to", || {
        let pattern = server.cli(&["INFO", "stats"]);
        let subscribed = pattern
            .lines()
            .find_map(|line| line.strip_prefix("pubsubshard_channels:"))?;
        (subscribed.trim().parse::<usize>().ok()? >= channels).then_some(())
    });
    until("all streams attached", || {
        (figure(&relay, "sse_relay_streams_waiting") == 0).then_some(())
    });
    for channel in (0..channels).step_by(channels / 100) {
        relay.publish(&format!("c{channel}"), &format!("to {channel} "));
        streams[channel / of_a_stream].until(&format!("data: to {channel} \n"));
    }
    println!(
        "{channels} channels, {of_a_stream} a stream: relay {} bytes a channel, Redis {} bytes a channel, {} connections at Redis",
        (figure(&relay, "process_resident_memory_bytes").saturating_sub(before)) / channels as u64,
        (memory(&server).saturating_sub(redis_before)) / channels as u64,
        server
            .cli(&["CLIENT", "LIST"])
            .lines()
            .filter(|line| line.contains("name=sse-relay"))
            .count(),
    );
}

fn memory(server: &Server) -> u64 {
    let info = server.cli(&["INFO", "memory"]);
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    used.unwrap().trim().parse().unwrap()
}

#[test]
fn a_thousand_channels_of_few_streams_are_subscribed_to_over_one_connection() {
    many_channels(1000, 10);
}

#[test]
#[ignore = "make soak runs it"]
fn a_hundred_thousand_channels_of_few_streams_work() {
    many_channels(100_000, 50);
}
