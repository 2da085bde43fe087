//! What becomes of a stream whose client reads too slowly, by policy: nothing that is lost is lost without
//! a word, and nobody else waits.

use super::*;

const PADDING: usize = 8000;

fn event(n: usize) -> Event {
    Event::new(format!("{n} {}", "x".repeat(PADDING)))
}

/// What an event of [`event`] was.
fn number(event: &Received) -> usize {
    event.data.split(' ').next().unwrap().parse().unwrap()
}

fn gap(event: &Received) -> serde_json::Value {
    assert_eq!(event.kind, "gap", "{event:?}");
    serde_json::from_str(&event.data).unwrap()
}

#[tokio::test]
async fn a_slow_stream_that_drops_the_newest_keeps_the_oldest_and_hears_of_the_rest() {
    let relay = Relay::start(
        "stream: {maxQueueBytes: 64Ki}\nretention: {events: 100000}\nchannels: [{match: \"d.*\", overflow: dropNewest}]",
    )
    .await;
    let mut publisher = Publisher::new(&relay).await;
    for (index, version) in SLOW.into_iter().enumerate() {
        let channel = format!("d.{index}");
        let request = Request::new(format!("channel={channel}")).version(version);
        let mut slow = Subscriber::open_narrow(relay.public, &request).await;
        let before = relay.status("/events/dropped").await;
        let count = publish_until(&mut publisher, &channel, event, async || {
            let waiting = relay.status("/memory/queueBytes").await;
            assert!(waiting < 400_000, "{waiting} bytes are no bound");
            relay.status("/events/dropped").await > before + 200
        })
        .await;
        // what was dropped is known, since nothing comes any more
        let (mut got, mut numbers) = (Vec::<Received>::new(), Vec::new());
        loop {
            let event = slow.next().await.expect("it is not closed");
            if event.kind == "gap" {
                let expected = serde_json::json!({"reason": "overflow", "certain": true,
                    "after": got.last().unwrap().id, "until": event.id, "channels": []});
                assert_eq!(gap(&event), expected);
                let dropped = relay.status("/events/dropped").await - before;
                got.push(event);
                if numbers.len() + usize::try_from(dropped).unwrap() == count {
                    break;
                }
                continue;
            }
            let after_gap = got.last().is_some_and(|last| last.kind == "gap");
            let next = numbers.last().map_or(0, |last| last + 1);
            let n = number(&event);
            assert!(if after_gap { n > next } else { n == next }, "{n}");
            numbers.push(n);
            got.push(event);
        }
        assert!(
            numbers.last() < Some(&(count - 1)),
            "the newest is not there"
        );
        let last = publisher.publish(&channel, Event::new("last")).await;
        assert_eq!(slow.next().await.unwrap().id, last, "it goes on");
        let listed = relay.connections().await;
        assert_eq!(listed[0]["dropped"], count - numbers.len());
        assert_eq!(listed[0]["delivered"], numbers.len() + 1);
        // who comes back with the id before the gap reads what the log still has
        let missed = got.iter().rposition(|event| event.kind == "gap").unwrap();
        let request = Request::new(format!("channel={channel}"))
            .header("Last-Event-ID", got[missed - 1].id.clone());
        let mut again = Subscriber::open(relay.public, &request).await;
        assert_eq!(
            number(&again.next().await.unwrap()),
            number(&got[missed - 1]) + 1
        );
        drop((slow, again));
        relay.wait_for_streams(0).await;
        relay.wait_for_rest().await;
    }
    let told = relay
        .metric("sse_relay_gaps_total{reason=\"overflow\"}")
        .await;
    assert!(told >= 2.0, "{told}");
}

#[tokio::test]
async fn a_slow_stream_that_catches_up_is_not_cut_and_loses_nothing_that_the_log_has() {
    let relay = Relay::start(
        "stream: {maxQueueBytes: 64Ki, overflow: catchUp}\nretention: {events: 100000}\nhttp: {threads: 1}",
    )
    .await;
    let mut publisher = Publisher::new(&relay).await;
    for (index, version) in SLOW.into_iter().enumerate() {
        let channel = format!("c.{index}");
        let request = Request::new(format!("channel={channel}&channel=other")).version(version);
        let mut slow = Subscriber::open_narrow(relay.public, &request).await;
        let quick = Request::new(format!("channel={channel}&channel=other"));
        let mut quick = Subscriber::open(relay.public, &quick).await;
        let (mut published, mut read) = (0, 0);
        // it falls behind and comes back, again and again
        for round in 0..6 {
            for n in 0..400 {
                if n % 20 == 0 {
                    let events: Vec<Event> = (published..published + 20).map(event).collect();
                    publisher.publish_all(&channel, &events).await;
                    published += events.len();
                }
                let next = quick.next().await.unwrap();
                assert_eq!(
                    number(&next),
                    published - 20 + n % 20,
                    "nobody waits for it"
                );
            }
            let waiting = relay.status("/memory/queueBytes").await;
            assert!(waiting < 400_000, "{waiting} bytes are no bound");
            let upto = if round % 2 == 0 {
                published
            } else {
                published - 250
            };
            while read < upto {
                let event = slow.next().await.expect("it is not closed");
                assert_eq!((number(&event), event.kind.as_str()), (read, "message"));
                read += 1;
            }
        }
        while read < published {
            assert_eq!(number(&slow.next().await.unwrap()), read);
            read += 1;
        }
        let last = publisher.publish(&channel, Event::new("last")).await;
        assert_eq!(slow.next().await.unwrap().id, last);
        for listed in relay.connections().await {
            assert_eq!(
                (&listed["dropped"], &listed["delivered"]),
                (&0.into(), &(published + 1).into())
            );
        }
        drop((slow, quick));
        relay.wait_for_streams(0).await;
        relay.wait_for_rest().await;
    }
    assert_eq!(relay.status("/events/dropped").await, 0);
}

#[tokio::test]
async fn a_stream_that_catches_up_hears_of_what_the_log_has_no_more() {
    let relay =
        Relay::start("stream: {maxQueueBytes: 64Ki, overflow: catchUp}\nretention: {events: 50}")
            .await;
    let mut publisher = Publisher::new(&relay).await;
    let mut slow = Subscriber::open_narrow(relay.public, &Request::new("channel=c")).await;
    relay.wait_for_streams(1).await;
    // far more than sockets take
    let count = 4000;
    for from in (0..count).step_by(40) {
        let events: Vec<Event> = (from..from + 40).map(event).collect();
        publisher.publish_all("c", &events).await;
    }
    let (mut next, mut gaps, mut last_id) = (0, 0, String::new());
    while next < count {
        let event = slow.next().await.expect("it is not closed");
        if event.kind == "gap" {
            let told = gap(&event);
            assert_eq!(
                (&told["reason"], &told["certain"]),
                (&"trimmed".into(), &true.into())
            );
            assert_eq!(told["after"], last_id.as_str());
            gaps += 1;
            next = number(&slow.next().await.unwrap()) + 1;
            continue;
        }
        assert_eq!(number(&event), next, "nothing is missing without a gap");
        next += 1;
        last_id = event.id;
    }
    assert!(gaps > 0, "so much cannot have waited in sockets");
    let counted = relay
        .metric("sse_relay_gaps_total{reason=\"trimmed\"}")
        .await;
    assert!(counted >= f64::from(gaps), "{counted}");
}
