//! The JSON form of an event.

use super::{body, ending};
use crate::{
    event::{Attributes, Data, Event, EventError, EventType},
    http::{
        problem::{Kind, Problem},
        time,
    },
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// `{"event": "type", "data": any, "attributes": {"kind": "x"}, "retry": ms, "time": RFC 3339, "end": true}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(default)]
    event: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    retry: Option<u32>,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    end: bool,
}

/// A `null` is data, unlike a field that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

pub fn parse(bytes: &[u8]) -> Result<Event, Problem> {
    let text = body::text(bytes)?;
    let expected =
        "expected an object such as {\"event\": \"type\", \"data\": …} (only data is required)";
    if !text.trim_start().starts_with('{') {
        // serde would take an array for the fields in their order
        return Err(Problem::new(Kind::InvalidJson, expected));
    }
    let envelope: Envelope<'_> = serde_json::from_str(text)
        .map_err(|error| Problem::new(Kind::InvalidJson, format!("{error}; {expected}")))?;
    if envelope.data.is_none() && !envelope.end {
        return Err(Problem::new(
            Kind::InvalidEvent,
            "`data` is missing; it may be any JSON, and a string goes out as it is",
        ));
    }
    Ok(Event {
        kind: EventType::parse(envelope.event.as_deref().unwrap_or("")).map_err(illegal)?,
        data: envelope.data.map(Data::json),
        attributes: Attributes::new(envelope.attributes).map_err(illegal)?,
        retry: envelope.retry,
        time: envelope.time.as_deref().map(parse_time).transpose()?,
        ending: ending(envelope.end),
    })
}

pub fn illegal(error: EventError) -> Problem {
    Problem::new(Kind::InvalidEvent, error.to_string())
}

pub fn parse_time(text: &str) -> Result<jiff::Timestamp, Problem> {
    time::parse(text).ok_or_else(|| {
        Problem::new(
            Kind::InvalidEvent,
            "`time` is RFC 3339, such as 2026-11-21T08:00:00Z",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Ending;

    fn kind(json: &str) -> Kind {
        parse(json.as_bytes()).unwrap_err().kind
    }

    #[test]
    fn only_data_is_required() {
        let event = parse(br#"{"data": "x"}"#).unwrap();
        assert_eq!(event, Event::text("x"));
        assert_eq!(
            parse(br#"{"data": null}"#).unwrap().data,
            Some(Data::text("null"))
        );
        assert_eq!(parse(br#"{"end": true}"#).unwrap().data, None);
        assert_eq!(kind("{}"), Kind::InvalidEvent);
    }

    #[test]
    fn all_fields_are_taken() {
        let json = r#"{"event":"t","data":{"a": 1},"attributes":{"k":"v"},"retry":5,"time":"2026-11-21T08:00:00Z","end":true}"#;
        let event = parse(json.as_bytes()).unwrap();
        assert_eq!(
            (event.kind.as_str(), event.data.as_ref().unwrap().as_str()),
            ("t", r#"{"a":1}"#)
        );
        assert_eq!(
            (event.attributes.get("k"), event.retry, event.ending),
            (Some("v"), Some(5), Ending::Ends)
        );
        assert!(event.time.is_some());
    }

    #[test]
    fn what_is_wrong_is_refused_as_a_whole() {
        for (json, expected) in [
            ("", Kind::InvalidJson),
            ("[]", Kind::InvalidJson),
            (r#"{"data":1,"dta":2}"#, Kind::InvalidJson),
            (r#"{"data":1}x"#, Kind::InvalidJson),
            (r#"{"data":1,"attributes":{"a":1}}"#, Kind::InvalidJson),
            (r#"{"data":1,"retry":-1}"#, Kind::InvalidJson),
            (r#"{"data":1,"retry":1.5}"#, Kind::InvalidJson),
            (r#"{"data":1,"time":"today"}"#, Kind::InvalidEvent),
            (r#"{"data":1,"event":"gap"}"#, Kind::InvalidEvent),
            (r#"{"data":1,"event":"a\nb"}"#, Kind::InvalidEvent),
            (r#"{"data":1,"event":"a\u0000b"}"#, Kind::InvalidEvent),
            (r#"{"data":1,"attributes":{"a b":"x"}}"#, Kind::InvalidEvent),
            (r#"{"data":1,"attributes":{"a":"x\n"}}"#, Kind::InvalidEvent),
        ] {
            assert_eq!(kind(json), expected, "{json}");
        }
        assert_eq!(
            parse(b"{\"data\":\"\xff\"}").unwrap_err().kind,
            Kind::InvalidEncoding
        );
    }
}
