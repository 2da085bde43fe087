//! One run of one scenario against one running server.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::load::endpoint::Endpoint;
use crate::load::generator::{Generator, LoadError, Plan, Publishing};
use crate::load::outcome::Outcome;
use crate::load::pace::Pace;
use crate::load::subscribers::Subscribers;
use crate::load::tally::Faults;
use crate::machine;
use crate::process::Tree;
use crate::scenario::Load;

/// A server that is up.
#[derive(Debug, Clone)]
pub struct Target {
    pub subscribe: Endpoint,
    pub publish: Endpoint,
    pub publishing: Publishing,
    pub subscribers: Subscribers,
    /// Whose CPU and memory to weigh; without it neither is reported.
    pub tree: Option<Tree>,
    /// The Redis that has its log.
    pub redis: Option<Tree>,
}

/// What one run measured.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Run {
    pub metrics: BTreeMap<String, f64>,
    pub faults: Faults,
    pub refused: u64,
    /// Share of one core in use just before the run, and by others during it, in percent.
    pub busy_before_percent: f64,
    pub others_percent: f64,
    pub generator_percent: f64,
    pub notes: Vec<String>,
}

/// Bytes of an event's data unless the scenario says otherwise.
pub const PAYLOAD: usize = 256;
/// How long nothing may arrive before the rest counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long to listen after the last delivery for what should not come.
const LISTEN_ON: Duration = Duration::from_millis(200);
/// Between opening streams and publishing, or weighing.
const SETTLE: Duration = Duration::from_millis(500);
/// Above this percentage of a core in use by others a run says little.
const DISTURBED: f64 = 25.0;
/// A busier generator measures itself.
const GENERATOR_BOUND: f64 = 95.0;

/// Runs the load once. `shorten` divides the measured time.
pub fn run(load: Load, target: &Target, shorten: f64) -> Result<Run, LoadError> {
    let (started, busy) = (Instant::now(), machine::busy());
    let (own_before, server_before) = (machine::own_cpu(), target.tree.map(Tree::cpu));
    let redis_before = target.redis.map(Tree::cpu);
    let mut run = Run::default();
    match load {
        Load::Paced {
            channels,
            streams_per_channel,
            rate,
            seconds,
            connections,
        } => {
            let plan = Plan {
                channels,
                streams_per_channel,
                publish_connections: connections,
                ..target.plan(channels, streams_per_channel)
            };
            let pace = Pace::Open {
                rate,
                events: (rate * seconds / shorten).ceil() as u32,
            };
            let measured = publish(plan, pace, target, &mut run)?;
            run.put_load("", &measured);
            if let (Some(redis), Pace::Open { events, .. }) = (measured.redis, pace) {
                let each = redis.as_secs_f64() * 1e6 / f64::from(events);
                run.put("redis_cpu_us_per_publish", each);
            }
        }
        Load::Saturated {
            streams,
            connections,
            outstanding,
            seconds,
        } => {
            for &outstanding in outstanding {
                let plan = Plan {
                    publish_connections: connections,
                    ..target.plan(1, streams)
                };
                let time = Duration::from_secs_f64(seconds / shorten);
                let pace = Pace::Closed { outstanding, time };
                let measured = publish(plan, pace, target, &mut run)?;
                run.put_load(&format!("_w{outstanding}"), &measured);
            }
        }
        Load::Idle { streams } => idle(target, streams, &mut run)?,
        Load::Storm { streams } => storm(target, streams, &mut run)?,
        Load::Resume {
            streams,
            rate,
            away,
        } => resume(target, streams, rate, away, &mut run)?,
        Load::Slow {
            streams,
            stopped,
            rate,
            seconds,
            payload,
        } => {
            let pace = Pace::Open {
                rate,
                events: (rate * seconds) as u32,
            };
            for (stopped_readers, suffix) in [(0, "_without"), (stopped, "_with")] {
                let plan = Plan {
                    stopped_readers,
                    payload,
                    ..target.plan(1, streams)
                };
                let measured = publish(plan, pace, target, &mut run)?;
                run.put_load(suffix, &measured);
            }
            let p99 = |suffix: &str| run.metrics[&format!("latency_p99_ms{suffix}")];
            let growth = p99("_with") / p99("_without");
            run.put("latency_p99_growth", growth);
        }
    }
    let elapsed = started.elapsed().as_secs_f64();
    let percent = |time: Duration| time.as_secs_f64() / elapsed * 100.0;
    let own = machine::own_cpu().saturating_sub(own_before);
    let server = target
        .tree
        .zip(server_before)
        .map(|(tree, before)| tree.cpu().since(before));
    let all = machine::busy().saturating_sub(busy);
    let redis = target.redis.zip(redis_before);
    let redis = redis.map(|(redis, before)| redis.cpu().since(before));
    let ours = own + server.unwrap_or_default() + redis.unwrap_or_default();
    run.others_percent = percent(all.saturating_sub(ours));
    if run.disturbed() {
        run.notes.push(format!(
            "disturbed: others used {:.0} % of a core",
            run.others_percent
        ));
    }
    Ok(run)
}

