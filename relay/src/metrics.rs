//! What `/metrics` shows; `docs/metrics.md` says what each figure means.

mod accept;
mod archive;
mod exposition;
mod process;
mod sources;

pub use accept::Format;

use crate::{
    clock::unix_millis,
    event_log::health::Hearing,
    http::{App, Phase},
    label::{Label, labels},
    redis::preflight::Severity,
    stats::{LATENCY_BOUNDS, Stats},
};
use exposition::{Histogram, Metric, Sample};
use std::sync::atomic::Ordering;

/// A scrape. Figures are read one after the other while they change.
pub fn render(app: &App, format: Format) -> String {
    let mut metrics = of_relay(app);
    metrics.extend(process::metrics(&process::Usage::read()));
    exposition::write(&metrics, format)
}

/// How far the process has come, as `/v1/status` says it too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Serving,
    Draining,
}

labels!(State {
    Serving => "serving",
    Draining => "draining",
});

impl From<Phase> for State {
    fn from(phase: Phase) -> State {
        match phase {
            Phase::Serving => State::Serving,
            Phase::Announced | Phase::Draining => State::Draining,
        }
    }
}

fn of_relay(app: &App) -> Vec<Metric> {
    let totals = app.log.totals();
    let state = State::from(app.phase());
    let health = app.log.health();
    let found = |severity: Severity| {
        let checked = health.checked.as_ref();
        let findings = checked.map_or(&[][..], |checked| &checked.findings);
        findings
            .iter()
            .filter(|found| found.severity == severity)
            .count() as u64
    };
    let queued = app.hub.queue_bytes.load(Ordering::Relaxed);
    let mut metrics = vec![
        Metric::info(
            "sse_relay_build",
            "The program that runs.",
            vec![("version", env!("CARGO_PKG_VERSION"))],
        ),
        Metric::gauge_of(
            "sse_relay_phase",
            "1 for the phase the process is in, 0 for the others.",
            State::ALL
                .iter()
                .map(|at| Sample::labelled("phase", at.label(), u64::from(*at == state)))
                .collect(),
        ),
        Metric::gauge(
            "sse_relay_connections",
            "Connections that are open now, streams included.",
            app.hub.connections(),
        ),
        Metric::gauge(
            "sse_relay_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was read, in Unix time.",
            *app.reloads.succeeded_at.lock(),
        ),
        Metric::gauge(
            "sse_relay_config_restart_fields",
            "Fields of the configuration that changed and need a restart.",
            app.reloads.restart.lock().len(),
        ),
        Metric::gauge(
            "sse_relay_streams_waiting",
            "Streams that are open and wait for the log, to begin.",
            app.hub.waiting.load(Ordering::Relaxed),
        ),
        Metric::gauge(
            "sse_relay_queue_bytes",
            "Bytes that wait for streams.",
            queued,
        ),
        Metric::gauge(
            "sse_relay_queue_limit_bytes",
            "Bytes that may wait for all streams together (stream.maxMemory).",
            app.config().stream.max_memory.get(),
        ),
        Metric::family(
            "sse_relay_forward_asks",
            "Questions to the application that knows the users, by what became of them.",
            "result",
            app.settings().auth.asks(),
        ),
        Metric::gauge(
            "sse_relay_jwks_missing",
            "Issuers of signed tokens whose keys could not be had yet.",
            app.settings().auth.missing_keys(),
        ),
        Metric::gauge(
            "sse_relay_tickets",
            "Tickets that are good, or were until a moment ago.",
            app.control.count_tickets(),
        ),
        Metric::gauge(
            "sse_relay_revocations",
            "Revocations that hold.",
            app.control.count_revocations(unix_millis()),
        ),
        Metric::gauge(
            "sse_relay_replicas",
            "Replicas that live, this one included.",
            1 + app.control.fleet().map_or(0, |fleet| fleet.others().len()),
        ),
        Metric::gauge(
            "sse_relay_fleet_in_touch",
            "Whether this replica is in touch with what replicas share.",
            u64::from(app.control.fleet().is_none_or(|fleet| fleet.is_current())),
        ),
        Metric::gauge(
            "sse_relay_log_channels",
            "Channels that the log knows.",
            totals.channels,
        ),
        Metric::gauge(
            "sse_relay_log_events",
            "Events that the log keeps.",
            totals.events,
        ),
        Metric::gauge(
            "sse_relay_log_bytes",
            "Bytes that the log's events take.",
            totals.bytes,
        ),
        Metric::gauge(
            "sse_relay_log_lag_seconds",
            "How long ago what streams get now was published.",
            app.log.lag().as_secs_f64(),
        ),
        Metric::gauge_of(
            "sse_relay_log_hearing",
            "1 for who hears what is published: this replica as all others, or the others alone.",
            Hearing::ALL
                .iter()
                .map(|how| {
                    Sample::labelled("hearing", how.label(), u64::from(*how == health.hearing))
                })
                .collect(),
        ),
        Metric::gauge_of(
            "sse_relay_redis_findings",
            "What is wrong at the log's servers; /checks on the admin port says what, and what to do.",
            Severity::ALL
                .iter()
                .map(|severity| Sample::labelled("severity", severity.label(), found(*severity)))
                .collect(),
        ),
    ];
    metrics.extend(of_stats(&app.hub.stats));
    metrics.extend(sources::metrics(&app.sources));
    metrics
}

