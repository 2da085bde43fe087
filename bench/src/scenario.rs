//! What is measured: the scenarios, and what each is judged by.

use serde::Serialize;

/// A server that a scenario runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    Floor,
    FloorBatched,
    Relay,
}

impl Contender {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Contender::Floor => "floor",
            Contender::FloorBatched => "floor, batched",
            Contender::Relay => "relay",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// Published by the clock.
    Paced {
        channels: u32,
        streams_per_channel: u32,
        rate: f64,
        seconds: f64,
        connections: usize,
    },
    /// As many events underway as `outstanding` says, one after another.
    Saturated {
        streams: u32,
        connections: usize,
        outstanding: &'static [u32],
        seconds: f64,
    },
    /// Streams without events.
    Idle { streams: u32 },
    /// All streams cut at once and opened again.
    Storm { streams: u32 },
    /// All streams cut, away for `away` seconds, resumed by their last ids.
    Resume { streams: u32, rate: f64, away: f64 },
    /// The same load without and with one more stream that never reads. The bytes must exceed what the
    /// kernel buffers for it, about 2.6 MB on loopback. Never shortened.
    Slow {
        streams: u32,
        rate: f64,
        seconds: f64,
        payload: usize,
    },
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    Lower,
    Higher,
}

impl Better {
    #[must_use]
    pub fn met(self, value: f64, target: f64) -> bool {
        match self {
            Better::Lower => value <= target,
            Better::Higher => value >= target,
        }
    }
}

/// What a target speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The relay's median divided by the floor's.
    RatioToFloor,
    /// The relay's median itself.
    Value,
}

/// A metric by which a scenario is judged.
#[derive(Debug, Clone, Copy)]
pub struct Criterion {
    pub metric: &'static str,
    pub basis: Basis,
    pub better: Better,
    pub target: Option<f64>,
}

/// Where the relay has its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    InMemory,
    /// In a Redis of its own that keeps nothing on disk, on the relay's core.
    InRedis,
}

#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub id: &'static str,
    pub title: &'static str,
    pub log: Log,
    pub load: Load,
    pub contenders: &'static [Contender],
    pub criteria: &'static [Criterion],
}

const fn ratio(metric: &'static str, target: Option<f64>) -> Criterion {
    Criterion {
        metric,
        basis: Basis::RatioToFloor,
        better: Better::Lower,
        target,
    }
}

const fn value(metric: &'static str, target: Option<f64>) -> Criterion {
    Criterion {
        metric,
        basis: Basis::Value,
        better: Better::Lower,
        target,
    }
}

const fn throughput(metric: &'static str, target: Option<f64>) -> Criterion {
    Criterion {
        metric,
        basis: Basis::RatioToFloor,
        better: Better::Higher,
        target,
    }
}

const BOTH: &[Contender] = &[Contender::Floor, Contender::Relay];

