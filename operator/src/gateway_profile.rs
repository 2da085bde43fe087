//! What each implementation of the Gateway API needs so that streams pass through it uncut.
//!
//! The route itself asks for requests without an end (`timeouts.request: 0s`); the rest is in policies
//! of each implementation's own, or for its administrator.

use relay_config::Timespan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::controller_profile::{Controller, Idle, Profile, Severity, Wishes};

/// A program that serves Gateways.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Implementation {
    /// Envoy Gateway.
    EnvoyGateway,
    /// Google Kubernetes Engine.
    Gke,
    /// AWS Load Balancer Controller.
    Aws,
    /// Istio.
    Istio,
    /// Cilium.
    Cilium,
    /// Contour.
    Contour,
    /// Traefik.
    Traefik,
    /// Kong.
    Kong,
    /// NGINX Gateway Fabric.
    NginxGatewayFabric,
    /// Any other: an idle timeout of 60s is assumed.
    Generic,
}

/// Longest time that the load balancers of AWS and Google drain for.
const MAX_DRAIN: u64 = 3_600;

impl Implementation {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::EnvoyGateway,
        Self::Gke,
        Self::Aws,
        Self::Istio,
        Self::Cilium,
        Self::Contour,
        Self::Traefik,
        Self::Kong,
        Self::NginxGatewayFabric,
        Self::Generic,
    ];

    /// As the resource writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnvoyGateway => "envoy-gateway",
            Self::Gke => "gke",
            Self::Aws => "aws",
            Self::Istio => "istio",
            Self::Cilium => "cilium",
            Self::Contour => "contour",
            Self::Traefik => "traefik",
            Self::Kong => "kong",
            Self::NginxGatewayFabric => "nginx-gateway-fabric",
            Self::Generic => "generic",
        }
    }

    /// The one that says so in `GatewayClass.spec.controllerName`.
    #[must_use]
    pub fn of_class(controller: &str) -> Option<Self> {
        match controller {
            "gateway.envoyproxy.io/gatewayclass-controller" => Some(Self::EnvoyGateway),
            "networking.gke.io/gateway" => Some(Self::Gke),
            "gateway.k8s.aws/alb" => Some(Self::Aws),
            "istio.io/gateway-controller" => Some(Self::Istio),
            "io.cilium/gateway-controller" => Some(Self::Cilium),
            "projectcontour.io/gateway-controller" => Some(Self::Contour),
            "traefik.io/gateway-controller" => Some(Self::Traefik),
            "konghq.com/kic-gateway-controller" | "konghq.com/gateway-operator" => Some(Self::Kong),
            "gateway.nginx.org/nginx-gateway-controller" => Some(Self::NginxGatewayFabric),
            _ => None,
        }
    }

    /// Whether it takes timeouts in the route. One that does not may refuse a route that has them; to
    /// Kong they mean that a Service has its default of 60s again.
    #[must_use]
    pub const fn takes_timeouts(self) -> bool {
        !matches!(
            self,
            Self::Aws | Self::Gke | Self::Kong | Self::NginxGatewayFabric
        )
    }

    /// What it needs.
    #[must_use]
    pub fn profile(self, wishes: &Wishes<'_>) -> Profile {
        let silent = |seconds| Profile::new(Idle::Of(Timespan::from_secs(seconds)));
        match self {
            Self::EnvoyGateway => envoy_gateway(wishes),
            Self::Gke => gke(wishes),
            Self::Aws => aws(wishes),
            Self::Istio | Self::Traefik => Profile::new(Idle::Unlimited),
            Self::Cilium => silent(300).note(
                Severity::Advice,
                "Cilium allows 1024 requests at once to a Service: for more streams its administrator raises `proxy-cluster-max-requests` and `proxy-cluster-max-connections`",
            ),
            Self::Contour => silent(300)
                .on_service("projectcontour.io/max-connections", "100000", MANY)
                .on_service("projectcontour.io/max-pending-requests", "100000", MANY)
                .on_service("projectcontour.io/max-requests", "100000", MANY),
            // the same settings as for an Ingress, on the route instead
            Self::Kong => Controller::Kong.profile(wishes),
            Self::NginxGatewayFabric => nginx(wishes),
            Self::Generic => silent(60),
        }
    }
}

const MANY: &str = "each stream is a request that stays; the default is 1024";

