//! Rules for channels, and what they amount to for one channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_size::ByteSize;
use crate::config::Config;
use crate::delivery::Overflow;
use crate::log::Retention;
use crate::pattern::segments_match;
use crate::timespan::Timespan;

/// What holds for the channels that a pattern matches, where it differs from the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChannelRule {
    /// The channels meant: dot-separated segments, of which `*` is any one and a final `**` any
    /// one or more.
    #[schemars(
        length(min = 1, max = 200),
        example = "prices.**",
        example = "user.*.inbox"
    )]
    pub r#match: String,
    /// How much of each of these channels the event log keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionOverride>,
    /// What happens when a client reads these channels too slowly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Overflow>,
    /// With `overflow: coalesce`, the attribute whose last value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coalesce_by: Option<String>,
    /// Bytes of one event's data and attributes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_event_bytes: Option<ByteSize>,
    /// Whether anybody at all may publish to these channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Access>,
    /// Whether anybody at all may subscribe to these channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Access>,
}

impl ChannelRule {
    /// A rule for the channels that `pattern` matches, which sets nothing yet.
    #[must_use]
    pub fn new(pattern: impl Into<String>) -> Self {
        Self {
            r#match: pattern.into(),
            retention: None,
            overflow: None,
            coalesce_by: None,
            max_event_bytes: None,
            publish: None,
            subscribe: None,
        }
    }
}

/// The bounds of retention that differ from the defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RetentionOverride {
    /// Number of events of one channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// Age of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<Timespan>,
    /// Bytes of one channel's events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteSize>,
}

/// Whether something is allowed at all; credentials may allow less, never more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// To everybody whose credentials allow it.
    Allow,
    /// To nobody.
    Deny,
}

/// What holds for one channel after all rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSettings {
    /// How much of it the event log keeps.
    pub retention: Retention,
    /// What happens when a client reads it too slowly.
    pub overflow: Overflow,
    /// The attribute whose last value is kept; present exactly if `overflow` coalesces.
    pub coalesce_by: Option<String>,
    /// Bytes of one event's data and attributes together.
    pub max_event_bytes: ByteSize,
    /// Whether anybody at all may publish to it.
    pub publish: Access,
    /// Whether anybody at all may subscribe to it.
    pub subscribe: Access,
}

impl Config {
    /// What holds for `channel`: for each field (each bound of retention is one) the first
    /// matching rule that sets it, else the default of the document.
    ///
    /// The configuration is a valid one (see [`Config::validate`]); a rule with an illegal
    /// pattern may match anything or nothing.
    #[must_use]
    pub fn effective(&self, channel: &str) -> ChannelSettings {
        let matching: Vec<&ChannelRule> = self
            .channels
            .iter()
            .filter(|rule| segments_match(&rule.r#match, channel))
            .collect();
        let (overflow, coalesce_by) = self.effective_overflow(&matching);
        ChannelSettings {
            retention: self.effective_retention(&matching),
            overflow,
            coalesce_by,
            max_event_bytes: first(&matching, |rule| rule.max_event_bytes)
                .unwrap_or(self.event.max_bytes),
            publish: first(&matching, |rule| rule.publish).unwrap_or(Access::Allow),
            subscribe: first(&matching, |rule| rule.subscribe).unwrap_or(Access::Allow),
        }
    }

    fn effective_retention(&self, matching: &[&ChannelRule]) -> Retention {
        let rules: Vec<RetentionOverride> =
            matching.iter().filter_map(|rule| rule.retention).collect();
        Retention {
            events: rules
                .iter()
                .find_map(|r| r.events)
                .unwrap_or(self.retention.events),
            age: rules
                .iter()
                .find_map(|r| r.age)
                .unwrap_or(self.retention.age),
            bytes: rules
                .iter()
                .find_map(|r| r.bytes)
                .unwrap_or(self.retention.bytes),
        }
    }

    fn effective_overflow(&self, matching: &[&ChannelRule]) -> (Overflow, Option<String>) {
        let overflow = first(matching, |rule| rule.overflow).unwrap_or(self.stream.overflow);
        let coalesce_by = match overflow {
            Overflow::Coalesce => first(matching, |rule| rule.coalesce_by.clone()),
            Overflow::Disconnect
            | Overflow::DropOldest
            | Overflow::DropNewest
            | Overflow::CatchUp => None,
        };
        (overflow, coalesce_by)
    }
}

/// What the first rule that sets a field sets it to.
fn first<T>(rules: &[&ChannelRule], field: impl Fn(&ChannelRule) -> Option<T>) -> Option<T> {
    rules.iter().find_map(|rule| field(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rules_a_channel_has_the_defaults_of_the_document() {
        let config = Config::default();
        let settings = config.effective("a");
        assert_eq!(settings.retention, config.retention);
        assert_eq!(settings.overflow, Overflow::Disconnect);
        assert_eq!(settings.max_event_bytes, config.event.max_bytes);
        assert_eq!(
            (settings.publish, settings.subscribe),
            (Access::Allow, Access::Allow)
        );
    }

    #[test]
    fn for_each_field_the_first_matching_rule_that_sets_it_wins() {
        let config = Config {
            channels: vec![
                ChannelRule {
                    publish: Some(Access::Deny),
                    ..ChannelRule::new("other.**")
                },
                ChannelRule {
                    retention: Some(RetentionOverride {
                        events: Some(1),
                        ..RetentionOverride::default()
                    }),
                    ..ChannelRule::new("prices.eur")
                },
                ChannelRule {
                    retention: Some(RetentionOverride {
                        events: Some(2),
                        age: Some(Timespan::from_secs(9)),
                        bytes: None,
                    }),
                    subscribe: Some(Access::Deny),
                    max_event_bytes: Some(ByteSize(7)),
                    ..ChannelRule::new("prices.**")
                },
            ],
            ..Config::default()
        };
        let settings = config.effective("prices.eur");
        let expected = Retention {
            events: 1,
            age: Timespan::from_secs(9),
            bytes: config.retention.bytes,
        };
        assert_eq!(settings.retention, expected);
        assert_eq!(settings.max_event_bytes, ByteSize(7));
        assert_eq!(
            (settings.publish, settings.subscribe),
            (Access::Allow, Access::Deny)
        );
        assert_eq!(config.effective("prices.usd").retention.events, 2);
        assert_eq!(config.effective("prices").retention, config.retention);
    }

    #[test]
    fn coalesce_by_is_there_exactly_if_overflow_coalesces() {
        let config = Config {
            channels: vec![
                ChannelRule {
                    overflow: Some(Overflow::DropOldest),
                    ..ChannelRule::new("a.plain")
                },
                ChannelRule {
                    overflow: Some(Overflow::Coalesce),
                    coalesce_by: Some("symbol".into()),
                    ..ChannelRule::new("a.*")
                },
            ],
            ..Config::default()
        };
        assert_eq!(config.effective("a.plain").coalesce_by, None);
        assert_eq!(
            config.effective("a.x").coalesce_by.as_deref(),
            Some("symbol")
        );
    }
}
