//! Shard channels through faults: whoever is confirmed hears everything, or is told.

use crate::{
    LIMIT,
    servers::{Cluster, Proxy, Replicas, Sentinels, Server, releases},
    settings,
    topology::{password, with_cluster, with_sentinels},
};
use relay_config::Redis as Settings;
use sse_relay::redis::{CommandError, Event, Events, Redis, Refusal, Subscriptions};
use std::{collections::HashSet, sync::Arc, time::Instant};
use tokio::time::timeout;

fn names(prefix: &str, count: usize) -> Vec<Arc<str>> {
    (0..count)
        .map(|n| Arc::from(format!("{prefix}{n}")))
        .collect()
}

fn subscribe(settings: &Settings) -> (Subscriptions, Events) {
    let redis = Redis::start(settings).expect("the settings are right");
    redis.subscriptions()
}

async fn next(events: &mut Events) -> Event {
    let event = timeout(LIMIT, events.recv()).await.expect("an event comes");
    event.expect("the readers live")
}

/// Until all are confirmed, whatever else is told.
async fn confirmed(events: &mut Events, names: &[Arc<str>]) {
    let mut missing: HashSet<_> = names.iter().cloned().collect();
    while !missing.is_empty() {
        match next(events).await {
            Event::Confirmed(channels) => {
                for channel in channels {
                    missing.remove(&channel);
                }
            }
            Event::Interrupted { channels, .. } => {
                missing.extend(
                    channels
                        .into_iter()
                        .filter(|channel| names.contains(channel)),
                );
            }
            Event::Message(_) => {}
            Event::Refused { why, .. } => panic!("{why}"),
        }
    }
}

/// Until all have been told to be interrupted.
async fn interrupted(events: &mut Events, names: &[Arc<str>]) {
    let mut missing: HashSet<_> = names.iter().cloned().collect();
    while !missing.is_empty() {
        if let Event::Interrupted { channels, .. } = next(events).await {
            for channel in channels {
                missing.remove(&channel);
            }
        }
    }
}

