//! What subscribers get from the real relay: exactly what they asked for, in order, once; and what
//! happens when they are slow, when channels end, and when the relay leaves.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "delivery/client.rs"]
mod client;
#[path = "delivery/effects.rs"]
mod effects;
#[path = "delivery/inside.rs"]
mod inside;
#[path = "delivery/log.rs"]
mod log;
#[path = "delivery/overflow.rs"]
mod overflow;
#[path = "delivery/relay.rs"]
mod relay;
#[path = "delivery/reload.rs"]
mod reload;
#[path = "delivery/standing.rs"]
mod standing;

use client::{End, Received, Request, Subscriber, Version};
use relay::{Event, PATIENCE, Publisher, Relay, eventually};
use sse_relay::{
    channel::ChannelName,
    cursor::{Cursor, Place, Places},
    frame::{Frame, Framing},
};
use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::{JoinSet, LocalSet, yield_now},
    time::{sleep, timeout},
};

/// A small generator: the same numbers in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }
}

/// An event as it was published.
#[derive(Clone, Debug)]
struct Published {
    id: String,
    channel: String,
    data: String,
    kind: &'static str,
    site: &'static str,
}

type Wants = fn(&Published) -> bool;

/// Subscriptions, and what each of them must get.
const SUBSCRIPTIONS: [(&str, Wants); 9] = [
    ("channel=a.1", |e| e.channel == "a.1"),
    ("channel=a.1&channel=a.2&channel=b.1", |e| {
        ["a.1", "a.2", "b.1"].contains(&&*e.channel)
    }),
    ("channel=a.*", |e| e.channel.starts_with("a.")),
    ("channel=**", |_| true),
    ("channel=late.*&channel=a.3", |e| {
        e.channel.starts_with("late.") || e.channel == "a.3"
    }),
    ("channel=a.*&channel=a.1", |e| e.channel.starts_with("a.")),
    ("channel=**&filter.kind=x,y", |e| e.kind != "z"),
    (
        "channel=a.1&channel=a.2&filter.kind=x,z&filter.site=p",
        |e| ["a.1", "a.2"].contains(&&*e.channel) && e.kind != "y" && e.site == "p",
    ),
    ("channel=**&filter.kind=never", |_| false),
];

/// Publishes batches to random channels, some of which appear only later.
async fn publish_at_random(
    publisher: &mut Publisher,
    seed: u64,
    batches: usize,
    all: &RefCell<Vec<Published>>,
) {
    let mut dice = Dice(seed);
    for batch in 0..batches {
        let channel = match dice.roll(6) {
            n @ 0..4 => format!("a.{}", n + 1),
            4 => "b.1".to_owned(),
            _ if batch > batches / 2 => format!("late.{}", batch / 20),
            _ => "a.1".to_owned(),
        };
        let mut made = Vec::new();
        for n in 0..=dice.roll(6) {
            made.push(Published {
                id: String::new(),
                channel: channel.clone(),
                data: format!("{seed} {batch} {n}"),
                kind: ["x", "y", "z"][dice.roll(3)],
                site: ["p", "q"][dice.roll(2)],
            });
        }
        let events: Vec<Event> = made
            .iter()
            .map(|e| {
                Event::new(&e.data)
                    .with("kind", e.kind)
                    .with("site", e.site)
            })
            .collect();
        let ids = publisher.publish_all(&channel, &events).await;
        for (event, id) in made.iter_mut().zip(ids) {
            event.id = id;
        }
        all.borrow_mut().extend(made);
        if dice.roll(4) == 0 {
            sleep(Duration::from_millis(3)).await;
        }
    }
}

/// Subscribes again and again, each time for a random while, with the last id it knows.
async fn come_and_go(
    relay: &Relay,
    query: &str,
    seed: u64,
    done: &RefCell<Option<Places>>,
) -> Vec<Received> {
    let (mut dice, mut got, mut last) = (Dice(seed), Vec::new(), String::new());
    loop {
        let version = [
            Version::Http11,
            Version::Http11,
            Version::Http2,
            Version::Http10,
        ][dice.roll(4)];
        let mut request = Request::new(query).version(version);
        match (last.is_empty(), dice.roll(2)) {
            (true, _) => request.query.push_str("&from=earliest"),
            (false, 0) => request = request.header("last-event-id", &last),
            (false, _) => request.query.push_str(&format!("&lastEventId={last}")),
        }
        let mut stream = Subscriber::open(relay.public, &request).await;
        assert_eq!(stream.status, 200);
        // 0: only the opening block; many: long enough for a heartbeat
        let reads = [0, 1, 3, 10, 400][dice.roll(5)];
        for _ in 0..reads {
            let _ = timeout(Duration::from_millis(50), stream.read()).await;
            if has_all(stream.last_id(), done) {
                break;
            }
        }
        got.extend(stream.take_events());
        if !stream.last_id().is_empty() {
            last = stream.last_id().to_owned();
        }
        if has_all(&last, done) {
            return got;
        }
    }
}

