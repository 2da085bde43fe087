//! Which channels a rule, a grant or a subscription means.

use std::fmt;
use std::str::FromStr;

/// The longest legal pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 200;

/// A legal channel pattern.
///
/// Segments are separated by dots, and may be empty as in a name. `*` stands for exactly one segment; `**`, only as the last
/// segment, for one or more. Everything else is compared byte for byte, so a pattern without
/// stars is one channel's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelPattern {
    text: Box<str>,
    /// How many bytes of `text` stand before the first star segment: compared at once.
    literal: usize,
}

/// Why a text is not a channel pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing was written.
    #[error("a pattern must not be empty; write a channel's name, or `**` for every channel")]
    Empty,
    /// Longer than [`MAX_PATTERN_BYTES`].
    #[error("a pattern has at most {MAX_PATTERN_BYTES} bytes, this one has {0}; shorten it")]
    TooLong(usize),
    /// Line breaks and the like would reach logs and keys.
    #[error("a pattern must not contain control characters; remove {0:?}")]
    ControlCharacter(char),
    /// `**` with something behind it.
    #[error("`**` is legal only as the last segment; use `*` for exactly one segment")]
    RestNotLast,
    /// A star beside other text, such as `a*`.
    #[error("a star stands for whole segments; replace `{0}` by `*` or by a name without a star")]
    StarInText(String),
}

impl ChannelPattern {
    /// The pattern that `text` spells, or what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        check(text)?;
        Ok(Self {
            text: text.into(),
            literal: literal_bytes(text),
        })
    }

    /// Whether `channel` is one of those meant. Does not allocate; one pass over both texts.
    #[must_use]
    pub fn matches(&self, channel: &str) -> bool {
        if self.is_literal() {
            return *self.text == *channel;
        }
        let (literal, stars) = self.text.split_at(self.literal);
        channel
            .strip_prefix(literal)
            .is_some_and(|rest| segments_match(stars, rest))
    }

    /// Whether every channel that `other` matches is matched by this one too.
    #[must_use]
    pub fn covers(&self, other: &ChannelPattern) -> bool {
        let mut asked = other.text.split('.');
        for granted in self.text.split('.') {
            match (granted, asked.next()) {
                ("**", Some(_)) => return true,
                (_, None | Some("**")) => return false,
                ("*", Some(_)) => {}
                (granted, Some(asked)) if granted == asked => {}
                _ => return false,
            }
        }
        asked.next().is_none()
    }

    /// Whether there is no star in it, so that it means the one channel [`Self::as_str`].
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.literal == self.text.len()
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ChannelPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

fn check(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::TooLong(text.len()));
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        return Err(PatternError::ControlCharacter(control));
    }
    let mut segments = text.split('.').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "**" if segments.peek().is_some() => return Err(PatternError::RestNotLast),
            "*" | "**" => {}
            name if name.contains('*') => return Err(PatternError::StarInText(name.to_owned())),
            _ => {}
        }
    }
    Ok(())
}

/// The bytes before the first star, which in a legal pattern begins a segment.
fn literal_bytes(text: &str) -> usize {
    text.find('*').unwrap_or(text.len())
}

