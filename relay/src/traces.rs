//! What OpenTelemetry is told: a span for each publish, from when it came until the log had it, and
//! one for each time that its events were handed to streams. One trace, whichever replicas were
//! involved: an event carries its context (decision 0027).

mod context;
mod delivery;
mod export;

pub use delivery::{Delivering, MAX_OPEN, Visit};
pub use export::{Exporting, SpanOutcome, TracesError};

use crate::{
    channel::ChannelName,
    event::Event,
    event_log::{AppendError, Appended},
    stats::Stats,
};
use http::HeaderMap;
use opentelemetry::{
    KeyValue,
    trace::{Span as _, SpanKind, Status, Tracer, TracerProvider},
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use std::{sync::Arc, time::SystemTime};

/// Makes spans. There is none while traces are off, and nothing is done for them.
pub struct Traces {
    tracer: SdkTracer,
    /// Keeps the queue of spans.
    _provider: SdkTracerProvider,
}

impl Traces {
    /// Reads the files that the settings name. `None` where `OTEL_SDK_DISABLED` turns them off. What
    /// is answered besides sends the spans, and is to be run.
    pub fn new(
        settings: &relay_config::Traces,
        replica: &str,
        stats: Arc<Stats>,
    ) -> Result<Option<(Traces, Exporting)>, TracesError> {
        let disabled = std::env::var("OTEL_SDK_DISABLED").unwrap_or_default();
        if disabled.eq_ignore_ascii_case("true") {
            return Ok(None);
        }
        let (provider, exporting) = export::provider(settings, replica, stats)?;
        let traces = Traces {
            tracer: provider.tracer("sse-relay"),
            _provider: provider,
        };
        Ok(Some((traces, exporting)))
    }

    /// A publish that came at `came`, with these headers, and is appended now. Its events carry the
    /// context of its span from here on; one that has a context of its own keeps it (CloudEvents,
    /// Distributed Tracing: it is that of the first sender).
    pub fn publishing(
        &self,
        headers: &HeaderMap,
        came: SystemTime,
        channel: &ChannelName,
        events: &mut [Event],
    ) -> Publishing {
        let parent = context::of_headers(headers)
            .or_else(|| context::of_event(events.first()?))
            .unwrap_or_default();
        let builder = self
            .tracer
            .span_builder("publish")
            .with_kind(SpanKind::Producer)
            .with_start_time(came)
            .with_attributes([
                KeyValue::new("messaging.system", SYSTEM),
                KeyValue::new("messaging.operation.name", "publish"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.destination.name", channel.as_str().to_owned()),
                KeyValue::new(
                    "messaging.batch.message_count",
                    i64::try_from(events.len()).unwrap_or(i64::MAX),
                ),
            ]);
        let span = self.tracer.build_with_context(builder, &parent);
        if span.span_context().is_sampled() {
            for event in events {
                context::carry(event, span.span_context());
            }
        }
        Publishing(span)
    }
}

/// What `messaging.system` is of a relay.
const SYSTEM: &str = "sse-relay";

/// The span of a publish.
pub struct Publishing(Span);

impl Publishing {
    /// What became of it.
    pub fn ended(mut self, appended: &Result<Appended, AppendError>) {
        match appended {
            Ok(appended) => {
                let repeated = matches!(appended, Appended::Repeat(_));
                self.0
                    .set_attribute(KeyValue::new("sse_relay.repeated", repeated));
                if let Some(place) = appended.places().last() {
                    let id = place.to_string();
                    self.0
                        .set_attribute(KeyValue::new("messaging.message.id", id));
                }
            }
            Err(error) => self.0.set_status(Status::error(error.to_string())),
        }
        self.0.end();
    }
}
