//! Where who needs a channel joins, when others need it already.

use crate::fixture::*;
use sse_relay::{
    channel::Selector,
    cursor::{Epoch, Partition, Place},
    event_log::{Condition, Entry, EventLog, Loss, Purge, Tail, redis::RedisLog},
};
use std::sync::Arc;

/// A tail that nobody asks.
struct Silent;

impl Tail for Silent {
    fn epoch(&self, _: Place) {}

    fn deliver(&self, _: Epoch, _: &[Arc<Entry>]) {}

    fn advance(&self, _: Place) {}

    fn lost(&self, _: Loss) {}

    fn purged(&self, _: Purge) {}

    fn condition(&self, _: Condition) {}
}

/// Without canaries nothing moves a quiet partition's head on.
async fn log(fixture: &Fixture) -> RedisLog {
    let options = fixture.options.clone();
    let log = RedisLog::open(&fixture.redis, options, Arc::new(Silent)).await;
    log.unwrap()
}

#[tokio::test]
async fn a_later_one_joins_no_earlier_than_its_channels_were_attached() {
    let fixture = Fixture::new(UNLIMITED).await;
    let log = log(&fixture).await;
    // of a channel that nobody here needs: no message of it comes
    let (_, last) = fixture.append("a", &["1"]).await;
    for selector in ["a", "**"] {
        let selectors: Arc<[Selector]> = [Selector::parse(selector).unwrap()].into();
        for which in ["the first", "the second"] {
            let joined = log.attach(selectors.clone()).await.unwrap();
            let at = joined.id(Partition::ONLY);
            // what is not delivered any more must be read, so it must lie before this place
            assert!(at >= last, "{which} to need {selector} joins at {at:?}");
        }
    }
}