/// Publishes so many events to the first channel, as fast as they are taken, before any stream is there.
pub fn fill(target: &Target, events: u32) -> Result<(), LoadError> {
    let plan = Plan {
        subscribers: Subscribers::default(),
        ..target.plan(1, 0)
    };
    let mut generator = Generator::new(plan)?;
    generator.start(Pace::Open { rate: 1e6, events });
    generator.finish()
}

/// A paced or saturated load, measured from the first publish to the last delivery.
struct Measured {
    outcome: Outcome,
    cpu: Option<Duration>,
    /// That of its Redis.
    redis: Option<Duration>,
}

fn publish(plan: Plan, pace: Pace, target: &Target, run: &mut Run) -> Result<Measured, LoadError> {
    let mut generator = Generator::new(plan)?;
    generator.open()?;
    generator.run_for(SETTLE)?;
    let used = [target.tree, target.redis].map(|tree| tree.map(|tree| (tree, tree.cpu())));
    let (started, own_before) = (Instant::now(), machine::own_cpu());
    generator.start(pace);
    generator.finish()?;
    let [cpu, redis] = used.map(|tree| tree.map(|(tree, before)| tree.cpu().since(before)));
    let own = machine::own_cpu().saturating_sub(own_before);
    let busy = own.as_secs_f64() / started.elapsed().as_secs_f64() * 100.0;
    run.generator_percent = run.generator_percent.max(busy);
    generator.run_for(LISTEN_ON)?;
    let outcome = generator.outcome();
    if busy > GENERATOR_BOUND {
        run.notes.push(format!(
            "{pace:?}: the generator was the limit ({busy:.0} % of its core)"
        ));
    }
    run.add_faults(&outcome);
    Ok(Measured {
        outcome,
        cpu,
        redis,
    })
}

/// Streams that are there before others are weighed: what the first of all brings with it, code that is
/// read and tables that are made, is not each stream's.
const FIRST: u32 = 100;

fn idle(target: &Target, streams: u32, run: &mut Run) -> Result<(), LoadError> {
    let mut first = Generator::new(target.plan(1, FIRST))?;
    first.open()?;
    let mut generator = Generator::new(target.plan(1, streams))?;
    generator.run_for(SETTLE)?;
    let before = target.tree.map(Tree::pss);
    let opening = generator.open()?;
    generator.run_for(SETTLE * 2)?;
    run.put(
        "opened_per_second",
        f64::from(streams) / opening.as_secs_f64(),
    );
    if let Some((tree, before)) = target.tree.zip(before) {
        let after = tree.pss();
        run.put("pss_bytes_before", before as f64);
        let more = after.saturating_sub(before) as f64;
        run.put("pss_bytes_per_stream", more / f64::from(streams));
    }
    run.add_faults(&generator.outcome());
    drop(first);
    Ok(())
}

