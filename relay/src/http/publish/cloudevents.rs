//! CloudEvents 1.0 (spec.md, http-protocol-binding.md, json-format.md): the event type is `type`,
//! the data are the data, and all other context attributes are attributes for filters.

use super::{
    body,
    envelope::{illegal, parse_time},
    raw,
};
use crate::{
    event::{Attributes, Data, Event, EventType},
    http::problem::{Kind, Problem},
};
use base64::Engine;
use http::{HeaderMap, header};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Context attributes that every CloudEvent has.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// Binary mode: `ce-` headers, the body is the data.
pub fn binary(headers: &HeaderMap, bytes: &[u8]) -> Result<Event, Problem> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix("ce-") {
            // the HTTP binding percent-encodes what a header cannot carry (3.1.3.2)
            let value = percent_encoding::percent_decode_str(raw::text(name, value)?)
                .decode_utf8()
                .map_err(|_| {
                    Problem::new(
                        Kind::InvalidHeader,
                        format!("header ce-{name} is not percent-encoded UTF-8"),
                    )
                })?;
            attributes.insert(name.to_owned(), value.into_owned());
        }
    }
    if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
        attributes.insert(
            "datacontenttype".to_owned(),
            raw::text("Content-Type", content_type)?.to_owned(),
        );
    }
    event(attributes, Data::text(body::text(bytes)?))
}

/// Structured mode: one JSON object.
pub fn structured(bytes: &[u8]) -> Result<Event, Problem> {
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(body::text(bytes)?).map_err(|error| {
            Problem::new(
                Kind::InvalidJson,
                format!("{error}; expected a CloudEvent as a JSON object"),
            )
        })?;
    let mut attributes = BTreeMap::new();
    let mut data = None;
    for (name, value) in fields {
        match name.as_str() {
            "data" => data = Some(Data::json(value)),
            "data_base64" => data = Some(decode_base64(value)?),
            _ => {
                if let Some(text) = scalar(&name, value)? {
                    attributes.insert(name, text);
                }
            }
        }
    }
    event(attributes, data.unwrap_or_default())
}

/// An attribute's value as text; `null` is the same as its absence (json-format.md, 2.2).
fn scalar(name: &str, value: &RawValue) -> Result<Option<String>, Problem> {
    match serde_json::from_str(value.get()) {
        Ok(serde_json::Value::Null) => Ok(None),
        Ok(serde_json::Value::String(text)) => Ok(Some(text)),
        Ok(serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => {
            Ok(Some(value.get().to_owned()))
        }
        _ => Err(Problem::new(
            Kind::InvalidEvent,
            format!("CloudEvents attribute `{name}` is a string, number or boolean"),
        )),
    }
}

fn decode_base64(value: &RawValue) -> Result<Data, Problem> {
    let text: String = serde_json::from_str(value.get())
        .map_err(|_| Problem::new(Kind::InvalidEvent, "`data_base64` is a string"))?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|error| {
            Problem::new(
                Kind::InvalidEvent,
                format!("`data_base64` is not base 64: {error}"),
            )
        })?;
    Ok(Data::text(body::text(&bytes)?))
}

