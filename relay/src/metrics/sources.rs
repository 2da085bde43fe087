//! What sources are and did, each by its name in the configuration.

use super::exposition::{Metric, Number, Sample};
use crate::{
    label::Label,
    source::{Health, health::Standing},
    stats::Family,
};
use std::{borrow::Cow, sync::Arc};

type Labels = Vec<(&'static str, Cow<'static, str>)>;

pub fn metrics(sources: &[Arc<Health>]) -> Vec<Metric> {
    if sources.is_empty() {
        return Vec::new();
    }
    let each = |value: &dyn Fn(&Health) -> Number| -> Vec<Sample> {
        let sample = |source: &Arc<Health>| Sample::of(named(source), value(source));
        sources.iter().map(sample).collect()
    };
    let standing =
        |standing: Standing| each(&move |source| u64::from(source.standing() == standing).into());
    let waiting = sources.iter().filter_map(|source| {
        let waiting = source.waiting()?;
        Some(Sample::of(named(source), waiting))
    });
    vec![
        Metric::gauge_of(
            "sse_relay_source_connected",
            "Whether this replica pulls from the source and is connected.",
            standing(Standing::Connected),
        ),
        Metric::gauge_of(
            "sse_relay_source_elsewhere",
            "Whether another replica pulls from the source, or none yet.",
            standing(Standing::Elsewhere),
        ),
        Metric::gauge_of(
            "sse_relay_source_lag_seconds",
            "How long ago what was pulled last was sent, while more waits.",
            each(&|source| source.lag_seconds().into()),
        ),
        Metric::gauge_of(
            "sse_relay_source_waiting",
            "Messages that wait at the source's server, where it tells.",
            waiting.collect(),
        ),
        Metric::totals(
            "sse_relay_source_received",
            "Messages that were pulled.",
            each(&|source| source.received.get().into()),
        ),
        Metric::totals(
            "sse_relay_source_appended",
            "Messages that became events.",
            each(&|source| source.appended.get().into()),
        ),
        Metric::totals(
            "sse_relay_source_repeated",
            "Messages that came again, and were recognised.",
            each(&|source| source.repeated.get().into()),
        ),
        Metric::totals(
            "sse_relay_source_retried",
            "Appends of messages that were tried again because the log could not be written.",
            each(&|source| source.retried.get().into()),
        ),
        Metric::totals(
            "sse_relay_source_dropped",
            "Messages that became no event, by reason.",
            families(sources, |source| &source.dropped),
        ),
        Metric::totals(
            "sse_relay_source_faults",
            "Times that the source could not go on, by reason; each is followed by another try.",
            families(sources, |source| &source.faults),
        ),
    ]
}

fn named(source: &Health) -> Labels {
    vec![("source", source.name.clone().into())]
}

fn families<K: Label>(
    sources: &[Arc<Health>],
    family: impl Fn(&Health) -> &Family<K>,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    for source in sources {
        for (reason, count) in family(source).iter() {
            let mut labels = named(source);
            labels.push(("reason", reason.label().into()));
            samples.push(Sample::of(labels, count));
        }
    }
    samples
}
