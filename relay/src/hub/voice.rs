//! How the streams of a feed are written where a route says so, and what they say then of what the
//! relay itself has to tell.

use super::{direct_event::DirectEvent, feed::FeedKey, open::CloseReason};
use crate::{
    clock::{rfc3339, timestamp, timestamp_of},
    cursor::UnixMillis,
    dialect::{
        Dialect, Rendition,
        facts::{DegradedFacts, EventFacts, ExpiringFacts, FarewellFacts, GapFacts},
        rendition_facts as facts,
    },
    event::{Data, Ending, Event, EventType},
    event_log::{Condition, Entry},
    filter::Filter,
    frame::{DegradedData, ExpiringData, Frame, Framing, GapData},
    label::Label,
    sse_parser::{Item, Parser},
};
use std::{sync::Arc, time::SystemTime};

/// A dialect, and which of its events are wanted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Voice {
    pub dialect: Arc<Dialect>,
    pub wanted: Arc<Filter>,
}

impl FeedKey {
    /// That events are missing; `None` where its streams are not told.
    pub fn gap(&self, cursor: Option<&str>, data: &GapData) -> Option<Frame> {
        match &self.voice {
            None => Some(Frame::control(cursor, "gap", data)),
            Some(voice) => voice.dialect.gap(&GapFacts {
                id: cursor,
                now: timestamp(),
                reason: data.reason.label(),
            }),
        }
    }

    /// That the grant of one of its streams ends, at this time; `None` where they are not told.
    pub fn expiring(&self, expires: UnixMillis, now: UnixMillis) -> Option<Frame> {
        let Some(voice) = &self.voice else {
            let left = expires.saturating_sub(now);
            let data = ExpiringData {
                in_seconds: left as f64 / 1000.0,
            };
            return Some(Frame::control(None, "expiring", &data));
        };
        voice.dialect.expiring(&ExpiringFacts {
            expires: timestamp_of(expires),
            now: timestamp_of(now),
        })
    }

    /// How the log is; `None` where its streams are not told.
    pub fn condition(&self, condition: Condition) -> Option<Frame> {
        let degraded = condition == Condition::Degraded;
        let Some(voice) = &self.voice else {
            let data = DegradedData {
                degraded,
                time: rfc3339(SystemTime::now()),
            };
            return Some(Frame::control(None, "degraded", &data));
        };
        voice.dialect.degraded(&DegradedFacts {
            condition,
            now: timestamp(),
        })
    }

    /// The last words to a stream that the relay closes, with its reconnection time in milliseconds.
    pub fn farewell(&self, reason: CloseReason, retry: u32) -> Option<Frame> {
        if let Some(voice) = &self.voice {
            let facts = FarewellFacts {
                reason: reason.as_str(),
                retry,
                now: timestamp(),
            };
            return voice.dialect.farewell(reason, &facts);
        }
        match reason {
            CloseReason::Draining | CloseReason::Expired | CloseReason::MaxAge => {
                Some(Frame::retry(retry))
            }
            reason if reason.is_ordered() => Some(Frame::dismissal(reason.as_str(), retry)),
            _ => None,
        }
    }

    /// What one of its streams gets of an event; `id` is the text of the cursor after it.
    pub fn written(&self, id: &[u8], entry: &Entry) -> Written {
        let Some(voice) = &self.voice else {
            let name = entry.channel.as_str();
            return match (self.accepts(entry), entry.event.ending) {
                (true, _) => Written::Frame(Frame::event(id, name, &entry.event)),
                (false, Ending::Ends) => Written::Frame(Frame::end(id, name)),
                (false, Ending::Continues) => Written::Filtered,
            };
        };
        let id = std::str::from_utf8(id).unwrap_or_default();
        let rendition = Rendition::new(&voice.dialect, id, entry);
        self.said(voice, &rendition, id, entry)
    }

    /// What one of its streams gets of an event that its dialect has written already.
    pub fn said(&self, voice: &Voice, rendition: &Rendition, id: &str, entry: &Entry) -> Written {
        let wanted =
            entry.channel.is_reserved() || rendition.is_wanted(&voice.dialect, &voice.wanted);
        let frame = match (self.accepts(entry) && wanted, entry.event.ending) {
            (true, _) => rendition.frame.clone(),
            (false, Ending::Ends) => voice.dialect.end(&facts(Some(id), entry)),
            (false, Ending::Continues) => return Written::Filtered,
        };
        frame.map_or(Written::Nothing, Written::Frame)
    }

    /// An event for one stream alone, in the words of its feed; `None` where these have nothing to
    /// say of it.
    pub fn direct(&self, event: &DirectEvent) -> Option<Frame> {
        let Some(voice) = &self.voice else {
            return Some(event.frame.clone());
        };
        let event = event_of(event)?;
        voice.dialect.event(&EventFacts {
            id: None,
            channel: "",
            event: &event,
            appended: timestamp(),
        })
    }
}

/// What a stream gets of an event.
#[derive(Clone, Debug)]
pub enum Written {
    Frame(Frame),
    /// It is not wanted.
    Filtered,
    /// The dialect has nothing to say of it.
    Nothing,
}

/// The event that the relay's own words have.
fn event_of(direct: &DirectEvent) -> Option<Event> {
    let mut items = Vec::new();
    let parsed = Parser::new().push(direct.frame.bytes(Framing::Bare), &mut items);
    let (mut event, mut retry) = (None, None);
    for item in items {
        match item {
            Item::Retry(milliseconds) => retry = u32::try_from(milliseconds).ok(),
            Item::Event { kind, data, .. } => {
                event = Some(Event {
                    kind: EventType::parse(&kind).unwrap_or_default(),
                    data: Some(Data::text(&data)),
                    attributes: direct.attributes.clone(),
                    time: direct.time,
                    ..Event::default()
                });
            }
        }
    }
    parsed.ok()?;
    event.map(|event| Event { retry, ..event })
}
