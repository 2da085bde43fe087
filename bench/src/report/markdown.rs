//! The results as Markdown.

use std::fmt::Write as _;

use super::{Results, ScenarioResult, Summary, Verdict};
use crate::scenario::{Basis, Better, Contender, Curve};

/// The whole report.
#[must_use]
pub fn render(results: &Results) -> String {
    let mut out = String::from("# Benchmark\n\n");
    circumstances(&mut out, results);
    verdicts(&mut out, results);
    curves(&mut out, results);
    for scenario in &results.scenarios {
        details(&mut out, scenario);
    }
    out
}

/// Where and how it was measured.
pub fn circumstances(out: &mut String, results: &Results) {
    let machine = &results.machine;
    let pinned = match machine.pinned {
        Some((server, generator)) => {
            format!("servers on core {server}, generator on core {generator}")
        }
        None => "**one core for server and generator: latencies mean little**".to_owned(),
    };
    put(
        out,
        format_args!(
            "{} ({} cores), kernel {}; {pinned}; everything on loopback; a fresh server for each run; \
         medians of {} run{}, least and most in brackets{}.\n\n\
         The floor is a program that does nothing but write each event to each socket. Figures of \
         different machines do not compare; ratios to the floor of the same sitting do.\n\n",
            machine.processor,
            machine.cores,
            machine.kernel,
            results.repeat,
            if results.repeat == 1 { "" } else { "s" },
            if results.quick { "; **shortened**" } else { "" },
        ),
    );
}

/// How the cost grows, if that was measured.
pub fn curves(out: &mut String, results: &Results) {
    let curves = super::curves(results);
    if curves.is_empty() {
        return;
    }
    out.push_str(
        "| CPU per delivered event ÷ floor, by number of | | largest ÷ least | target | |\n",
    );
    out.push_str("|---|---|---|---|---|\n");
    for curve in curves {
        let points = curve.points.iter();
        let points: Vec<_> = points
            .map(|(x, ratio)| format!("{}: {ratio:.2}×", number(*x)))
            .collect();
        put(
            out,
            format_args!(
                "| {} | {} | {} | ≤ {} | {} |\n",
                curve.curve.name(),
                points.join(", "),
                curve
                    .growth
                    .map_or("–".into(), |growth| format!("{growth:.2}")),
                Curve::FLAT,
                mark(curve.met),
            ),
        );
    }
    out.push('\n');
}

fn mark(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    }
}

/// The table of verdicts alone.
pub fn verdicts(out: &mut String, results: &Results) {
    out.push_str("| | scenario | metric | floor | relay | ratio or value | target | | others |\n");
    out.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for scenario in &results.scenarios {
        for verdict in &scenario.verdicts {
            let cell = |contender| {
                scenario
                    .summary(contender, verdict.metric)
                    .map_or("–".into(), spread)
            };
            put(
                out,
                format_args!(
                    "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
                    scenario.id,
                    scenario.title,
                    metric(verdict.metric),
                    cell(Contender::Floor),
                    cell(Contender::Relay),
                    value(verdict),
                    target(verdict),
                    mark(verdict.met),
                    others(scenario, verdict),
                ),
            );
        }
    }
    out.push('\n');
}

fn details(out: &mut String, scenario: &ScenarioResult) {
    put(
        out,
        format_args!("## {}: {}\n\n", scenario.id, scenario.title),
    );
    let mut metrics: Vec<&String> = scenario
        .contenders
        .iter()
        .flat_map(|contender| contender.summary.keys())
        .collect();
    metrics.sort();
    metrics.dedup();
    out.push_str("| |");
    for contender in &scenario.contenders {
        put(out, format_args!(" {} |", contender.contender.name()));
    }
    put(
        out,
        format_args!("\n|---|{}\n", "---|".repeat(scenario.contenders.len())),
    );
    for name in metrics {
        put(out, format_args!("| {} |", metric(name)));
        for contender in &scenario.contenders {
            let cell = contender
                .summary
                .get(name)
                .copied()
                .map_or("–".into(), spread);
            put(out, format_args!(" {cell} |"));
        }
        out.push('\n');
    }
    out.push_str("| faults |");
    for contender in &scenario.contenders {
        put(out, format_args!(" {} |", contender.faults));
    }
    out.push_str("\n| generator's core / others, % |");
    for contender in &scenario.contenders {
        let most =
            |of: fn(&crate::measure::Run) -> f64| contender.runs.iter().map(of).fold(0.0, f64::max);
        let (generator, others) = (most(|r| r.generator_percent), most(|r| r.others_percent));
        put(out, format_args!(" {generator:.0} / {others:.0} |"));
    }
    out.push_str("\n\n");
    for contender in &scenario.contenders {
        let name = contender.contender.name();
        for note in contender
            .runs
            .iter()
            .flat_map(|run| &run.notes)
            .chain(&contender.failures)
        {
            put(out, format_args!("- {name}: {note}\n"));
        }
        if contender.refused > 0 {
            put(
                out,
                format_args!("- {name}: {} publishes refused\n", contender.refused),
            );
        }
    }
    out.push('\n');
}

