//! Spans on their way to the collector. Who makes one never waits: past the queue's bound it is dropped,
//! and counted.

use crate::{
    label::labels,
    outgoing::{self, ClientError},
    stats::Stats,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor},
};
use relay_config::Traces;
use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

/// Spans of one request to the collector.
const BATCH: usize = 512;
/// How long the first span of a request waits for others.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a request may take, its retries included; the spans that come meanwhile wait.
const EXPORT: Duration = Duration::from_secs(15);
/// Most bytes of the file with headers.
const MAX_HEADERS_BYTES: usize = 64 * 1024;

/// Why there are no traces though they are configured.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("traces.headersFile: cannot read {path}: {why}")]
    Headers { path: String, why: String },
    #[error("traces.caFile: {0}")]
    Client(#[from] ClientError),
    #[error("traces: {0}; correct `traces.endpoint`, or the variable OTEL_EXPORTER_OTLP_ENDPOINT")]
    Exporter(#[from] ExporterBuildError),
}

/// What became of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpanOutcome {
    /// The collector took it.
    Exported,
    /// Too many waited already.
    Dropped,
    /// The collector did not take it.
    Failed,
}

labels!(SpanOutcome {
    Exported => "exported",
    Dropped => "dropped",
    Failed => "failed",
});

/// What makes spans, and what sends them.
pub fn provider(
    settings: &Traces,
    replica: &str,
    stats: Arc<Stats>,
) -> Result<(SdkTracerProvider, Exporting), TracesError> {
    let resource = resource(replica);
    let mut exporter = exporter(settings)?;
    exporter.set_resource(&resource);
    let (waiting, taking) = mpsc::channel(settings.max_queue);
    let queue = Queue {
        waiting,
        stats: stats.clone(),
    };
    let mut builder = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_span_processor(queue);
    if let Some(ratio) = settings.sample_ratio {
        let sampler = Sampler::TraceIdRatioBased(ratio);
        builder = builder.with_sampler(Sampler::ParentBased(Box::new(sampler)));
    }
    let exporting = Exporting {
        taking,
        exporter,
        stats,
        collector: Collector::Well,
    };
    Ok((builder.build(), exporting))
}

/// Who makes the spans; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` may say otherwise.
fn resource(replica: &str) -> Resource {
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some()
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES")
            .is_ok_and(|attributes| attributes.contains("service.name="));
    let mut builder = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", replica.to_owned()),
    ]);
    if !named {
        builder = builder.with_service_name("sse-relay");
    }
    builder.build()
}

fn exporter(settings: &Traces) -> Result<SpanExporter, TracesError> {
    let client = outgoing::client(settings.ca_file.as_deref(), EXPORT)?;
    let mut builder = SpanExporter::builder().with_http().with_http_client(client);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(path) = &settings.headers_file {
        builder = builder.with_headers(headers(path)?);
    }
    Ok(builder.build()?)
}

fn headers(path: &Path) -> Result<HashMap<String, String>, TracesError> {
    let failed = |why: String| TracesError::Headers {
        path: path.display().to_string(),
        why,
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    if text.len() > MAX_HEADERS_BYTES {
        return Err(failed(format!(
            "it has more than {MAX_HEADERS_BYTES} bytes"
        )));
    }
    parse_headers(&text).map_err(|line| {
        failed(format!(
            "line {line} is no header; write `name: value` on each line"
        ))
    })
}

/// The headers, or the number of the line that is none. A line may be empty.
fn parse_headers(text: &str) -> Result<HashMap<String, String>, usize> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let wrong = index + 1;
            let (name, value) = line.split_once(':').ok_or(wrong)?;
            let (name, value) = (name.trim(), value.trim());
            let legal = http::HeaderName::from_bytes(name.as_bytes()).is_ok()
                && http::HeaderValue::from_str(value).is_ok();
            match legal {
                true => Ok((name.to_owned(), value.to_owned())),
                false => Err(wrong),
            }
        })
        .collect()
}

/// Where spans wait.
#[derive(Debug)]
struct Queue {
    waiting: mpsc::Sender<SpanData>,
    stats: Arc<Stats>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.waiting.try_send(span).is_err() {
            self.stats.spans.of(SpanOutcome::Dropped).add(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Whether the last request was taken: a collector that is away is told of once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Collector {
    Well,
    Away,
}

/// Sends spans.
pub struct Exporting {
    taking: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    stats: Arc<Stats>,
    collector: Collector,
}

impl Exporting {
    /// Until `stop` is dropped or sent to; then what waits is sent, too.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                _ = self.taking.recv_many(&mut batch, BATCH) => {}
                _ = &mut stop => break,
            }
            let deadline = Instant::now() + PAUSE;
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                let more = timeout_at(deadline, self.taking.recv_many(&mut batch, room)).await;
                if matches!(more, Err(_) | Ok(0)) {
                    break;
                }
            }
            self.export(batch).await;
        }
        self.taking.close();
        let mut rest = Vec::new();
        while self.taking.recv_many(&mut rest, BATCH).await > 0 {
            self.export(std::mem::take(&mut rest)).await;
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let answer = timeout(EXPORT, self.exporter.export(batch)).await;
        let failure = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let outcome = match failure {
            None => SpanOutcome::Exported,
            Some(_) => SpanOutcome::Failed,
        };
        self.stats.spans.of(outcome).add(count);
        match (failure, self.collector) {
            (Some(error), Collector::Well) => tracing::warn!(
                event = "traces.failed",
                %error,
                "the collector does not take spans; they are dropped and counted until it does"
            ),
            (None, Collector::Away) => {
                tracing::info!(event = "traces.exported", "the collector takes spans again");
            }
            (Some(_), Collector::Away) | (None, Collector::Well) => {}
        }
        self.collector = match outcome {
            SpanOutcome::Exported => Collector::Well,
            SpanOutcome::Dropped | SpanOutcome::Failed => Collector::Away,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stand_one_on_each_line() {
        let headers = parse_headers("Authorization: Bearer a:b\n\n x-team :  blue \r\n").unwrap();
        assert_eq!(headers["Authorization"], "Bearer a:b");
        assert_eq!(headers["x-team"], "blue");
        assert_eq!(parse_headers("a: b\nsecret"), Err(2));
        assert_eq!(parse_headers("a b: c"), Err(1));
    }

    #[test]
    fn a_file_that_is_wrong_is_told_without_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        std::fs::write(&path, "Bearer secret").unwrap();
        let error = headers(&path).unwrap_err().to_string();
        assert!(
            error.contains("line 1") && !error.contains("secret"),
            "{error}"
        );
    }
}