/// Whether a stream with this cursor has everything up to the end, once that is known.
fn has_all(cursor: &str, done: &RefCell<Option<Places>>) -> bool {
    let (Some(cursor), Some(end)) = (Places::parse(cursor), &*done.borrow()) else {
        return false;
    };
    !end.is_past(&cursor)
}

async fn is_exact(yaml: &str) {
    is_exact_on(Rc::new(Relay::start(yaml).await)).await;
}

async fn is_exact_on(relay: Rc<Relay>) {
    let all = Rc::new(RefCell::new(Vec::new()));
    let done = Rc::new(RefCell::new(None));
    let local = LocalSet::new();
    let mut subscribers = Vec::new();
    for (index, (query, wants)) in SUBSCRIPTIONS.iter().cycle().take(27).enumerate() {
        let (relay, done) = (relay.clone(), done.clone());
        let task = local
            .spawn_local(async move { come_and_go(&relay, query, index as u64 + 1, &done).await });
        subscribers.push((query, wants, task));
    }
    local
        .run_until(async {
            let mut publishers = Vec::new();
            for seed in 100..103 {
                let (relay, all) = (relay.clone(), all.clone());
                publishers.push(tokio::task::spawn_local(async move {
                    let mut publisher = Publisher::new(&relay).await;
                    publish_at_random(&mut publisher, seed, 150, &all).await;
                }));
            }
            for publisher in publishers {
                publisher.await.unwrap();
            }
            let mut end = Places::default();
            for event in all.borrow().iter() {
                end.advance(event.place());
            }
            *done.borrow_mut() = Some(end);
            for (query, wants, task) in subscribers {
                let got = timeout(PATIENCE, task)
                    .await
                    .expect("everything in time")
                    .unwrap();
                compare(query, &got, &all.borrow(), *wants);
            }
        })
        .await;
    relay.wait_for_streams(0).await;
    relay.wait_for_rest().await;
}

impl Published {
    fn place(&self) -> Place {
        Place::parse(&self.id).unwrap()
    }
}

/// What a subscriber got is what it wants, each once, in the order of each partition; and no cursor
/// that it was given goes back.
fn compare(query: &str, got: &[Received], all: &[Published], wants: Wants) {
    let published: HashMap<&str, &Published> =
        all.iter().map(|event| (&*event.data, event)).collect();
    let mut times: HashMap<&str, usize> = HashMap::new();
    let mut cursor = Places::default();
    let (mut unwanted, mut reordered) = (0, 0);
    for event in got {
        *times.entry(&event.data).or_default() += 1;
        let Some(published) = published.get(&*event.data).filter(|event| wants(event)) else {
            unwanted += 1;
            continue;
        };
        let own = published.place();
        let id = Places::parse(&event.id).unwrap();
        assert_eq!(id.in_partition(own.partition), Some(own), "{query}");
        reordered += usize::from(cursor.is_past(&id) || cursor.id(own.partition) >= own.id);
        cursor = id;
    }
    let wanted = all.iter().filter(|event| wants(event));
    let lost = wanted.filter(|event| !times.contains_key(&*event.data));
    let duplicated = times.values().filter(|times| **times > 1);
    assert_eq!(
        (lost.count(), duplicated.count(), reordered, unwanted),
        (0, 0, 0, 0),
        "lost, duplicated, reordered, unwanted: {query}"
    );
}

const QUICK_HEARTBEAT: &str = "heartbeat: {interval: 1s}\n";

#[tokio::test]
async fn every_subscriber_gets_each_event_once_in_order_through_any_number_of_reconnections() {
    is_exact(&format!("{QUICK_HEARTBEAT}http: {{threads: 1}}")).await;
}

#[tokio::test]
async fn the_same_holds_when_streams_move_between_several_shards() {
    is_exact(&format!("{QUICK_HEARTBEAT}http: {{threads: 4}}")).await;
}

#[tokio::test]
async fn the_first_bytes_come_at_once_and_heartbeats_carry_the_cursor() {
    let relay =
        Relay::start("heartbeat: {interval: 1s}\nstream: {retry: 2s, retryJitter: 0}").await;
    let mut publisher = Publisher::new(&relay).await;
    let before = publisher.publish("other", Event::new("x")).await;
    for version in [Version::Http10, Version::Http11, Version::Http2] {
        let request = Request::new("channel=quiet").version(version);
        let mut plain = Subscriber::open(relay.public, &request).await;
        plain.reach(&before).await;
        assert_eq!(plain.retry, Some(2000));
        let mut eventful = Subscriber::open(
            relay.public,
            &Request {
                query: "channel=quiet&heartbeat=event&connected=true".into(),
                ..request
            },
        )
        .await;
        let connected = eventful.next().await.unwrap();
        assert_eq!(connected.kind, "connected");
        let data: serde_json::Value = serde_json::from_str(&connected.data).unwrap();
        let listed = relay.connections().await;
        assert!(
            listed
                .iter()
                .any(|stream| stream["id"] == data["connection"]),
            "{data}"
        );
        let later = publisher.publish("other", Event::new("y")).await;
        plain.reach(&later).await;
        assert!(
            plain.take_events().is_empty(),
            "a comment dispatches nothing"
        );
        eventful.reach(&later).await;
        let beats = eventful.take_events();
        assert!(
            !beats.is_empty() && beats.iter().all(|beat| beat.kind == "heartbeat"),
            "{beats:?}"
        );
    }
}

