//! What templates can refer to, by what they are for.

use super::value::{Facts, Value};
use crate::{
    dialect::json::{self, Style},
    event::Event,
    event_log::Condition,
    filter::Filter,
    hub::open::StreamInfo,
};
use jiff::Timestamp;
use relay_config::Name;

/// An event of a channel, or one for a single stream, which has no id.
pub struct EventFacts<'a> {
    pub id: Option<&'a str>,
    pub channel: &'a str,
    pub event: &'a Event,
    /// When it was appended.
    pub appended: Timestamp,
}

impl Facts for EventFacts<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        let event = self.event;
        match name {
            Name::Data(keys) => Value::member(event.data.as_ref()?.as_str(), keys),
            Name::Type => Some(Value::Text(event.kind.as_str().into())),
            Name::Id => self.id.map(|id| Value::Text(id.into())),
            Name::Channel => Some(Value::Text(self.channel.into())),
            Name::Time => Some(Value::Time(event.time.unwrap_or(self.appended))),
            Name::Retry => event.retry.map(|retry| Value::Number(retry.into())),
            Name::Attribute(name) => {
                let value = event.attributes.get(name)?;
                Some(Value::Text(value.into()))
            }
            _ => None,
        }
    }
}

/// A stream that begins.
pub struct GreetingFacts<'a> {
    /// `None` where a gap tells it.
    pub id: Option<&'a str>,
    pub now: Timestamp,
    /// Milliseconds.
    pub retry: u32,
    pub info: &'a StreamInfo,
    pub wanted: &'a Filter,
    pub clients: usize,
}

impl Facts for GreetingFacts<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name {
            Name::Id => self.id.map(|id| Value::Text(id.into())),
            Name::Now => Some(Value::Time(self.now)),
            Name::Retry => Some(Value::Number(self.retry.into())),
            Name::ClientId => Some(Value::Text(self.info.id().into())),
            Name::Subject => {
                let subject = self.info.who.subject.as_ref()?;
                Some(Value::Text(subject.to_string().into()))
            }
            Name::Filter(parameter) => wanted(self.wanted, parameter),
            Name::Clients => Some(Value::Number(self.clients as u64)),
            _ => None,
        }
    }
}

/// A sign of life on the streams that want the same.
pub struct HeartbeatFacts<'a> {
    pub id: Option<&'a str>,
    pub now: Timestamp,
    pub wanted: &'a Filter,
    pub clients: usize,
}

impl Facts for HeartbeatFacts<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name {
            Name::Id => self.id.map(|id| Value::Text(id.into())),
            Name::Now => Some(Value::Time(self.now)),
            Name::Filter(parameter) => wanted(self.wanted, parameter),
            Name::Clients => Some(Value::Number(self.clients as u64)),
            _ => None,
        }
    }
}

/// The values that were asked for, sorted.
fn wanted<'a>(filter: &'a Filter, parameter: &str) -> Option<Value<'a>> {
    let values = filter.terms().get(parameter)?;
    let mut list = String::from("[");
    for value in values {
        if list.len() > 1 {
            list.push(',');
        }
        json::quote(value, Style::COMPACT, &mut list);
    }
    list.push(']');
    Some(Value::Json(list.into()))
}

/// Events are missing.
pub struct GapFacts<'a> {
    pub id: Option<&'a str>,
    pub now: Timestamp,
    pub reason: &'a str,
}

impl Facts for GapFacts<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name {
            Name::Id => self.id.map(|id| Value::Text(id.into())),
            Name::Now => Some(Value::Time(self.now)),
            Name::Reason => Some(Value::Text(self.reason.into())),
            _ => None,
        }
    }
}

/// A stream's grant ends soon.
pub struct ExpiringFacts {
    pub expires: Timestamp,
    pub now: Timestamp,
}

impl Facts for ExpiringFacts {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name {
            Name::Expires => Some(Value::Time(self.expires)),
            Name::Now => Some(Value::Time(self.now)),
            _ => None,
        }
    }
}

/// How the log is.
pub struct DegradedFacts {
    pub condition: Condition,
    pub now: Timestamp,
}

impl Facts for DegradedFacts {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name {
            Name::Degraded => Some(Value::Json(match self.condition {
                Condition::Degraded => "true".into(),
                Condition::Healthy => "false".into(),
            })),
            Name::Now => Some(Value::Time(self.now)),
            _ => None,
        }
    }
}

/// A stream that the relay closes.
pub struct FarewellFacts<'a> {
    pub reason: &'a str,
    /// Milliseconds.
    pub retry: u32,
    pub now: Timestamp,
}

impl Facts for FarewellFacts<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name {
            Name::Reason => Some(Value::Text(self.reason.into())),
            Name::Retry => Some(Value::Number(self.retry.into())),
            Name::Now => Some(Value::Time(self.now)),
            _ => None,
        }
    }
}

/// A request that gets no stream.
pub struct RefusalFacts<'a> {
    pub detail: &'a str,
    pub reason: &'a str,
    pub status: u16,
}

impl Facts for RefusalFacts<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name {
            Name::Detail => Some(Value::Text(self.detail.into())),
            Name::Reason => Some(Value::Text(self.reason.into())),
            Name::Status => Some(Value::Number(self.status.into())),
            _ => None,
        }
    }
}

/// The streams of a route.
pub struct StatusFacts {
    pub clients: usize,
    /// The first of them, by when they opened.
    pub listed: Vec<ListedClient>,
    pub newest: Option<Timestamp>,
    pub now: Timestamp,
}

/// A stream that is listed.
pub struct ListedClient {
    pub id: String,
    pub wanted: Filter,
    pub opened: Timestamp,
}

impl Facts for StatusFacts {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name {
            Name::Clients => Some(Value::Number(self.clients as u64)),
            Name::ClientIds => {
                let ids: Vec<&str> = self.listed.iter().map(|one| &*one.id).collect();
                Some(Value::Json(serde_json::json!(ids).to_string().into()))
            }
            Name::ClientFilters => {
                let filters: serde_json::Map<_, _> = self
                    .listed
                    .iter()
                    .map(|one| (one.id.clone(), serde_json::json!(one.wanted)))
                    .collect();
                Some(Value::Json(
                    serde_json::Value::from(filters).to_string().into(),
                ))
            }
            Name::Oldest => self.listed.first().map(|one| Value::Time(one.opened)),
            Name::Newest => self.newest.map(Value::Time),
            Name::Now => Some(Value::Time(self.now)),
            _ => None,
        }
    }
}
