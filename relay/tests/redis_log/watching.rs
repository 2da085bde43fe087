//! A log of which a part has ended says so.

use crate::{fixture::*, servers::LIMIT};
use sse_relay::{
    channel::Selector,
    cursor::{Epoch, Place},
    event_log::{Condition, Entry, EventLog, Loss, Publication, Purge, Tail, redis::RedisLog},
};
use std::sync::Arc;

/// A tail with a fault.
struct Broken;

impl Tail for Broken {
    fn epoch(&self, _: Place) {}

    fn deliver(&self, _: Epoch, _: &[Arc<Entry>]) {
        panic!("a fault");
    }

    fn advance(&self, _: Place) {}

    fn lost(&self, _: Loss) {}

    fn purged(&self, _: Purge) {}

    fn condition(&self, _: Condition) {}
}

#[tokio::test]
async fn a_task_that_ends_is_told_since_nothing_would_be_delivered_any_more() {
    let fixture = Fixture::new(UNLIMITED).await;
    let options = fixture.options.clone();
    let log = RedisLog::open(&fixture.redis, options, Arc::new(Broken))
        .await
        .unwrap();
    let ended = log.task_ended().unwrap();
    let channel = name("a");
    log.attach([Selector::Channel(channel.clone())].into())
        .await
        .unwrap();
    let publication = Publication {
        channel,
        events: vec![sse_relay::event::Event::text("x")],
        idempotency: None,
        fence: None,
    };
    log.append(publication).await.unwrap();
    let word = tokio::time::timeout(LIMIT, ended).await;
    assert!(word.expect("it is told").is_err());
}