fn storm(target: &Target, streams: u32, run: &mut Run) -> Result<(), LoadError> {
    let mut generator = Generator::new(target.plan(1, streams))?;
    generator.open()?;
    generator.run_for(SETTLE)?;
    let before = target.tree.map(Tree::cpu);
    generator.cut();
    let back = generator.open()?;
    run.put("back_seconds", back.as_secs_f64());
    if let Some((tree, before)) = target.tree.zip(before) {
        run.put("cpu_seconds", tree.cpu().since(before).as_secs_f64());
    }
    generator.run_for(SETTLE)?;
    // They must not only be there but get what is published.
    generator.start(Pace::Open {
        rate: 20.0,
        events: 5,
    });
    generator.finish()?;
    run.add_faults(&generator.outcome());
    Ok(())
}

fn resume(
    target: &Target,
    streams: u32,
    rate: f64,
    away: f64,
    run: &mut Run,
) -> Result<(), LoadError> {
    let (before, after) = (1.0, 2.0);
    let mut generator = Generator::new(target.plan(1, streams))?;
    generator.open()?;
    generator.run_for(SETTLE)?;
    generator.start(Pace::Open {
        rate,
        events: (rate * (before + away + after)) as u32,
    });
    generator.run_for(Duration::from_secs_f64(before))?;
    generator.cut();
    generator.run_for(Duration::from_secs_f64(away))?;
    match generator.resume()? {
        Some(time) => run.put("caught_up_seconds", time.as_secs_f64()),
        None => run
            .notes
            .push(format!("not all caught up within {} s", PATIENCE.as_secs())),
    }
    generator.finish()?;
    generator.run_for(LISTEN_ON)?;
    let outcome = generator.outcome();
    run.put("missed", outcome.faults.lost as f64);
    run.put("duplicated", outcome.faults.duplicated as f64);
    run.add_faults(&outcome);
    Ok(())
}

impl Target {
    fn plan(&self, channels: u32, streams_per_channel: u32) -> Plan {
        Plan {
            subscribe: self.subscribe.clone(),
            publish: self.publish.clone(),
            channels,
            streams_per_channel,
            stopped_readers: 0,
            publish_connections: 1,
            publishing: self.publishing.clone(),
            subscribers: self.subscribers.clone(),
            payload: PAYLOAD,
            patience: PATIENCE,
        }
    }
}

impl Run {
    /// Whether others used so much of the machine that the numbers say little.
    #[must_use]
    pub fn disturbed(&self) -> bool {
        self.others_percent > DISTURBED
    }

    fn put(&mut self, metric: &str, value: f64) {
        self.metrics.insert(metric.to_owned(), value);
    }

    fn put_load(&mut self, suffix: &str, measured: &Measured) {
        let outcome = &measured.outcome;
        let metrics = [
            ("latency_p50_ms", outcome.latency.p50_ms),
            ("latency_p99_ms", outcome.latency.p99_ms),
            ("latency_max_ms", outcome.latency.max_ms),
            ("latency_scheduled_p99_ms", outcome.latency_scheduled.p99_ms),
            ("latency_scheduled_max_ms", outcome.latency_scheduled.max_ms),
            ("deliveries_per_second", outcome.deliveries_per_second),
            ("events_per_read", outcome.events_per_read),
            // No fault: two events underway at once over two connections have no order.
            ("overtaken", outcome.overtaken as f64),
        ];
        for (metric, value) in metrics {
            self.put(&format!("{metric}{suffix}"), value);
        }
        if let Some(cpu) = measured.cpu.filter(|_| outcome.delivered > 0) {
            let each = cpu.as_secs_f64() * 1e6 / outcome.delivered as f64;
            self.put(&format!("cpu_us_per_event{suffix}"), each);
        }
    }

    fn add_faults(&mut self, outcome: &Outcome) {
        self.faults.add(&outcome.faults);
        self.refused += outcome.refused;
    }
}