#[tokio::test]
async fn a_stream_begins_where_it_is_told_to() {
    let relay = Relay::start("").await;
    let mut publisher = Publisher::new(&relay).await;
    publisher.publish("c", Event::new("1")).await;
    sleep(Duration::from_millis(5)).await;
    let time = jiff::Timestamp::now();
    sleep(Duration::from_millis(5)).await;
    publisher.publish("c", Event::new("2")).await;
    let open = async |from: &str| {
        Subscriber::open(
            relay.public,
            &Request::new(format!("channel=c&from={from}")),
        )
        .await
    };
    let (mut all, mut latest, mut timed) = (
        open("earliest").await,
        open("latest").await,
        open(&time.to_string()).await,
    );
    publisher.publish("c", Event::new("3")).await;
    assert_eq!(all.data(3).await, ["1", "2", "3"]);
    assert_eq!(latest.data(1).await, ["3"]);
    assert_eq!(timed.data(2).await, ["2", "3"]);
}

#[tokio::test]
async fn what_retention_took_is_announced_with_its_range_and_nothing_else_is() {
    let relay = Relay::start("retention: {events: 5}").await;
    let mut publisher = Publisher::new(&relay).await;
    let events: Vec<Event> = (0..20).map(|n| Event::new(n.to_string())).collect();
    let ids = publisher.publish_all("c", &events).await;
    let resume = async |id: &str| {
        Subscriber::open(
            relay.public,
            &Request::new("channel=c").header("Last-Event-ID", id),
        )
        .await
    };
    let mut behind = resume(&ids[3]).await;
    let gap = behind.next().await.unwrap();
    assert_eq!(gap.kind, "gap");
    let gap: serde_json::Value = serde_json::from_str(&gap.data).unwrap();
    assert_eq!(
        gap,
        serde_json::json!({"reason": "trimmed", "certain": true, "after": ids[3], "until": ids[14], "channels": ["c"]})
    );
    assert_eq!(behind.data(5).await, ["15", "16", "17", "18", "19"]);
    assert_eq!(
        resume(&ids[14]).await.data(5).await,
        ["15", "16", "17", "18", "19"],
        "nothing is missing"
    );
}

#[tokio::test]
async fn a_history_of_many_pages_joins_what_is_published_meanwhile() {
    let relay = Rc::new(Relay::start("").await);
    let mut publisher = Publisher::new(&relay).await;
    let padding = "x".repeat(200);
    let event = |n: usize| Event::new(format!("{n} {padding}"));
    for from in (0..6000).step_by(500) {
        let events: Vec<Event> = (from..from + 500).map(event).collect();
        publisher.publish_all("c", &events).await;
    }
    let mut readers = JoinSet::new();
    for version in [Version::Http10, Version::Http11, Version::Http2] {
        let public = relay.public;
        readers.spawn(async move {
            let request = Request::new("channel=c&from=earliest").version(version);
            let mut stream = Subscriber::open(public, &request).await;
            let got = stream.data(9000).await;
            got.iter()
                .map(|data| data.split(' ').next().unwrap().parse().unwrap())
                .collect::<Vec<usize>>()
        });
    }
    for n in 6000..9000 {
        publisher.publish("c", event(n)).await;
    }
    while let Some(got) = readers.join_next().await {
        assert_eq!(got.unwrap(), (0..9000).collect::<Vec<_>>());
    }
    relay.wait_for_streams(0).await;
    relay.wait_for_rest().await;
}

/// The bytes that an event is on a chunked stream.
fn wire(id: &str, channel: &str, data: &str) -> Vec<u8> {
    assert!(matches!(
        Cursor::from_last_event_id(id),
        Some(Cursor::After(_))
    ));
    let channel = ChannelName::parse(channel).unwrap();
    let event = sse_relay::event::Event::text(data);
    Frame::event(id.as_bytes(), channel.as_str(), &event)
        .bytes(Framing::Chunked)
        .to_vec()
}

