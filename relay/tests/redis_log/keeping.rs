//! What is kept, for how long, and what is told of it.

use crate::fixture::*;
use sse_relay::{
    cursor::{EventId, Partition, Place, Predecessor},
    event::Ending,
    event_log::{ChannelInfo, Retention, redis::scripts::PurgeOutcome},
};
use std::time::Duration;

impl Fixture {
    async fn sweep(&self) {
        assert_eq!(
            self.store.sweep(EventId::ZERO).await.unwrap(),
            EventId::ZERO
        );
    }

    async fn info(&self, channel: &str) -> Option<ChannelInfo> {
        let place = |id| Place {
            partition: Partition::ONLY,
            epoch: epoch(1),
            id,
        };
        let infos = self
            .store
            .describe(&[name(channel)], 0, place)
            .await
            .unwrap();
        infos.into_iter().next()
    }
}

#[tokio::test]
async fn a_channel_keeps_its_last_events_and_no_more() {
    let fixture = Fixture::new(Retention {
        events: 3,
        ..UNLIMITED
    })
    .await;
    fixture.append("a", &["x"; 5]).await;
    let (_, last) = fixture.append("a", &["x"; 5]).await;
    let kept: Vec<u64> = (last.get() - 2..=last.get()).collect();
    assert_eq!(fixture.ids("a").await, kept);
    let none = fixture.other_store(|options| {
        options.retention = std::sync::Arc::new(|_| Retention {
            events: 0,
            ..UNLIMITED
        });
    });
    let session = fixture.session().await;
    let first = sse_relay::event_log::redis::store::Attempt::First;
    none.append(&session, &[batch("b", &["x"])], first, epoch(1))
        .await
        .unwrap();
    assert!(fixture.ids("b").await.is_empty());
}

#[tokio::test]
async fn a_long_channel_is_trimmed_by_whole_nodes() {
    let fixture = Fixture::new(Retention {
        events: 200,
        ..UNLIMITED
    })
    .await;
    for _ in 0..20 {
        fixture.append("a", &["x"; 64]).await;
    }
    let kept = fixture.ids("a").await.len();
    assert!((200..=300).contains(&kept), "{kept}");
}

#[tokio::test]
async fn bytes_and_age_are_bounded() {
    let retention = Retention {
        bytes: 4000,
        age: Duration::from_secs(10),
        ..UNLIMITED
    };
    let fixture = Fixture::new(retention).await;
    for _ in 0..30 {
        fixture.append("a", &[&"x".repeat(500)]).await;
        let info = fixture.info("a").await.unwrap();
        assert!(info.bytes <= 4000, "{}", info.bytes);
    }
    assert!((4..=8).contains(&fixture.ids("a").await.len()));
    let (large, _) = fixture.append("a", &[&"x".repeat(5000)]).await;
    assert!(
        fixture.ids("a").await.is_empty(),
        "one event may be too large to keep"
    );
    assert_eq!(fixture.info("a").await.unwrap().last.unwrap().id, large);
    fixture.append("a", &["old"]).await;
    fixture.forward(Duration::from_millis(10_001));
    let (new, _) = fixture.append("a", &["new"]).await;
    assert_eq!(
        fixture.ids("a").await,
        [new.get()],
        "an append trims by age"
    );
    fixture.forward(Duration::from_millis(10_001));
    fixture.sweep().await;
    assert!(fixture.ids("a").await.is_empty(), "and so does the sweep");
}

#[tokio::test]
async fn an_idle_channel_is_forgotten_and_its_last_id_remembered_for_all() {
    let fixture = Fixture::new(Retention {
        age: Duration::from_secs(1),
        ..UNLIMITED
    })
    .await;
    let (_, gone) = fixture.append("gone", &["x"; 3]).await;
    fixture.forward(Duration::from_secs(3));
    fixture.append("busy", &["x"]).await;
    fixture.sweep().await;
    assert!(fixture.info("gone").await.is_none());
    assert_eq!(fixture.store.head().await.unwrap().unwrap().forgotten, gone);
    assert_eq!(fixture.store.names("", None, 10).await.unwrap(), ["busy"]);
    fixture.append("gone", &["again"]).await;
    let stream = fixture.stream("gone").await;
    assert_eq!(stream[0].1, Predecessor::AtMost(gone));
}

