//! What is measured: the scenarios, and what each is judged by.

use serde::Serialize;

use crate::load::subscribers::Wire;

/// A server that a scenario runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    Floor,
    FloorBatched,
    Relay,
    Nchan,
    Pushpin,
    SseRelayServer,
}

impl Contender {
    pub const ALL: [Contender; 6] = [
        Contender::Floor,
        Contender::FloorBatched,
        Contender::Relay,
        Contender::Nchan,
        Contender::Pushpin,
        Contender::SseRelayServer,
    ];

    /// Whether it is a server of others.
    #[must_use]
    pub fn is_a_peer(self) -> bool {
        matches!(
            self,
            Contender::Nchan | Contender::Pushpin | Contender::SseRelayServer
        )
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Contender::Floor => "floor",
            Contender::FloorBatched => "floor, batched",
            Contender::Relay => "relay",
            Contender::Nchan => "nchan",
            Contender::Pushpin => "Pushpin",
            Contender::SseRelayServer => "sse-relay-server",
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
    /// The same load without and with further streams that never read. The bytes must exceed what the
    /// kernel buffers for each, about 2.6 MB on loopback. Never shortened.
    Slow {
        streams: u32,
        stopped: u32,
        rate: f64,
        seconds: f64,
        payload: usize,
    },
}

impl Load {
    /// Streams that are open at once.
    #[must_use]
    pub fn streams(&self) -> u64 {
        let streams = match *self {
            Load::Paced {
                channels,
                streams_per_channel,
                ..
            } => channels * streams_per_channel,
            Load::Saturated { streams, .. }
            | Load::Idle { streams }
            | Load::Storm { streams }
            | Load::Resume { streams, .. } => streams,
            Load::Slow {
                streams, stopped, ..
            } => streams + stopped,
        };
        u64::from(streams)
    }
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

/// What is out of the ordinary about streams and events.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    pub wire: Wire,
    pub subjects: Subjects,
    /// Different filters, each of which lets every event through; 0: none.
    pub filters: u32,
    /// Further channels that all streams ask for, and that only the one stream asks for.
    pub shared_channels: u32,
    pub own_channels: u32,
    /// Events that a channel keeps, and has before the load begins.
    pub history: Option<u32>,
    /// Threads that deliver, all on the one core; by default one for each core.
    pub threads: Option<usize>,
}

/// For whom the credentials of streams stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subjects {
    /// One token, of one subject.
    One,
    /// Each stream has a signed token, and a subject of its own.
    Each,
}

/// A place on a curve of cost by size.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Point {
    pub curve: Curve,
    pub x: f64,
}

/// What grows. The cost should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curve {
    Streams,
    Channels,
    Filters,
}

impl Curve {
    pub const ALL: [Curve; 3] = [Curve::Streams, Curve::Channels, Curve::Filters];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Curve::Streams => "streams",
            Curve::Channels => "channels",
            Curve::Filters => "filters",
        }
    }

    /// The largest may cost so many times the least.
    pub const FLAT: f64 = 1.15;
}

#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub id: &'static str,
    pub title: &'static str,
    pub log: Log,
    pub variant: Variant,
    pub load: Load,
    /// Where it stands on a curve, if it is a point of one.
    pub point: Option<Point>,
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
const ALL: &[Contender] = &[
    Contender::Floor,
    Contender::Relay,
    Contender::Nchan,
    Contender::Pushpin,
];
const RELAY: &[Contender] = &[Contender::Relay];
/// sse-relay-server carries about a hundred streams, and no more.
const WITH_A_HUNDRED_STREAMS: &[Contender] = &[
    Contender::Floor,
    Contender::Relay,
    Contender::Nchan,
    Contender::Pushpin,
    Contender::SseRelayServer,
];

const ORDINARY: Variant = Variant {
    wire: Wire::Plain,
    subjects: Subjects::One,
    filters: 0,
    shared_channels: 0,
    own_channels: 0,
    history: None,
    threads: None,
};

