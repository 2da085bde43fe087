//! What the log tells about its channels.

use crate::subject::*;
use sse_relay::event::Ending;

pub async fn channels_are_listed_by_name_and_paged(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    for channel in ["b", "d", "a", "c"] {
        subject.append(channel, "x").await;
    }
    let list = |after: Option<&str>, limit| {
        let channels = subject.log.channels(after, limit);
        let names = channels.iter().map(|info| info.name.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(list(None, 10), ["a", "b", "c", "d"]);
    assert_eq!(list(None, 2), ["a", "b"]);
    assert_eq!(list(Some("b"), 10), ["c", "d"]);
    assert_eq!(list(Some("bb"), 1), ["c"], "after a name that is none");
    assert!(list(Some("d"), 10).is_empty());
}

pub async fn a_channel_tells_what_it_holds(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::events(2)).await;
    assert!(subject.log.channel(&name("a")).is_none());
    let ids = subject.fill("a", 3).await;
    let info = subject.log.channel(&name("a")).unwrap();
    assert_eq!(info.name, name("a"));
    assert_eq!((info.events, info.ending), (2, Ending::Continues));
    assert_eq!(info.first.unwrap(), subject.log.place(ids[1]));
    assert_eq!(info.last.unwrap(), subject.log.place(ids[2]));
    assert_eq!(info.last_at, Some(subject.clock.now()));
    assert!(info.bytes > 0);
    assert!((0.1..1.0).contains(&info.rate), "{}", info.rate);
}

pub async fn totals_add_up_over_channels(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::events(5)).await;
    assert_eq!(subject.log.totals().channels, 0);
    for (channel, events) in [("a", 3), ("b", 9), ("c", 1)] {
        subject.fill(channel, events).await;
    }
    let channels = subject.log.channels(None, 10);
    let totals = subject.log.totals();
    assert_eq!((totals.channels, totals.events), (3, 9));
    assert_eq!(
        totals.bytes,
        channels.iter().map(|info| info.bytes).sum::<usize>()
    );
}
