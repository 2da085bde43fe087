//! New settings for streams that are open.

use super::{Connection, Shard, stream::Stream};
use crate::{channel::Selector, clock::unix_millis, hub::open::EndReason, settings::Settings};
use relay_config::{Access, Config};

/// Whether some rule closes channels to subscribers.
pub fn closes_channels(config: &Config) -> bool {
    let mut rules = config.channels.iter();
    rules.any(|rule| rule.subscribe == Some(Access::Deny))
}

impl Shard {
    /// Limits hold from here on; streams that nobody may have any more end, all others go on.
    pub(super) fn configure(&mut self, settings: &Settings) {
        let old = std::mem::replace(&mut self.shared.auth, settings.auth.clone());
        self.shared.config = settings.config.clone();
        self.closed_channels = closes_channels(&settings.config);
        self.ticker
            .beat_every(settings.config.heartbeat.interval.std());
        let feeds: Vec<_> = self
            .feeds
            .iter()
            .map(|(index, feed)| (index, feed.key.clone()))
            .collect();
        for (index, key) in feeds {
            self.feeds.get_mut(index).overflow = self.overflow_of(&key);
        }
        let may_go_on = |stream: &Stream| {
            !old.is_retired(&stream.info.who, &settings.auth)
                && settings.auth.still_allows(&stream.info)
                && !self.names_a_closed_channel(stream)
        };
        let (mut ended, mut replanned) = (Vec::new(), Vec::new());
        for (index, slot) in &self.slots {
            let Connection::Stream(stream) = &slot.connection else {
                continue;
            };
            let who = &stream.info.who;
            if !stream.is_closing() && !may_go_on(stream) {
                ended.push(index as u32);
            } else if let Some(expires) = settings.auth.expiry(who)
                && old.expiry(who) != Some(expires)
            {
                replanned.push((index as u32, expires));
            }
        }
        for (index, expires) in replanned {
            let Some(stream) = self.stream_mut(index) else {
                continue;
            };
            let before = std::mem::replace(&mut stream.expires, expires);
            // a later end is found when the one before comes
            if let Some(expires) = expires
                && before.is_none_or(|before| expires < before)
            {
                self.plan_expiry(self.token_of(index), expires, unix_millis());
            }
        }
        for index in ended {
            self.dismiss(index, EndReason::Revoked);
        }
    }

    fn names_a_closed_channel(&self, stream: &Stream) -> bool {
        Selector::asked(&stream.info.channels).any(|selector| match selector {
            Selector::Channel(name) => !self.may_be_seen(name),
            Selector::Pattern(_) => false,
        })
    }
}