/// 20,000 deliveries a second to so many streams, each with this variant.
const fn growing(
    id: &'static str,
    title: &'static str,
    streams: u32,
    variant: Variant,
    point: Point,
) -> Scenario {
    Scenario {
        id,
        title,
        log: Log::InMemory,
        variant,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: streams,
            rate: 20_000.0 / streams as f64,
            seconds: 4.0,
            connections: 1,
        },
        point: Some(point),
        contenders: BOTH,
        criteria: COST,
    }
}

const COST: &[Criterion] = &[ratio("cpu_us_per_event", None)];
const COST_AND_LATENCY: &[Criterion] = &[
    ratio("cpu_us_per_event", None),
    ratio("latency_p99_ms", None),
];

const SLOW: &[Criterion] = &[
    ratio("latency_p99_ms_without", None),
    ratio("latency_p99_ms_with", None),
    value("latency_p99_growth", None),
];

const fn point(curve: Curve, x: f64) -> Point {
    Point { curve, x }
}

/// S1 at a fifth of its rate, with a variant.
const fn varied(id: &'static str, title: &'static str, variant: Variant) -> Scenario {
    Scenario {
        id,
        title,
        log: Log::InMemory,
        variant,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: 1000,
            rate: 20.0,
            seconds: 4.0,
            connections: 1,
        },
        point: None,
        contenders: BOTH,
        criteria: COST_AND_LATENCY,
    }
}

const fn idle(
    id: &'static str,
    title: &'static str,
    variant: Variant,
    criteria: &'static [Criterion],
    contenders: &'static [Contender],
) -> Scenario {
    Scenario {
        id,
        title,
        log: Log::InMemory,
        variant,
        load: Load::Idle { streams: 10_000 },
        point: None,
        contenders,
        criteria,
    }
}

const SMALL: &[Criterion] = &[value("pss_bytes_per_stream", Some(512.0))];
const BELOW_20_KIB: &[Criterion] = &[value("pss_bytes_per_stream", Some(20_480.0))];
const STATED: &[Criterion] = &[value("pss_bytes_per_stream", None)];

