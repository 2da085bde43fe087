//! Which shards want which channels, so that an event costs only those that deliver it.

use crate::channel::{ChannelName, ChannelPattern, Selector};
use std::collections::HashMap;

/// Shards as bits.
pub type ShardMask = u64;
/// Shards that a mask has room for.
pub const MAX_SHARDS: usize = 64;

#[derive(Default)]
pub struct Interest {
    channels: HashMap<ChannelName, ShardMask>,
    patterns: HashMap<ChannelPattern, ShardMask>,
}

impl Interest {
    pub fn add(&mut self, selector: &Selector, shard: usize) {
        let mask = match selector {
            Selector::Channel(name) => self.channels.entry(name.clone()).or_default(),
            Selector::Pattern(pattern) => self.patterns.entry(pattern.clone()).or_default(),
        };
        *mask |= 1 << shard;
    }

    pub fn remove(&mut self, selector: &Selector, shard: usize) {
        match selector {
            Selector::Channel(name) => remove_bit(&mut self.channels, name, shard),
            Selector::Pattern(pattern) => remove_bit(&mut self.patterns, pattern, shard),
        }
    }

    pub fn of(&self, channel: &ChannelName) -> ShardMask {
        let exact = self.channels.get(channel).copied().unwrap_or(0);
        let matching = self
            .patterns
            .iter()
            .filter(|(pattern, _)| channel.is_in(pattern));
        matching.fold(exact, |mask, (_, shards)| mask | shards)
    }
}

fn remove_bit<K: std::hash::Hash + Eq>(masks: &mut HashMap<K, ShardMask>, key: &K, shard: usize) {
    if let Some(mask) = masks.get_mut(key) {
        *mask &= !(1 << shard);
        if *mask == 0 {
            masks.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_concerns_the_shards_that_name_it_or_match_it() {
        let mut interest = Interest::default();
        let (exact, pattern) = (
            Selector::parse("orders.eu").unwrap(),
            Selector::parse("orders.*").unwrap(),
        );
        let name = ChannelName::parse("orders.eu").unwrap();
        interest.add(&exact, 0);
        interest.add(&pattern, 3);
        assert_eq!(interest.of(&name), 0b1001);
        assert_eq!(
            interest.of(&ChannelName::parse("orders.us").unwrap()),
            0b1000
        );
        interest.remove(&exact, 0);
        interest.remove(&pattern, 3);
        assert_eq!(interest.of(&name), 0);
        assert!(interest.channels.is_empty() && interest.patterns.is_empty());
    }
}
