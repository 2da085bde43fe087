//! What an event is in a dialect: once for all who receive it.

use super::{Dialect, facts::EventFacts};
use crate::{event::Ending, event_log::Entry, filter::Filter, frame::Frame};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;

/// What an event is in a dialect.
#[derive(Debug)]
pub struct Rendition {
    /// `None` where the dialect has nothing to say of it.
    pub frame: Option<Frame>,
    /// What streams choose it by.
    terms: Box<[Option<Box<str>>]>,
}

impl Rendition {
    /// Of an event whose cursor is `id`.
    pub fn new(dialect: &Dialect, id: &str, entry: &Entry) -> Rendition {
        let facts = facts(Some(id), entry);
        Rendition {
            frame: match entry.event.ending {
                Ending::Ends => dialect.last_event(&facts),
                Ending::Continues => dialect.event(&facts),
            },
            terms: dialect.terms(&facts),
        }
    }

    /// Whether a stream that asked for this wants it.
    pub fn is_wanted(&self, dialect: &Dialect, wanted: &Filter) -> bool {
        wanted.terms().iter().all(|(parameter, values)| {
            let index = dialect.term_index(parameter);
            let term = index.and_then(|index| self.terms[index].as_ref());
            term.is_some_and(|term| values.contains(term))
        })
    }
}

/// What is known of an event.
pub fn facts<'a>(id: Option<&'a str>, entry: &'a Entry) -> EventFacts<'a> {
    let millis = i64::try_from(entry.id.unix_millis()).unwrap_or(i64::MAX);
    EventFacts {
        id,
        channel: entry.channel.as_str(),
        event: &entry.event,
        appended: Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// What an event is in each dialect that somebody receives it in. The shards share it: whoever comes
/// first writes it. Bounded by the number of routes.
#[derive(Debug, Default)]
pub struct Renditions(Mutex<Vec<(Arc<Dialect>, Arc<Rendition>)>>);

impl Renditions {
    /// The event whose cursor, for all who share this, is `id`.
    pub fn of(&self, dialect: &Arc<Dialect>, id: &str, entry: &Entry) -> Arc<Rendition> {
        let mut known = self.0.lock();
        if let Some((_, rendition)) = known.iter().find(|(one, _)| one == dialect) {
            return rendition.clone();
        }
        let rendition = Arc::new(Rendition::new(dialect, id, entry));
        known.push((dialect.clone(), rendition.clone()));
        rendition
    }
}
