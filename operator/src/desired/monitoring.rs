//! Objects for those who watch the relay.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::service::ADMIN;
use crate::crd::Monitoring;
use crate::validate::Valid;

/// The label that Prometheus makes of the pods' own.
const INSTANCE: &str = "app.kubernetes.io/instance";
/// By it Grafana's companion finds dashboards.
const DASHBOARD: &str = "grafana_dashboard";

/// Where metrics are.
pub fn pod_monitor(valid: &Valid) -> Option<DynamicObject> {
    let asked = valid.spec.monitoring.as_ref()?;
    asked.pod_monitor.then(|| {
        let mut endpoint = json!({ "port": ADMIN, "path": "/metrics" });
        if let Some(interval) = &asked.interval {
            endpoint["interval"] = json!(interval.0);
        }
        object(
            valid,
            asked,
            "PodMonitor",
            json!({
                "selector": { "matchLabels": valid.names.selector() },
                "podTargetLabels": [INSTANCE],
                "podMetricsEndpoints": [endpoint],
            }),
        )
    })
}

/// Alerts.
pub fn rule(valid: &Valid) -> Option<DynamicObject> {
    let asked = valid.spec.monitoring.as_ref()?;
    asked.alerts.then(|| {
        let rules: Vec<Value> = ALERTS.iter().map(|alert| alert.rule(valid)).collect();
        let group = format!("sse-relay.{}.{}", valid.names.namespace, valid.names.relay);
        let spec = json!({ "groups": [{ "name": group, "rules": rules }] });
        object(valid, asked, "PrometheusRule", spec)
    })
}

/// The dashboard.
pub fn dashboard(valid: &Valid) -> Option<ConfigMap> {
    let asked = valid.spec.monitoring.as_ref()?;
    asked.dashboard.then(|| {
        let mut metadata = valid.names.meta(&valid.names.dashboard());
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(DASHBOARD.to_owned(), "1".to_owned());
        labels.extend(asked.labels.clone());
        let file = format!("{}-{}.json", valid.names.namespace, valid.names.relay);
        ConfigMap {
            metadata,
            data: Some(BTreeMap::from([(file, format!("{:#}\n", panels(valid)))])),
            ..ConfigMap::default()
        }
    })
}

fn object(valid: &Valid, asked: &Monitoring, kind: &str, spec: Value) -> DynamicObject {
    let kind = GroupVersionKind::gvk("monitoring.coreos.com", "v1", kind);
    let names = &valid.names;
    let mut object = DynamicObject::new(&names.relay, &ApiResource::from_gvk(&kind))
        .within(&names.namespace)
        .data(json!({ "spec": spec }));
    object.metadata.labels = Some(asked.labels.clone());
    object
}

/// What one should be called for.
struct Alert {
    name: &'static str,
    /// `{}` stands for the labels of the relay.
    expression: &'static str,
    lasting: &'static str,
    severity: &'static str,
    summary: &'static str,
    runbook: &'static str,
}

const ALERTS: [Alert; 6] = [
    Alert {
        name: "SseRelayAway",
        expression: "absent(sse_relay_streams{})",
        lasting: "2m",
        severity: "critical",
        summary: "no replica of the relay can be asked for metrics",
        runbook: "Look at the conditions of the SseRelay (kubectl describe) and at its pods. If they run, the network policy may keep Prometheus from port 8081: networkPolicy.metricsFrom.",
    },
    Alert {
        name: "SseRelayLogLate",
        expression: "max(sse_relay_log_lag_seconds{}) > 5",
        lasting: "1m",
        severity: "critical",
        summary: "a replica does not hear of the log what it appends",
        runbook: "Streams stay open, publishing gets 503. Look at Redis: whether it runs, how slow it is (redis-cli --latency), whether its memory is full. The condition RedisReady names the replica.",
    },
    Alert {
        name: "SseRelayPublishesFail",
        expression: "sum(rate(sse_relay_publishes_total{outcome=\"failed\",}[5m])) > 0",
        lasting: "5m",
        severity: "warning",
        summary: "publishes are not taken by the log",
        runbook: "Publishers got 503 and try again. The relay's log says why; a full Redis says so itself: raise its memory, or keep less (retention).",
    },
    Alert {
        name: "SseRelayMemoryShort",
        expression: "sum(rate(sse_relay_streams_closed_total{reason=\"memory\",}[5m])) > 0",
        lasting: "5m",
        severity: "warning",
        summary: "slow streams are closed for want of memory",
        runbook: "Their clients resume. Add replicas, raise limits.queueMemory, or let channels with many events coalesce or drop.",
    },
    Alert {
        name: "SseRelayFull",
        expression: "sum(rate(sse_relay_connections_refused_total{reason=~\"limit|descriptors\",}[5m])) > 0",
        lasting: "2m",
        severity: "critical",
        summary: "connections are turned away",
        runbook: "Add replicas, or raise maxStreams and with it their memory.",
    },
    Alert {
        name: "SseRelayConfigurationRefused",
        expression: "sum(increase(sse_relay_config_reloads_total{outcome=\"refused\",}[15m])) > 0",
        lasting: "1m",
        severity: "warning",
        summary: "a changed configuration is wrong and not in force",
        runbook: "The relay's log names the line. A configuration of the operator is checked before it is written: look for what else changes the ConfigMap, and for files that it names.",
    },
];