/// Compares a stream's bytes with the frames that they must be, as both grow.
async fn follow(
    mut socket: tokio::net::TcpStream,
    expected: Rc<RefCell<Vec<Vec<u8>>>>,
    until: Rc<RefCell<Option<usize>>>,
) {
    let heartbeat = Frame::heartbeat_comment(Some("0eeeeeiiiiiiiii"));
    let heartbeat = heartbeat.bytes(Framing::Chunked);
    let (mut frame, mut pending) = (0, Vec::new());
    while until.borrow().is_none_or(|until| frame < until) {
        // the publisher may say that it was all while nothing comes any more
        let read = socket.read_buf(&mut pending);
        if let Ok(n) = timeout(Duration::from_millis(200), read).await {
            assert_ne!(n.unwrap(), 0, "open to the end");
        }
        loop {
            if pending.starts_with(&heartbeat[..6]) && pending.len() >= heartbeat.len() {
                pending.drain(..heartbeat.len());
            }
            let whole = match expected.borrow().get(frame) {
                Some(bytes) if pending.len() >= bytes.len() => bytes.len(),
                _ => break,
            };
            assert!(
                expected.borrow()[frame] == pending[..whole],
                "frame {frame} as it must be"
            );
            pending.drain(..whole);
            frame += 1;
        }
    }
}

#[tokio::test]
async fn a_reader_that_stops_is_closed_as_slow_and_resumes_while_a_thousand_others_get_everything()
{
    let relay = Relay::start("heartbeat: {interval: 10m}\nstream: {maxQueueBytes: 64Ki}").await;
    let mut publisher = Publisher::new(&relay).await;
    let (expected, until) = (
        Rc::new(RefCell::new(Vec::new())),
        Rc::new(RefCell::new(None)),
    );
    let local = LocalSet::new();
    local
        .run_until(async {
            let mut readers = Vec::new();
            let mut stopped =
                Subscriber::open_narrow(relay.public, &Request::new("channel=big&client=stopped"))
                    .await;
            for _ in 0..999 {
                let mut stream = Subscriber::open(relay.public, &Request::new("channel=big")).await;
                while stream.last_id().is_empty() {
                    stream.read().await;
                }
                let socket = stream.into_socket();
                readers.push(tokio::task::spawn_local(follow(
                    socket,
                    expected.clone(),
                    until.clone(),
                )));
            }
            let mut published = Vec::new();
            let large = "x".repeat(16 * 1024);
            while relay.status("/streams").await == 1000 {
                assert!(published.len() < 2000, "its socket is full by now");
                for _ in 0..10 {
                    let data = format!("{} {large}", published.len());
                    let id = publisher.publish("big", Event::new(&data)).await;
                    expected.borrow_mut().push(wire(&id, "big", &data));
                    published.push(data);
                    yield_now().await;
                }
            }
            *until.borrow_mut() = Some(expected.borrow().len());
            for reader in readers {
                timeout(PATIENCE, reader)
                    .await
                    .expect("everything in time")
                    .unwrap();
            }
            let listed = relay.log();
            let line = listed
                .lines()
                .find(|line| line.contains("stopped") && line.contains("slow"));
            assert!(line.is_some(), "{listed}");
            let mut got: Vec<String> = stopped
                .rest()
                .await
                .into_iter()
                .map(|event| event.data)
                .collect();
            assert_eq!(stopped.end, Some(End::Cut));
            let request = Request::new("channel=big").header("Last-Event-ID", stopped.last_id());
            let mut again = Subscriber::open(relay.public, &request).await;
            got.extend(again.data(published.len() - got.len()).await);
            assert!(got == published, "nothing is lost in sum");
        })
        .await;
    relay.wait_for_streams(0).await;
    relay.wait_for_rest().await;
}

/// Publishes until a condition holds; how many events.
async fn publish_until(
    publisher: &mut Publisher,
    channel: &str,
    event: impl Fn(usize) -> Event,
    mut holds: impl AsyncFnMut() -> bool,
) -> usize {
    for n in (0..20_000).step_by(20) {
        if holds().await {
            return n;
        }
        let events: Vec<Event> = (n..n + 20).map(&event).collect();
        publisher.publish_all(channel, &events).await;
    }
    panic!("it never came");
}

const SLOW: [Version; 2] = [Version::Http11, Version::Http2];

#[tokio::test]
async fn a_slow_stream_that_drops_the_oldest_hears_of_every_gap_and_gets_the_newest() {
    let relay = Relay::start(
        "stream: {maxQueueBytes: 64Ki}\nretention: {events: 100000}\nchannels: [{match: \"d.*\", overflow: dropOldest}]",
    )
    .await;
    let mut publisher = Publisher::new(&relay).await;
    for (index, version) in SLOW.into_iter().enumerate() {
        let channel = format!("d.{index}");
        let request = Request::new(format!("channel={channel}")).version(version);
        let mut slow = Subscriber::open_narrow(relay.public, &request).await;
        let (padding, before) = ("x".repeat(8000), relay.status("/events/dropped").await);
        let count = publish_until(
            &mut publisher,
            &channel,
            |n| Event::new(format!("{n} {padding}")),
            async || {
                let waiting = relay.status("/memory/queueBytes").await;
                assert!(waiting < 400_000, "{waiting} bytes are no bound");
                relay.status("/events/dropped").await > before + 200
            },
        )
        .await;
        let last = publisher.publish(&channel, Event::new("last")).await;
        let mut got = Vec::new();
        while got.last().is_none_or(|event: &Received| event.id != last) {
            got.push(slow.next().await.expect("it is not closed"));
        }
        let mut numbers: Vec<usize> = Vec::new();
        for (at, event) in got.iter().enumerate() {
            if event.kind == "gap" {
                let gap: serde_json::Value = serde_json::from_str(&event.data).unwrap();
                let expected = serde_json::json!({"reason": "overflow", "certain": true,
                    "after": got[at - 1].id, "until": event.id, "channels": []});
                assert_eq!(gap, expected);
            } else if event.id != last {
                let number = event.data.split(' ').next().unwrap().parse().unwrap();
                let after_gap = at > 0 && got[at - 1].kind == "gap";
                let next = numbers.last().map_or(0, |number| number + 1);
                assert!(
                    if after_gap {
                        number > next
                    } else {
                        number == next
                    },
                    "{number} at {at}"
                );
                numbers.push(number);
            }
        }
        assert_eq!(numbers.last(), Some(&(count - 1)), "the newest");
        let listed = relay.connections().await;
        assert_eq!(listed[0]["dropped"], count - numbers.len());
        assert_eq!(listed[0]["delivered"], numbers.len() + 1);
        drop(slow);
        relay.wait_for_streams(0).await;
        relay.wait_for_rest().await;
    }
}

