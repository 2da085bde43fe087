//! An event: legal by construction, immutable afterwards.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Names of control events. Only the relay sends them; publishing one is refused, so that nobody
/// can forge a gap or an end.
pub const RESERVED_TYPES: [&str; 6] = [
    "connected",
    "heartbeat",
    "gap",
    "degraded",
    "expiring",
    "end",
];
/// Longest event type, in bytes.
pub const MAX_TYPE: usize = 200;
/// Longest attribute name, in bytes.
pub const MAX_ATTRIBUTE_NAME: usize = 64;
/// Longest attribute value, in bytes.
pub const MAX_ATTRIBUTE_VALUE: usize = 1024;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EventError {
    #[error("an event type cannot contain control characters such as line ends or NUL")]
    TypeControl,
    #[error("an event type has at most {MAX_TYPE} bytes; this one has {0}")]
    TypeTooLong(usize),
    #[error("`{0}` is the name of a control event that only the relay sends; choose another type")]
    TypeReserved(String),
    #[error(
        "attribute names are 1 to {MAX_ATTRIBUTE_NAME} characters of A-Z a-z 0-9 _ . -; `{0}` is not one"
    )]
    AttributeName(String),
    #[error("the value of attribute `{0}` cannot contain control characters")]
    AttributeControl(String),
    #[error(
        "an attribute's value has at most {MAX_ATTRIBUTE_VALUE} bytes; that of `{0}` is longer"
    )]
    AttributeTooLong(String),
    #[error("attribute `{0}` is given twice; give each once")]
    AttributeTwice(String),
}

/// The SSE event type; none is `message`, the default, which is not written to the wire.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct EventType(Option<Box<str>>);

impl EventType {
    pub const DEFAULT: &str = "message";

    /// An empty text is the default type, as for a browser.
    pub fn parse(text: &str) -> Result<EventType, EventError> {
        match text {
            "" | EventType::DEFAULT => Ok(EventType::default()),
            _ if text.len() > MAX_TYPE => Err(EventError::TypeTooLong(text.len())),
            _ if text.chars().any(char::is_control) => Err(EventError::TypeControl),
            _ if RESERVED_TYPES.contains(&text) => Err(EventError::TypeReserved(text.to_owned())),
            _ => Ok(EventType(Some(text.into()))),
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(EventType::DEFAULT)
    }

    pub fn is_default(&self) -> bool {
        self.0.is_none()
    }
}

/// Text that an event carries, with every line end (CRLF, CR or LF) written as LF, since that is
/// what a subscriber gets: the stream's format cannot tell them apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Data(Box<str>);

impl Data {
    pub fn text(text: &str) -> Data {
        if !text.contains('\r') {
            return Data(text.into());
        }
        Data(text.replace("\r\n", "\n").replace('\r', "\n").into())
    }

