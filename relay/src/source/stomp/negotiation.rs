//! What both sides agree on when they meet. Pure.

use super::frame::{Headers, Version};
use std::time::Duration;

/// What holds for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    pub version: Version,
    /// Whose message ids are to be read in which way.
    pub broker: Brand,
    /// We say something at least so often.
    pub beat: Option<Duration>,
    /// The broker does.
    pub beaten: Option<Duration>,
}

/// Brokers that differ in what their ids mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brand {
    Artemis,
    Other,
}

/// The heart-beats that we offer and ask for: the same both ways.
pub(super) fn offer(heartbeat: Duration) -> String {
    let millis = heartbeat.as_millis();
    format!("{millis},{millis}")
}

/// What a `CONNECTED` makes of the offer.
///
/// # Errors
/// What is wrong with it.
pub(super) fn agree(connected: &Headers, heartbeat: Duration) -> Result<Agreed, String> {
    let version = match connected.get("version") {
        Some("1.2") => Version::V1_2,
        Some("1.1") => Version::V1_1,
        _ => return Err("the broker speaks neither STOMP 1.1 nor 1.2".to_owned()),
    };
    let beats = connected.get("heart-beat").unwrap_or("0,0");
    let (offers, wants) = beats
        .split_once(',')
        .and_then(|(sends, wants)| Some((millis(sends)?, millis(wants)?)))
        .ok_or("the broker's heart-beat is no pair of numbers")?;
    let server = connected.get("server").unwrap_or_default();
    let slower = |other: Duration| (!other.is_zero()).then(|| other.max(heartbeat));
    Ok(Agreed {
        version,
        broker: match server.starts_with("ActiveMQ-Artemis") {
            true => Brand::Artemis,
            false => Brand::Other,
        },
        beat: slower(wants),
        beaten: slower(offers),
    })
}

fn millis(text: &str) -> Option<Duration> {
    let number: u32 = text.trim().parse().ok()?;
    Some(Duration::from_millis(number.into()))
}

#[cfg(test)]
mod tests {
    use super::super::{codec::Codec, frame::Frame};
    use super::*;
    use bytes::BytesMut;
    use tokio_util::codec::Decoder;

    fn headers(text: &str) -> Headers {
        let mut bytes = BytesMut::from(format!("CONNECTED\n{text}\n\0").as_str());
        let frame = Codec::new(0).decode(&mut bytes).expect("a frame");
        let Frame { headers, .. } = frame.expect("a whole one");
        headers
    }

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn the_slower_of_both_sides_sets_each_heart_beat_and_nothing_is_no_heart_beat() {
        let text = "version:1.2\nserver:ActiveMQ-Artemis/2.42.0 x\nheart-beat:15000,30000\n";
        let agreed = agree(&headers(text), TEN).expect("legal");
        assert_eq!(agreed.broker, Brand::Artemis);
        assert_eq!(agreed.version, Version::V1_2);
        assert_eq!(agreed.beaten, Some(Duration::from_secs(15)));
        assert_eq!(agreed.beat, Some(Duration::from_secs(30)));
        let agreed = agree(&headers("version:1.1\nheart-beat:100,0\n"), TEN).expect("legal");
        assert_eq!((agreed.beaten, agreed.beat), (Some(TEN), None));
        let agreed = agree(&headers("version:1.1\n"), TEN).expect("legal");
        assert_eq!((agreed.beaten, agreed.beat), (None, None));
        assert_eq!(agreed.broker, Brand::Other);
    }

    #[test]
    fn other_versions_and_heart_beats_that_are_no_numbers_are_refused() {
        for text in [
            "",
            "version:1.0\n",
            "version:1.2\nheart-beat:x,0\n",
            "version:1.2\nheart-beat:5\n",
            "version:1.2\nheart-beat:-1,99999999999\n",
        ] {
            assert!(agree(&headers(text), TEN).is_err(), "{text}");
        }
    }
}