#[tokio::test]
async fn a_slow_stream_that_coalesces_gets_the_last_value_of_each_key_in_order() {
    let relay = Relay::start(
        "stream: {maxQueueBytes: 128Ki}\nretention: {events: 100000}\n\
         channels: [{match: \"p.*\", overflow: coalesce, coalesceBy: symbol}]",
    )
    .await;
    let mut publisher = Publisher::new(&relay).await;
    for version in SLOW {
        let request = Request::new("channel=p.*").version(version);
        let mut slow = Subscriber::open_narrow(relay.public, &request).await;
        relay.wait_for_streams(1).await;
        let (padding, before) = ("x".repeat(4000), relay.status("/events/dropped").await);
        let channel = format!("p.{version:?}");
        // far more than fits: only what replaces an older value of the same key can be kept
        let count = publish_until(
            &mut publisher,
            &channel,
            |n| Event::new(format!("{n} {padding}")).with("symbol", format!("s{}", n % 7)),
            async || {
                let waiting = relay.status("/memory/queueBytes").await;
                assert!(waiting < 800_000, "{waiting} bytes are no bound");
                relay.status("/events/dropped").await > before + 300
            },
        )
        .await;
        // the same keys in another channel are others
        let other = format!("p.{version:?}-other");
        publisher
            .publish(&other, Event::new("other").with("symbol", "s0"))
            .await;
        let last = publisher.publish(&channel, Event::new("last")).await;
        let mut got = Vec::new();
        while got.last().is_none_or(|event: &Received| event.id != last) {
            got.push(slow.next().await.expect("it is not closed"));
        }
        assert!(
            got.windows(2).all(|pair| pair[0].id < pair[1].id),
            "in order, each once"
        );
        assert!(got.len() < count && got.iter().any(|event| event.data == "other"));
        let values: Vec<usize> = got
            .iter()
            .filter_map(|event| event.data.split(' ').next()?.parse().ok())
            .collect();
        for n in count - 7..count {
            assert!(values.contains(&n), "the last value of s{}", n % 7);
        }
        assert_eq!(
            relay.connections().await[0]["dropped"],
            count - values.len()
        );
        drop(slow);
        relay.wait_for_streams(0).await;
        relay.wait_for_rest().await;
    }
}

#[tokio::test]
async fn an_event_larger_than_the_queue_reaches_who_has_nothing_else_waiting() {
    let relay = Relay::start(
        "stream: {maxQueueBytes: 16Ki}\nevent: {maxBytes: 8Mi}\nhttp: {maxBodyBytes: 16Mi}\n",
    )
    .await;
    let mut publisher = Publisher::new(&relay).await;
    let huge = "x".repeat(6 << 20);
    let mut streams = Vec::new();
    for version in [Version::Http10, Version::Http11, Version::Http2] {
        let request = Request::new("channel=c").version(version);
        streams.push(Subscriber::open_narrow(relay.public, &request).await);
    }
    relay.wait_for_streams(3).await;
    publisher.publish("c", Event::new(&huge)).await;
    // rounds that bring nothing more do not count it again
    let mut passing = Subscriber::open(relay.public, &Request::new("channel=c")).await;
    passing.read().await;
    drop(passing);
    relay.wait_for_streams(3).await;
    for stream in &mut streams {
        assert!(stream.next().await.expect("it is not closed").data == huge);
    }
    publisher.publish("c", Event::new("after")).await;
    for stream in &mut streams {
        assert_eq!(stream.data(1).await, ["after"]);
    }
    relay.wait_for_rest().await;
}