    /// A JSON string is its content, any other JSON its own text without the white space between
    /// tokens: numbers keep their digits and objects their order. Characters that some clients take
    /// for line ends (U+0085, U+2028, U+2029) are escaped.
    pub fn json(value: &RawValue) -> Data {
        let text = value.get();
        if text.starts_with('"')
            && let Ok(string) = serde_json::from_str::<String>(text)
        {
            return Data::text(&string);
        }
        Data(compact_json(text).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn compact_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            '\u{85}' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            ' ' | '\t' | '\n' | '\r' if !in_string => {}
            _ => out.push(c),
        }
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
    }
    out
}

/// String attributes, used by filters and not sent to subscribers. Sorted by name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
pub struct Attributes(Box<[(Box<str>, Box<str>)]>);

impl TryFrom<BTreeMap<String, String>> for Attributes {
    type Error = EventError;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Attributes, EventError> {
        Attributes::new(pairs)
    }
}

impl From<Attributes> for BTreeMap<String, String> {
    fn from(attributes: Attributes) -> BTreeMap<String, String> {
        let pairs = attributes.0.into_iter();
        pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }
}

impl Attributes {
    pub fn new(
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Attributes, EventError> {
        let mut all: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (name, value) in pairs {
            if !legal_attribute_name(&name) {
                return Err(EventError::AttributeName(name));
            }
            if value.chars().any(char::is_control) {
                return Err(EventError::AttributeControl(name));
            }
            if value.len() > MAX_ATTRIBUTE_VALUE {
                return Err(EventError::AttributeTooLong(name));
            }
            all.push((name.into(), value.into()));
        }
        all.sort();
        if let Some(pair) = all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(EventError::AttributeTwice(pair[0].0.to_string()));
        }
        Ok(Attributes(all.into()))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self.0.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }
}

/// Whether a text can name an attribute, in an event or in a filter.
pub fn legal_attribute_name(name: &str) -> bool {
    (1..=MAX_ATTRIBUTE_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Whether a channel goes on after an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ending {
    #[default]
    Continues,
    /// The channel's last event: its streams close after it, and who returns gets 204.
    Ends,
}

/// What a publisher handed over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    pub kind: EventType,
    /// `None` only in an event that does nothing but end its channel.
    pub data: Option<Data>,
    pub attributes: Attributes,
    /// Reconnection time for the subscribers' EventSource, in milliseconds.
    pub retry: Option<u32>,
    /// When it happened, if the publisher says so.
    pub time: Option<Timestamp>,
    pub ending: Ending,
}

impl Event {
    /// Plain text of the default type.
    pub fn text(data: &str) -> Event {
        Event {
            data: Some(Data::text(data)),
            ..Event::default()
        }
    }

    /// What it counts for against limits: bytes of data, type and attributes.
    pub fn size(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.as_str().len())
            + self.kind.as_str().len()
            + self.attributes.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        Data::json(&raw).as_str().to_owned()
    }

    #[test]
    fn json_goes_out_compact_and_otherwise_unchanged() {
        assert_eq!(
            json(r#"{ "b" : 1.0, "a": [1e400, 12345678901234567890] }"#),
            r#"{"b":1.0,"a":[1e400,12345678901234567890]}"#
        );
        assert_eq!(
            json(r#"{"k": "a \" b \\" , "l": " x "}"#),
            r#"{"k":"a \" b \\","l":" x "}"#
        );
        assert_eq!(json("[\"a\u{2028}b\u{85}\"]"), r#"["a\u2028b\u0085"]"#);
        assert_eq!(json("null"), "null");
    }

    #[test]
    fn a_json_string_goes_out_as_its_content() {
        assert_eq!(json(r#""two\nlines \"x\"""#), "two\nlines \"x\"");
        assert_eq!(json(r#""a\r\nb\rc""#), "a\nb\nc");
    }

    #[test]
    fn types_that_could_be_fields_or_control_events_are_refused() {
        for default in ["", "message"] {
            assert_eq!(EventType::parse(default).unwrap(), EventType::default());
        }
        assert_eq!(EventType::default().as_str(), "message");
        assert!(EventType::parse("order created").is_ok());
        for bad in ["a\nb", "a\rb", "a\0b", "a\u{85}b"] {
            assert_eq!(
                EventType::parse(bad),
                Err(EventError::TypeControl),
                "{bad:?}"
            );
        }
        for reserved in RESERVED_TYPES {
            assert!(matches!(
                EventType::parse(reserved),
                Err(EventError::TypeReserved(_))
            ));
        }
        assert_eq!(
            EventType::parse(&"t".repeat(201)),
            Err(EventError::TypeTooLong(201))
        );
    }

    #[test]
    fn attributes_are_found_by_name_and_checked() {
        let of = |pairs: &[(&str, &str)]| {
            Attributes::new(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())))
        };
        let both = of(&[("kind", "x"), ("a", "")]).unwrap();
        assert_eq!(
            (both.get("kind"), both.get("a"), both.get("b")),
            (Some("x"), Some(""), None)
        );
        assert!(matches!(
            of(&[("", "x")]),
            Err(EventError::AttributeName(_))
        ));
        assert!(matches!(
            of(&[("a b", "x")]),
            Err(EventError::AttributeName(_))
        ));
        assert!(matches!(
            of(&[("a", "x\n")]),
            Err(EventError::AttributeControl(_))
        ));
        assert!(matches!(
            of(&[("a", "1"), ("a", "2")]),
            Err(EventError::AttributeTwice(_))
        ));
        assert!(matches!(
            of(&[("a", &"v".repeat(1025))]),
            Err(EventError::AttributeTooLong(_))
        ));
    }
}
