//! What a run found.

use serde::Serialize;

use super::histogram::Histogram;
use super::tally::Faults;

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl From<&Histogram> for Latency {
    fn from(histogram: &Histogram) -> Self {
        let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
        Self {
            p50_ms: ms(histogram.quantile(0.5)),
            p99_ms: ms(histogram.quantile(0.99)),
            max_ms: ms(histogram.max()),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub streams: usize,
    /// Publishes that the server accepted, and those it did not (or never answered).
    pub published: u64,
    pub refused: u64,
    /// Different events delivered, over all streams.
    pub delivered: u64,
    /// From the first publish to the last delivery.
    pub seconds: f64,
    pub deliveries_per_second: f64,
    pub events_per_read: f64,
    /// From just before the publish to just after the read that completed the event.
    pub latency: Latency,
    /// The same from the time the schedule wanted the publish.
    pub latency_scheduled: Latency,
    pub faults: Faults,
    /// Events in another order than sent although no order was defined: both were unanswered.
    pub overtaken: u64,
}
