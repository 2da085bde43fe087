//! Horizontal bar charts as SVG, readable on light and dark pages.

use std::fmt::Write as _;

use super::markdown::{metric, number};
use super::{CurveResult, Results, ScenarioResult};
use crate::scenario::{Basis, Better, Contender};

/// A chart and the name of its file.
pub struct Chart {
    pub file: String,
    pub svg: String,
}

struct Bar {
    label: String,
    value: f64,
    /// Which of the colours.
    series: usize,
    text: String,
    /// A mark across the bar: the target.
    mark: Option<f64>,
}

struct Drawing {
    title: String,
    subtitle: String,
    bars: Vec<Bar>,
    /// A line through all bars: the floor itself.
    line: Option<f64>,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 64.0;
const ROW: f64 = 26.0;
const BAR: f64 = 17.0;

/// All charts for which there are numbers.
#[must_use]
pub fn charts(results: &Results) -> Vec<Chart> {
    let mut charts = vec![("ratios.svg".to_owned(), ratios(results))];
    for curve in super::curves(results) {
        let file = format!("s9-{}.svg", curve.curve.name());
        charts.push((file, growth(&curve)));
    }
    for scenario in results.scenarios.iter().filter(|s| s.point.is_none()) {
        let chart = match scenario.id {
            "S5" => saturation(scenario),
            "S3" => memory(scenario),
            _ => latency(scenario),
        };
        charts.push((format!("{}.svg", scenario.id.to_lowercase()), chart));
    }
    charts
        .into_iter()
        .filter(|(_, drawing)| !drawing.bars.is_empty())
        .map(|(file, drawing)| Chart {
            file,
            svg: drawing.render(),
        })
        .collect()
}

/// Cost relative to the floor, with the targets.
fn ratios(results: &Results) -> Drawing {
    let mut bars = Vec::new();
    for scenario in &results.scenarios {
        for verdict in &scenario.verdicts {
            let ratio = verdict.basis == Basis::RatioToFloor && verdict.better == Better::Lower;
            let Some(value) = verdict.value.filter(|_| ratio) else {
                continue;
            };
            bars.push(Bar {
                label: format!("{} {}", scenario.id, metric(verdict.metric)),
                value,
                series: usize::from(verdict.met == Some(false)) * 2,
                text: format!("{value:.2}×"),
                mark: verdict.target,
            });
        }
    }
    Drawing {
        title: "Relay ÷ floor".to_owned(),
        subtitle: "less is better; the line is the floor, each tick a target".to_owned(),
        bars,
        line: Some(1.0),
    }
}

fn growth(curve: &CurveResult) -> Drawing {
    let bar = |&(x, ratio): &(f64, f64)| Bar {
        label: format!("{} {}", number(x), curve.curve.name()),
        value: ratio,
        series: 0,
        text: format!("{ratio:.2}×"),
        mark: None,
    };
    Drawing {
        title: format!("S9: cost by number of {}", curve.curve.name()),
        subtitle: "CPU per delivered event ÷ floor; should stay the same".to_owned(),
        bars: curve.points.iter().map(bar).collect(),
        line: Some(1.0),
    }
}

fn memory(scenario: &ScenarioResult) -> Drawing {
    Drawing {
        title: "S3: memory of an idle stream".to_owned(),
        subtitle: "bytes of PSS; less is better".to_owned(),
        bars: bars(scenario, &["pss_bytes_per_stream"]),
        line: None,
    }
}

fn latency(scenario: &ScenarioResult) -> Drawing {
    let metrics = [
        "latency_p50_ms",
        "latency_p99_ms",
        "latency_p99_ms_without",
        "latency_p99_ms_with",
    ];
    Drawing {
        title: format!("{}: latency", scenario.id),
        subtitle: format!("{}; less is better", scenario.title),
        bars: bars(scenario, &metrics),
        line: None,
    }
}

fn saturation(scenario: &ScenarioResult) -> Drawing {
    let metrics = [1, 4, 16, 64].map(|w| format!("deliveries_per_second_w{w}"));
    Drawing {
        title: "S5: deliveries per second on one core".to_owned(),
        subtitle: "by W, the events outstanding; more is better".to_owned(),
        bars: bars(scenario, &metrics),
        line: None,
    }
}

fn bars(scenario: &ScenarioResult, metrics: &[impl AsRef<str>]) -> Vec<Bar> {
    let mut bars = Vec::new();
    for name in metrics.iter().map(AsRef::as_ref) {
        for contender in Contender::ALL {
            let Some(value) = scenario.median(contender, name) else {
                continue;
            };
            bars.push(Bar {
                label: format!("{}, {}", metric(name), contender.name()),
                value,
                series: usize::from(contender != Contender::Relay),
                text: number(value),
                mark: None,
            });
        }
    }
    bars
}

impl Drawing {
    fn render(&self) -> String {
        let height = TOP + ROW * self.bars.len() as f64 + 16.0;
        let marks = self.bars.iter().filter_map(|bar| bar.mark).chain(self.line);
        let most = self
            .bars
            .iter()
            .map(|bar| bar.value)
            .chain(marks)
            .fold(0.0, f64::max);
        let x = |value: f64| LEFT + value / most.max(f64::MIN_POSITIVE) * (WIDTH - LEFT - RIGHT);
        let mut out = String::new();
        put(
            &mut out,
            format_args!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>{title}</title>
<style>
text {{ font: 13px system-ui, sans-serif; fill: #1f2328 }}
.title {{ font-size: 17px; font-weight: 600 }}
.quiet {{ fill: #59636e }}
.s0 {{ fill: #0969da }} .s1 {{ fill: #8c959f }} .s2 {{ fill: #bc4c00 }}
.line {{ stroke: #59636e; stroke-dasharray: 4 3 }}
.mark {{ stroke: #1f2328; stroke-width: 2 }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #f0f6fc }}
.quiet {{ fill: #9198a1 }}
.s0 {{ fill: #4493f8 }} .s1 {{ fill: #818b98 }} .s2 {{ fill: #f0883e }}
.line {{ stroke: #9198a1 }}
.mark {{ stroke: #f0f6fc }}
}}
</style>
<text class="title" x="12" y="26">{title}</text>
<text class="quiet" x="12" y="47">{subtitle}</text>
"#,
                title = escape(&self.title),
                subtitle = escape(&self.subtitle),
            ),
        );
        for (row, bar) in self.bars.iter().enumerate() {
            let y = TOP + ROW * row as f64;
            let middle = y + BAR / 2.0 + 4.5;
            put(
                &mut out,
                format_args!(
                    "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>\n",
                    LEFT - 8.0,
                    escape(&bar.label),
                ),
            );
            put(
                &mut out,
                format_args!(
                    "<rect class=\"s{}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>\n",
                    bar.series,
                    (x(bar.value) - LEFT).max(1.0),
                ),
            );
            if let Some(mark) = bar.mark {
                vertical(&mut out, "mark", x(mark), y - 3.0, y + BAR + 3.0);
            }
            let end = x(bar
                .value
                .max(bar.mark.unwrap_or(0.0))
                .max(self.line.unwrap_or(0.0)));
            put(
                &mut out,
                format_args!(
                    "<text x=\"{:.1}\" y=\"{middle:.1}\">{}</text>\n",
                    end + 8.0,
                    escape(&bar.text),
                ),
            );
        }
        if let Some(line) = self.line {
            vertical(&mut out, "line", x(line), TOP - 6.0, height - 14.0);
        }
        out.push_str("</svg>\n");
        out
    }
}

fn vertical(out: &mut String, class: &str, x: f64, from: f64, to: f64) {
    put(
        out,
        format_args!(
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\"/>\n"
        ),
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes any write");
}
