//! A changed configuration: what applies at once, what needs a restart, and what is refused.

use super::{
    client::{Request, Subscriber},
    relay::{Event, PATIENCE, Publisher, Relay, eventually, exchange},
};
use rustix::process::Signal;
use sse_relay::auth::hash_of;
use std::{cell::Cell, os::unix::fs::symlink, rc::Rc, time::Duration};
use tokio::{
    task::LocalSet,
    time::{sleep, timeout},
};

/// A document with these tokens, who may subscribe to everything; everybody may publish.
fn document(tokens: &[(&str, &str)], more: &str) -> String {
    let tokens: String = tokens
        .iter()
        .map(|(name, text)| {
            let hash = hash_of(text);
            format!(
                "    - {{name: {name}, sha256: {hash}, subscribe: ['**'], manage: [observe]}}\n"
            )
        })
        .collect();
    format!(
        "auth:\n  anonymous: {{publish: ['**'], subscribe: ['public.**']}}\n  tokens:\n{tokens}\n{more}\n"
    )
}

async fn open(relay: &Relay, channel: &str, token: &str) -> Subscriber {
    let request = Request::new(format!("channel={channel}"))
        .header("authorization", format!("Bearer {token}"));
    Subscriber::open(relay.public, &request).await
}

async fn reloads(relay: &Relay, outcome: &str) -> f64 {
    let sample = format!("sse_relay_config_reloads_total{{outcome=\"{outcome}\"}}");
    relay.metric(&sample).await
}

async fn wait_for(relay: &Relay, outcome: &str, count: f64) {
    eventually(outcome, async || reloads(relay, outcome).await >= count).await;
}

async fn status_of(relay: &Relay, channel: &str, token: &str) -> u16 {
    open(relay, channel, token).await.status
}

#[tokio::test]
async fn a_token_that_is_taken_away_ends_its_streams_and_no_others_under_load() {
    let relay = Rc::new(Relay::start(&document(&[("a", "secret a"), ("b", "secret b")], "")).await);
    let mut removed = open(&relay, "private.x", "secret a").await;
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(open(&relay, "private.x", "secret b").await);
    }
    for _ in 0..20 {
        let request = Request::new("channel=public.x");
        kept.push(Subscriber::open(relay.public, &request).await);
    }
    let last = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));
    let local = LocalSet::new();
    let publishing = local.spawn_local({
        let (relay, last, stop) = (relay.clone(), last.clone(), stop.clone());
        async move {
            let mut publisher = Publisher::new(&relay).await;
            while !stop.get() {
                last.set(last.get() + 1);
                for channel in ["private.x", "public.x"] {
                    let event = Event::new(last.get().to_string());
                    publisher.publish(channel, event).await;
                }
                sleep(Duration::from_millis(2)).await;
            }
        }
    });
    local
        .run_until(async {
            // keys are rotated and limits are changed, again and again
            for round in 1..=5_u32 {
                let secret = format!("secret c{round}");
                let tokens = [("a", "secret a"), ("b", "secret b"), ("c", &*secret)];
                let more = format!(
                    "retention: {{events: {}}}\nstream: {{maxQueueBytes: {}Mi}}\nhttp: {{maxBatchEvents: {}}}",
                    1000 + round, round, 10 * round
                );
                relay.rewrite(&document(&tokens, &more));
                wait_for(&relay, "applied", f64::from(round)).await;
                assert_eq!(status_of(&relay, "private.x", &secret).await, 200);
                let before = format!("secret c{}", round - 1);
                assert_eq!(status_of(&relay, "private.x", &before).await, 401);
            }
            assert_eq!(removed.end, None);
            relay.rewrite(&document(&[("b", "secret b")], ""));
            let end = timeout(Duration::from_secs(5), async {
                loop {
                    let event = removed.next().await.expect("it is told before it ends");
                    if event.kind == "end" {
                        return event.data;
                    }
                }
            });
            assert_eq!(end.await.expect("soon"), "{\"reason\":\"revoked\"}");
            assert_eq!(status_of(&relay, "private.x", "secret a").await, 401);
            stop.set(true);
            publishing.await.unwrap();
            for stream in &mut kept {
                let data = timeout(PATIENCE, stream.rest_until(&last.get().to_string())).await;
                let data = data.expect("all of them").into_iter();
                let numbers: Vec<u32> = data.map(|data| data.parse().unwrap()).collect();
                assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            }
        })
        .await;
}