impl Alert {
    fn rule(&self, valid: &Valid) -> Value {
        json!({
            "alert": self.name,
            "expr": of_relay(valid, self.expression),
            "for": self.lasting,
            "labels": { "severity": self.severity, "namespace": valid.names.namespace, "sserelay": valid.names.relay },
            "annotations": { "summary": self.summary, "description": self.runbook },
        })
    }
}

/// The expression with the labels of the relay in each selector.
fn of_relay(valid: &Valid, expression: &str) -> String {
    let own = format!(
        "namespace=\"{}\",app_kubernetes_io_instance=\"{}\"",
        valid.names.namespace, valid.names.relay
    );
    expression
        .replace("{}", &format!("{{{own}}}"))
        .replace(",}", &format!(",{own}}}"))
}

fn panels(valid: &Valid) -> Value {
    let shown = [
        ("Streams", "sum(sse_relay_streams{})", "short"),
        ("Streams by replica", "sse_relay_streams{}", "short"),
        (
            "Events published a second",
            "sum(rate(sse_relay_events_published_total{}[5m]))",
            "short",
        ),
        (
            "Events delivered a second",
            "sum(rate(sse_relay_events_delivered_total{}[5m]))",
            "short",
        ),
        (
            "From publish to socket, 99th percentile",
            "histogram_quantile(0.99, sum by (le) (rate(sse_relay_delivery_latency_seconds_bucket{}[5m])))",
            "s",
        ),
        ("Lag of the log", "max(sse_relay_log_lag_seconds{})", "s"),
        (
            "Gaps told, by reason",
            "sum by (reason) (rate(sse_relay_gaps_total{}[5m]))",
            "short",
        ),
        (
            "Streams closed, by reason",
            "sum by (reason) (rate(sse_relay_streams_closed_total{}[5m]))",
            "short",
        ),
        (
            "Bytes that wait for slow streams",
            "sum(sse_relay_queue_bytes{})",
            "bytes",
        ),
        (
            "Memory by replica",
            "process_resident_memory_bytes{}",
            "bytes",
        ),
    ];
    let panels: Vec<Value> = shown
        .iter()
        .zip(0..)
        .map(|((title, expression, unit), n): (_, u32)| {
            json!({
                "id": n + 1,
                "type": "timeseries",
                "title": title,
                "datasource": { "type": "prometheus", "uid": "${datasource}" },
                "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
                "gridPos": { "x": n % 2 * 12, "y": n / 2 * 8, "w": 12, "h": 8 },
                "targets": [{ "refId": "A", "expr": of_relay(valid, expression) }],
            })
        })
        .collect();
    json!({
        "title": format!("SSE relay {}/{}", valid.names.namespace, valid.names.relay),
        "schemaVersion": 39,
        "tags": ["sse-relay"],
        "time": { "from": "now-1h", "to": "now" },
        "refresh": "30s",
        "templating": { "list": [{ "name": "datasource", "type": "datasource", "query": "prometheus" }] },
        "panels": panels,
    })
}
