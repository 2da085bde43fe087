//! What the log tells about its channels.

use crate::subject::*;
use sse_relay::event::Ending;

pub async fn channels_are_listed_by_name_and_paged(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    for channel in ["b", "d", "a", "c"] {
        subject.append(channel, "x").await;
    }
    let list = async |after: Option<&str>, limit| {
        let channels = subject.channels(after, limit).await;
        let names = channels.into_iter().map(|info| info.name);
        names.collect::<Vec<_>>()
    };
    let names = ["a", "b", "c", "d"].map(name);
    assert_eq!(list(None, 10).await, names);
    assert_eq!(list(None, 2).await, names[..2]);
    assert_eq!(list(Some(names[1].as_str()), 10).await, names[2..]);
    let none = list(Some("b~~"), 1).await;
    assert_eq!(none, names[2..3], "after a name that is none");
    assert!(list(Some(names[3].as_str()), 10).await.is_empty());
}

pub async fn a_channel_tells_what_it_holds(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::events(2)).await;
    assert!(subject.channel(&name("a")).await.is_none());
    let ids = subject.fill("a", 3).await;
    let info = subject.channel(&name("a")).await.unwrap();
    assert_eq!(info.name, name("a"));
    assert_eq!((info.events, info.ending), (2, Ending::Continues));
    assert_eq!(info.first.unwrap(), subject.place(ids[1]));
    assert_eq!(info.last.unwrap(), subject.place(ids[2]));
    assert_eq!(info.last_at, Some(subject.clock.now()));
    assert!(info.bytes > 0);
    assert!((0.1..1.0).contains(&info.rate), "{}", info.rate);
}

pub async fn totals_add_up_over_channels(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::events(5)).await;
    assert_eq!(subject.totals().await.channels, 0);
    for (channel, events) in [("a", 3), ("b", 9), ("c", 1)] {
        subject.fill(channel, events).await;
    }
    let channels = subject.channels(None, 10).await;
    let totals = subject.totals().await;
    assert_eq!((totals.channels, totals.events), (3, 9));
    assert_eq!(
        totals.bytes,
        channels.iter().map(|info| info.bytes).sum::<usize>()
    );
}
