//! What a suite found, for people and for programs.

pub mod markdown;
pub mod page;
pub mod svg;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::tally::Faults;
use crate::machine::Machine;
use crate::measure::Run;
use crate::scenario::{Basis, Better, Contender, Criterion, Curve, Point, Scenario};

#[derive(Debug, Serialize)]
pub struct Results {
    pub machine: Machine,
    /// Seconds since 1970.
    pub started: u64,
    pub repeat: usize,
    pub quick: bool,
    pub scenarios: Vec<ScenarioResult>,
}

#[derive(Debug, Serialize)]
pub struct ScenarioResult {
    pub id: &'static str,
    pub title: &'static str,
    pub point: Option<Point>,
    pub contenders: Vec<ContenderResult>,
    pub verdicts: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
pub struct ContenderResult {
    pub contender: Contender,
    pub summary: BTreeMap<String, Summary>,
    pub faults: Faults,
    pub refused: u64,
    pub runs: Vec<Run>,
    /// Runs that did not come to an end, and why.
    pub failures: Vec<String>,
}

/// Over the repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// One criterion, judged.
#[derive(Debug, Serialize)]
pub struct Verdict {
    pub metric: &'static str,
    pub basis: Basis,
    pub better: Better,
    /// The relay's ratio to the floor, or its value; none without a run of both.
    pub value: Option<f64>,
    pub target: Option<f64>,
    pub met: Option<bool>,
}

impl Summary {
    /// `None` of nothing.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            length if length % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Self {
            median,
            min: values[0],
            max: values[values.len() - 1],
        })
    }
}

