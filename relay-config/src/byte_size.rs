//! A number of bytes as Kubernetes writes quantities: `64Mi`, `500k`, `1048576`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Largest first, since it is shown in the largest unit that divides it.
const UNITS: [(&str, u64); 12] = [
    ("Ei", 1 << 60),
    ("E", 1_000_000_000_000_000_000),
    ("Pi", 1 << 50),
    ("P", 1_000_000_000_000_000),
    ("Ti", 1 << 40),
    ("T", 1_000_000_000_000),
    ("Gi", 1 << 30),
    ("G", 1_000_000_000),
    ("Mi", 1 << 20),
    ("M", 1_000_000),
    ("Ki", 1 << 10),
    ("k", 1_000),
];

/// A number of bytes. Not called `Bytes`, which is a buffer everywhere else in this project.
///
/// Written as a whole number with a binary (`Ki`, `Mi`, `Gi`, …) or decimal (`k`, `M`, `G`, …)
/// unit of Kubernetes' quantities, or with none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a text is not a number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// Not a whole number with a known unit.
    #[error(
        "`{0}` is not a number of bytes; write a whole number with or without a unit, such as `64Mi`, `500k` or `1048576`"
    )]
    Malformed(String),
    /// Beyond 2^64 − 1.
    #[error("`{0}` is more than 2^64 − 1 bytes; write less")]
    TooLarge(String),
}

impl ByteSize {
    /// This many KiB (1,024 bytes), or as many as fit.
    #[must_use]
    pub const fn from_kib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 10))
    }

    /// This many MiB (1,048,576 bytes), or as many as fit.
    #[must_use]
    pub const fn from_mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }

    /// In bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In bytes, as the length of something in memory; as many as fit on a 32-bit machine.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .iter()
            .find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size));
        match unit {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let malformed = || ByteSizeError::Malformed(text.to_owned());
        let too_large = || ByteSizeError::TooLarge(text.to_owned());
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (number, name) = text.split_at(end.unwrap_or(text.len()));
        if number.is_empty() {
            return Err(malformed());
        }
        let unit = match UNITS.iter().find(|(unit, _)| *unit == name) {
            Some((_, size)) => *size,
            None if name.is_empty() => 1,
            None => return Err(malformed()),
        };
        let number: u64 = number.parse().map_err(|_| too_large())?;
        number.checked_mul(unit).map(Self).ok_or_else(too_large)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteSizeVisitor)
    }
}

struct ByteSizeVisitor;

impl de::Visitor<'_> for ByteSizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes such as `64Mi`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<ByteSize, E> {
        let number = u64::try_from(number);
        number
            .map(ByteSize)
            .map_err(|_| E::custom("a number of bytes is not negative; write for example `64Mi`"))
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": "^[0-9]+(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
            "minimum": 0,
            "examples": ["64Mi", "1Gi", "500k", 1_048_576],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn binary_and_decimal_units_and_none_are_understood() {
        let cases = [
            ("0", 0),
            ("1024", 1_024),
            ("500k", 500_000),
            ("64Mi", 67_108_864),
            ("1Gi", 1_073_741_824),
            ("2G", 2_000_000_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        assert_eq!(serde_json::from_str::<ByteSize>("7").unwrap(), ByteSize(7));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "Mi", "1.5Gi", "-1", "64 Mi", "64MB", "64mi", "1e3", "1K",
        ] {
            let error = text.parse::<ByteSize>();
            assert_eq!(
                error,
                Err(ByteSizeError::Malformed(text.into())),
                "{text:?}"
            );
        }
        assert!(serde_json::from_str::<ByteSize>("-1").is_err());
        assert!(serde_json::from_str::<ByteSize>("1.5").is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused_without_overflow() {
        for text in ["18446744073709551616", "16Ei", "99999999999999999999k"] {
            let error = text.parse::<ByteSize>();
            assert_eq!(error, Err(ByteSizeError::TooLarge(text.into())), "{text}");
        }
    }

    #[test]
    fn it_is_shown_in_the_largest_unit_that_divides_it() {
        let shown = [0, 7, 1_000, 1_536, 1 << 26, 500_000].map(|n| ByteSize(n).to_string());
        assert_eq!(shown, ["0", "7", "1k", "1536", "64Mi", "500k"]);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_the_same(bytes: u64, shift in 0_u32..60) {
            let size = ByteSize(bytes >> shift << shift);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
