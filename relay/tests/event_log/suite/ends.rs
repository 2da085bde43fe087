//! Channels that end.

use crate::subject::*;
use sse_relay::{cursor::EventId, event::Ending, event_log::AppendError};

pub async fn an_ended_channel_refuses_events_and_knows_that_it_is_finished(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.attach(&["a", "b", "c"]).await;
    let first = subject.append("a", "x").await;
    let finished = |after| subject.finished(&select(&["a"]), after);
    assert!(!finished(first));
    let last = ids(&subject.publish(ending("a")).await.unwrap())[0];
    assert!(!finished(first), "its last event is still to come");
    assert!(!finished(EventId::new(last.get() - 1).unwrap()));
    assert!(finished(last));
    assert_eq!(
        subject.publish(publication("a", &["y"])).await,
        Err(AppendError::Ended(name("a")))
    );
    assert_eq!(
        subject.publish(ending("a")).await,
        Err(AppendError::Ended(name("a")))
    );
    assert_eq!(subject.all("a").await, [first, last]);
    assert_eq!(
        subject.channel(&name("a")).await.unwrap().ending,
        Ending::Ends
    );
}

pub async fn a_subscription_is_finished_only_when_all_its_channels_are(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.attach(&["a", "b", "c"]).await;
    subject.publish(ending("a")).await.unwrap();
    let last = ids(&subject.publish(ending("b")).await.unwrap())[0];
    subject.append("c", "x").await;
    let finished = |selectors: &[&str]| subject.finished(&select(selectors), newest());
    assert!(finished(&["a"]) && finished(&["a", "b"]));
    assert!(!subject.finished(&select(&["a", "b"]), EventId::new(last.get() - 1).unwrap()));
    assert!(!finished(&["a", "c"]), "one goes on");
    assert!(!finished(&["a", "unknown"]), "one may yet begin");
    assert!(
        !finished(&["*"]) && !finished(&["a", "a.*"]),
        "a pattern may find new channels"
    );
}

pub async fn a_batch_ends_its_channel_with_its_last_event(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.attach(&["a", "b", "c"]).await;
    let mut batch = publication("a", &["1", "2"]);
    batch.events[1].ending = Ending::Ends;
    let ids = ids(&subject.publish(batch).await.unwrap());
    assert!(!subject.finished(&select(&["a"]), ids[0]));
    assert!(subject.finished(&select(&["a"]), ids[1]));
}
