//! The layer `channels_redis.pubsub.RedisPubSubChannelLayer`: a group is a channel of Redis, and a message
//! is published there as it is. What comes while nobody listens is lost.

use super::{decode::Decoder, layout::Layout};
use crate::{
    clock::unix_millis,
    redis::{Heard, HeardKind, Slot},
    source::{DropReason, Fault, Intake, Message, redis_server},
};
use futures_util::future::try_join_all;
use relay_config::{DjangoChannelsSource, SourceRedis};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Messages that are handed over at once.
const MOST: usize = 256;

/// What its hosts have in common.
struct Listening<'l> {
    decoder: &'l Decoder,
    intake: &'l Intake,
    /// Groups that are not confirmed yet.
    missing: AtomicUsize,
}

/// Listens to all groups, each at its host, until one of them fails.
pub async fn listen(
    settings: &DjangoChannelsSource,
    decoder: &Decoder,
    intake: &Intake,
) -> Result<(), Fault> {
    let listening = Listening {
        decoder,
        intake,
        missing: AtomicUsize::new(settings.groups.len()),
    };
    let hosts = settings
        .hosts
        .iter()
        .enumerate()
        .filter_map(|(index, host)| {
            let channels = Layout::published_at(settings, index);
            (!channels.is_empty()).then(|| listening.host(host, channels))
        });
    try_join_all(hosts).await.map(|_| ())
}

impl Listening<'_> {
    /// `channels` are names in Redis and the groups that they are. It ends with an error, or never.
    async fn host(&self, host: &SourceRedis, channels: Vec<(String, String)>) -> Result<(), Fault> {
        let wrong = |error| Fault::from(&error);
        let redis = redis_server::start(host)?;
        let patience = host.connect_timeout.std();
        let wire = redis.broadcast(Slot::of(b""), patience).await;
        let mut wire = wire.map_err(|error| Fault::from(&error))?;
        let names: Vec<&String> = channels.iter().map(|(name, _)| name).collect();
        wire.subscribe(HeardKind::Channel, &names)
            .await
            .map_err(wrong)?;
        loop {
            let mut messages = Vec::new();
            let mut next = Some(wire.next().await.map_err(wrong)?);
            while let Some(heard) = next {
                match heard {
                    Heard::Message {
                        channel, payload, ..
                    } => {
                        let group = channels
                            .iter()
                            .find(|(name, _)| name.as_bytes() == &*channel);
                        if let Some((_, group)) = group {
                            messages.extend(self.message(group, &payload));
                        }
                    }
                    Heard::Subscribed(..) => {
                        if self.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
                            self.intake.connected();
                        }
                    }
                    Heard::Refused(_, _, why) => return Err(why.into()),
                    Heard::Quiet => wire.sign_of_life().await.map_err(wrong)?,
                    Heard::Unsubscribed(..) | Heard::Nothing => {}
                }
                next = match messages.len() < MOST {
                    true => wire.ready().transpose().map_err(wrong)?,
                    false => None,
                };
            }
            self.intake.append_all(messages).await;
        }
    }

    fn message(&self, group: &str, payload: &[u8]) -> Option<Message> {
        match self.decoder.published(payload, unix_millis() / 1000) {
            Ok(sent) => Some(Message {
                origin: group.to_owned(),
                kind: sent.kind,
                body: sent.body,
                ..Message::default()
            }),
            Err(why) => {
                self.intake.refuse(DropReason::Undecodable, why.to_string());
                None
            }
        }
    }
}
