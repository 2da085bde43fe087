//! Ids, atomicity, delivery.

use crate::subject::*;
use sse_relay::{
    cursor::{EventId, Predecessor},
    event_log::{AppendError, Appended},
};
use std::time::Duration;

pub async fn ids_increase_over_all_channels_also_when_the_clock_steps_back(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let mut ids = Vec::new();
    for round in 0..30 {
        ids.push(subject.append(["a", "b", "c"][round % 3], "x").await);
        match round % 5 {
            0 => subject.clock.back(Duration::from_secs(60)),
            3 => subject.clock.forward(Duration::from_secs(100)),
            _ => {}
        }
    }
    assert!(ascending(&ids), "{ids:?}");
    let ahead = ids[29];
    subject.clock.back(Duration::from_secs(100_000));
    let next = subject.append("a", "x").await;
    assert_eq!(next.get(), ahead.get() + 1);
}

pub async fn ids_go_on_past_4096_events_of_one_millisecond(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let texts = vec!["x"; 500];
    let mut all = Vec::new();
    for round in 0..10 {
        let channel = ["a", "b"][round % 2];
        let appended = subject.publish(publication(channel, &texts)).await.unwrap();
        all.extend(ids(&appended));
    }
    assert_eq!(all.len(), 5000);
    assert!(ascending(&all));
    let first = all[0].unix_millis();
    assert_eq!(first, subject.clock.now());
    assert_eq!(all[4999].unix_millis(), first + 1, "borrowed from the next");
    subject.clock.forward(Duration::from_millis(1));
    assert!(subject.append("a", "x").await > all[4999]);
}

pub async fn a_publish_is_all_or_nothing(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.attach(&["a"]).await;
    subject.publish(ending("ended")).await.unwrap();
    let before = (subject.totals().await.events, subject.head());
    let refused = subject.publish(publication("ended", &["1", "2"])).await;
    assert_eq!(refused, Err(AppendError::Ended(name("ended"))));
    assert_eq!((subject.totals().await.events, subject.head()), before);
    let batch = publication("a", &["1", "2", "3"]);
    let appended = ids(&subject.publish(batch).await.unwrap());
    assert_eq!(subject.all("a").await, appended);
    assert_eq!(subject.tail.publishes().last().unwrap().len(), 3);
}

pub async fn publishes_that_are_handed_over_together_keep_their_order_each_with_its_own_outcome(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.publish(ending("ended")).await.unwrap();
    subject
        .publish(keyed("a", &["x"], "used", 1))
        .await
        .unwrap();
    let mut together = vec![
        keyed("ended", &["refused"], "e", 1),
        keyed("a", &["other"], "used", 2),
        keyed("a", &["x"], "used", 1),
    ];
    // more than one call to another server has
    for n in 0..150 {
        let channel = ["a", "b"][n % 2];
        together.push(keyed(channel, &["1", "2"], &n.to_string(), 1));
    }
    together.push(keyed("a", &["1", "2"], "0", 1));
    together.push(ending("b"));
    together.push(publication("b", &["too late"]));
    let outcomes = subject.log.append_all(together.clone()).await;
    assert_eq!(outcomes.len(), together.len());
    assert_eq!(outcomes[0], Err(AppendError::Ended(name("ended"))));
    assert_eq!(outcomes[1], Err(AppendError::KeyReused));
    assert!(matches!(outcomes[2], Ok(Appended::Repeat(_))));
    let new = &outcomes[3..153];
    for (offset, channel) in ["a", "b"].into_iter().enumerate() {
        let ours = new.iter().skip(offset).step_by(2);
        let ours: Vec<EventId> = ours
            .flat_map(|outcome| ids(outcome.as_ref().unwrap()))
            .collect();
        assert_eq!(ours.len(), 150);
        assert!(ascending(&ours), "{channel}: {ours:?}");
    }
    let first = new[0].as_ref().unwrap().places().to_vec();
    assert_eq!(outcomes[153], Ok(Appended::Repeat(first)));
    assert!(matches!(outcomes[154], Ok(Appended::New(_))));
    assert_eq!(outcomes[155], Err(AppendError::Ended(name("b"))));
    // all of it was appended before, and is known
    let again = subject.log.append_all(together[3..153].to_vec()).await;
    for (again, before) in again.iter().zip(new) {
        let places = before.as_ref().unwrap().places().to_vec();
        assert_eq!(*again, Ok(Appended::Repeat(places)));
    }
    assert_eq!(subject.log.append_all(Vec::new()).await, []);
}

pub async fn the_tail_gets_each_event_once_in_order_and_then_the_head_covers_it(
    implementation: &dyn Implementation,
) {
    // a log that is away may be read again, and then what is trimmed meanwhile is told as missing
    let kept = match implementation.together() {
        Together::Bounded => 1,
        Together::Unbounded => 1000,
    };
    let subject = Subject::open(implementation, Limits::events(kept)).await;
    let joined = subject.log.attach(select(&["**", "a"])).await.unwrap();
    let used = subject.log.partitioning().all();
    assert_eq!(joined.partitions(), used, "a pattern uses all");
    assert_eq!(joined, subject.log.heads());
    let mut all = Vec::new();
    for round in 0..50 {
        let texts = vec!["x"; 1 + round % 3];
        let publication = publication(["a", "b"][round % 2], &texts);
        all.extend(ids(&subject.publish(publication).await.unwrap()));
    }
    subject.tail.wait_for(all.len()).await;
    assert_eq!(subject.tail.ids(), all, "whatever is trimmed");
    assert_eq!(subject.head(), all[all.len() - 1]);
    assert_eq!(*subject.tail.places.lock(), subject.log.heads());
}

pub async fn every_event_names_its_predecessor_in_its_channel(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let a = subject.fill("a", 1).await[0];
    let b = subject.fill("b", 1).await[0];
    let batch = publication("a", &["2", "3"]);
    let more = ids(&subject.publish(batch).await.unwrap());
    let page = subject.after(&["**"], EventId::ZERO).await;
    let of = |id| page.entries.iter().find(|entry| entry.id == id).unwrap();
    let first = Predecessor::Known(EventId::ZERO);
    assert_eq!(of(a).predecessor, first);
    assert_eq!(of(b).predecessor, first);
    assert_eq!(of(more[0]).predecessor, Predecessor::Known(a));
    assert_eq!(of(more[1]).predecessor, Predecessor::Known(more[0]));
}

pub async fn a_log_that_was_closed_refuses_appends_and_closing_again_does_nothing(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let id = subject.append("a", "x").await;
    let both = tokio::join!(subject.log.close(), subject.log.close());
    assert_eq!(both, (Ok(()), Ok(())));
    assert_eq!(subject.log.close().await, Ok(()));
    let refused = subject.publish(publication("a", &["y"])).await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(subject.all("a").await, [id]);
}

pub async fn past_the_bound_new_channels_are_refused_and_others_go_on(
    implementation: &dyn Implementation,
) {
    let limits = Limits {
        max_channels: 3,
        ..Limits::age(Duration::from_secs(1))
    };
    let subject = Subject::open(implementation, limits).await;
    for channel in ["a", "b", "c"] {
        subject.append(channel, "x").await;
    }
    let refused = subject.publish(publication("d", &["x"])).await;
    assert_eq!(refused, Err(AppendError::TooManyChannels(3)));
    subject.append("a", "y").await;
    subject.clock.forward(Duration::from_secs(3));
    subject.log.sweep().await;
    subject.append("d", "x").await;
}
