//! Times as RFC 3339 writes them, and nothing more lenient.

use jiff::Timestamp;

/// Parses `2026-11-21T08:00:00Z` with an optional fraction, and an offset instead of `Z`.
pub fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let (date_time, zone) = match bytes {
        [rest @ .., b'Z' | b'z'] => (rest, &b"Z"[..]),
        _ if bytes.len() > 6 => bytes.split_at(bytes.len() - 6),
        _ => return None,
    };
    let zone_is_legal = matches!(zone, b"Z" | [b'+' | b'-', _, _, b':', _, _]);
    let shape_is_legal = date_time.len() >= 19
        && date_time
            .iter()
            .enumerate()
            .all(|(index, byte)| match index {
                4 | 7 => *byte == b'-',
                10 => matches!(byte, b'T' | b't' | b' '),
                13 | 16 => *byte == b':',
                19 => *byte == b'.' && date_time.len() > 20,
                _ => byte.is_ascii_digit(),
            });
    (zone_is_legal && shape_is_legal)
        .then(|| text.parse().ok())
        .flatten()
}

/// Milliseconds of the Unix epoch as RFC 3339, in UTC.
pub fn format_millis(millis: u64) -> String {
    let time = i64::try_from(millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map_or_else(String::new, |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_and_nothing_else() {
        for legal in [
            "2026-11-21T08:00:00Z",
            "2026-11-21t08:00:00.123456z",
            "2026-11-21 08:00:00+02:00",
        ] {
            assert!(parse(legal).is_some(), "{legal}");
        }
        for illegal in [
            "",
            "Z",
            "now",
            "2026-11-21",
            "2026-11-21T08:00Z",
            "2026-11-21T08:00:00",
            "2026-13-21T08:00:00Z",
            "1763712000",
            "2026-11-21T08:00:00.Z",
            "２026-11-21T08:00:00Z",
        ] {
            assert!(parse(illegal).is_none(), "{illegal}");
        }
        assert_eq!(format_millis(1_795_248_000_123), "2026-11-21T08:00:00.123Z");
    }
}
