//! Channel names, and what a subscription selects.

use std::{borrow::Borrow, fmt, sync::Arc};

pub use relay_config::ChannelPattern;

/// Longest channel name, in bytes of UTF-8.
pub const MAX_NAME: usize = 200;

/// A legal channel name: 1 to 200 bytes of UTF-8 without control characters, not starting with `@`
/// (reserved). Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChannelName(Arc<str>);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChannelNameError {
    #[error("a channel name cannot be empty")]
    Empty,
    #[error("a channel name has at most 200 bytes of UTF-8; this one has {0}")]
    TooLong(usize),
    #[error("a channel name cannot contain control characters such as line ends or NUL")]
    Control,
    #[error("names that start with `@` are reserved; choose another first character")]
    Reserved,
    #[error("`*` selects channels in a subscription; it cannot be part of a channel's name")]
    Wildcard,
    #[error(
        "`.` and `..` mean places in a URL, so no client could name such a channel; choose another name"
    )]
    Dots,
}

impl ChannelName {
    pub fn parse(text: &str) -> Result<ChannelName, ChannelNameError> {
        match text {
            "" => Err(ChannelNameError::Empty),
            _ if text.len() > MAX_NAME => Err(ChannelNameError::TooLong(text.len())),
            _ if text.chars().any(char::is_control) => Err(ChannelNameError::Control),
            _ if text.starts_with('@') => Err(ChannelNameError::Reserved),
            _ if text.contains('*') => Err(ChannelNameError::Wildcard),
            // WHATWG URL, "shorten a path": parsers fold them away, percent-encoded ones too
            "." | ".." => Err(ChannelNameError::Dots),
            _ => Ok(ChannelName(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for ChannelName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ChannelName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ChannelName::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What one `channel=` parameter of a subscription asks for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Selector {
    Channel(ChannelName),
    /// All channels whose name matches, those that appear later included.
    Pattern(ChannelPattern),
}

/// Why a text selects nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SelectorError {
    #[error(transparent)]
    Name(#[from] ChannelNameError),
    #[error("{0}")]
    Pattern(String),
}

impl Selector {
    /// A text with `*` is a pattern, any other a channel's name.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        if !text.contains('*') {
            return Ok(Selector::Channel(ChannelName::parse(text)?));
        }
        if text.starts_with('@') {
            return Err(ChannelNameError::Reserved.into());
        }
        ChannelPattern::parse(text)
            .map(Selector::Pattern)
            .map_err(|error| SelectorError::Pattern(error.to_string()))
    }

    pub fn matches(&self, channel: &ChannelName) -> bool {
        match self {
            Selector::Channel(name) => name == channel,
            Selector::Pattern(pattern) => pattern.matches(channel.as_str()),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Channel(name) => name.fmt(f),
            Selector::Pattern(pattern) => f.write_str(pattern.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_without_control_characters() {
        for legal in [
            "a",
            "orders.eu",
            "café x",
            "a/b?c#d",
            "...",
            "{x}",
            "channel=NAME",
            &"n".repeat(200),
        ] {
            assert!(ChannelName::parse(legal).is_ok(), "{legal}");
        }
        for (text, error) in [
            ("", ChannelNameError::Empty),
            ("a\nb", ChannelNameError::Control),
            ("a\0", ChannelNameError::Control),
            ("a\u{85}", ChannelNameError::Control),
            ("@subject/x", ChannelNameError::Reserved),
            ("orders.*", ChannelNameError::Wildcard),
            (".", ChannelNameError::Dots),
            ("..", ChannelNameError::Dots),
            (&"é".repeat(101), ChannelNameError::TooLong(202)),
        ] {
            assert_eq!(ChannelName::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_star_makes_a_selector_a_pattern() {
        let name = ChannelName::parse("orders.eu").unwrap();
        assert!(Selector::parse("orders.*").unwrap().matches(&name));
        assert!(Selector::parse("orders.eu").unwrap().matches(&name));
        assert!(!Selector::parse("orders").unwrap().matches(&name));
        assert!(Selector::parse("@subject/*").is_err());
    }
}