#[tokio::test]
async fn past_the_memory_of_the_process_the_furthest_behind_give_way_and_nobody_else() {
    let relay = Relay::start(
        "stream: {maxQueueBytes: 2Mi, maxMemory: 4Mi}\nretention: {events: 100000}\nhttp: {threads: 2}",
    )
    .await;
    let mut publisher = Publisher::new(&relay).await;
    // filters of their own, so that each holds bytes of its own
    let mut slow = Vec::new();
    for n in 0..8 {
        let query = format!("channel=c&filter.to=all,{n}&client=slow{n}");
        slow.push(Subscriber::open_narrow(relay.public, &Request::new(query)).await);
    }
    let mut quick = Subscriber::open(relay.public, &Request::new("channel=c")).await;
    relay.wait_for_streams(9).await;
    let reading = tokio::spawn(async move {
        let mut got = Vec::new();
        loop {
            let data = quick.next().await.expect("others are unaffected").data;
            if data == "last" {
                return got;
            }
            got.push(data);
        }
    });
    let padding = "x".repeat(8000);
    let event = |n: usize| Event::new(format!("{n} {padding}")).with("to", "all");
    let count = publish_until(&mut publisher, "c", event, async || {
        let waiting = relay.status("/memory/queueBytes").await;
        assert!(waiting < (4 << 20) + (1 << 20), "{waiting} bytes");
        relay.status("/streams").await < 8
    })
    .await;
    publisher.publish("c", Event::new("last")).await;
    let got = reading.await.unwrap();
    assert_eq!(got.len(), count);
    assert!(relay.log().contains("memory"), "{}", relay.log());
    drop(slow);
    relay.wait_for_streams(0).await;
    relay.wait_for_rest().await;
}

#[tokio::test]
async fn the_end_of_a_channel_closes_its_streams_and_a_return_gets_204() {
    let relay = Relay::start("").await;
    let mut publisher = Publisher::new(&relay).await;
    for version in [Version::Http10, Version::Http11, Version::Http2] {
        let (a, b) = (format!("a{version:?}"), format!("b{version:?}"));
        let open = async |query: &str| {
            Subscriber::open(relay.public, &Request::new(query).version(version)).await
        };
        let mut single = open(&format!("channel={a}&filter.k=v")).await;
        let mut both = open(&format!("channel={a}&channel={b}")).await;
        relay.wait_for_streams(2).await;
        publisher.publish(&a, Event::new("1").with("k", "v")).await;
        publisher.publish(&a, Event::new("bye").last()).await;
        let kinds = |events: Vec<Received>| -> Vec<(String, String)> {
            events
                .into_iter()
                .map(|event| (event.kind, event.data))
                .collect()
        };
        let pair = |kind: &str, data: &str| (kind.to_owned(), data.to_owned());
        let end = |channel: &str| pair("end", &format!("{{\"channel\":\"{channel}\"}}"));
        assert_eq!(kinds(single.rest().await), [pair("message", "1"), end(&a)]);
        assert_eq!(single.end, Some(End::Whole));
        relay.wait_for_streams(1).await;
        publisher.publish(&b, Event::new("too").last()).await;
        assert_eq!(
            kinds(both.rest().await),
            [
                pair("message", "1"),
                pair("message", "bye"),
                end(&a),
                pair("message", "too"),
                end(&b)
            ]
        );
        assert_eq!(both.end, Some(End::Whole));
        let returned = open(&format!("channel={a}&lastEventId={}", single.last_id())).await;
        assert_eq!(returned.status, 204);
        let mut new = open(&format!("channel={a}&from=earliest")).await;
        assert_eq!(
            kinds(new.rest().await),
            [pair("message", "1"), pair("message", "bye"), end(&a)]
        );
        assert_eq!(new.end, Some(End::Whole));
    }
    relay.wait_for_streams(0).await;
    relay.wait_for_rest().await;
}

#[tokio::test]
async fn wait_empty_answers_when_the_last_stream_has_left() {
    let relay = Relay::start("").await;
    let mut publisher = Publisher::new(&relay).await;
    let (one, two) = (
        Subscriber::open(relay.public, &Request::new("channel=c")).await,
        Subscriber::open(relay.public, &Request::new("channel=*")).await,
    );
    publisher.publish("c", Event::new("1")).await;
    let public = relay.public;
    let waiting = tokio::spawn(async move {
        relay::exchange(public, "GET /v1/channels/c?wait=empty", "")
            .await
            .unwrap()
    });
    drop(one);
    relay.wait_for_streams(1).await;
    assert!(!waiting.is_finished());
    drop(two);
    let answer = timeout(PATIENCE, waiting)
        .await
        .expect("an answer")
        .unwrap();
    assert_eq!(
        (answer.status, answer.json()["streams"].as_u64()),
        (200, Some(0))
    );
}

