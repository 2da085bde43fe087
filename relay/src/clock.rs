//! The wall clock, for those who do I/O. Pure code takes the time as an argument.

use crate::cursor::UnixMillis;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now; zero on a machine whose clock stands before 1970.
pub fn unix_millis() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}

/// A time of the system's clock as RFC 3339, in UTC, with milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

/// Now, in UTC.
pub fn timestamp() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A time as it is reckoned here, in UTC.
pub fn timestamp_of(millis: UnixMillis) -> jiff::Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}
