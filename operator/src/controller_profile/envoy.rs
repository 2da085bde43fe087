//! Controllers that are Envoy: a limit on whole responses, and one on requests at once.

use relay_config::Timespan;

use super::setting::{Https, Idle, Profile, Setting, Severity, Wishes};

/// Envoy's default for a stream without a byte.
const STREAM_IDLE: Timespan = Timespan::from_secs(300);
/// In place of Envoy's 1,024 at once: above what one relay serves.
const AT_ONCE: &str = "1000000";
const PLAIN: &str = "tokens do not travel in the clear";

/// Contour.
pub(super) fn contour(wishes: &Wishes<'_>) -> Profile {
    const MANY: &str = "more than 1024 streams fit through one Envoy";
    let profile = Profile::new(Idle::Of(STREAM_IDLE))
        .with("projectcontour.io/response-timeout", "infinity", "a response may take any time instead of 15s, which would end every stream")
        .on_service("projectcontour.io/max-connections", AT_ONCE, MANY)
        .on_service("projectcontour.io/max-pending-requests", AT_ONCE, MANY)
        .on_service("projectcontour.io/max-requests", AT_ONCE, MANY)
        .note(
            Severity::Advice,
            "Envoy cuts a stream after 5m without a byte (`timeouts.stream-idle-timeout` in Contour's configuration); heartbeats keep it open",
        );
    match wishes.https {
        Https::Redirect => profile.with("ingress.kubernetes.io/force-ssl-redirect", "true", PLAIN),
        Https::Off => profile,
    }
}

/// Istio's ingress gateway: no timeout of its own, only a short farewell.
pub(super) fn istio(wishes: &Wishes<'_>) -> Profile {
    let mut profile = Profile::new(Idle::Unlimited).note(
        Severity::Advice,
        "a gateway that is replaced cuts its streams after 5s: raise `meshConfig.defaultConfig.terminationDrainDuration`, or the same in the annotation `proxy.istio.io/config` of the gateway's pods",
    );
    if wishes.https == Https::Redirect {
        profile = profile.note(
            Severity::Advice,
            "an Ingress cannot redirect to https on Istio; set `tls.httpsRedirect: true` in the Gateway of port 80",
        );
    }
    profile.pod.push(Setting::new(
        "proxy.istio.io/config",
        format!(
            "{{\"terminationDrainDuration\":\"{}s\"}}",
            wishes.drain_seconds
        ),
        "a sidecar waits as long as the relay takes to drain, instead of 5s",
    ));
    profile
}

/// Cilium.
pub(super) fn cilium(wishes: &Wishes<'_>) -> Profile {
    let profile = Profile::new(Idle::Of(STREAM_IDLE))
        .with("ingress.cilium.io/request-timeout", "0s", "a response may take any time, where Envoy would end every stream")
        .note(
            Severity::Advice,
            "Envoy takes 1024 requests at once per backend and cuts a stream after 5m without a byte: raise `proxy-cluster-max-requests`, `proxy-cluster-max-connections` and `http-stream-idle-timeout` of the agent; heartbeats keep streams open",
        );
    match wishes.https {
        Https::Redirect => profile.with("ingress.cilium.io/force-https", "enabled", PLAIN),
        Https::Off => profile,
    }
}
