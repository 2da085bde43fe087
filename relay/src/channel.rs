//! Channel names, and what a subscription selects.

use crate::subject::Subject;
use std::{borrow::Borrow, fmt, sync::Arc};

pub use relay_config::ChannelPattern;

/// Longest channel name, in bytes of UTF-8.
pub const MAX_NAME: usize = 200;
/// How the channels of subjects begin.
const SUBJECT: &str = "@subject/";

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

    /// The reserved channel in which replicas see that what they publish arrives.
    pub(crate) fn canary() -> ChannelName {
        ChannelName("@canary".into())
    }

    /// A name that a relay wrote down: a legal one, or a reserved one that it made.
    pub fn restore(text: &str) -> Result<ChannelName, ChannelNameError> {
        match text.strip_prefix(SUBJECT).map(Subject::parse) {
            Some(Ok(subject)) => Ok(ChannelName::of_subject(&subject)),
            Some(Err(_)) => Err(ChannelNameError::Reserved),
            None => ChannelName::parse(text),
        }
    }

    /// The channel of what is for a subject alone: part of each of its streams, and of no other.
    pub fn of_subject(subject: &Subject) -> ChannelName {
        ChannelName(format!("{SUBJECT}{subject}").into())
    }

    /// Whether only the relay itself publishes to it and subscribes to it.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('@')
    }

    /// Whether a pattern selects it; no pattern selects what is reserved.
    pub fn is_in(&self, pattern: &ChannelPattern) -> bool {
        !self.is_reserved() && pattern.matches(&self.0)
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
        ChannelName::restore(&text).map_err(serde::de::Error::custom)
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
            Selector::Pattern(pattern) => channel.is_in(pattern),
        }
    }

    /// Whether the relay added it to what was asked for.
    pub fn is_reserved(&self) -> bool {
        matches!(self, Selector::Channel(name) if name.is_reserved())
    }

    /// Those that were asked for.
    pub fn asked(selectors: &[Selector]) -> impl Iterator<Item = &Selector> {
        selectors.iter().filter(|selector| !selector.is_reserved())
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
    fn the_channel_of_a_subject_is_made_by_the_relay_alone_and_no_pattern_selects_it() {
        let subject = Subject::parse(&"n".repeat(crate::subject::MAX_SUBJECT)).unwrap();
        let name = ChannelName::of_subject(&subject);
        assert!(name.is_reserved() && name.as_str().len() <= MAX_NAME);
        assert_eq!(ChannelName::restore(name.as_str()), Ok(name.clone()));
        assert!(ChannelName::parse(name.as_str()).is_err());
        for text in ["@subject/", "@subject/\0", "@other/x", "a*"] {
            assert!(ChannelName::restore(text).is_err(), "{text:?}");
        }
        for pattern in ["**", "*", "*.**"] {
            assert!(
                !Selector::parse(pattern).unwrap().matches(&name),
                "{pattern}"
            );
        }
        let selectors = [Selector::Channel(name), Selector::parse("a").unwrap()];
        assert!(Selector::asked(&selectors).eq(&selectors[1..]));
    }

    #[test]
    fn a_star_makes_a_selector_a_pattern() {
        let name = ChannelName::parse("orders.eu").unwrap();
        assert!(Selector::parse("orders.*").unwrap().matches(&name));
        assert!(Selector::parse("orders.eu").unwrap().matches(&name));
        assert!(!Selector::parse("orders").unwrap().matches(&name));
        assert!(Selector::parse("@subject/*").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_legal_selector_or_refused(text in "(?s).{0,210}") {
            match Selector::parse(&text) {
                Ok(selector) => {
                    proptest::prop_assert_eq!(selector.to_string(), text.clone());
                    proptest::prop_assert!(!text.starts_with('@') && !text.chars().any(char::is_control));
                }
                Err(error) => proptest::prop_assert!(!error.to_string().is_empty()),
            }
            if let Ok(name) = ChannelName::parse(&text) {
                proptest::prop_assert!(name.as_str().len() <= 200 && name.as_str() == text);
            }
        }
    }
}
