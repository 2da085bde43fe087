//! Names of keys and shard channels in Redis. Pure.
//!
//! `PREFIX:{TAG}:…`: the keys of one partition share a hash tag, so a script finds them in one slot. A
//! prefix lets one Redis serve many relays, and is what a user's permissions are limited to.

use crate::{channel::ChannelName, cursor::Partition};
use std::{fmt::Write, sync::Arc};

/// Hash tags of the partitions. Their slots are 1024, 3072, … 15360: spread evenly over two, three,
/// four or eight nodes that share the slots evenly.
const TAGS: [&str; Partition::MAX] = ["dlj", "qbw", "ltp", "qsu", "ng4", "jk9", "nv6", "sq3"];

/// The reserved channel in which replicas see that what is published arrives.
pub const CANARY: &str = "@canary";

/// Names of one partition.
#[derive(Clone, Debug)]
pub struct Keys {
    base: Arc<str>,
}

impl Keys {
    pub fn new(prefix: &str, partition: Partition) -> Keys {
        let tag = TAGS[usize::from(partition.get())];
        Keys {
            base: format!("{prefix}:{{{tag}}}:").into(),
        }
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }

    /// Epoch, last id, what was forgotten.
    pub fn head(&self) -> String {
        self.named("head")
    }

    /// Channels by their last id.
    pub fn index(&self) -> String {
        self.named("index")
    }

    /// What is kept of each channel.
    pub fn channels(&self) -> String {
        self.named("channels")
    }

    /// Channels in the order of their names.
    pub fn names(&self) -> String {
        self.named("names")
    }

    /// Epochs that ended.
    pub fn epochs(&self) -> String {
        self.named("epochs")
    }

    /// Channels that were purged, and up to where.
    pub fn purges(&self) -> String {
        self.named("purges")
    }

    /// Idempotency keys by the time of their use.
    pub fn used_keys(&self) -> String {
        self.named("keys")
    }

    /// What became of each idempotency key.
    pub fn outcomes(&self) -> String {
        self.named("outcomes")
    }

    /// The highest token of each fence.
    pub fn fences(&self) -> String {
        self.named("fences")
    }

    /// What is written before a question to replicas (`replicated`).
    pub fn asked(&self) -> String {
        self.named("asked")
    }

    /// The stream of a channel's events.
    pub fn stream(&self, channel: &str) -> String {
        self.with_channel("s:", channel)
    }

    /// The shard channel on which a channel's events are announced.
    pub fn events(&self, channel: &str) -> String {
        self.with_channel("c:", channel)
    }

    /// The shard channel of the partition's news: new channels, new epochs.
    pub fn news(&self) -> String {
        self.named("news")
    }

    /// Whether a name is one of this partition.
    pub fn owns(&self, name: &str) -> bool {
        name.starts_with(&*self.base)
    }

    /// The channel whose events a shard channel announces.
    pub fn channel_of<'a>(&self, shard_channel: &'a str) -> Option<Encoded<'a>> {
        let name = shard_channel.strip_prefix(&*self.base)?;
        name.strip_prefix("c:").map(Encoded)
    }

    fn with_channel(&self, kind: &str, channel: &str) -> String {
        let mut name = String::with_capacity(self.base.len() + 2 + channel.len());
        name.push_str(&self.base);
        name.push_str(kind);
        encode(channel, &mut name);
        name
    }
}

/// A channel's name as it stands in a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoded<'a>(&'a str);

impl Encoded<'_> {
    /// `None` for what `encode` never writes.
    pub fn decode(self) -> Option<String> {
        let mut text = String::with_capacity(self.0.len());
        let mut rest = self.0.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            let digits = [rest.next()?, rest.next()?];
            let code = digits
                .iter()
                .try_fold(0, |code, digit| Some(code * 16 + digit.to_digit(16)?))?;
            let c = char::from(u8::try_from(code).ok()?);
            if !is_special(c) {
                return None;
            }
            text.push(c);
        }
        Some(text)
    }
}

/// Characters that mean something in hash tags or in patterns of Redis.
fn is_special(c: char) -> bool {
    matches!(c, '%' | '{' | '}' | '*' | '?' | '[' | ']' | '\\')
}

/// Writes them as `%batch.channel.as_str() != CANARY`. Different names stay different, and control characters are no part of a name.
fn encode(channel: &str, out: &mut String) {
    for c in channel.chars() {
        if is_special(c) {
            write!(out, "%{:02X}", c as u32).expect("a string takes all that is written");
        } else {
            out.push(c);
        }
    }
}

/// The start of all names that a pattern of channels can match.
pub fn literal_start(pattern: &str) -> &str {
    pattern.split('*').next().unwrap_or("")
}

/// A name as a channel; `None` for reserved ones, which no reader is shown.
pub fn channel_named(name: &str) -> Option<ChannelName> {
    ChannelName::restore(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Slot;
    use proptest::prelude::*;

    #[test]
    fn partitions_lie_evenly_in_the_slots() {
        let slot = |tag: &&str| Slot::of(tag.as_bytes()).number();
        let slots: Vec<u16> = TAGS.iter().map(slot).collect();
        assert_eq!(slots, [1024, 3072, 5120, 7168, 9216, 11264, 13312, 15360]);
    }

    #[test]
    fn a_channels_name_cannot_leave_its_place_in_a_key() {
        let keys = Keys::new("live", Partition::ONLY);
        assert_eq!(keys.head(), "live:{dlj}:head");
        assert_eq!(
            keys.stream(r"a{b}*?[c]\%d e:f"),
            "live:{dlj}:s:a%7Bb%7D%2A%3F%5Bc%5D%5C%25d e:f"
        );
        assert_eq!(
            keys.channel_of("live:{qbw}:c:a"),
            None,
            "another partition's"
        );
        assert_eq!(keys.channel_of("live:{dlj}:news"), None);
        for broken in ["live:{dlj}:c:%", "live:{dlj}:c:%4", "live:{dlj}:c:%41"] {
            assert_eq!(keys.channel_of(broken).unwrap().decode(), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn a_name_survives_its_encoding(name in "\\PC{1,60}") {
            let keys = Keys::new("p", Partition::ONLY);
            let shard_channel = keys.events(&name);
            let special = ['{', '}', '*', '?', '[', ']', '\\'];
            let plain = !shard_channel["p:{dlj}:c:".len()..].contains(special);
            prop_assert!(plain);
            prop_assert_eq!(keys.channel_of(&shard_channel).unwrap().decode(), Some(name));
        }
    }

    #[test]
    fn a_pattern_tells_how_its_channels_begin() {
        assert_eq!(literal_start("orders.*"), "orders.");
        assert_eq!(literal_start("**"), "");
        assert_eq!(literal_start("a.*.b"), "a.");
    }
}