#[tokio::test]
async fn when_all_of_the_index_expired_nothing_before_is_called_known() {
    let fixture = Fixture::new(UNLIMITED).await;
    let (_, last) = fixture.append("a", &["x"]).await;
    for key in ["index", "channels", "names"] {
        fixture
            .command("DEL", &[&format!("test:{{dlj}}:{key}")])
            .await;
    }
    fixture.append("b", &["x"]).await;
    assert_eq!(fixture.stream("b").await[0].1, Predecessor::AtMost(last));
}

#[tokio::test]
async fn channels_are_listed_by_name_and_tell_what_they_hold() {
    let fixture = Fixture::new(Retention {
        events: 2,
        ..UNLIMITED
    })
    .await;
    for channel in ["b", "orders.eu", "a", "orders.us", "orderz", "é"] {
        fixture.append(channel, &["x"; 3]).await;
    }
    let names = |start: &'static str, after: Option<&'static str>, limit| {
        let store = &fixture.store;
        async move { store.names(start, after, limit).await.unwrap() }
    };
    assert_eq!(names("", None, 3).await, ["a", "b", "orders.eu"]);
    assert_eq!(names("", Some("orders.us"), 9).await, ["orderz", "é"]);
    assert_eq!(names("orders.", None, 9).await, ["orders.eu", "orders.us"]);
    assert_eq!(names("orders.", Some("orders.eu"), 9).await, ["orders.us"]);
    let mut end = batch("b", &["end"]);
    end.ends = true;
    let first = sse_relay::event_log::redis::store::Attempt::First;
    let (last, _) = appended(&fixture.send(&end, first).await.unwrap());
    let info = fixture.info("b").await.unwrap();
    assert_eq!((info.events, info.ending), (2, Ending::Ends));
    assert_eq!(info.last.unwrap().id, last);
    assert_eq!(info.first.unwrap().id.get(), fixture.ids("b").await[0]);
    let totals = fixture.store.totals().await.unwrap();
    assert_eq!((totals.channels, totals.events), (6, 12));
}

#[tokio::test]
async fn a_purged_channel_holds_nothing_and_is_still_known() {
    let fixture = Fixture::new(UNLIMITED).await;
    let (_, last) = fixture.append("a", &["x"; 3]).await;
    let purged = fixture.store.purge(&name("a")).await.unwrap();
    let PurgeOutcome::Purged {
        number,
        until,
        events,
        ..
    } = purged
    else {
        panic!("{purged:?}");
    };
    assert_eq!((number, until, events), (1, last, 3));
    let head = fixture.store.head().await.unwrap().unwrap();
    assert_eq!(head.purges, 1, "replicas that missed the message learn it");
    let never = fixture.store.purge(&name("never")).await.unwrap();
    assert_eq!(never, PurgeOutcome::Unknown);
    let info = fixture.info("a").await.unwrap();
    assert_eq!((info.events, info.bytes, info.first), (0, 0, None));
    assert_eq!(info.last.unwrap().id, last);
    fixture.append("a", &["y"]).await;
    assert_eq!(fixture.stream("a").await[0].1, Predecessor::Known(last));
}

#[tokio::test]
async fn everything_but_the_head_goes_away_by_itself() {
    let fixture = Fixture::new(Retention {
        age: Duration::from_secs(100),
        ..UNLIMITED
    })
    .await;
    let keyed = keyed("a", &["x"], "k", 1);
    let first = sse_relay::event_log::redis::store::Attempt::First;
    fixture.send(&keyed, first).await.unwrap();
    let all = fixture.command("KEYS", &["*"]).await;
    let keys: Vec<&str> = all
        .list()
        .unwrap()
        .iter()
        .filter_map(|key| key.text())
        .collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
    for key in keys {
        let left = fixture.command("PTTL", &[key]).await.integer().unwrap();
        let bound = if key.ends_with(":head") {
            -1..=-1
        } else {
            1000..=1_000_000
        };
        assert!(bound.contains(&left), "{key}: {left}");
    }
}