#[tokio::test]
async fn a_channel_that_is_closed_to_subscribers_is_seen_through_no_pattern() {
    let relay =
        Relay::start("retention: {events: 3}\nchannels: [{match: \"secret.**\", subscribe: deny}]")
            .await;
    let mut publisher = Publisher::new(&relay).await;
    let first = publisher.publish("open.a", Event::new("1")).await;
    let events: Vec<Event> = (0..10).map(|n| Event::new(format!("hidden {n}"))).collect();
    publisher.publish_all("secret.x", &events).await;
    publisher.publish("open.a", Event::new("2")).await;
    let mut live = Subscriber::open(relay.public, &Request::new("channel=**")).await;
    let mut replaying =
        Subscriber::open(relay.public, &Request::new("channel=**&from=earliest")).await;
    let resuming = Request::new("channel=**").header("Last-Event-ID", &first);
    let mut resuming = Subscriber::open(relay.public, &resuming).await;
    relay.wait_for_streams(3).await;
    publisher.publish("secret.y", Event::new("hidden")).await;
    publisher.publish("open.a", Event::new("3")).await;
    assert_eq!(live.data(1).await, ["3"]);
    assert_eq!(replaying.data(3).await, ["1", "2", "3"]);
    assert_eq!(
        resuming.data(2).await,
        ["2", "3"],
        "no gap in what it may not see"
    );
}

const QUICK_DRAIN: &str = "drain: {propagation: 1500ms, window: 1500ms, timeout: 20s}\n";

#[tokio::test]
async fn a_drain_goes_on_serving_then_sends_everybody_away_and_ends() {
    let mut relay = Relay::start(&format!("{QUICK_DRAIN}http: {{threads: 2}}")).await;
    let mut publisher = Publisher::new(&relay).await;
    let mut streams = Vec::new();
    for n in 0..40 {
        let version = [Version::Http11, Version::Http10, Version::Http2][n % 3];
        let request = Request::new("channel=c").version(version);
        streams.push(Subscriber::open(relay.public, &request).await);
    }
    relay.wait_for_streams(40).await;
    // connections that are there already, and say something only once it drains
    let mut early = Vec::new();
    for _ in 0..2 {
        early.push(tokio::net::TcpStream::connect(relay.public).await.unwrap());
    }
    relay.status("/streams").await;
    relay.signal();
    eventually("not ready", async || {
        relay::exchange(relay.admin, "GET /readyz", "")
            .await
            .unwrap()
            .status
            == 503
    })
    .await;
    let health = relay.get("/health").await;
    assert_eq!(
        (health.status, health.json()),
        (503, serde_json::json!({"status": "draining"}))
    );
    publisher.publish("c", Event::new("still")).await;
    let mut late = Subscriber::open(relay.public, &Request::new("channel=c&from=earliest")).await;
    assert_eq!(late.data(1).await, ["still"]);
    streams.push(late);
    eventually("it closes", async || relay.log().contains("drain.closing")).await;
    let browser = Request::new("channel=c")
        .header("Sec-Fetch-Mode", "cors")
        .header("Sec-Fetch-Site", "same-origin");
    let mut turned_away = Subscriber::on(early.remove(0), relay.public, &browser).await;
    assert_eq!(
        (turned_away.status, turned_away.rest().await),
        (200, Vec::new())
    );
    assert!(
        turned_away.retry.is_some() && turned_away.head.contains("connection: close"),
        "{}",
        turned_away.head
    );
    let program = Subscriber::on(early.remove(0), relay.public, &Request::new("channel=c")).await;
    assert_eq!(program.status, 503);
    assert!(
        program.head.contains("retry-after: ") && program.head.contains("connection: close"),
        "{}",
        program.head
    );
    for (index, stream) in streams.iter_mut().enumerate() {
        stream.retry = None;
        let rest = stream.rest().await;
        assert!(rest.len() <= 1, "{rest:?}");
        assert_eq!(stream.end, Some(End::Whole), "stream {index}");
        assert!(
            stream.retry.is_some(),
            "stream {index} hears when to come back"
        );
    }
    assert!(relay.exit().await.success());
    assert!(relay.log().contains("drain.finished"), "{}", relay.log());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut relay = Relay::start("drain: {propagation: 300s, window: 300s, timeout: 600s}").await;
    let mut stream = Subscriber::open(relay.public, &Request::new("channel=c")).await;
    relay.signal();
    eventually("it drains", async || relay.log().contains("drain.started")).await;
    relay.signal();
    assert!(relay.exit().await.success());
    assert_eq!(stream.rest().await, Vec::new());
    assert_eq!(stream.end, Some(End::Cut));
}

#[tokio::test]
async fn a_drain_does_not_wait_for_who_stopped_reading_longer_than_the_window() {
    let mut relay = Relay::start(
        "stream: {maxQueueBytes: 8Mi}\ndrain: {propagation: 0s, window: 1s, timeout: 60s}",
    )
    .await;
    let mut publisher = Publisher::new(&relay).await;
    let slow = Subscriber::open_narrow(relay.public, &Request::new("channel=c")).await;
    let idle = tokio::net::TcpStream::connect(relay.public).await.unwrap();
    let padding = "x".repeat(8000);
    publish_until(
        &mut publisher,
        "c",
        |_| Event::new(&padding),
        async || relay.status("/memory/queueBytes").await > 0,
    )
    .await;
    drop(publisher);
    relay.signal();
    assert!(relay.exit().await.success());
    assert!(relay.log().contains("drain.finished"), "{}", relay.log());
    drop((slow, idle));
}