/// All scenarios, in the order in which they run.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "S1",
        title: "1 channel × 1,000 streams × 100 events/s",
        log: Log::InMemory,
        variant: ORDINARY,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: 1000,
            rate: 100.0,
            seconds: 5.0,
            connections: 1,
        },
        point: None,
        contenders: ALL,
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
        variant: ORDINARY,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: 5000,
            rate: 20.0,
            seconds: 5.0,
            connections: 1,
        },
        point: None,
        contenders: ALL,
        criteria: &[
            ratio("cpu_us_per_event", Some(1.1)),
            ratio("latency_p99_ms", None),
        ],
    },
    Scenario {
        id: "S4",
        title: "1,000 channels × 5 streams, 2,000 publishes/s",
        log: Log::InMemory,
        variant: ORDINARY,
        load: Load::Paced {
            channels: 1000,
            streams_per_channel: 5,
            rate: 2000.0,
            seconds: 5.0,
            connections: 8,
        },
        point: None,
        contenders: ALL,
        criteria: &[
            ratio("cpu_us_per_event", Some(1.3)),
            ratio("latency_p99_ms", None),
        ],
    },
    Scenario {
        id: "S1-redis",
        title: "S1 through Redis",
        log: Log::InRedis,
        variant: ORDINARY,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: 1000,
            rate: 100.0,
            seconds: 5.0,
            connections: 1,
        },
        point: None,
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
        variant: ORDINARY,
        load: Load::Paced {
            channels: 1000,
            streams_per_channel: 5,
            rate: 2000.0,
            seconds: 5.0,
            connections: 8,
        },
        point: None,
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
        variant: ORDINARY,
        load: Load::Paced {
            channels: 1,
            streams_per_channel: 100,
            rate: 20.0,
            seconds: 8.0,
            connections: 1,
        },
        point: None,
        contenders: WITH_A_HUNDRED_STREAMS,
        criteria: &[
            ratio("cpu_us_per_event", Some(1.3)),
            ratio("latency_p99_ms", None),
        ],
    },
    Scenario {
        id: "S5",
        title: "saturation: 1,000 streams, W events outstanding, 64 publishing connections",
        log: Log::InMemory,
        variant: ORDINARY,
        load: Load::Saturated {
            streams: 1000,
            connections: 64,
            outstanding: &[1, 4, 16, 64],
            seconds: 2.0,
        },
        point: None,
        contenders: &[Contender::Floor, Contender::FloorBatched, Contender::Relay],
        criteria: &[
            throughput("deliveries_per_second_w1", None),
            throughput("deliveries_per_second_w4", None),
            throughput("deliveries_per_second_w16", None),
            throughput("deliveries_per_second_w64", Some(12.0)),
        ],
    },
    idle(
        "S3",
        "10,000 idle streams, with subject, grant, filter, limits",
        Variant {
            filters: 1,
            ..ORDINARY
        },
        SMALL,
        ALL,
    ),
    idle(
        "S3-subjects",
        "the same, each stream with a subject of its own",
        Variant {
            filters: 1,
            subjects: Subjects::Each,
            ..ORDINARY
        },
        STATED,
        RELAY,
    ),
    idle(
        "S3-tls",
        "10,000 idle streams over TLS",
        Variant {
            wire: Wire::Tls,
            ..ORDINARY
        },
        BELOW_20_KIB,
        RELAY,
    ),
    idle(
        "S3-http2",
        "10,000 idle streams over HTTP/2, one a connection",
        Variant {
            wire: Wire::Http2,
            ..ORDINARY
        },
        STATED,
        RELAY,
    ),
    Scenario {
        id: "S6",
        title: "5,000 streams cut at once and back",
        log: Log::InMemory,
        variant: ORDINARY,
        load: Load::Storm { streams: 5000 },
        point: None,
        contenders: ALL,
        criteria: &[ratio("back_seconds", Some(1.2)), ratio("cpu_seconds", None)],
    },
    Scenario {
        id: "S7",
        title: "2,000 streams cut for 1 s at 50 events/s, resumed by Last-Event-ID",
        log: Log::InMemory,
        variant: ORDINARY,
        load: Load::Resume {
            streams: 2000,
            rate: 50.0,
            away: 1.0,
        },
        point: None,
        contenders: &[Contender::Relay],
        criteria: &[
            value("caught_up_seconds", Some(0.5)),
            value("missed", Some(0.0)),
            value("duplicated", Some(0.0)),
        ],
    },
    Scenario {
        id: "slow",
        title: "1,000 streams × 100 events/s of 8 KiB, without and with one reader that stopped",
        log: Log::InMemory,
        variant: ORDINARY,
        load: Load::Slow {
            streams: 1000,
            stopped: 1,
            rate: 100.0,
            seconds: 5.0,
            payload: 8192,
        },
        point: None,
        contenders: BOTH,
        criteria: SLOW,
    },
    Scenario {
        id: "slow-500",
        title: "500 streams × 50 events/s of 16 KiB, without and with 500 readers that stopped",
        log: Log::InMemory,
        variant: ORDINARY,
        load: Load::Slow {
            streams: 500,
            stopped: 500,
            rate: 50.0,
            seconds: 5.0,
            payload: 16_384,
        },
        point: None,
        contenders: BOTH,
        criteria: SLOW,
    },
    varied(
        "plain",
        "S1 at 20 events/s, to compare the following with",
        ORDINARY,
    ),
    varied(
        "tls",
        "the same over TLS",
        Variant {
            wire: Wire::Tls,
            ..ORDINARY
        },
    ),
    varied(
        "http2",
        "the same over HTTP/2",
        Variant {
            wire: Wire::Http2,
            ..ORDINARY
        },
    ),
    varied(
        "threads-4",
        "the same with four threads that deliver, on the one core",
        Variant {
            threads: Some(4),
            ..ORDINARY
        },
    ),
    varied(
        "channels-64",
        "the same with 64 channels a stream",
        Variant {
            shared_channels: 63,
            ..ORDINARY
        },
    ),
    varied(
        "history-10",
        "the same with a history of 10 events",
        Variant {
            history: Some(10),
            ..ORDINARY
        },
    ),
    varied(
        "history-10000",
        "the same with a history of 10,000 events",
        Variant {
            history: Some(10_000),
            ..ORDINARY
        },
    ),
    growing(
        "S9-streams-100",
        "100 streams, 20,000 deliveries/s",
        100,
        ORDINARY,
        point(Curve::Streams, 100.0),
    ),
    growing(
        "S9-streams-1000",
        "1,000 streams, 20,000 deliveries/s",
        1000,
        ORDINARY,
        point(Curve::Streams, 1000.0),
    ),
    growing(
        "S9-streams-5000",
        "5,000 streams, 20,000 deliveries/s",
        5000,
        ORDINARY,
        point(Curve::Streams, 5000.0),
    ),
    growing(
        "S9-streams-18000",
        "18,000 streams, 20,000 deliveries/s",
        18_000,
        ORDINARY,
        point(Curve::Streams, 18_000.0),
    ),
    growing(
        "S9-channels-1000",
        "1,000 streams, each with a quiet channel of its own: 1,000 feeds",
        1000,
        Variant {
            own_channels: 1,
            ..ORDINARY
        },
        point(Curve::Channels, 1000.0),
    ),
    growing(
        "S9-channels-10000",
        "1,000 streams, each with 10 quiet channels of its own",
        1000,
        Variant {
            own_channels: 10,
            ..ORDINARY
        },
        point(Curve::Channels, 10_000.0),
    ),
    growing(
        "S9-channels-99000",
        "1,000 streams, each with 99 quiet channels of its own",
        1000,
        Variant {
            own_channels: 99,
            ..ORDINARY
        },
        point(Curve::Channels, 99_000.0),
    ),
    growing(
        "S9-filters-1",
        "1,000 streams with one filter",
        1000,
        Variant {
            filters: 1,
            ..ORDINARY
        },
        point(Curve::Filters, 1.0),
    ),
    growing(
        "S9-filters-10",
        "1,000 streams with 10 different filters",
        1000,
        Variant {
            filters: 10,
            ..ORDINARY
        },
        point(Curve::Filters, 10.0),
    ),
    growing(
        "S9-filters-1000",
        "1,000 streams with 1,000 different filters",
        1000,
        Variant {
            filters: 1000,
            ..ORDINARY
        },
        point(Curve::Filters, 1000.0),
    ),
];

/// The scenario of that name, in any case.
#[must_use]
pub fn find(id: &str) -> Option<&'static Scenario> {
    SCENARIOS
        .iter()
        .find(|scenario| scenario.id.eq_ignore_ascii_case(id))
}

/// That scenario, or all whose names go on with a dash.
#[must_use]
pub fn named(id: &str) -> Vec<&'static Scenario> {
    match find(id) {
        Some(scenario) => vec![scenario],
        None => {
            let start = format!("{}-", id.to_ascii_lowercase());
            let all = SCENARIOS.iter();
            all.filter(|scenario| scenario.id.to_ascii_lowercase().starts_with(&start))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_scenario_or_a_family() {
        assert_eq!(named("s1").len(), 1);
        let curve = SCENARIOS.iter().filter(|scenario| scenario.point.is_some());
        assert_eq!(named("S9").len(), curve.count());
        assert!(named("S").is_empty());
    }

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<_> = SCENARIOS.iter().map(|s| s.id.to_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