impl ContenderResult {
    #[must_use]
    pub fn new(contender: Contender) -> Self {
        Self {
            contender,
            summary: BTreeMap::new(),
            faults: Faults::default(),
            refused: 0,
            runs: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub fn add(&mut self, run: Run) {
        self.faults.add(&run.faults);
        self.refused += run.refused;
        self.runs.push(run);
    }

    fn summarise(&mut self) {
        let metrics: Vec<String> = self
            .runs
            .iter()
            .flat_map(|run| run.metrics.keys().cloned())
            .collect();
        for metric in metrics {
            let values = self
                .runs
                .iter()
                .filter_map(|run| run.metrics.get(&metric).copied());
            if let Some(summary) = Summary::of(values.collect()) {
                self.summary.insert(metric, summary);
            }
        }
    }
}

impl ScenarioResult {
    #[must_use]
    pub fn new(scenario: &Scenario, mut contenders: Vec<ContenderResult>) -> Self {
        contenders.iter_mut().for_each(ContenderResult::summarise);
        let mut result = Self {
            id: scenario.id,
            title: scenario.title,
            point: scenario.point,
            contenders,
            verdicts: Vec::new(),
        };
        result.verdicts = scenario.criteria.iter().map(|c| result.judge(c)).collect();
        result
    }

    #[must_use]
    pub fn median(&self, contender: Contender, metric: &str) -> Option<f64> {
        Some(self.summary(contender, metric)?.median)
    }

    #[must_use]
    pub fn summary(&self, contender: Contender, metric: &str) -> Option<Summary> {
        self.contenders
            .iter()
            .find(|c| c.contender == contender)?
            .summary
            .get(metric)
            .copied()
    }

    fn judge(&self, criterion: &Criterion) -> Verdict {
        let Criterion {
            metric,
            basis,
            better,
            target,
        } = *criterion;
        let relay = self.median(Contender::Relay, metric);
        let value = match basis {
            Basis::Value => relay,
            Basis::RatioToFloor => relay
                .zip(
                    self.median(Contender::Floor, metric)
                        .filter(|floor| *floor > 0.0),
                )
                .map(|(relay, floor)| relay / floor),
        };
        let ran = self
            .contenders
            .iter()
            .any(|c| c.contender == Contender::Relay);
        let met = match (value, target) {
            (Some(value), Some(target)) => Some(better.met(value, target)),
            // A relay that ran and never came to this number did not meet its target.
            (None, Some(_)) if ran && relay.is_none() => Some(false),
            _ => None,
        };
        Verdict {
            metric,
            basis,
            better,
            value,
            target,
            met,
        }
    }

    /// Whether the relay met every target.
    #[must_use]
    pub fn met(&self) -> bool {
        self.verdicts
            .iter()
            .all(|verdict| verdict.met != Some(false))
    }

    /// Whether the relay lost nothing and refused nothing, and no run of it failed.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.contenders
            .iter()
            .filter(|c| c.contender == Contender::Relay)
            .all(|c| c.faults.none() && c.failures.is_empty() && c.refused == 0)
    }
}

/// How the cost grows with something.
#[derive(Debug)]
pub struct CurveResult {
    pub curve: Curve,
    /// By size: the relay's cost, as a ratio to the floor's under the same load.
    pub points: Vec<(f64, f64)>,
    /// The largest ratio divided by the least; none with fewer than two points.
    pub growth: Option<f64>,
    pub met: Option<bool>,
}

/// The curves that were measured.
#[must_use]
pub fn curves(results: &Results) -> Vec<CurveResult> {
    let measured = Curve::ALL.map(|curve| {
        let points = results.scenarios.iter().filter_map(|scenario| {
            let point = scenario.point.filter(|point| point.curve == curve)?;
            Some((point.x, scenario.verdicts.first()?.value?))
        });
        curve_of(curve, points.collect())
    });
    let some = |curve: &CurveResult| !curve.points.is_empty();
    measured.into_iter().filter(some).collect()
}

fn curve_of(curve: Curve, points: Vec<(f64, f64)>) -> CurveResult {
    let ratios = || points.iter().map(|(_, ratio)| *ratio);
    let (least, most) = (
        ratios().fold(f64::INFINITY, f64::min),
        ratios().fold(0.0, f64::max),
    );
    let growth = (points.len() > 1 && least > 0.0).then(|| most / least);
    CurveResult {
        curve,
        growth,
        met: growth.map(|growth| growth <= Curve::FLAT),
        points,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn ran(contender: Contender, values: &[f64]) -> ContenderResult {
        let mut result = ContenderResult::new(contender);
        for value in values {
            let metrics = ["cpu_us_per_event", "latency_p99_ms"]
                .iter()
                .map(|metric| ((*metric).to_owned(), *value))
                .collect();
            result.add(Run {
                metrics,
                ..Run::default()
            });
        }
        result
    }

    #[test]
    fn a_verdict_is_the_ratio_of_medians_against_the_target() {
        let scenario = scenario::find("s1").unwrap();
        let floor = ran(Contender::Floor, &[4.0, 9.0, 5.0]);
        let result = ScenarioResult::new(scenario, vec![floor, ran(Contender::Relay, &[6.0, 5.0])]);
        let verdict = &result.verdicts[0];
        assert_eq!((verdict.value, verdict.met), (Some(1.1), Some(true)));
        assert!(result.met() && result.sound());
    }

    #[test]
    fn a_lost_event_fails_whatever_the_ratio() {
        let mut relay = ran(Contender::Relay, &[1.0]);
        relay.add(Run {
            faults: Faults {
                lost: 1,
                ..Faults::default()
            },
            ..Run::default()
        });
        let scenario = scenario::find("S1").unwrap();
        let result = ScenarioResult::new(scenario, vec![ran(Contender::Floor, &[9.0]), relay]);
        assert!(result.met() && !result.sound());
    }

    #[test]
    fn a_number_that_the_relay_never_reached_is_a_target_missed() {
        let scenario = scenario::find("S7").unwrap();
        let result = ScenarioResult::new(scenario, vec![ran(Contender::Relay, &[1.0])]);
        assert_eq!(result.verdicts[0].met, Some(false));
        assert!(!result.met() && result.sound());
    }

    #[test]
    fn a_curve_is_flat_if_its_most_is_little_more_than_its_least() {
        let of = |points: &[(f64, f64)]| curve_of(Curve::Streams, points.to_vec()).met;
        assert_eq!(of(&[(1.0, 1.0), (10.0, 1.15)]), Some(true));
        assert_eq!(of(&[(1.0, 1.2), (10.0, 1.0)]), Some(false));
        assert_eq!(of(&[(1.0, 1.2)]), None);
    }

    #[test]
    fn without_a_relay_there_is_no_verdict() {
        let scenario = scenario::find("S1").unwrap();
        let result = ScenarioResult::new(scenario, vec![ran(Contender::Floor, &[4.0])]);
        assert!(
            result
                .verdicts
                .iter()
                .all(|v| v.value.is_none() && v.met.is_none())
        );
    }
}