/// Compares segment by segment; `pattern` is legal or the end of a legal one.
pub(crate) fn segments_match(pattern: &str, channel: &str) -> bool {
    let mut actual = channel.split('.');
    for wanted in pattern.split('.') {
        let Some(segment) = actual.next() else {
            return false;
        };
        match wanted {
            "**" => return true,
            "*" => {}
            name if name == segment => {}
            _ => return false,
        }
    }
    actual.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> ChannelPattern {
        ChannelPattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_without_stars_is_one_channel() {
        assert!(pattern("a.b").is_literal());
        assert!(pattern("a.b").matches("a.b"));
        for other in ["a", "a.b.c", "a.bc", "A.b", "a.b.", ""] {
            assert!(!pattern("a.b").matches(other), "{other}");
        }
    }

    #[test]
    fn one_star_is_exactly_one_segment() {
        for channel in ["a.b.c", "a.x y.c", "a.ä.c"] {
            assert!(pattern("a.*.c").matches(channel), "{channel}");
        }
        for other in ["a.c", "a.b.b.c", "a.b.d", "x.b.c", "a.b.c.d"] {
            assert!(!pattern("a.*.c").matches(other), "{other}");
        }
        assert!(pattern("*").matches("a") && !pattern("*").matches("a.b"));
    }

    #[test]
    fn two_stars_are_one_or_more_segments() {
        assert!(pattern("a.**").matches("a.b") && pattern("a.**").matches("a.b.c.d"));
        for other in ["a", "ab.c", "b.a.c"] {
            assert!(!pattern("a.**").matches(other), "{other}");
        }
        assert!(pattern("**").matches("a") && pattern("**").matches("a.b.c"));
        assert!(pattern("*.b.**").matches("a.b.c") && !pattern("*.b.**").matches("a.b"));
    }

    #[test]
    fn a_pattern_covers_what_it_matches_in_full() {
        for (granted, asked) in [
            ("**", "a.*"),
            ("a.**", "a.b.**"),
            ("a.*", "a.b"),
            ("a.*", "a.*"),
            ("*.b", "*.b"),
            ("**", "**"),
        ] {
            assert!(
                pattern(granted).covers(&pattern(asked)),
                "{granted} {asked}"
            );
        }
        for (granted, asked) in [
            ("a.*", "a.**"),
            ("a.b", "a.*"),
            ("*", "**"),
            ("a.**", "a"),
            ("a.**", "**"),
            ("*.b", "a.*"),
            ("*", "a.b"),
        ] {
            assert!(
                !pattern(granted).covers(&pattern(asked)),
                "{granted} {asked}"
            );
        }
    }

    #[test]
    fn an_empty_segment_is_a_segment() {
        // names such as `v1.` are legal, and `**` must mean every channel
        assert!(
            pattern("**").matches("a..b")
                && pattern("**").matches(".")
                && pattern("a.**").matches("a.")
        );
        assert!(pattern("a.*.c").matches("a..c") && pattern("v1.").matches("v1."));
    }

    #[test]
    fn illegal_patterns_say_what_to_change() {
        let cases = [
            ("", PatternError::Empty),
            ("a\nb", PatternError::ControlCharacter('\n')),
            ("**.a", PatternError::RestNotLast),
            ("a.b*", PatternError::StarInText("b*".into())),
            ("***", PatternError::StarInText("***".into())),
        ];
        for (text, error) in cases {
            assert_eq!(ChannelPattern::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn two_hundred_bytes_are_legal_and_one_more_is_not() {
        assert!(ChannelPattern::parse(&"x".repeat(200)).is_ok());
        let longer = ChannelPattern::parse(&"x".repeat(201));
        assert_eq!(longer, Err(PatternError::TooLong(201)));
    }

    #[test]
    fn patterns_sort_and_print_as_their_text() {
        let sorted: BTreeSet<_> = ["b", "a.**", "a.*"].map(pattern).into_iter().collect();
        let texts: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a.*", "a.**", "b"]);
    }

    /// The definition, written recursively and slowly.
    fn means(pattern: &[&str], channel: &[&str]) -> bool {
        match (pattern, channel) {
            ([], []) => true,
            (["**"], [_, ..]) => true,
            (["*", p @ ..], [_, c @ ..]) => means(p, c),
            ([a, p @ ..], [b, c @ ..]) => a == b && means(p, c),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn what_is_covered_is_matched(
            granted in "(a|b|\\*)(\\.(a|b|\\*)){0,2}(\\.\\*\\*)?",
            asked in "(a|b|\\*)(\\.(a|b|\\*)){0,2}(\\.\\*\\*)?",
            channel in "(a|b|c)(\\.(a|b|c)){0,4}",
        ) {
            let (granted, asked) = (pattern(&granted), pattern(&asked));
            if granted.covers(&asked) && asked.matches(&channel) {
                prop_assert!(granted.matches(&channel));
            }
        }

        #[test]
        fn matching_agrees_with_the_definition(
            text in "(a|b|\\*)(\\.(a|b||\\*)){0,3}(\\.\\*\\*)?",
            channel in "(a|b|ab)(\\.(a|b|ab|)){0,4}",
        ) {
            let expected = means(
                &text.split('.').collect::<Vec<_>>(),
                &channel.split('.').collect::<Vec<_>>(),
            );
            prop_assert_eq!(pattern(&text).matches(&channel), expected);
            prop_assert_eq!(segments_match(&text, &channel), expected);
        }
    }
}