/// Takes the figures apart without `..`, so that none is forgotten.
fn of_stats(stats: &Stats) -> Vec<Metric> {
    let Stats {
        published,
        publishes,
        delivered,
        delivered_bytes,
        filtered,
        unwritten,
        dropped,
        gaps,
        opened,
        closed,
        purges,
        purged,
        direct,
        tickets,
        refused,
        auth_refused,
        limited,
        disbelieved,
        problems,
        jwks_fetches,
        log_retries,
        config_reloads,
        fleet_beats,
        fleet_asks,
        archive,
        spans,
        handshakes,
        reloads,
        certificate_expires,
        writes,
        short_writes,
        latency,
    } = stats;
    let (buckets, sum) = latency.get();
    let certificate = certificate_expires.get().map(|at| {
        Metric::gauge(
            "sse_relay_certificate_expiry_timestamp_seconds",
            "When the certificate ends that new connections get, in Unix time.",
            at / 1000,
        )
    });
    let mut metrics = vec![
        Metric::family(
            "sse_relay_publishes",
            "Publishes, by what became of them.",
            "outcome",
            publishes,
        ),
        Metric::family(
            "sse_relay_fleet_beats",
            "Times that this replica told the others that it lives.",
            "outcome",
            fleet_beats,
        ),
        Metric::family(
            "sse_relay_fleet_asks",
            "What other replicas were asked, by what came of it.",
            "outcome",
            fleet_asks,
        ),
        Metric::counter(
            "sse_relay_events_published",
            "Events that were appended to the log.",
            published,
        ),
        Metric::counter(
            "sse_relay_events_delivered",
            "Events handed to sockets, counted once for each stream.",
            delivered,
        ),
        Metric::counter(
            "sse_relay_delivered_bytes",
            "Bytes of streams handed to sockets.",
            delivered_bytes,
        ),
        Metric::counter(
            "sse_relay_events_filtered",
            "Events that a stream's own filter left out.",
            filtered,
        ),
        Metric::counter(
            "sse_relay_events_unwritten",
            "Events that the dialect of a stream's route had nothing to say of, counted once for each stream.",
            unwritten,
        ),
        Metric::family(
            "sse_relay_events_dropped",
            "Events that a stream's channels had and the stream did not get, by reason.",
            "reason",
            dropped,
        ),
        Metric::family(
            "sse_relay_gaps",
            "Gaps that streams were told of, by reason.",
            "reason",
            gaps,
        ),
        Metric::family(
            "sse_relay_streams_opened",
            "Streams opened, by what became of their cursor.",
            "resume",
            opened,
        ),
        Metric::family(
            "sse_relay_streams_closed",
            "Streams closed, by reason.",
            "reason",
            closed,
        ),
        Metric::counter(
            "sse_relay_purges",
            "Channels purged, by requests to this process.",
            purges,
        ),
        Metric::counter(
            "sse_relay_events_purged",
            "Events that those purges dropped.",
            purged,
        ),
        Metric::family(
            "sse_relay_ticket_uses",
            "Tickets made and used.",
            "use",
            tickets,
        ),
        Metric::family(
            "sse_relay_direct_events",
            "Events for one stream alone, by what became of them.",
            "outcome",
            direct,
        ),
        Metric::gauge(
            "sse_relay_streams",
            "Streams that are open now.",
            stats.streams(),
        ),
        Metric::family(
            "sse_relay_connections_refused",
            "Connections turned away before a request was read, by reason.",
            "reason",
            refused,
        ),
        Metric::family(
            "sse_relay_auth_refused",
            "Requests refused for want of a credential or a right, by reason.",
            "reason",
            auth_refused,
        ),
        Metric::family(
            "sse_relay_limited",
            "Requests refused past a limit, by whose limit it was and of what.",
            "limit",
            limited,
        ),
        Metric::counter(
            "sse_relay_forwarded_disbelieved",
            "Requests that say for whom a proxy asks, over connections from nobody in proxies.trusted.",
            disbelieved,
        ),
        Metric::family(
            "sse_relay_requests_refused",
            "Requests that were answered with a problem, by its type.",
            "problem",
            problems,
        ),
        Metric::family(
            "sse_relay_tls_handshakes",
            "TLS handshakes, by what became of them.",
            "outcome",
            handshakes,
        ),
        Metric::family(
            "sse_relay_certificate_reloads",
            "Changes of the certificate's files, by what became of them.",
            "outcome",
            reloads,
        ),
        Metric::family(
            "sse_relay_jwks_fetches",
            "Fetches of the keys of issuers of signed tokens, by what became of them.",
            "result",
            jwks_fetches,
        ),
        Metric::family(
            "sse_relay_log_retries",
            "What the log could not do for streams, by operation; each is tried again.",
            "operation",
            log_retries,
        ),
        Metric::family(
            "sse_relay_config_reloads",
            "Times that the configuration was read again, by what became of it.",
            "outcome",
            config_reloads,
        ),
        Metric::family(
            "sse_relay_trace_spans",
            "Spans of traces, by what became of them.",
            "outcome",
            spans,
        ),
        Metric::counter(
            "sse_relay_socket_writes",
            "Writes to the sockets of streams.",
            writes,
        ),
        Metric::counter(
            "sse_relay_socket_short_writes",
            "Writes that a socket could not take whole.",
            short_writes,
        ),
        Metric::histogram(
            "sse_relay_delivery_latency_seconds",
            "From an append to the write that delivered it, once for each stream.",
            Histogram {
                bounds: &LATENCY_BOUNDS,
                counts: buckets.to_vec(),
                sum,
            },
        ),
    ];
    metrics.extend(certificate);
    metrics.extend(archive::metrics(archive));
    metrics
}