/// What servers of others came to, as the relay's figure is given.
fn others(scenario: &ScenarioResult, verdict: &Verdict) -> String {
    let floor = scenario.median(Contender::Floor, verdict.metric);
    let others = scenario.contenders.iter();
    let others = others.filter(|other| other.contender.is_a_peer());
    let told = others.map(|other| {
        let name = other.contender.name();
        let own = scenario.median(other.contender, verdict.metric);
        let figure = match (verdict.basis, own, floor) {
            (Basis::Value, Some(own), _) => number(own),
            (Basis::RatioToFloor, Some(own), Some(floor)) if floor > 0.0 => {
                format!("{:.2}×", own / floor)
            }
            _ => "failed".to_owned(),
        };
        let faults = match other.faults.none() {
            true => "",
            false => " with faults",
        };
        format!("{name} {figure}{faults}")
    });
    told.collect::<Vec<_>>().join(", ")
}

fn value(verdict: &Verdict) -> String {
    match (verdict.value, verdict.basis) {
        (None, _) => "–".to_owned(),
        (Some(value), Basis::RatioToFloor) => format!("{value:.2}×"),
        (Some(value), Basis::Value) => number(value),
    }
}

fn target(verdict: &Verdict) -> String {
    let Some(target) = verdict.target else {
        return String::new();
    };
    let sign = if verdict.better == Better::Lower {
        "≤"
    } else {
        "≥"
    };
    let times = if verdict.basis == Basis::RatioToFloor {
        "×"
    } else {
        ""
    };
    format!("{sign} {target}{times}")
}

fn spread(summary: Summary) -> String {
    let Summary { median, min, max } = summary;
    if min == max {
        return number(median);
    }
    format!("{} ({}–{})", number(median), number(min), number(max))
}

/// Three digits that mean something.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.0} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A metric's name for people.
#[must_use]
pub fn metric(name: &str) -> String {
    let replaced = [
        ("cpu_us_per_event", "CPU per delivered event, µs"),
        ("redis_cpu_us_per_publish", "CPU of Redis per publish, µs"),
        ("cpu_seconds", "CPU, s"),
        ("latency_scheduled_p99_ms", "p99 from the schedule, ms"),
        ("latency_scheduled_max_ms", "max from the schedule, ms"),
        ("latency_p50_ms", "p50, ms"),
        ("latency_p99_ms", "p99, ms"),
        ("latency_max_ms", "max, ms"),
        ("latency_p99_growth", "p99 with ÷ without"),
        ("deliveries_per_second", "deliveries/s"),
        ("events_per_read", "events a read"),
        ("pss_bytes_per_stream", "PSS per stream, bytes"),
        ("pss_bytes_before", "PSS before, bytes"),
        ("opened_per_second", "streams opened per second"),
        ("back_seconds", "all back, s"),
        ("caught_up_seconds", "all caught up, s"),
    ];
    for (prefix, words) in replaced {
        if let Some(rest) = name.strip_prefix(prefix) {
            let suffix = rest.trim_start_matches('_');
            return match suffix.strip_prefix('w').and_then(|w| w.parse::<u32>().ok()) {
                Some(outstanding) => format!("{words}, W = {outstanding}"),
                None if suffix.is_empty() => words.to_owned(),
                None => format!("{words}, {suffix}"),
            };
        }
    }
    name.replace('_', " ")
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes any write");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let expected = [
            (0.0, "0"),
            (0.14159, "0.142"),
            (4.5678, "4.57"),
            (45.678, "45.7"),
            (456.78, "457"),
            (45_678.0, "46 k"),
            (3_860_000.0, "3.86 M"),
        ];
        for (value, text) in expected {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn metrics_are_named_for_people() {
        assert_eq!(metric("deliveries_per_second_w64"), "deliveries/s, W = 64");
        assert_eq!(metric("latency_p99_ms_without"), "p99, ms, without");
        assert_eq!(metric("missed"), "missed");
    }
}