#[tokio::test]
async fn what_a_subscriber_says_after_its_request_is_ignored_and_too_much_of_it_ends_the_stream() {
    let relay = Relay::start("").await;
    let mut publisher = Publisher::new(&relay).await;
    let mut chatty = Subscriber::open(relay.public, &Request::new("channel=c")).await;
    for n in 0..20 {
        chatty
            .socket()
            .write_all(b"GET / HTTP/1.1\r\n\r\n junk \0\xff")
            .await
            .unwrap();
        publisher.publish("c", Event::new(n.to_string())).await;
        assert_eq!(chatty.data(1).await, [n.to_string()]);
    }
    let mut flooding = Subscriber::open(relay.public, &Request::new("channel=c")).await;
    let junk = vec![b'j'; 1 << 20];
    while flooding.socket().write_all(&junk).await.is_ok() {}
    relay.wait_for_streams(1).await;
    drop(chatty);
    relay.wait_for_streams(0).await;
}

#[tokio::test]
async fn streams_that_are_reset_while_events_flow_hurt_nobody() {
    let relay = Relay::start("").await;
    let mut publisher = Publisher::new(&relay).await;
    let mut stays = Subscriber::open(relay.public, &Request::new("channel=c")).await;
    let mut count = 0;
    for round in 0..5 {
        let mut leaving = Vec::new();
        for n in 0..100 {
            let version = [Version::Http11, Version::Http11, Version::Http2][n % 3];
            leaving.push(
                Subscriber::open(relay.public, &Request::new("channel=c").version(version)).await,
            );
        }
        for mut stream in leaving {
            publisher.publish("c", Event::new(count.to_string())).await;
            count += 1;
            if round % 2 == 0 && stream.head.starts_with("http/1.1") {
                let socket = stream.socket();
                rustix::net::sockopt::set_socket_linger(&*socket, Some(Duration::ZERO)).unwrap();
            }
        }
    }
    let expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(stays.data(count).await, expected);
    relay.wait_for_streams(1).await;
    assert_eq!(relay.connections().await[0]["delivered"], count);
    drop(stays);
    relay.wait_for_streams(0).await;
    relay.wait_for_rest().await;
}

#[tokio::test]
async fn a_storm_of_two_thousand_streams_leaves_nothing_behind() {
    let relay = Relay::start("http: {threads: 2}\nretention: {events: 50}").await;
    let publish = {
        let mut publisher = Publisher::new(&relay).await;
        async move {
            for n in 0..400 {
                publisher.publish("storm", Event::new(n.to_string())).await;
                sleep(Duration::from_millis(2)).await;
            }
        }
    };
    let storm = async {
        let mut open = Vec::new();
        for n in 0..2000 {
            let from = ["latest", "earliest"][n % 2];
            let query = format!("channel=storm&from={from}&filter.n={}", n % 5);
            let request = Request::new(if n % 3 == 0 {
                query
            } else {
                format!("channel=storm&from={from}")
            });
            open.push(Subscriber::open(relay.public, &request).await);
            if n % 7 == 6 {
                open.drain(..3);
            }
        }
        open
    };
    let ((), open) = tokio::join!(publish, storm);
    relay.wait_for_streams(open.len() as u64).await;
    assert_eq!(relay.connections().await.len(), open.len());
    drop(open);
    relay.wait_for_streams(0).await;
    assert!(relay.connections().await.is_empty());
    relay.wait_for_rest().await;
    let lines = relay.log();
    assert!(!lines.contains("panic"), "{lines}");
}

#[tokio::test]
async fn an_event_for_streams_that_share_no_feed_is_not_rendered_for_all_at_once() {
    const STREAMS: usize = 800;
    // what a socket takes at once
    const SIZE: usize = 50_000;
    let relay = Relay::start("http: {threads: 1}").await;
    let mut publisher = Publisher::new(&relay).await;
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        // a filter of its own is a feed of its own, as a subject of its own is
        let query = format!("channel=c&filter.kind=all,{number}");
        let mut stream = Subscriber::open(relay.public, &Request::new(query)).await;
        streams.spawn(async move {
            for _ in 0..3 {
                assert_eq!(stream.next().await.unwrap().data.len(), SIZE);
            }
        });
    }
    relay.wait_for_streams(STREAMS as u64).await;
    let before = relay.sample("process_resident_memory_bytes").await;
    for _ in 0..3 {
        let large = Event::new("x".repeat(SIZE)).with("kind", "all");
        publisher.publish("c", large).await;
        relay.wait_for_rest().await;
    }
    let after = relay.sample("process_resident_memory_bytes").await;
    let all_at_once = (STREAMS * SIZE) as u64;
    assert!(after - before < all_at_once / 2, "{before} {after}");
    while let Some(stream) = streams.join_next().await {
        stream.unwrap();
    }
}
