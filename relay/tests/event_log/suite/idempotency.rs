//! Publishing again under the same key.

use crate::subject::*;
use sse_relay::event_log::{AppendError, Appended};
use std::time::Duration;

pub async fn a_repeat_gives_the_same_ids_and_appends_nothing(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    for texts in [&["x"][..], &["1", "2", "3"]] {
        let key = texts.len().to_string();
        let first = subject.publish(keyed("a", texts, &key, 1)).await.unwrap();
        assert!(matches!(first, Appended::New(_)));
        subject.append("a", "between").await;
        let head = subject.head();
        let again = subject.publish(keyed("a", texts, &key, 1)).await.unwrap();
        assert_eq!(again, Appended::Repeat(first.places().to_vec()));
        assert_eq!(subject.head(), head);
    }
    assert_eq!(subject.all("a").await.len(), 6);
}

pub async fn another_body_under_the_same_key_is_refused(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.publish(keyed("a", &["x"], "k", 1)).await.unwrap();
    let refused = subject.publish(keyed("a", &["y"], "k", 2)).await;
    assert_eq!(refused, Err(AppendError::KeyReused));
    assert_eq!(subject.all("a").await.len(), 1);
}

pub async fn the_same_key_in_another_channel_is_another_key(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    subject.publish(keyed("a", &["x"], "k", 1)).await.unwrap();
    let other = subject.publish(keyed("b", &["y"], "k", 2)).await.unwrap();
    assert!(matches!(other, Appended::New(_)));
}

pub async fn a_key_is_forgotten_after_its_window(implementation: &dyn Implementation) {
    let limits = Limits {
        idempotency_window: Duration::from_secs(10),
        ..Limits::none()
    };
    let subject = Subject::open(implementation, limits).await;
    subject.publish(keyed("a", &["x"], "k", 1)).await.unwrap();
    subject.clock.forward(Duration::from_secs(10));
    subject.log.sweep().await;
    let within = subject.publish(keyed("a", &["x"], "k", 1)).await.unwrap();
    assert!(matches!(within, Appended::Repeat(_)));
    subject.clock.forward(Duration::from_millis(1));
    let after = subject.publish(keyed("a", &["y"], "k", 2)).await.unwrap();
    assert!(matches!(after, Appended::New(_)), "also another body");
    let again = subject.publish(keyed("a", &["y"], "k", 2)).await.unwrap();
    assert_eq!(again, Appended::Repeat(after.places().to_vec()));
}

pub async fn past_the_bound_the_oldest_keys_are_forgotten(implementation: &dyn Implementation) {
    let limits = Limits {
        max_idempotency_keys: 2,
        ..Limits::none()
    };
    let subject = Subject::open(implementation, limits).await;
    for key in ["1", "2", "3"] {
        subject
            .publish(keyed("a", &["x", "y"], key, 1))
            .await
            .unwrap();
        subject.clock.forward(Duration::from_millis(1));
    }
    for (key, repeat) in [("3", true), ("2", true), ("1", false)] {
        let appended = subject.publish(keyed("a", &["x", "y"], key, 1)).await;
        let is_repeat = matches!(appended.unwrap(), Appended::Repeat(_));
        assert_eq!(is_repeat, repeat, "key {key}");
    }
}

pub async fn a_repeat_is_answered_after_its_channel_ended(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let mut last = ending("a");
    last.idempotency = keyed("a", &[], "k", 1).idempotency;
    let first = subject.publish(last.clone()).await.unwrap();
    let again = subject.publish(last).await.unwrap();
    assert_eq!(again, Appended::Repeat(first.places().to_vec()));
}
