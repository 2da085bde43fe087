//! The span of an event that is handed to the streams of a feed.

use super::{SYSTEM, Traces, context};
use crate::{cursor::Place, event_log::Entry};
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanKind, Tracer},
};
use std::time::{Instant, SystemTime};

/// Deliveries of one feed whose spans are open. More are not traced: a feed that has so many is far
/// behind.
pub const MAX_OPEN: usize = 64;

/// An event that is traced, on its way to the streams of a feed.
#[derive(Clone)]
pub struct Delivering {
    parent: Context,
    channel: String,
    id: String,
    began: SystemTime,
    /// Visits to all streams that must end before all of them were offered the event.
    visits: u8,
}

/// How far the visit to a feed's streams is when an event comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visit {
    /// All are still to be visited.
    ToCome,
    /// Some were visited already, and will be again.
    UnderWay,
}

impl Delivering {
    /// `None` for an event that is not traced.
    pub fn of(entry: &Entry, place: Place, appended: Instant) -> Option<Delivering> {
        let now = SystemTime::now();
        Some(Delivering {
            parent: context::sampled(&entry.event)?,
            channel: entry.channel.as_str().to_owned(),
            id: place.to_string(),
            began: now.checked_sub(appended.elapsed()).unwrap_or(now),
            visits: 1,
        })
    }

    #[must_use]
    pub fn after(&self, visit: Visit) -> Delivering {
        Delivering {
            visits: match visit {
                Visit::ToCome => 1,
                Visit::UnderWay => 2,
            },
            ..self.clone()
        }
    }

    /// All streams were visited once more; whether they have all been offered the event now.
    pub fn visited(&mut self) -> bool {
        self.visits = self.visits.saturating_sub(1);
        self.visits == 0
    }
}

impl Traces {
    /// An event was offered to `streams` streams, of which `waiting` could not take all of it yet.
    pub fn delivered(&self, delivering: Delivering, streams: usize, waiting: usize) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let builder = self
            .tracer
            .span_builder("deliver")
            .with_kind(SpanKind::Consumer)
            .with_start_time(delivering.began)
            .with_attributes([
                KeyValue::new("messaging.system", SYSTEM),
                KeyValue::new("messaging.operation.name", "deliver"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", delivering.channel),
                KeyValue::new("messaging.message.id", delivering.id),
                KeyValue::new("sse_relay.streams", count(streams)),
                KeyValue::new("sse_relay.streams.waiting", count(waiting)),
            ]);
        let mut span = self.tracer.build_with_context(builder, &delivering.parent);
        span.end();
    }
}
