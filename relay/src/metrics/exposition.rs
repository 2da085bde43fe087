//! The two text formats of a scrape: Prometheus' own, 0.0.4, and OpenMetrics 1.0.0.
//!
//! A writer of our own: `prometheus-client` (0.25) writes OpenMetrics alone, wants its own kinds of
//! counters or a collector beside them, and both formats from one description are this one file.
//!
//! Sources: prometheus.io/docs/instrumenting/exposition_formats, and the OpenMetrics specification
//! 1.0.0 (units end names, `_total` belongs to a counter's samples and not to its family, `# EOF`).

use super::Format;
use crate::{
    label::Label,
    stats::{Counter, Family},
};
use std::{
    borrow::Cow,
    fmt::{self, Write},
};

/// What a scrape says of one thing.
pub struct Metric {
    /// Without the `_total` of a counter's samples or the `_info` of an info's.
    name: &'static str,
    help: &'static str,
    values: Values,
}

enum Values {
    Counter(Vec<Sample>),
    Gauge(Vec<Sample>),
    /// Facts as labels; the value is always 1.
    Info(Vec<(&'static str, &'static str)>),
    Histogram(Histogram),
}

/// A value, perhaps one of a labelled set.
pub struct Sample {
    labels: Vec<(&'static str, Cow<'static, str>)>,
    value: Number,
}

pub struct Histogram {
    /// Inclusive upper bounds, ascending.
    pub bounds: &'static [f64],
    /// Observations by bucket, one more than there are bounds.
    pub counts: Vec<u64>,
    pub sum: f64,
}