fn event(mut attributes: BTreeMap<String, String>, data: Data) -> Result<Event, Problem> {
    if let Some(missing) = REQUIRED
        .iter()
        .find(|name| attributes.get(**name).is_none_or(String::is_empty))
    {
        return Err(Problem::new(
            Kind::InvalidEvent,
            format!("CloudEvents attribute `{missing}` is missing"),
        ));
    }
    let version = attributes.remove("specversion").unwrap_or_default();
    if version != "1.0" {
        return Err(Problem::new(
            Kind::InvalidEvent,
            format!("CloudEvents `specversion` is 1.0, not {version:?}"),
        ));
    }
    let kind = attributes.remove("type").unwrap_or_default();
    let time = attributes
        .remove("time")
        .map(|time| parse_time(&time))
        .transpose()?;
    Ok(Event {
        kind: EventType::parse(&kind).map_err(illegal)?,
        data: Some(data),
        attributes: Attributes::new(attributes).map_err(illegal)?,
        time,
        ..Event::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STRUCTURED: &str = r#"{"specversion":"1.0","id":"7","source":"/s","type":"com.example.t","time":"2026-11-21T08:00:00Z",
        "comexampleext":5,"subject":null,"data":{"a" : "b"}}"#;

    #[test]
    fn a_structured_event_gives_type_data_and_attributes() {
        let event = structured(STRUCTURED.as_bytes()).unwrap();
        assert_eq!(
            (event.kind.as_str(), event.data.unwrap().as_str()),
            ("com.example.t", r#"{"a":"b"}"#)
        );
        let attributes: Vec<_> = event.attributes.iter().collect();
        assert_eq!(
            attributes,
            [("comexampleext", "5"), ("id", "7"), ("source", "/s")]
        );
        assert!(event.time.is_some());
    }

    #[test]
    fn a_binary_event_gives_the_same() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "7"),
            ("ce-source", "/s%20x"),
            ("ce-type", "t"),
            ("content-type", "text/plain"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let event = binary(&headers, b"hello").unwrap();
        assert_eq!(
            (event.kind.as_str(), event.data.unwrap().as_str()),
            ("t", "hello")
        );
        assert_eq!(event.attributes.get("source"), Some("/s x"));
        headers.remove("ce-id");
        assert!(
            binary(&headers, b"hello")
                .unwrap_err()
                .detail
                .contains("`id` is missing")
        );
    }

    #[test]
    fn base_64_must_hold_text() {
        let of = |base64: &str| {
            structured(format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"{base64}"}}"#).as_bytes())
        };
        assert_eq!(of("aGk=").unwrap().data.unwrap().as_str(), "hi");
        assert_eq!(of("/w==").unwrap_err().kind, Kind::InvalidEncoding);
        assert_eq!(of("?").unwrap_err().kind, Kind::InvalidEvent);
    }

    proptest! {
        #[test]
        fn no_headers_and_no_bodies_panic(
            names in prop::collection::vec("[a-z0-9]{0,12}", 0..6),
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            body in prop::collection::vec(any::<u8>(), 0..200),
            text in "\\PC{0,200}",
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in names.iter().zip(&values) {
                let name = http::HeaderName::from_bytes(format!("ce-{name}").as_bytes());
                if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value)) {
                    headers.append(name, value);
                }
            }
            let _ = binary(&headers, &body);
            let _ = structured(&body);
            let _ = structured(text.as_bytes());
        }

        /// Whatever the attributes say, both modes give the same event, and nothing in it that is no
        /// legal attribute: no line end reaches a stream by them.
        #[test]
        fn both_modes_give_the_same_event_or_the_same_refusal(
            id in "[!-~]{1,20}",
            source in "\\PC{1,20}",
            kind in "[a-z.]{1,20}",
            extension in "[a-z]{1,10}",
            value in "(?s).{0,30}",
            data in "\\PC{0,40}",
        ) {
            let own = ["specversion", "id", "source", "type", "time", "data", "datacontenttype"];
            prop_assume!(!own.contains(&extension.as_str()));
            let pairs = [
                ("specversion", "1.0"), ("id", &id), ("source", &source), ("type", &kind), (&extension, &value),
            ];
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                let encoded = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
                let name: http::HeaderName = format!("ce-{name}").parse().unwrap();
                headers.insert(name, encoded.to_string().parse().unwrap());
            }
            let mut json = serde_json::Map::new();
            for (name, value) in pairs {
                json.insert(name.to_owned(), value.into());
            }
            json.insert("data".to_owned(), data.clone().into());
            let json = serde_json::Value::Object(json).to_string();
            match (binary(&headers, data.as_bytes()), structured(json.as_bytes())) {
                (Ok(one), Ok(other)) => {
                    prop_assert_eq!(&one, &other);
                    prop_assert_eq!(one.attributes.get(&extension), Some(value.as_str()));
                    let clean = |(name, value): (&str, &str)| !format!("{name}{value}").contains(char::is_control);
                    prop_assert!(one.attributes.iter().all(clean));
                }
                (Err(one), Err(other)) => prop_assert_eq!(one.kind, other.kind),
                (one, other) => prop_assert!(false, "{:?} and {:?}", one, other),
            }
        }
    }
}
