//! Load balancers of the three large clouds.

use relay_config::Timespan;
use serde_json::json;

use super::setting::{Https, Idle, Profile, Severity, Wishes};

const PLAIN: &str = "tokens do not travel in the clear";
/// Longest time that the load balancers of AWS and Google drain for.
const MAX_DRAIN: u64 = 3_600;

/// AWS Load Balancer Controller. It streams; only its idle timeout is short.
pub(super) fn alb(wishes: &Wishes<'_>) -> Profile {
    let grouped = wishes
        .annotations
        .contains_key("alb.ingress.kubernetes.io/group.name");
    let idle = if grouped { 60 } else { 4_000 };
    let mut profile = Profile::new(Idle::Of(Timespan::from_secs(idle)))
        .with(
            "alb.ingress.kubernetes.io/backend-protocol-version",
            "HTTP1",
            "the relay serves streams of HTTP/1.1 straight from the socket",
        )
        .with(
            "alb.ingress.kubernetes.io/healthcheck-interval-seconds",
            "10",
            "a leaving pod is noticed within its propagation time",
        )
        .with(
            "alb.ingress.kubernetes.io/healthcheck-path",
            "/health",
            "503 there means that the pod is leaving",
        );
    profile = if grouped {
        profile.note(
            Severity::Advice,
            "one Ingress of the group must set `alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds=4000`, which no second one may contradict; until then quiet streams are cut after 60s",
        )
    } else {
        profile.with(
            "alb.ingress.kubernetes.io/load-balancer-attributes",
            "client_keep_alive.seconds=3600,idle_timeout.timeout_seconds=4000",
            "a stream may be silent for more than an hour instead of 60s",
        )
    };
    if wishes.https == Https::Redirect {
        profile = profile
            .with(
                "alb.ingress.kubernetes.io/listen-ports",
                "[{\"HTTP\":80},{\"HTTPS\":443}]",
                "both are served",
            )
            .with("alb.ingress.kubernetes.io/ssl-redirect", "443", PLAIN);
    }
    let drain = wishes.drain_seconds.min(MAX_DRAIN);
    profile
        .with(
            "alb.ingress.kubernetes.io/target-group-attributes",
            &format!(
                "deregistration_delay.timeout_seconds={drain},load_balancing.algorithm.type=least_outstanding_requests,stickiness.enabled=false"
            ),
            "streams spread by how many are open, and keep flowing while a pod drains",
        )
        .with(
            "alb.ingress.kubernetes.io/target-type",
            "ip",
            "pods are reached directly, so that each drains for itself",
        )
}

/// Google Kubernetes Engine. Its timeout is for the whole response, so it is raised to a day.
pub(super) fn gce(wishes: &Wishes<'_>) -> Profile {
    let mut profile = Profile::new(Idle::Unlimited)
        .on_service(
            "cloud.google.com/backend-config",
            &json!({ "default": wishes.name }).to_string(),
            "a response may take a day instead of 30s, which would end every stream",
        )
        .on_service(
            "cloud.google.com/neg",
            "{\"ingress\":true}",
            "pods are reached directly, so that each drains for itself",
        )
        .note(
            Severity::Advice,
            "Google ends every stream after a day at the latest; clients resume by themselves",
        );
    profile = profile.object(
        wishes,
        ("cloud.google.com", "v1", "BackendConfig"),
        &json!({
            "timeoutSec": 86_400,
            "connectionDraining": { "drainingTimeoutSec": wishes.drain_seconds.min(MAX_DRAIN) },
            "healthCheck": { "type": "HTTP", "requestPath": "/health", "port": 8080, "checkIntervalSec": 10, "timeoutSec": 5 },
            "sessionAffinity": { "affinityType": "NONE" },
        }),
        "every response would end after 30s",
    );
    if wishes.https == Https::Redirect {
        profile = profile.with(
            "networking.gke.io/v1beta1.FrontendConfig",
            wishes.name,
            PLAIN,
        );
        profile = profile.object(
            wishes,
            ("networking.gke.io", "v1beta1", "FrontendConfig"),
            &json!({ "redirectToHttps": { "enabled": true } }),
            PLAIN,
        );
    }
    profile
}

/// Azure Application Gateway Ingress Controller. Buffering is a setting of the whole gateway.
pub(super) fn agic(wishes: &Wishes<'_>) -> Profile {
    let drain = wishes.drain_seconds.clamp(1, MAX_DRAIN).to_string();
    let mut profile = Profile::new(Idle::Of(Timespan::from_secs(3_600)))
        .idle_by("appgw.ingress.kubernetes.io/request-timeout")
        .with("appgw.ingress.kubernetes.io/connection-draining", "true", "streams keep flowing while a pod drains")
        .with("appgw.ingress.kubernetes.io/connection-draining-timeout", &drain, "as long as the relay takes to drain")
        .with("appgw.ingress.kubernetes.io/cookie-based-affinity", "false", "any replica can resume any stream")
        .with("appgw.ingress.kubernetes.io/health-probe-path", "/health", "503 there means that the pod is leaving")
        .with("appgw.ingress.kubernetes.io/request-timeout", "3600", "a stream may be silent for an hour instead of 30s")
        .note(
            Severity::Breaks,
            "the gateway holds back responses unless its administrator sets `globalConfiguration.enableResponseBuffering=false` on the Application Gateway; no annotation can",
        );
    if wishes.https == Https::Redirect {
        profile = profile.with("appgw.ingress.kubernetes.io/ssl-redirect", "true", PLAIN);
    }
    profile
}
