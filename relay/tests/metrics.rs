//! A scrape is legal in both formats, and `docs/metrics.md` tells the truth about it.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "metrics/exposition.rs"]
mod exposition;
#[path = "metrics/table.rs"]
mod table;

use exposition::{Family, Scrape};
use relay_config::Config;
use sse_relay::{
    audit::Audit,
    cursor::Epoch,
    event_log::{
        Retention,
        memory::{MemoryLog, MemoryOptions},
    },
    http::App,
    hub::{Hub, open::CloseReason},
    metrics::{self, Format},
    settings::{Live, Settings},
    source::{Health, Lag, Promise},
    stats::Stats,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// A relay that serves nobody and has counted a little.
fn app() -> App {
    let stats = Arc::new(Stats::default());
    stats.closed.of(CloseReason::Slow).add(2);
    stats.certificate_expires.set(4_102_444_800_000);
    stats.latency.observe(Duration::from_millis(3), 5);
    stats.latency.observe(Duration::from_secs(99), 1);
    let hub = Hub::new(1, stats);
    let options = MemoryOptions {
        max_bytes: 1 << 20,
        max_channels: 1,
        idempotency_window: Duration::from_secs(1),
        max_idempotency_keys: 1,
        clock: Arc::new(|| 1),
        retention: Arc::new(|_| Retention {
            events: 1,
            age: Duration::from_secs(1),
            bytes: 1,
        }),
    };
    let log = MemoryLog::new(options, Epoch::from_random(1), hub.clone());
    let settings = Settings::new(Config::default()).expect("no files to read");
    let live = Arc::new(Live::new(settings));
    let audit = Audit::open(&live.settings().config.audit).expect("no file to open");
    let mut app = App::new(hub, Arc::new(log), live, audit, "r".to_owned());
    let source = Health::new("orders", "redisStream", Promise::Acknowledged);
    source.lag(Lag {
        age: Duration::from_secs(1),
        waiting: Some(3),
    });
    app.sources.push(Arc::new(source));
    app
}

fn scrape(format: Format) -> Vec<Family> {
    let text = metrics::render(&app(), format);
    let scrape = match format {
        Format::Prometheus => Scrape::prometheus(&text),
        Format::OpenMetrics => Scrape::openmetrics(&text),
    };
    scrape.unwrap_or_else(|error| panic!("{error} in:\n{text}"))
}

/// The values of every label, by the name under which the table has the metric.
fn labels(families: &[Family]) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut found: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for family in families {
        for sample in &family.samples {
            let name = match family.kind.as_str() {
                "histogram" => &family.name,
                _ => &sample.name,
            };
            let labels = found.entry(name.clone()).or_default();
            for (label, value) in &sample.labels {
                let values = labels.entry(label.clone()).or_default();
                values.insert(value.clone());
            }
        }
    }
    found
}

#[test]
fn the_table_has_exactly_the_names_and_labels_of_a_scrape() {
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let scraped = labels(&scrape(format));
        let rows = table::rows();
        let named: BTreeSet<&String> = rows.iter().map(|row| &row.name).collect();
        assert_eq!(named, scraped.keys().collect(), "{format:?}");
        assert_eq!(named.len(), rows.len(), "a name stands twice");
        for row in &rows {
            let labels = &scraped[&row.name];
            assert!(
                labels.keys().eq(row.labels.keys()),
                "labels of {}",
                row.name
            );
            for (label, values) in &row.labels {
                // versions and names are no closed sets
                assert!(
                    values.is_empty() && ["version", "source"].contains(&label.as_str())
                        || *values == labels[label],
                    "{label} of {}: {:?}",
                    row.name,
                    labels[label]
                );
            }
        }
    }
}

#[test]
fn the_table_has_the_types_of_a_scrape() {
    let types: BTreeMap<String, String> = scrape(Format::OpenMetrics)
        .into_iter()
        .map(|family| {
            let suffix = match family.kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            (family.name + suffix, family.kind)
        })
        .collect();
    let told: BTreeMap<String, String> = table::rows()
        .into_iter()
        .map(|row| (row.name, row.kind))
        .collect();
    assert_eq!(types, told);
}

#[test]
fn the_document_names_no_metric_that_there_is_not() {
    let known: BTreeSet<String> = scrape(Format::Prometheus)
        .into_iter()
        .flat_map(|family| family.samples)
        .map(|sample| sample.name)
        .chain(["sse_relay_delivery_latency_seconds".to_owned()])
        .collect();
    let words = table::DOCUMENT.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: BTreeSet<&str> = words
        .filter(|word| word.starts_with("sse_relay_") || word.starts_with("process_"))
        .filter(|word| *word != "process_")
        .collect();
    assert!(named.len() > 20);
    for name in named {
        assert!(known.contains(name), "{name}");
    }
}

#[test]
fn names_begin_with_ours_and_units_are_said() {
    for family in scrape(Format::OpenMetrics) {
        let ours = family.name.starts_with("sse_relay_") || family.name.starts_with("process_");
        assert!(ours, "{}", family.name);
        let unit = ["seconds", "bytes"]
            .iter()
            .find(|unit| family.name.ends_with(*unit));
        assert_eq!(
            family.unit.as_ref(),
            unit.map(|unit| unit.to_string()).as_ref()
        );
    }
}

#[test]
fn a_scrape_shows_what_was_counted() {
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let families = scrape(format);
        let value = |name: &str, label: Option<(&str, &str)>| {
            let wanted: BTreeMap<String, String> = label
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect();
            families
                .iter()
                .flat_map(|family| &family.samples)
                .find(|sample| sample.name == name && sample.labels == wanted)
                .unwrap()
                .value
        };
        let bucket = "sse_relay_delivery_latency_seconds_bucket";
        assert_eq!(
            value("sse_relay_streams_closed_total", Some(("reason", "slow"))),
            2.0
        );
        assert_eq!(value(bucket, Some(("le", "0.0025"))), 0.0);
        assert_eq!(value(bucket, Some(("le", "0.005"))), 5.0);
        assert_eq!(value(bucket, Some(("le", "30.0"))), 5.0);
        assert_eq!(value("sse_relay_delivery_latency_seconds_count", None), 6.0);
        assert_eq!(value("sse_relay_phase", Some(("phase", "serving"))), 1.0);
        assert_eq!(value("sse_relay_phase", Some(("phase", "draining"))), 0.0);
    }
}

#[test]
fn a_relay_that_drains_shows_it_from_the_announcement_on() {
    let app = app();
    app.enter(sse_relay::http::Phase::Announced);
    let text = metrics::render(&app, Format::Prometheus);
    assert!(text.contains("sse_relay_phase{phase=\"draining\"} 1\n"));
    assert!(text.contains("sse_relay_phase{phase=\"serving\"} 0\n"));
}