/// No end and no silence is too long with the route's own `0s`; only the number of streams is short.
fn envoy_gateway(wishes: &Wishes<'_>) -> Profile {
    let mut profile = Profile::new(Idle::Unlimited);
    let most = u32::MAX;
    profile = profile.object(
        wishes,
        ("gateway.envoyproxy.io", "v1alpha1", "BackendTrafficPolicy"),
        &json!({
            "targetRefs": [{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": wishes.name }],
            "circuitBreaker": { "maxConnections": most, "maxParallelRequests": most, "maxPendingRequests": most },
            "loadBalancer": { "type": "LeastRequest" },
            "timeout": { "http": { "requestTimeout": "0s" } },
        }),
        "each stream is a request that stays; the default is 1024",
    );
    profile
}

/// Its timeout is for the whole response, so it is raised to a day.
fn gke(wishes: &Wishes<'_>) -> Profile {
    let mut profile = Profile::new(Idle::Unlimited).note(
        Severity::Advice,
        "Google ends every stream after a day at the latest; clients resume by themselves",
    );
    let target = json!({ "group": "", "kind": "Service", "name": wishes.name });
    profile = profile.object(
        wishes,
        ("networking.gke.io", "v1", "GCPBackendPolicy"),
        &json!({
            "default": {
                "timeoutSec": 86_400,
                "connectionDraining": { "drainingTimeoutSec": wishes.drain_seconds.min(MAX_DRAIN) },
            },
            "targetRef": target,
        }),
        "every response would end after 30s",
    );
    profile = profile.object(
        wishes,
        ("networking.gke.io", "v1", "HealthCheckPolicy"),
        &json!({
            "default": {
                "checkIntervalSec": 10,
                "timeoutSec": 5,
                "config": { "type": "HTTP", "httpHealthCheck": { "port": 8080, "requestPath": "/health" } },
            },
            "targetRef": target,
        }),
        "pods would be asked for `/`, and be taken for dead",
    );
    profile
}

/// It streams; only its idle timeout is short, and belongs to the Gateway: that takes it from the
/// LoadBalancerConfiguration that it names, of which one stands ready.
fn aws(wishes: &Wishes<'_>) -> Profile {
    let mut profile = Profile::new(Idle::Of(Timespan::from_secs(60))).note(
        Severity::Advice,
        "quiet streams are cut after 60s, unless `spec.infrastructure.parametersRef` of the Gateway (or `spec.parametersRef` of its class) names the LoadBalancerConfiguration that has the name of this relay, or one of its own with the attribute `idle_timeout.timeout_seconds` of 4000",
    );
    let drain = wishes.drain_seconds.min(MAX_DRAIN).to_string();
    let attribute = |key: &str, value: &str| json!({ "key": key, "value": value });
    profile = profile.object(
        wishes,
        ("gateway.k8s.aws", "v1beta1", "LoadBalancerConfiguration"),
        &json!({
            "loadBalancerAttributes": [
                attribute("client_keep_alive.seconds", "3600"),
                attribute("idle_timeout.timeout_seconds", "4000"),
            ],
        }),
        "it stands ready for the Gateway to name: a stream may be silent for 4000s instead of 60s",
    );
    profile = profile.object(
        wishes,
        ("gateway.k8s.aws", "v1beta1", "TargetGroupConfiguration"),
        &json!({
            "targetReference": { "name": wishes.name },
            "defaultConfiguration": {
                "targetType": "ip",
                "healthCheckConfig": { "healthCheckInterval": 10, "healthCheckPath": "/health" },
                "targetGroupAttributes": [
                    attribute("deregistration_delay.timeout_seconds", &drain),
                    attribute("load_balancing.algorithm.type", "least_outstanding_requests"),
                    attribute("stickiness.enabled", "false"),
                ],
            },
        }),
        "pods are reached by their own addresses, asked for /health, and have the time to drain",
    );
    profile
}

/// nginx has no limit on whole responses; how long one may be silent is its administrator's.
fn nginx(wishes: &Wishes<'_>) -> Profile {
    let mut profile = Profile::new(Idle::Of(Timespan::from_secs(60))).note(
        Severity::Advice,
        "nginx cuts a stream after 60s without a byte (`proxy_read_timeout`); heartbeats keep it open",
    );
    profile = profile.object(
        wishes,
        ("gateway.nginx.org", "v1alpha1", "ProxySettingsPolicy"),
        &json!({
            "targetRefs": [{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": wishes.name }],
            "buffering": { "disable": true },
        }),
        "nginx would hold events back in its buffers",
    );
    profile = profile.object(
        wishes,
        ("gateway.nginx.org", "v1alpha1", "UpstreamSettingsPolicy"),
        &json!({
            "targetRefs": [{ "group": "core", "kind": "Service", "name": wishes.name }],
            "loadBalancingMethod": "least_conn",
        }),
        "a replica that was just started would get no more streams than one that is full",
    );
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_called_as_the_resource_writes_it() {
        for one in Implementation::ALL {
            assert_eq!(serde_json::to_value(one).unwrap(), one.as_str());
        }
    }

    #[test]
    fn each_is_recognised_by_its_class() {
        for (class, one) in [
            (
                "gateway.envoyproxy.io/gatewayclass-controller",
                Implementation::EnvoyGateway,
            ),
            ("networking.gke.io/gateway", Implementation::Gke),
            ("gateway.k8s.aws/alb", Implementation::Aws),
            ("istio.io/gateway-controller", Implementation::Istio),
            ("io.cilium/gateway-controller", Implementation::Cilium),
            (
                "projectcontour.io/gateway-controller",
                Implementation::Contour,
            ),
            ("traefik.io/gateway-controller", Implementation::Traefik),
            ("konghq.com/kic-gateway-controller", Implementation::Kong),
            (
                "gateway.nginx.org/nginx-gateway-controller",
                Implementation::NginxGatewayFabric,
            ),
        ] {
            assert_eq!(Implementation::of_class(class), Some(one), "{class}");
        }
        assert_eq!(Implementation::of_class("example.com/mine"), None);
    }
}
