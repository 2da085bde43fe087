//! What a source hands over, before it is an event.

use crate::dialect::{Facts, Value};
use jiff::Timestamp;
use relay_config::Name;

/// A message as its server gave it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// Where it came from: a channel, a stream, a queue, a topic. `${channel}` in a mapping.
    pub origin: String,
    /// What makes it recognisable when it comes again, unique within its origin. `${id}`.
    pub id: Option<String>,
    /// Its type, where the system has such a thing. `${type}`.
    pub kind: Option<String>,
    /// What it says. `${data}`, and `${data.NAME}` if it is a JSON object.
    pub body: String,
    /// Headers, properties, fields: in no order; of a name that is there twice the first counts.
    /// `${attributes.NAME}`.
    pub attributes: Vec<(String, String)>,
    /// When it was sent, if the system tells. `${time}`.
    pub time: Option<Timestamp>,
}

impl Facts for Message {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name {
            Name::Data(keys) => Value::member(&self.body, keys),
            Name::Channel => Some(Value::Text(self.origin.as_str().into())),
            Name::Id => Some(Value::Text(self.id.as_deref()?.into())),
            Name::Type => Some(Value::Text(self.kind.as_deref()?.into())),
            Name::Time => self.time.map(Value::Time),
            Name::Attribute(name) => {
                let mut known = self.attributes.iter();
                let (_, value) = known.find(|(known, _)| **known == **name)?;
                Some(Value::Text(value.as_str().into()))
            }
            _ => None,
        }
    }
}
