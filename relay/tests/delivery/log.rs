//! Delivery over a log of several partitions, and over one that hangs, fails, begins new epochs and
//! loses events.

use super::{
    Dice, QUICK_HEARTBEAT,
    client::{Received, Request, Subscriber, Version},
    inside::{Inside, Mood, Moody},
    is_exact_on,
    relay::{Event, PATIENCE, Publisher, Relay, eventually},
};
use sse_relay::{
    channel::ChannelName,
    cursor::{Place, Places},
    event_log::{Condition, EventLog, Loss, Tail, Whose, resume::Ahead},
    frame::GapReason,
};
use std::{rc::Rc, sync::Arc, sync::atomic::Ordering, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// The relay, what is behind it, and a publisher.
async fn start(partitions: usize) -> (Relay, Inside, Publisher) {
    // one shard, so that streams of the same channels share a feed
    let yaml = format!("{QUICK_HEARTBEAT}http: {{threads: 1}}");
    let (inside, public, admin) = Inside::start(partitions, &yaml).await;
    let relay = Relay::at(public, admin);
    let publisher = Publisher::new(&relay).await;
    (relay, inside, publisher)
}

async fn open(relay: &Relay, query: &str, last: &str) -> Subscriber {
    let request = Request::new(query).header("last-event-id", last);
    Subscriber::open(relay.public, &request).await
}

fn places(id: &str) -> Places {
    Places::parse(id).unwrap()
}

fn json(event: &Received) -> serde_json::Value {
    serde_json::from_str(&event.data).unwrap()
}

async fn is_exact_with_moods(partitions: usize) {
    let (inside, public, admin) = Inside::start(partitions, QUICK_HEARTBEAT).await;
    let log = inside.log.clone();
    let moods = tokio::spawn(async move {
        let mut dice = Dice(partitions as u64);
        for _ in 0..40 {
            log.be([Mood::Well, Mood::Hangs, Mood::Fails][dice.roll(3)]);
            sleep(Duration::from_millis(10 + dice.roll(80) as u64)).await;
        }
        log.be(Mood::Well);
    });
    is_exact_on(Rc::new(Relay::at(public, admin))).await;
    moods.await.unwrap();
    nobody_is_attached(&inside.log).await;
}

/// Every attachment that was answered is ended when its streams are gone.
async fn nobody_is_attached(log: &Arc<Moody>) {
    eventually("no attachment is left", async || {
        log.attachments.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn each_event_comes_once_in_order_though_the_log_hangs_and_fails_now_and_then() {
    is_exact_with_moods(1).await;
}

#[tokio::test]
async fn each_event_comes_once_in_order_from_eight_partitions_too() {
    is_exact_with_moods(8).await;
}

#[tokio::test]
async fn an_event_carries_the_cursor_of_its_whole_stream_and_no_more() {
    let (relay, inside, mut publisher) = start(8).await;
    let partitioning = inside.log.partitioning();
    let of = |channel: &str| partitioning.of(&ChannelName::parse(channel).unwrap());
    assert_ne!(of("a"), of("b"));
    let mut one = open(&relay, "channel=a", "").await;
    let mut two = open(&relay, "channel=a&channel=b", "").await;
    let mut all = open(&relay, "channel=**", "").await;
    relay.wait_for_streams(3).await;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for n in 0..4 {
        a.push(publisher.publish("a", Event::new(n.to_string())).await);
        b.push(publisher.publish("b", Event::new(n.to_string())).await);
    }
    for id in &a {
        assert_eq!(&one.next().await.unwrap().id, id, "its own place is enough");
    }
    let mut last = (None::<String>, None::<String>);
    for n in 0..8 {
        let event = two.next().await.unwrap();
        if n % 2 == 0 {
            last.0 = Some(a[n / 2].clone());
        } else {
            last.1 = Some(b[n / 2].clone());
        }
        let id = places(&event.id);
        assert_eq!(id.len(), 2);
        for (channel, place) in [("a", &last.0), ("b", &last.1)] {
            if let Some(place) = place {
                assert_eq!(id.in_partition(of(channel)), Place::parse(place));
            }
        }
        assert_eq!(places(&all.next().await.unwrap().id).len(), 8);
    }
    // an id of one channel is good for all of them
    let later = publisher.publish("b", Event::new("later")).await;
    let mut more = open(&relay, "channel=a&channel=b", &later).await;
    publisher.publish("a", Event::new("latest")).await;
    let data = more.rest_until("latest").await;
    assert_eq!(data.last().map(String::as_str), Some("latest"));
    assert!(!data.contains(&"later".to_owned()), "{data:?}");
}

#[tokio::test]
async fn streams_stay_open_with_heartbeats_while_the_log_does_not_answer_and_begin_when_it_does() {
    for version in [Version::Http11, Version::Http2] {
        let (relay, inside, mut publisher) = start(8).await;
        let first = publisher.publish("c", Event::new("1")).await;
        for mood in [Mood::Hangs, Mood::Fails] {
            inside.log.be(mood);
            let request = Request::new("channel=c&channel=d&heartbeat=event")
                .version(version)
                .header("last-event-id", &first);
            let mut held = Subscriber::open(relay.public, &request).await;
            assert_eq!(held.status, 200);
            let beat = held.next().await.unwrap();
            assert_eq!((beat.kind.as_str(), beat.id.as_str()), ("heartbeat", ""));
            assert!(held.retry.is_some(), "the first bytes came");
            let waiting = relay.metric("sse_relay_streams_waiting").await;
            assert!((waiting - 1.0).abs() < 0.1, "{waiting}");
            let data = format!("{mood:?}");
            publisher.publish("c", Event::new(&data)).await;
            inside.log.be(Mood::Well);
            let got = held.rest_until(&data).await;
            let events = got.iter().filter(|data| !data.starts_with('{'));
            let missed = if mood == Mood::Hangs { 1 } else { 2 };
            assert_eq!(events.count(), missed, "after the cursor, once: {got:?}");
            drop(held);
            relay.wait_for_streams(0).await;
        }
        let retries = relay.metric("sse_relay_log_retries_total{operation=\"attach\"}");
        assert!(retries.await >= 1.0);
        nobody_is_attached(&inside.log).await;
    }
}

#[tokio::test]
async fn a_stream_that_leaves_while_it_waits_is_forgotten_and_its_channels_are_given_back() {
    let (relay, inside, _) = start(1).await;
    inside.log.be(Mood::Hangs);
    let held = open(&relay, "channel=c", "").await;
    eventually("it waits", async || {
        relay.metric("sse_relay_streams_waiting").await > 0.5
    })
    .await;
    drop(held);
    eventually("it is gone", async || {
        relay.metric("sse_relay_streams_waiting").await < 0.5
    })
    .await;
    assert_eq!(relay.status("/streams").await, 0);
    inside.log.be(Mood::Well);
    let mut next = open(&relay, "channel=c", "").await;
    next.read().await;
    drop(next);
    relay.wait_for_streams(0).await;
    nobody_is_attached(&inside.log).await;
}

#[tokio::test]
async fn what_is_read_for_a_stream_that_leaves_is_given_up() {
    let (relay, inside, mut publisher) = start(1).await;
    publisher.publish("c", Event::new("0")).await;
    // attached already, so that only reading waits
    let _other = open(&relay, "channel=c", "").await;
    relay.wait_for_streams(1).await;
    inside.log.be(Mood::Hangs);
    let wanted = || inside.log.wanted.load(Ordering::SeqCst);
    let reads = open(&relay, "channel=c&from=earliest", "").await;
    eventually("it reads", async || wanted() == 1).await;
    drop(reads);
    eventually("nobody reads", async || wanted() == 0).await;
    inside.log.be(Mood::Well);
    let mut next = open(&relay, "channel=c&from=earliest", "").await;
    assert_eq!(next.data(1).await, ["0"]);
}

#[tokio::test]
async fn history_that_cannot_be_read_is_read_later_and_nothing_live_is_missed() {
    let (relay, inside, mut publisher) = start(8).await;
    for n in 0..5 {
        publisher.publish("c", Event::new(n.to_string())).await;
    }
    // attached already, so that only reading waits
    let _other = open(&relay, "channel=c&channel=b", "").await;
    relay.wait_for_streams(1).await;
    inside.log.be(Mood::Fails);
    let mut stream = open(&relay, "channel=c&channel=b&from=earliest", "").await;
    relay.wait_for_streams(2).await;
    publisher.publish("b", Event::new("live")).await;
    eventually("it was tried", async || {
        relay
            .metric("sse_relay_log_retries_total{operation=\"read\"}")
            .await
            >= 2.0
    })
    .await;
    inside.log.be(Mood::Well);
    assert_eq!(stream.data(6).await, ["0", "1", "2", "3", "4", "live"]);
}

#[tokio::test]
async fn who_asked_for_it_is_told_that_the_log_does_not_answer_and_that_it_does_again() {
    let (relay, inside, mut publisher) = start(1).await;
    let mut told = open(&relay, "channel=c&degraded=true", "").await;
    let mut plain = open(&relay, "channel=c", "").await;
    relay.wait_for_streams(2).await;
    let hub = &inside.app.hub;
    hub.condition(Condition::Degraded);
    inside.log.be(Mood::Hangs);
    let event = told.next().await.unwrap();
    assert_eq!(
        (event.kind.as_str(), &json(&event)["degraded"]),
        ("degraded", &true.into())
    );
    // one that comes meanwhile is told as well
    let mut late = open(&relay, "channel=other&degraded=true", "").await;
    assert_eq!(late.next().await.unwrap().kind, "degraded");
    inside.log.be(Mood::Well);
    hub.condition(Condition::Healthy);
    hub.condition(Condition::Healthy);
    for stream in [&mut told, &mut late] {
        let event = stream.next().await.unwrap();
        assert_eq!(
            (event.kind.as_str(), &json(&event)["degraded"]),
            ("degraded", &false.into())
        );
    }
    publisher.publish("c", Event::new("x")).await;
    assert_eq!(told.next().await.unwrap().data, "x", "once each");
    assert_eq!(plain.next().await.unwrap().data, "x");
}

#[tokio::test]
async fn streams_of_a_route_are_told_it_where_its_dialect_has_words_for_it() {
    let yaml = "routes:
  - {paths: [/told], channels: [c], dialect: {degraded: [{event: state}, {json: '{\"late\": ${degraded}}'}]}}
  - {paths: [/untold], channels: [c]}";
    let (inside, public, admin) = Inside::start(1, yaml).await;
    let relay = Relay::at(public, admin);
    let mut streams = Vec::new();
    for path in ["/told", "/untold"] {
        let mut socket = TcpStream::connect(public).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {public}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        streams.push(socket);
    }
    relay.wait_for_streams(2).await;
    inside.app.hub.condition(Condition::Degraded);
    let told = read_until(&mut streams[0], "\"late\": true}\n\n").await;
    assert!(told.contains("event: state\ndata: "), "{told}");
    inside.app.hub.condition(Condition::Healthy);
    read_until(&mut streams[0], "\"late\": false}\n\n").await;
    Publisher::new(&relay)
        .await
        .publish("c", Event::new("x"))
        .await;
    let untold = read_until(&mut streams[1], "data: x\n\n").await;
    assert!(
        !untold.contains("state") && !untold.contains("degraded"),
        "{untold}"
    );
}

async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let more = timeout(PATIENCE, socket.read_buf(&mut read)).await;
        let n = more.expect("it comes in time").unwrap();
        assert_ne!(n, 0, "{}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn a_new_epoch_goes_on_live_and_is_a_gap_for_who_was_behind() {
    for partitions in [1, 8] {
        let (relay, inside, mut publisher) = start(partitions).await;
        let first = publisher.publish("c", Event::new("1")).await;
        let mut live = open(&relay, "channel=c&channel=d", &first).await;
        relay.wait_for_streams(1).await;
        let second = publisher.publish("c", Event::new("2")).await;
        let before = live.next().await.unwrap().id;
        inside.log.lose_everything();
        let third = publisher.publish("c", Event::new("3")).await;
        assert!(
            places(&third).iter().next().unwrap().id < places(&second).iter().next().unwrap().id
        );
        let event = live.next().await.unwrap();
        assert_eq!(
            event.data, "3",
            "no gap for who had all, though the id is lower"
        );
        let now = places(&event.id);
        assert!(
            now.iter()
                .all(|place| places(&before).epoch(place.partition) != Some(place.epoch))
        );
        // who was behind is told what is gone, and gets what is there
        for (cursor, until) in [(&first, &second), (&second, &second), (&before, &second)] {
            let mut behind = open(&relay, "channel=c&channel=d", cursor).await;
            let gap = behind.next().await.unwrap();
            assert_eq!(gap.kind, "gap");
            let told = json(&gap);
            assert_eq!(
                (&told["reason"], &told["certain"]),
                (&"epoch".into(), &true.into())
            );
            let told = places(told["until"].as_str().unwrap());
            let until = places(until).iter().next().unwrap();
            assert_eq!(told.in_partition(until.partition), Some(until));
            assert_eq!(behind.next().await.unwrap().data, "3");
        }
        // and a cursor of the new epoch is exact
        let mut exact = open(&relay, "channel=c&channel=d", &event.id).await;
        publisher.publish("d", Event::new("4")).await;
        assert_eq!(exact.next().await.unwrap().data, "4");
        assert_eq!(live.next().await.unwrap().data, "4");
    }
}

#[tokio::test]
async fn a_stream_that_still_reads_when_a_new_epoch_begins_is_told_what_it_missed() {
    let (relay, inside, mut publisher) = start(8).await;
    let events: Vec<Event> = (0..50).map(|n| Event::new(n.to_string())).collect();
    publisher.publish_all("c", &events).await;
    let _other = open(&relay, "channel=c&channel=d", "").await;
    relay.wait_for_streams(1).await;
    inside.log.be(Mood::Hangs);
    let mut reading = open(&relay, "channel=c&channel=d&from=earliest", "").await;
    relay.wait_for_streams(2).await;
    inside.log.lose_everything();
    publisher.publish("c", Event::new("new")).await;
    inside.log.be(Mood::Well);
    let gap = reading.next().await.unwrap();
    assert_eq!(
        (gap.kind.as_str(), &json(&gap)["reason"]),
        ("gap", &"epoch".into())
    );
    assert_eq!(reading.next().await.unwrap().data, "new");
    let rest = timeout(Duration::from_millis(300), reading.next()).await;
    assert!(rest.is_err(), "once: {rest:?}");
}

#[tokio::test]
async fn what_the_log_lost_under_its_streams_is_a_gap_where_it_would_have_come() {
    let (relay, inside, mut publisher) = start(8).await;
    let name = |text: &str| ChannelName::parse(text).unwrap();
    let partition = inside.log.partitioning().of(&name("a"));
    let mut streams = Vec::new();
    for query in ["channel=a", "channel=a&channel=b", "channel=*", "channel=b"] {
        streams.push(open(&relay, query, "").await);
    }
    relay.wait_for_streams(4).await;
    let before = publisher.publish("a", Event::new("before")).await;
    let loss = Loss {
        reason: GapReason::Trimmed,
        certain: true,
        partition,
        whose: Whose::These(vec![name("a"), name("nobody's")]),
        after: Place::parse(&before),
        until: Place::parse(&before),
    };
    inside.app.hub.lost(loss.clone());
    publisher.publish("a", Event::new("after")).await;
    publisher.publish("b", Event::new("after")).await;
    for (index, stream) in streams.iter_mut().enumerate().take(3) {
        assert_eq!(stream.next().await.unwrap().data, "before");
        let gap = stream.next().await.unwrap();
        assert_eq!(gap.kind, "gap");
        let told = json(&gap);
        let pattern = serde_json::json!(["a", "nobody's"]);
        let wanted = if index == 2 {
            pattern
        } else {
            serde_json::json!(["a"])
        };
        assert_eq!(
            (&told["channels"], &told["until"]),
            (&wanted, &before.clone().into())
        );
        assert_eq!(
            places(&gap.id).in_partition(partition),
            Place::parse(&before)
        );
        assert_eq!(stream.next().await.unwrap().data, "after");
    }
    assert_eq!(
        streams[3].next().await.unwrap().data,
        "after",
        "b lost nothing"
    );
    let gaps = relay
        .metric("sse_relay_gaps_total{reason=\"trimmed\"}")
        .await;
    assert!((gaps - 3.0).abs() < 0.1, "{gaps}");
}

#[tokio::test]
async fn a_stream_that_cannot_read_its_history_is_told_all_the_same_what_an_epoch_lost() {
    let (relay, inside, mut publisher) = start(8).await;
    let partition = inside
        .log
        .partitioning()
        .of(&ChannelName::parse("c").unwrap());
    let at = publisher.publish("c", Event::new("0")).await;
    let _other = open(&relay, "channel=c&channel=b", "").await;
    relay.wait_for_streams(1).await;
    inside.log.be(Mood::Fails);
    let mut stream = open(&relay, "channel=c&channel=b&from=earliest", "").await;
    eventually("it was tried", async || {
        relay
            .metric("sse_relay_log_retries_total{operation=\"read\"}")
            .await
            >= 1.0
    })
    .await;
    inside.app.hub.lost(Loss {
        reason: GapReason::Epoch,
        certain: true,
        partition,
        whose: Whose::Any,
        after: Place::parse(&at),
        until: Place::parse(&at),
    });
    inside.log.be(Mood::Well);
    let gap = stream.next().await.unwrap();
    assert_eq!(
        (gap.kind.as_str(), &json(&gap)["until"]),
        ("gap", &at.into())
    );
    loop {
        let next = stream.next().await.unwrap();
        match next.kind.as_str() {
            "gap" => {} // it was just reading
            _ => break assert_eq!(next.data, "0"),
        }
    }
}

#[tokio::test]
async fn a_client_that_knows_more_than_its_replica_waits_and_gets_nothing_twice() {
    let (relay, inside, mut publisher) = start(1).await;
    let here = publisher.publish("c", Event::new("1")).await;
    let place = Place::parse(&here).unwrap();
    // as if another replica had delivered it already
    let ahead = Place {
        id: sse_relay::cursor::EventId::new(place.id.get() + 4096 * 500).unwrap(),
        ..place
    };
    let mut stream = open(&relay, "channel=c", &ahead.to_string()).await;
    eventually("it waits", async || {
        relay.metric("sse_relay_streams_waiting").await > 0.5
    })
    .await;
    publisher.publish("c", Event::new("2")).await;
    sleep(Duration::from_millis(600)).await;
    publisher.publish("c", Event::new("3")).await;
    assert_eq!(
        stream.next().await.unwrap().data,
        "3",
        "2 is before its cursor"
    );
    // one that nobody ever gave out is waited for until the log has found out
    let never = Place {
        id: sse_relay::cursor::EventId::new(place.id.get() + (1 << 40)).unwrap(),
        ..place
    };
    let mut stranger = open(&relay, "channel=c", &never.to_string()).await;
    eventually("it waits", async || {
        relay.metric("sse_relay_streams_waiting").await > 0.5
    })
    .await;
    *inside.log.ahead.write() = Ahead::Forgotten;
    eventually("it begins", async || {
        relay.metric("sse_relay_streams_waiting").await < 0.5
    })
    .await;
    publisher.publish("c", Event::new("4")).await;
    assert_eq!(stranger.next().await.unwrap().data, "4");
    nobody_waits(&inside).await;
}

#[tokio::test]
async fn a_client_of_an_epoch_of_which_its_thread_did_not_hear_yet_waits_and_gets_nothing_twice() {
    let (relay, inside, mut publisher) = start(1).await;
    publisher.publish("c", Event::new("1")).await;
    let tell = inside.log.begin_anew();
    let here = publisher.publish("c", Event::new("2")).await;
    let mut stream = open(&relay, "channel=c", &here).await;
    eventually("it waits", async || {
        relay.metric("sse_relay_streams_waiting").await > 0.5
    })
    .await;
    tell();
    publisher.publish("c", Event::new("3")).await;
    let next = stream.next().await.unwrap();
    assert_eq!((next.kind.as_str(), next.data.as_str()), ("message", "3"));
    nobody_waits(&inside).await;
}

async fn nobody_waits(inside: &Inside) {
    eventually("nobody waits", async || {
        inside.app.hub.waiting.load(Ordering::Relaxed) == 0
    })
    .await;
}

#[tokio::test]
async fn a_page_that_was_read_before_a_purge_is_read_again_after_it() {
    let (relay, inside, mut publisher) = start(8).await;
    let first = publisher.publish("c", Event::new("1")).await;
    for text in ["purged", "purged, too"] {
        publisher.publish("c", Event::new(text)).await;
    }
    inside.log.be(Mood::AnswersLate);
    let mut stream = open(&relay, "channel=c", &first).await;
    let mut other = open(&relay, "channel=**", &first).await;
    eventually("both pages are read", async || {
        inside.log.pages.load(Ordering::SeqCst) == 2
    })
    .await;
    inside
        .log
        .purge(&ChannelName::parse("c").unwrap())
        .await
        .unwrap();
    inside.log.be(Mood::Well);
    publisher.publish("c", Event::new("2")).await;
    for stream in [&mut stream, &mut other] {
        let gap = stream.next().await.unwrap();
        assert_eq!(gap.kind, "gap");
        let gap = json(&gap);
        assert_eq!(
            (&gap["reason"], &gap["certain"]),
            (&"purged".into(), &true.into())
        );
        assert_eq!(stream.next().await.unwrap().data, "2");
    }
}