#[tokio::test]
async fn who_may_do_less_than_its_stream_gives_loses_the_stream() {
    let both = document(&[("a", "secret")], "");
    let relay = Relay::start(&both).await;
    let mut wide = open(&relay, "private.x", "secret").await;
    let mut narrow = open(&relay, "public.x", "secret").await;
    let mut nobody = Subscriber::open(relay.public, &Request::new("channel=public.x")).await;
    relay.rewrite(&both.replace("subscribe: ['**']", "subscribe: []"));
    let end = wide.next().await.unwrap();
    assert_eq!(end.kind, "end");
    let mut publisher = Publisher::new(&relay).await;
    publisher.publish("public.x", Event::new("1")).await;
    assert_eq!(narrow.next().await.unwrap().data, "1");
    assert_eq!(nobody.next().await.unwrap().data, "1");
    // and a channel that a rule closes
    let closed = format!("{both}channels: [{{match: public.x, subscribe: deny}}]\n");
    relay.rewrite(&closed);
    assert_eq!(narrow.next().await.unwrap().kind, "end");
    assert_eq!(nobody.next().await.unwrap().kind, "end");
    let refused = Subscriber::open(relay.public, &Request::new("channel=public.x")).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_says_what_is_wrong() {
    let relay = Relay::start("retention: {events: 5}").await;
    let mut stream = Subscriber::open(relay.public, &Request::new("channel=c")).await;
    let before = relay
        .metric("sse_relay_config_last_reload_success_timestamp_seconds")
        .await;
    for (round, broken) in [
        "retention: {evnts: 5}",
        "retention: [",
        "retention: {events: -1}",
    ]
    .into_iter()
    .enumerate()
    {
        relay.rewrite(broken);
        wait_for(&relay, "refused", round as f64 + 1.0).await;
    }
    let log = relay.log();
    assert!(
        log.contains("config.refused") && log.contains("did you mean"),
        "{log}"
    );
    let mut publisher = Publisher::new(&relay).await;
    publisher.publish("c", Event::new("1")).await;
    assert_eq!(stream.next().await.unwrap().data, "1");
    let after = relay
        .metric("sse_relay_config_last_reload_success_timestamp_seconds")
        .await;
    assert!((before - after).abs() < 1e-6);
    std::fs::remove_file(relay.folder().join("config.yaml")).unwrap();
    wait_for(&relay, "refused", 4.0).await;
    relay.rewrite("retention: {events: 6}");
    wait_for(&relay, "applied", 1.0).await;
}

#[tokio::test]
async fn fields_that_need_a_restart_are_named() {
    let relay = Relay::start("retention: {events: 5}").await;
    relay.rewrite("maxLogBytes: 7Mi\nhttp: {threads: 3}\nretention: {events: 6}");
    wait_for(&relay, "applied", 1.0).await;
    let status = relay.get("/v1/status").await.json();
    let named = serde_json::json!(["http.threads", "maxLogBytes"]);
    assert_eq!(status["config"]["restart"], named);
    let fields = relay.metric("sse_relay_config_restart_fields").await;
    assert!((fields - 2.0).abs() < 0.1);
    assert!(
        relay.log().contains("http.threads, maxLogBytes"),
        "{}",
        relay.log()
    );
    relay.rewrite("retention: {events: 6}");
    wait_for(&relay, "unchanged", 1.0).await;
    let status = relay.get("/v1/status").await.json();
    assert_eq!(status["config"]["restart"], serde_json::json!([]));
}

#[tokio::test]
async fn a_swapped_link_is_a_change_and_a_signal_reads_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    // as Kubernetes mounts a ConfigMap
    for (version, events) in [("..1", 5), ("..2", 6)] {
        std::fs::create_dir(at(version)).unwrap();
        let yaml = format!("retention: {{events: {events}}}\nlogging: {{level: error}}\n");
        std::fs::write(at(version).join("config.yaml"), yaml).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/config.yaml", at("config.yaml")).unwrap();
    let (next, data) = (at("..data_tmp"), at("..data"));
    let relay = Relay::start_in(folder).await;
    let mut publisher = Publisher::new(&relay).await;
    let events: Vec<Event> = (0..10).map(|n| Event::new(n.to_string())).collect();
    publisher.publish_all("c", &events).await;
    symlink("..2", &next).unwrap();
    std::fs::rename(&next, &data).unwrap();
    wait_for(&relay, "applied", 1.0).await;
    let kept = async || {
        let channel = relay.get("/v1/channels/c").await.json();
        channel["events"].as_u64().unwrap()
    };
    assert_eq!(kept().await, 5);
    eventually("the channel keeps more", async || {
        publisher.publish("c", Event::new("x")).await;
        kept().await == 6
    })
    .await;
    relay.send(Signal::HUP);
    wait_for(&relay, "unchanged", 1.0).await;
    assert!(
        exchange(relay.admin, "GET /readyz", "")
            .await
            .unwrap()
            .status
            == 200
    );
}

#[tokio::test]
async fn the_level_of_logging_and_heartbeats_change_while_streams_are_open() {
    let relay = Relay::start("logging: {level: error}\nheartbeat: {interval: 60s}").await;
    let mut stream =
        Subscriber::open(relay.public, &Request::new("channel=c&heartbeat=event")).await;
    relay.wait_for_streams(1).await;
    assert!(!relay.log().contains("events.connected"));
    relay.rewrite("logging: {level: info}\nheartbeat: {interval: 1s}");
    wait_for(&relay, "applied", 1.0).await;
    let beat = stream.next().await.unwrap();
    assert_eq!(beat.kind, "heartbeat");
    let _other = Subscriber::open(relay.public, &Request::new("channel=c")).await;
    eventually("it is logged", async || {
        relay.log().contains("events.connected")
    })
    .await;
}
