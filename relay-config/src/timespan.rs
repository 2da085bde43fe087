//! A length of time as people write it: `15s`, `5m`, `1h30m`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A length of time in whole milliseconds, at most [`Timespan::MAX`].
///
/// Written as numbers with units (`d`, `h`, `m`, `s`, `ms`), which add up: `1h30m`. It is shown
/// without days, as Go and Kubernetes write durations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timespan {
    millis: u64,
}

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimespanError {
    /// `15` could be seconds or milliseconds.
    #[error("`{0}` has no unit; write for example `{0}s` or `{0}ms`")]
    NoUnit(String),
    /// Not numbers with units.
    #[error(
        "`{0}` is not a length of time; write whole numbers with units, such as `15s`, `1h30m` or `250ms`"
    )]
    Malformed(String),
    /// Longer than [`Timespan::MAX`].
    #[error("`{0}` is too long; write at most ten years (`3650d`)")]
    TooLong(String),
}

impl Timespan {
    /// Ten years: short enough to be added to any clock without overflow.
    pub const MAX: Self = Self {
        millis: 3_650 * 86_400_000,
    };

    /// This many milliseconds, or [`Self::MAX`] if that is less.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        if millis > Self::MAX.millis {
            return Self::MAX;
        }
        Self { millis }
    }

    /// This many seconds, or [`Self::MAX`] if that is less.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self::from_millis(seconds.saturating_mul(1_000))
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn std(self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.millis == 0
    }
}

impl From<Timespan> for Duration {
    fn from(timespan: Timespan) -> Self {
        timespan.std()
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0s");
        }
        let mut rest = self.millis;
        for (unit, millis) in &UNITS[1..] {
            if rest >= *millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl FromStr for Timespan {
    type Err = TimespanError;

    fn from_str(text: &str) -> Result<Self, TimespanError> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TimespanError::NoUnit(text.to_owned()));
        }
        let mut rest = text;
        let mut total = 0_u64;
        loop {
            let (part, behind) =
                first_part(rest).ok_or_else(|| TimespanError::Malformed(text.to_owned()))?;
            total = part
                .and_then(|millis| total.checked_add(millis))
                .filter(|millis| *millis <= Self::MAX.millis)
                .ok_or_else(|| TimespanError::TooLong(text.to_owned()))?;
            if behind.is_empty() {
                return Ok(Self { millis: total });
            }
            rest = behind;
        }
    }
}

/// The milliseconds of the first number with unit (`None` inside: too many) and what follows it.
fn first_part(text: &str) -> Option<(Option<u64>, &str)> {
    let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (name, rest) = rest.split_at(
        rest.find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len()),
    );
    let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name)?;
    if number.is_empty() {
        return None;
    }
    let millis = number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(*unit));
    Some((millis, rest))
}

impl Serialize for Timespan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timespan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimespanVisitor)
    }
}

struct TimespanVisitor;

impl TimespanVisitor {
    fn bare_number<T, E: de::Error>(number: impl fmt::Display) -> Result<T, E> {
        Err(E::custom(TimespanError::NoUnit(number.to_string())))
    }
}

impl de::Visitor<'_> for TimespanVisitor {
    type Value = Timespan;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time such as `15s`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timespan, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Timespan, E> {
        Self::bare_number(number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Timespan, E> {
        Err(E::custom(TimespanError::Malformed(number.to_string())))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Timespan, E> {
        Err(E::custom(TimespanError::Malformed(number.to_string())))
    }
}

impl JsonSchema for Timespan {
    fn schema_name() -> Cow<'static, str> {
        "Timespan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([0-9]+(d|h|m|s|ms))+$",
            "examples": ["250ms", "15s", "1h30m"],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        let cases = [
            ("0s", 0),
            ("250ms", 250),
            ("15s", 15_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1s500ms", 1_500),
        ];
        for (text, millis) in cases {
            assert_eq!(text.parse(), Ok(Timespan::from_millis(millis)), "{text}");
        }
        assert_eq!(Timespan::from_secs(2).std(), Duration::from_secs(2));
    }

    #[test]
    fn a_bare_number_is_told_to_carry_a_unit() {
        let error = serde_json::from_str::<Timespan>("15").unwrap_err();
        assert!(error.to_string().contains("`15` has no unit"), "{error}");
        assert_eq!(
            "0".parse::<Timespan>(),
            Err(TimespanError::NoUnit("0".into()))
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "s", "1.5s", "-1s", " 1s", "1 s", "1S", "1w", "1s5", "s1", "1ä",
        ] {
            let error = text.parse::<Timespan>();
            assert_eq!(
                error,
                Err(TimespanError::Malformed(text.into())),
                "{text:?}"
            );
        }
    }

    #[test]
    fn more_than_ten_years_are_refused_without_overflow() {
        assert_eq!("3650d".parse(), Ok(Timespan::MAX));
        for text in ["3650d1ms", "99999999999999999999s", "18446744073709551615d"] {
            let error = text.parse::<Timespan>();
            assert_eq!(error, Err(TimespanError::TooLong(text.into())), "{text}");
        }
        assert_eq!(Timespan::from_millis(u64::MAX), Timespan::MAX);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_the_same(millis in 0..=Timespan::MAX.millis) {
            let timespan = Timespan::from_millis(millis);
            prop_assert_eq!(timespan.to_string().parse(), Ok(timespan));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Timespan>();
        }
    }
}