/// All scenarios, in the order in which they run.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "S1",
        title: "1 channel × 1,000 streams × 100 events/s",
        log: Log::InMemory,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: 1000,
            rate: 100.0,
            seconds: 5.0,
            connections: 1,
        },
        contenders: BOTH,
        criteria: &[
            ratio("cpu_us_per_event", Some(1.1)),
            ratio("latency_p99_ms", Some(1.15)),
            ratio("latency_p50_ms", None),
        ],
    },
    Scenario {
        id: "S2",
        title: "1 channel × 5,000 streams × 20 events/s",
        log: Log::InMemory,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: 5000,
            rate: 20.0,
            seconds: 5.0,
            connections: 1,
        },
        contenders: BOTH,
        criteria: &[
            ratio("cpu_us_per_event", Some(1.1)),
            ratio("latency_p99_ms", None),
        ],
    },
    Scenario {
        id: "S4",
        title: "1,000 channels × 5 streams, 2,000 publishes/s",
        log: Log::InMemory,
        load: Load::Paced {
            channels: 1000,
            streams_per_channel: 5,
            rate: 2000.0,
            seconds: 5.0,
            connections: 8,
        },
        contenders: BOTH,
        criteria: &[
            ratio("cpu_us_per_event", Some(1.3)),
            ratio("latency_p99_ms", None),
        ],
    },
    Scenario {
        id: "S1-redis",
        title: "S1 through Redis",
        log: Log::InRedis,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: 1000,
            rate: 100.0,
            seconds: 5.0,
            connections: 1,
        },
        contenders: BOTH,
        criteria: &[
            ratio("cpu_us_per_event", Some(1.15)),
            ratio("latency_p99_ms", None),
            value("redis_cpu_us_per_publish", None),
        ],
    },
    Scenario {
        id: "S4-redis",
        title: "S4 through Redis",
        log: Log::InRedis,
        load: Load::Paced {
            channels: 1000,
            streams_per_channel: 5,
            rate: 2000.0,
            seconds: 5.0,
            connections: 8,
        },
        contenders: BOTH,
        criteria: &[
            ratio("cpu_us_per_event", Some(1.5)),
            ratio("latency_p99_ms", None),
            value("redis_cpu_us_per_publish", Some(25.0)),
        ],
    },
    Scenario {
        id: "S8",
        title: "1 channel × 100 streams × 20 events/s",
        log: Log::InMemory,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: 100,
            rate: 20.0,
            seconds: 8.0,
            connections: 1,
        },
        contenders: BOTH,
        criteria: &[
            ratio("cpu_us_per_event", Some(1.3)),
            ratio("latency_p99_ms", None),
        ],
    },
    Scenario {
        id: "S5",
        title: "saturation: 1,000 streams, W events outstanding, 64 publishing connections",
        log: Log::InMemory,
        load: Load::Saturated {
            streams: 1000,
            connections: 64,
            outstanding: &[1, 4, 16, 64],
            seconds: 2.0,
        },
        contenders: &[Contender::Floor, Contender::FloorBatched, Contender::Relay],
        criteria: &[
            throughput("deliveries_per_second_w1", None),
            throughput("deliveries_per_second_w4", None),
            throughput("deliveries_per_second_w16", None),
            throughput("deliveries_per_second_w64", Some(12.0)),
        ],
    },
    Scenario {
        id: "S3",
        title: "memory of 10,000 idle streams",
        log: Log::InMemory,
        load: Load::Idle { streams: 10_000 },
        contenders: BOTH,
        criteria: &[value("pss_bytes_per_stream", Some(512.0))],
    },
    Scenario {
        id: "S6",
        title: "5,000 streams cut at once and back",
        log: Log::InMemory,
        load: Load::Storm { streams: 5000 },
        contenders: BOTH,
        criteria: &[ratio("back_seconds", Some(1.2)), ratio("cpu_seconds", None)],
    },
    Scenario {
        id: "S7",
        title: "2,000 streams cut for 1 s at 50 events/s, resumed by Last-Event-ID",
        log: Log::InMemory,
        load: Load::Resume {
            streams: 2000,
            rate: 50.0,
            away: 1.0,
        },
        contenders: &[Contender::Relay],
        criteria: &[
            value("caught_up_seconds", Some(0.5)),
            value("missed", Some(0.0)),
            value("duplicated", Some(0.0)),
        ],
    },
    Scenario {
        id: "slow",
        title: "1,000 streams × 25 events/s of 16 KiB, without and with one reader that stopped",
        log: Log::InMemory,
        load: Load::Slow {
            streams: 1000,
            rate: 100.0,
            seconds: 5.0,
            payload: 8192,
        },
        contenders: BOTH,
        criteria: &[
            ratio("latency_p99_ms_without", None),
            ratio("latency_p99_ms_with", None),
            value("latency_p99_growth", None),
        ],
    },
];

/// The scenario of that name, in any case.
#[must_use]
pub fn find(id: &str) -> Option<&'static Scenario> {
    SCENARIOS
        .iter()
        .find(|scenario| scenario.id.eq_ignore_ascii_case(id))
}
