//! What a process hears from Redis, dealt out to its partitions: one subscriber for all of them.

use super::keys::Keys;
use crate::redis::{Event, Message, Redis, Subscriptions};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::mpsc;

/// What waits for one partition. Past it the connections are not read, and Redis holds back.
const MAX_WAITING: usize = 1024;

/// What a partition hears.
#[derive(Debug)]
pub enum Heard {
    Message(Message),
    /// From here on messages of these shard channels arrive.
    Placed(Vec<Arc<str>>),
    /// From here on some may be missing.
    Displaced(Vec<Arc<str>>),
}

/// Says which shard channels a partition needs.
pub struct Ears(Arc<Subscriptions>);

impl Ears {
    pub fn want(&self, places: impl IntoIterator<Item = Arc<str>>) {
        self.0.want(places);
    }

    /// Those that are confirmed are told again as [`Heard::Placed`].
    pub fn confirm_again(&self, places: impl IntoIterator<Item = Arc<str>>) {
        self.0.confirm_again(places);
    }

    pub fn want_no_more(&self, places: impl IntoIterator<Item = Arc<str>>) {
        self.0.want_no_more(places);
    }
}

/// The ears of each partition, and the task that deals out what is heard.
pub fn listen(
    redis: &Redis,
    partitions: Vec<Keys>,
) -> (
    Vec<(Ears, mpsc::Receiver<Heard>)>,
    impl Future<Output = ()> + Send + 'static,
) {
    let (subscriptions, events) = redis.subscriptions();
    let subscriptions = Arc::new(subscriptions);
    let (mut ears, mut outlets) = (Vec::new(), Vec::new());
    for keys in partitions {
        let (outlet, heard) = mpsc::channel(MAX_WAITING);
        ears.push((Ears(subscriptions.clone()), heard));
        outlets.push((keys, outlet));
    }
    (ears, deal(events, outlets))
}

type Outlets = Vec<(Keys, mpsc::Sender<Heard>)>;

async fn deal(mut events: mpsc::Receiver<Event>, outlets: Outlets) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Message(message) => {
                if let Some(index) = owner(&outlets, &message.channel) {
                    let _ = outlets[index].1.send(Heard::Message(message)).await; // the log may be gone
                }
            }
            Event::Confirmed(places) => share_out(&outlets, places, Heard::Placed).await,
            Event::Interrupted { channels, why } => {
                tracing::info!(
                    event = "log.interrupted",
                    channels = channels.len(),
                    "messages may be missing: {why}"
                );
                share_out(&outlets, channels, Heard::Displaced).await;
            }
            Event::Refused { channels, why } => tracing::error!(
                event = "log.refused",
                channels = channels.len(),
                "Redis refuses a subscription, so its events come late, by reading: {why}"
            ),
        }
    }
}

async fn share_out(outlets: &Outlets, places: Vec<Arc<str>>, heard: fn(Vec<Arc<str>>) -> Heard) {
    let mut shares: BTreeMap<usize, Vec<Arc<str>>> = BTreeMap::new();
    for place in places {
        if let Some(index) = owner(outlets, &place) {
            shares.entry(index).or_default().push(place);
        }
    }
    for (index, places) in shares {
        let _ = outlets[index].1.send(heard(places)).await; // the log may be gone
    }
}

/// Whose a shard channel is.
fn owner(outlets: &Outlets, place: &str) -> Option<usize> {
    outlets.iter().position(|(keys, _)| keys.owns(place))
}
