//! The two controllers that are nginx.

use relay_config::Timespan;

use super::setting::{Https, Idle, Profile, Severity, Wishes};

const QUIET: &str = "a stream may be silent for an hour instead of 60s";
const SLOW: &str = "a client that takes nothing for a while is the relay's to judge";
const RETRY: &str = "a publish that may have arrived is not sent a second time";
const HTTP: &str = "streams are chunked, which HTTP/1.0 cannot do";
const BUFFER: &str = "events pass at once instead of waiting for a full buffer";

/// kubernetes/ingress-nginx. Nothing that its default risk level refuses, and no snippets.
pub(super) fn community(wishes: &Wishes<'_>) -> Profile {
    let mut profile = Profile::new(Idle::Of(Timespan::from_secs(3_600)))
        .idle_by("nginx.ingress.kubernetes.io/proxy-read-timeout")
        .with("nginx.ingress.kubernetes.io/proxy-buffering", "off", BUFFER)
        .with("nginx.ingress.kubernetes.io/proxy-http-version", "1.1", HTTP)
        .with("nginx.ingress.kubernetes.io/proxy-next-upstream", "off", RETRY)
        .with("nginx.ingress.kubernetes.io/proxy-read-timeout", "3600", QUIET)
        .with("nginx.ingress.kubernetes.io/proxy-request-buffering", "off", "a publish passes on as it comes in")
        .with("nginx.ingress.kubernetes.io/proxy-send-timeout", "3600", SLOW)
        .note(
            Severity::Advice,
            "ingress-nginx is retired and gets no more fixes; plan for another controller. Each of its reloads cuts streams after `worker-shutdown-timeout` (240s): raise it in the controller's ConfigMap. It takes 128 streams per HTTP/2 connection: raise `http2-max-concurrent-streams` there if one browser opens more",
        );
    if wishes.https == Https::Redirect {
        profile = profile.with(
            "nginx.ingress.kubernetes.io/ssl-redirect",
            "true",
            "tokens do not travel in the clear",
        );
    }
    profile
}

/// F5 NGINX Ingress Controller; the free edition knows all of these.
pub(super) fn f5(wishes: &Wishes<'_>) -> Profile {
    let mut profile = Profile::new(Idle::Of(Timespan::from_secs(3_600)))
        .idle_by("nginx.org/proxy-read-timeout")
        .with("nginx.org/keepalive", "64", "publishes reuse connections")
        .with("nginx.org/lb-method", "least_conn", "streams spread by how many are open, not by turns")
        .with("nginx.org/proxy-buffering", "False", BUFFER)
        .with("nginx.org/proxy-connect-timeout", "5s", "a dead pod is left soon")
        .with("nginx.org/proxy-next-upstream", "off", RETRY)
        .with("nginx.org/proxy-read-timeout", "3600s", QUIET)
        .with("nginx.org/proxy-send-timeout", "3600s", SLOW)
        .note(
            Severity::Advice,
            "the free edition reloads whenever a pod comes or goes, and old workers live as long as their streams: set `worker-shutdown-timeout: \"300s\"` in the controller's ConfigMap",
        );
    if wishes.https == Https::Redirect {
        profile = profile.with(
            "ingress.kubernetes.io/ssl-redirect",
            "True",
            "tokens do not travel in the clear",
        );
    }
    profile
}