async fn message(events: &mut Events) -> (Arc<str>, String) {
    loop {
        match next(events).await {
            Event::Message(message) => {
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                return (message.channel, text);
            }
            Event::Confirmed(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn every_release_delivers_what_is_published_after_the_confirmation() {
    for (name, program) in releases().filter(|(name, _)| !name.starts_with("redis-6")) {
        let server = Server::start_program(&program, &[]);
        let (subscriptions, mut events) = subscribe(&settings(&server));
        let channels = names("{p}", 250);
        subscriptions.want(channels.clone());
        confirmed(&mut events, &channels).await;

        for n in ["0", "249"] {
            server.cli(&["SPUBLISH", &format!("{{p}}{n}"), n]);
            assert_eq!(message(&mut events).await.1, n, "{name}");
        }

        subscriptions.want_no_more(channels[1..].to_vec());
        subscriptions.want([Arc::from("{p}last")]);
        confirmed(&mut events, &[Arc::from("{p}last")]).await;
        let heard = server.cli(&["PUBSUB", "SHARDNUMSUB", "{p}0", "{p}1"]);
        assert_eq!(heard, "{p}0\n1\n{p}1\n0", "{name}");
        assert_eq!(subscriptions.wanted(), 2);
    }
}

#[tokio::test]
async fn a_restart_is_told_before_and_after() {
    let mut server = Server::start();
    let (subscriptions, mut events) = subscribe(&settings(&server));
    let channels = names("{p}", 1_000);
    subscriptions.want(channels.clone());
    confirmed(&mut events, &channels).await;

    server.kill();
    interrupted(&mut events, &channels).await;
    server.restart();

    confirmed(&mut events, &channels).await;
    server.cli(&["SPUBLISH", "{p}999", "x"]);
    assert_eq!(&*message(&mut events).await.0, "{p}999");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let (subscriptions, mut events) = subscribe(&Settings {
        url: Some(proxy.url()),
        ..Settings::default()
    });
    let channels = names("{p}", 10);
    subscriptions.want(channels.clone());
    confirmed(&mut events, &channels).await;

    proxy.cut_way_back();
    interrupted(&mut events, &channels).await;
    proxy.mend();

    confirmed(&mut events, &channels).await;
}

#[tokio::test]
async fn a_slot_that_moves_takes_its_subscriptions_along() {
    let cluster = Cluster::start();
    let (subscriptions, mut events) = subscribe(&with_cluster(cluster.nodes()));
    let (moving, staying) = (names("{a}", 150), names("{b}", 150));
    subscriptions.want(moving.iter().chain(&staying).cloned());
    confirmed(&mut events, &[moving.clone(), staying].concat()).await;
    let slot = sse_relay::redis::Slot::of(b"{a}").number();
    let to = (cluster.owner(slot).unwrap() + 1) % 3;

    cluster.move_slot(slot, to);

    interrupted(&mut events, &moving).await;
    confirmed(&mut events, &moving).await;
    cluster.servers[to].cli(&["SPUBLISH", "{a}149", "there"]);
    loop {
        match next(&mut events).await {
            Event::Message(message) => break assert_eq!(&*message.channel, "{a}149"),
            Event::Interrupted { channels, .. } => {
                assert!(channels.iter().all(|channel| channel.starts_with("{a}")));
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_primary_that_dies_moves_its_subscriptions_to_the_promoted_one_alone() {
    let mut cluster = Cluster::start_with(Replicas::OneEach, "redis-server");
    let (subscriptions, mut events) = subscribe(&with_cluster(cluster.nodes()));
    let channels: Vec<_> = ["{a}", "{b}", "{c}", "{d}"]
        .iter()
        .flat_map(|p| names(p, 50))
        .collect();
    subscriptions.want(channels.clone());
    confirmed(&mut events, &channels).await;
    let slot = |name: &str| sse_relay::redis::Slot::of(name.as_bytes()).number();
    let dead = cluster.owner(slot("{a}")).unwrap();
    let (lost, kept): (Vec<_>, Vec<_>) = channels
        .into_iter()
        .partition(|name| cluster.owner(slot(name)) == Some(dead));

    cluster.servers[dead].kill();

    interrupted(&mut events, &lost).await;
    let other = &cluster.servers[cluster.owner(slot(&kept[0])).unwrap()];
    other.cli(&["SPUBLISH", &kept[0], "x"]);
    assert_eq!(
        message(&mut events).await.0,
        kept[0],
        "the others are not stalled"
    );
    confirmed(&mut events, &lost).await;
}

#[tokio::test]
async fn a_failover_by_sentinels_moves_all_subscriptions() {
    let sentinels = Sentinels::start();
    let (_folder, password) = password();
    let (subscriptions, mut events) = subscribe(&with_sentinels(&sentinels, &password));
    let channels = names("{p}", 500);
    subscriptions.want(channels.clone());
    confirmed(&mut events, &channels).await;

    sentinels.fail_over();

    interrupted(&mut events, &channels).await;
    confirmed(&mut events, &channels).await;
    sentinels.primary().cli(&["SPUBLISH", "{p}7", "x"]);
    assert_eq!(&*message(&mut events).await.0, "{p}7");
}

#[tokio::test]
async fn a_consumer_that_stands_still_is_told_when_redis_gave_up_waiting() {
    let server = Server::start_with(&[("client-output-buffer-limit", "pubsub 1mb 0 0")]);
    let (subscriptions, mut events) = subscribe(&settings(&server));
    let channels = names("{p}", 1);
    subscriptions.want(channels.clone());
    confirmed(&mut events, &channels).await;
    let script = "for i = 1, 60 do redis.call('SPUBLISH', '{p}0', string.rep('x', 1000000)) end";

    server.cli(&["EVAL", script, "0"]);

    let mut heard = 0;
    loop {
        match next(&mut events).await {
            Event::Message(_) => heard += 1,
            Event::Interrupted { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(heard < 60, "Redis dropped nothing");
    confirmed(&mut events, &channels).await;
}

#[tokio::test]
async fn a_channel_that_the_user_may_not_hear_is_told_with_the_reason() {
    let server = Server::start_with_users(&["user relay on >p ~* &{p}* +@all"], &[]);
    let file = server.folder().join("password");
    std::fs::write(&file, "p").unwrap();
    let (subscriptions, mut events) = subscribe(&Settings {
        credentials: Some(relay_config::RedisCredentials {
            username: Some("relay".into()),
            password_file: Some(file.display().to_string()),
            ..Default::default()
        }),
        ..settings(&server)
    });
    subscriptions.want([Arc::from("other")]);
    let Event::Refused { channels, why } = next(&mut events).await else {
        panic!("it is not allowed");
    };
    assert_eq!(channels, [Arc::from("other")]);
    assert!(
        matches!(
            why,
            CommandError::Refused {
                why: Refusal::NoPermission,
                ..
            }
        ),
        "{why}"
    );
    let allowed = names("{p}", 3);
    subscriptions.want(allowed.clone());
    confirmed(&mut events, &allowed).await;
}

#[tokio::test]
async fn a_hundred_thousand_channels_are_confirmed() {
    const COUNT: usize = 100_000;
    let server = Server::start();
    let (subscriptions, mut events) = subscribe(&settings(&server));
    let before = resident();
    let begun = Instant::now();
    subscriptions.want(names("sse-relay:{7}:c:", COUNT));

    let mut count = 0;
    while count < COUNT {
        match next(&mut events).await {
            Event::Confirmed(channels) => count += channels.len(),
            other => panic!("{other:?}"),
        }
    }

    println!(
        "{COUNT} channels: {:?}, {} bytes each here",
        begun.elapsed(),
        resident().saturating_sub(before) / COUNT
    );
    let heard = server.cli(&["PUBSUB", "SHARDNUMSUB", "sse-relay:{7}:c:99999"]);
    assert!(heard.ends_with("\n1"), "{heard}");
}

/// Bytes of memory of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.expect("the line has a number") * 1024
}