/// Counts stay whole numbers.
#[derive(Clone, Copy)]
pub enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Number {
        Number::Whole(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Number {
        Number::Whole(value as u64)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Number {
        Number::Real(value)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Whole(value) => write!(f, "{value}"),
            Number::Real(value) => write!(f, "{value:?}"),
        }
    }
}

impl Sample {
    pub fn labelled(label: &'static str, value: &'static str, number: impl Into<Number>) -> Sample {
        Sample {
            labels: vec![(label, value.into())],
            value: number.into(),
        }
    }

    /// With several labels, whose values need not be known beforehand.
    pub fn of(labels: Vec<(&'static str, Cow<'static, str>)>, number: impl Into<Number>) -> Sample {
        Sample {
            labels,
            value: number.into(),
        }
    }

    fn plain(value: impl Into<Number>) -> Sample {
        Sample {
            labels: Vec::new(),
            value: value.into(),
        }
    }
}

impl Metric {
    pub fn gauge(name: &'static str, help: &'static str, value: impl Into<Number>) -> Metric {
        Metric::gauge_of(name, help, vec![Sample::plain(value)])
    }

    pub fn gauge_of(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Metric {
        let values = Values::Gauge(samples);
        Metric { name, help, values }
    }

    pub fn counter(name: &'static str, help: &'static str, counter: &Counter) -> Metric {
        Metric::total(name, help, counter.get())
    }

    /// A counter that is not one of ours.
    pub fn total(name: &'static str, help: &'static str, value: impl Into<Number>) -> Metric {
        let values = Values::Counter(vec![Sample::plain(value)]);
        Metric { name, help, values }
    }

    /// A counter for each value of the label.
    pub fn family<K: Label>(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        family: &Family<K>,
    ) -> Metric {
        let samples = family
            .iter()
            .map(|(key, count)| Sample::labelled(label, key.label(), count))
            .collect();
        let values = Values::Counter(samples);
        Metric { name, help, values }
    }

    /// Several counters that are not of one family.
    pub fn totals(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Metric {
        let values = Values::Counter(samples);
        Metric { name, help, values }
    }

    pub fn info(
        name: &'static str,
        help: &'static str,
        facts: Vec<(&'static str, &'static str)>,
    ) -> Metric {
        let values = Values::Info(facts);
        Metric { name, help, values }
    }

    pub fn histogram(name: &'static str, help: &'static str, histogram: Histogram) -> Metric {
        let values = Values::Histogram(histogram);
        Metric { name, help, values }
    }

    /// Names end with their unit, so it is not said twice.
    fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"]
            .into_iter()
            .find(|unit| self.name.ends_with(unit))
    }
}

/// The whole answer to a scrape.
pub fn write(metrics: &[Metric], format: Format) -> String {
    let mut text = String::new();
    for metric in metrics {
        write_one(&mut text, metric, format).expect("a string takes any text");
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn write_one(text: &mut String, metric: &Metric, format: Format) -> fmt::Result {
    let name = metric.name;
    // the older format knows no families: what is declared is the name of the samples
    let (kind, suffix) = match &metric.values {
        Values::Counter(_) => ("counter", "_total"),
        Values::Gauge(_) => ("gauge", ""),
        Values::Info(_) if format == Format::Prometheus => ("gauge", "_info"),
        Values::Info(_) => ("info", "_info"),
        Values::Histogram(_) => ("histogram", ""),
    };
    let declared = match format {
        Format::Prometheus => suffix,
        Format::OpenMetrics => "",
    };
    writeln!(
        text,
        "# HELP {name}{declared} {}",
        Help(metric.help, format)
    )?;
    writeln!(text, "# TYPE {name}{declared} {kind}")?;
    if let (Format::OpenMetrics, Some(unit)) = (format, metric.unit()) {
        writeln!(text, "# UNIT {name} {unit}")?;
    }
    match &metric.values {
        Values::Counter(samples) | Values::Gauge(samples) => {
            for sample in samples {
                let labels = Labels(&sample.labels);
                writeln!(text, "{name}{suffix}{labels} {}", sample.value)?;
            }
        }
        Values::Info(facts) => writeln!(text, "{name}{suffix}{} 1", Labels(facts))?,
        Values::Histogram(histogram) => write_histogram(text, name, histogram)?,
    }
    Ok(())
}

fn write_histogram(text: &mut String, name: &str, histogram: &Histogram) -> fmt::Result {
    let mut count = 0;
    for (index, observed) in histogram.counts.iter().enumerate() {
        count += observed;
        match histogram.bounds.get(index) {
            Some(bound) => writeln!(text, "{name}_bucket{{le=\"{bound:?}\"}} {count}")?,
            None => writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}")?,
        }
    }
    writeln!(text, "{name}_sum {:?}", histogram.sum)?;
    writeln!(text, "{name}_count {count}")
}

struct Labels<'a, T>(&'a [(&'static str, T)]);

impl<T: AsRef<str>> fmt::Display for Labels<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        for (index, (name, value)) in self.0.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(f, "{before}{name}=\"")?;
            escape(f, value.as_ref(), true)?;
            f.write_char('"')?;
        }
        f.write_char('}')
    }
}

/// OpenMetrics escapes quotes in help too; the older format must not.
struct Help(&'static str, Format);

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, self.0, self.1 == Format::OpenMetrics)
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str, quotes: bool) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '"' if quotes => f.write_str("\\\"")?,
            c => f.write_char(c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Refusal;

    fn some() -> Vec<Metric> {
        let refused = Family::<Refusal>::default();
        refused.of(Refusal::Limit).add(2);
        vec![
            Metric::info("a_build", "It's \"it\".", vec![("version", "1\"\\\n")]),
            Metric::family("a_refused", "Turned\naway.", "reason", &refused),
            Metric::total("a_cpu_seconds", "Time.", 1.5),
            Metric::histogram(
                "a_latency_seconds",
                "Latency.",
                Histogram {
                    bounds: &[0.5, 1.0],
                    counts: vec![1, 0, 2],
                    sum: 9.0,
                },
            ),
        ]
    }

    #[test]
    fn the_older_format_declares_the_names_of_samples() {
        let expected = r#"# HELP a_build_info It's "it".
# TYPE a_build_info gauge
a_build_info{version="1\"\\\n"} 1
# HELP a_refused_total Turned\naway.
# TYPE a_refused_total counter
a_refused_total{reason="limit"} 2
a_refused_total{reason="descriptors"} 0
a_refused_total{reason="head-timeout"} 0
a_refused_total{reason="proxy-protocol"} 0
# HELP a_cpu_seconds_total Time.
# TYPE a_cpu_seconds_total counter
a_cpu_seconds_total 1.5
# HELP a_latency_seconds Latency.
# TYPE a_latency_seconds histogram
a_latency_seconds_bucket{le="0.5"} 1
a_latency_seconds_bucket{le="1.0"} 1
a_latency_seconds_bucket{le="+Inf"} 3
a_latency_seconds_sum 9.0
a_latency_seconds_count 3
"#;
        assert_eq!(write(&some(), Format::Prometheus), expected);
    }

    #[test]
    fn openmetrics_declares_families_and_units_and_says_where_it_ends() {
        let expected = r#"# HELP a_build It's \"it\".
# TYPE a_build info
a_build_info{version="1\"\\\n"} 1
# HELP a_refused Turned\naway.
# TYPE a_refused counter
a_refused_total{reason="limit"} 2
a_refused_total{reason="descriptors"} 0
a_refused_total{reason="head-timeout"} 0
a_refused_total{reason="proxy-protocol"} 0
# HELP a_cpu_seconds Time.
# TYPE a_cpu_seconds counter
# UNIT a_cpu_seconds seconds
a_cpu_seconds_total 1.5
# HELP a_latency_seconds Latency.
# TYPE a_latency_seconds histogram
# UNIT a_latency_seconds seconds
a_latency_seconds_bucket{le="0.5"} 1
a_latency_seconds_bucket{le="1.0"} 1
a_latency_seconds_bucket{le="+Inf"} 3
a_latency_seconds_sum 9.0
a_latency_seconds_count 3
# EOF
"#;
        assert_eq!(write(&some(), Format::OpenMetrics), expected);
    }
}
