//! What a log line says, before it is a line.

use jiff::Timestamp;
use serde_json::Value;
use std::{borrow::Cow, fmt::Debug};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

/// Keys that every line has; a field of the same name gets an underscore.
const RESERVED: [&str; 5] = ["timestamp", "level", "event", "env", "message"];

/// One line.
pub struct Record {
    pub time: Timestamp,
    pub level: Level,
    /// Our stable name of what happened; for a line of a library, where it comes from.
    pub event: String,
    pub message: String,
    /// Each name once, in the order in which they were given.
    pub fields: Vec<(Cow<'static, str>, Value)>,
}

impl Record {
    pub fn of(event: &Event<'_>, time: Timestamp) -> Record {
        let metadata = event.metadata();
        let mut record = Record {
            time,
            level: *metadata.level(),
            event: metadata.target().to_owned(),
            message: String::new(),
            fields: Vec::new(),
        };
        let origin = if metadata.target().split("::").next() == Some("sse_relay") {
            Origin::Relay
        } else {
            Origin::Library
        };
        event.record(&mut Fields {
            record: &mut record,
            origin,
        });
        record
    }

    fn add(&mut self, name: &'static str, value: Value) {
        let name = if RESERVED.contains(&name) {
            Cow::Owned(format!("{name}_"))
        } else {
            Cow::Borrowed(name)
        };
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.fields.push((name, value)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Relay,
    Library,
}

struct Fields<'a> {
    record: &'a mut Record,
    origin: Origin,
}

impl Fields<'_> {
    fn text(&mut self, name: &'static str, text: String) {
        match (name, self.origin) {
            ("message", _) => self.record.message = text,
            ("event", Origin::Relay) => self.record.event = text,
            _ => self.record.add(name, Value::String(text)),
        }
    }
}

/// An `Option` that is `None` is not visited at all: absent from the line.
impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field.name(), format!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record.add(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record.add(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.record.add(field.name(), Value::Number(number)),
            None => self.text(field.name(), value.to_string()), // JSON has no NaN
        }
    }
}
