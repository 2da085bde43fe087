//! A document before it has types: keys and values with the places where they were written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::error::LoadError;
use crate::origin::Origin;
use crate::shape::join;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_origin: Origin,
    pub(crate) node: Node,
}

/// Reads the YAML (or JSON) of the file `name`; an empty text is a null.
pub(crate) fn read_file(name: &str, text: &str) -> Result<Node, LoadError> {
    let name: Arc<str> = name.into();
    read(text, &|location| Origin::File {
        name: Arc::clone(&name),
        line: location.line(),
        column: location.column(),
    })
}

/// Reads the YAML (or JSON) in the environment variable `name`.
pub(crate) fn read_variable(name: &str, text: &str) -> Result<Node, LoadError> {
    let name: Arc<str> = name.into();
    read(text, &|_| Origin::Variable(Arc::clone(&name)))
}

fn read(text: &str, origin: &impl Fn(Location) -> Origin) -> Result<Node, LoadError> {
    // `off` and `no` are texts, as in YAML 1.2: nobody means a boolean by `environment: no`.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let raw: Option<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let origin = origin(error.location().unwrap_or(Location::UNKNOWN));
        let message = message(&error, &origin);
        LoadError::Syntax { origin, message }
    })?;
    Ok(match raw {
        Some(raw) => raw.place(origin),
        None => Node {
            origin: origin(Location::UNKNOWN),
            kind: Kind::Null,
        },
    })
}

/// What the parser says, without the place if `origin` has said it.
fn message(error: &serde_saphyr::Error, origin: &Origin) -> String {
    let rendered = match error {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("key `{key}` is there twice; remove one")
        }
        serde_saphyr::Error::MultipleDocuments { .. } => {
            "a second document begins; write one document only".to_owned()
        }
        other => other.render_with_formatter(&serde_saphyr::UserMessageFormatter),
    };
    let place = error
        .location()
        .map(|at| format!(" at line {}, column {}", at.line(), at.column()));
    match (
        origin,
        place.and_then(|place| rendered.strip_suffix(&place).map(str::to_owned)),
    ) {
        (Origin::File { .. }, Some(message)) => message,
        _ => rendered,
    }
}

impl Node {
    /// A text from the environment variable `name`.
    pub(crate) fn text(name: &str, text: &str) -> Self {
        Self {
            origin: Origin::Variable(name.into()),
            kind: Kind::Scalar(Value::String(text.to_owned())),
        }
    }

    /// Puts `node` where `path` leads, making the maps on the way. A list or scalar on the way
    /// stays: it is a mistake, which must not vanish behind a variable.
    pub(crate) fn set(&mut self, path: &[String], node: Self) {
        let [key, inner @ ..] = path else {
            *self = node;
            return;
        };
        if matches!(self.kind, Kind::Null) {
            self.kind = Kind::Map(Vec::new());
        }
        let Kind::Map(entries) = &mut self.kind else {
            return;
        };
        match entries.iter_mut().find(|entry| entry.key == *key) {
            Some(entry) => entry.node.set(inner, node),
            None => {
                let mut made = Self {
                    origin: node.origin.clone(),
                    kind: Kind::Null,
                };
                made.set(inner, node);
                entries.push(Entry {
                    key: key.clone(),
                    key_origin: made.origin.clone(),
                    node: made,
                });
            }
        }
    }

    /// The plain value, and where each path in it was written. A key without a value is as if it
    /// were not there, so that a section may be left with nothing but comments in it.
    pub(crate) fn into_value(self, path: &str, origins: &mut BTreeMap<String, Origin>) -> Value {
        origins.insert(path.to_owned(), self.origin);
        match self.kind {
            Kind::Null => Value::Null,
            Kind::Scalar(value) => value,
            Kind::List(nodes) => nodes
                .into_iter()
                .enumerate()
                .map(|(index, node)| node.into_value(&format!("{path}[{index}]"), origins))
                .collect(),
            Kind::Map(entries) => entries
                .into_iter()
                .filter(|entry| !matches!(entry.node.kind, Kind::Null))
                .map(|entry| {
                    let path = join(path, &entry.key);
                    (entry.key, entry.node.into_value(&path, origins))
                })
                .collect(),
        }
    }
}

/// What the YAML parser gives: [`Node`] with lines and columns only.
struct Raw(Spanned<RawKind>);

enum RawKind {
    Null,
    Scalar(Value),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl Raw {
    fn place(self, origin: &impl Fn(Location) -> Origin) -> Node {
        Node {
            origin: origin(self.0.referenced),
            kind: match self.0.value {
                RawKind::Null => Kind::Null,
                RawKind::Scalar(value) => Kind::Scalar(value),
                RawKind::List(raws) => {
                    Kind::List(raws.into_iter().map(|raw| raw.place(origin)).collect())
                }
                RawKind::Map(entries) => Kind::Map(
                    entries
                        .into_iter()
                        .map(|(key, raw)| Entry {
                            key_origin: origin(key.referenced),
                            key: key.value,
                            node: raw.place(origin),
                        })
                        .collect(),
                ),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for RawKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> de::Visitor<'de> for RawVisitor {
    type Value = RawKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Null)
    }

    fn visit_none<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawKind, D::Error> {
        RawKind::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<RawKind, E> {
        // JSON has no infinities, and a null would silently mean the default.
        let number = serde_json::Number::from_f64(value);
        let number = number.ok_or_else(|| E::custom("write a finite number"))?;
        Ok(RawKind::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.into()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<RawKind, A::Error> {
        let mut raws = Vec::new();
        while let Some(raw) = seq.next_element()? {
            raws.push(raw);
        }
        Ok(RawKind::List(raws))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<RawKind, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(RawKind::Map(entries))
    }
}
