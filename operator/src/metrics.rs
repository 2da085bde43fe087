//! What the operator counts. Every label has a closed set of values, all there from the start.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::controller::Relays;

/// How a reconcile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)] // they are values of a label
pub enum Outcome {
    /// Everything was as it must be.
    unchanged,
    /// Objects were written or removed.
    changed,
    /// The resource must be corrected first.
    invalid,
    /// The annotation says to leave the relay alone.
    paused,
    /// Not everything could be written.
    incomplete,
    /// The API server could not be asked.
    failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::unchanged,
        Self::changed,
        Self::invalid,
        Self::paused,
        Self::incomplete,
        Self::failed,
    ];
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabel {
    condition: &'static str,
    status: &'static str,
}

/// What the operator counts.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<OutcomeLabel, Counter>,
    duration: Histogram,
    writes: Counter,
    healed: Counter,
    leading: Gauge,
    relays: Family<ConditionLabel, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sse_relay_operator"),
            reconciles: Family::default(),
            duration: Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            writes: Counter::default(),
            healed: Counter::default(),
            leading: Gauge::default(),
            relays: Family::default(),
        };
        for outcome in Outcome::ALL {
            let _ = metrics.reconciles.get_or_create(&OutcomeLabel { outcome });
        }
        let registry = &mut metrics.registry;
        registry.register(
            "reconciles",
            "Looks at one relay",
            metrics.reconciles.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "How long one look took",
            metrics.duration.clone(),
        );
        registry.register(
            "writes",
            "Objects written or removed",
            metrics.writes.clone(),
        );
        registry.register(
            "healed",
            "Objects put back that somebody else had changed",
            metrics.healed.clone(),
        );
        registry.register(
            "leading",
            "1 while this operator acts, 0 while another one does",
            metrics.leading.clone(),
        );
        registry.register("relays", "Relays by condition", metrics.relays.clone());
        metrics
    }
}

impl Metrics {
    /// One look at a relay ended so, after this time.
    pub fn reconciled(&self, outcome: Outcome, took: Duration) {
        self.reconciles
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// So many objects were written or removed, and so many of them put back.
    pub fn wrote(&self, objects: usize, healed: usize) {
        self.writes.inc_by(objects as u64);
        self.healed.inc_by(healed as u64);
    }

    /// This operator begins or ceases to act.
    pub fn lead(&self, leading: Leading) {
        self.leading.set(match leading {
            Leading::Yes => 1,
            Leading::No => 0,
        });
    }

    /// Everything in the text format of OpenMetrics.
    #[must_use]
    pub fn text(&self, relays: &Relays) -> String {
        for (condition, status, count) in relays.by_condition() {
            let label = ConditionLabel { condition, status };
            self.relays.get_or_create(&label).set(count);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }
}

/// Whether an operator acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leading {
    /// It does.
    Yes,
    /// Another one does.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_there_from_the_start() {
        let text = Metrics::default().text(&Relays::default());
        for outcome in [
            "unchanged",
            "changed",
            "invalid",
            "paused",
            "incomplete",
            "failed",
        ] {
            let sample = format!("sse_relay_operator_reconciles_total{{outcome=\"{outcome}\"}} 0");
            assert!(text.contains(&sample), "{sample} in {text}");
        }
    }
}
