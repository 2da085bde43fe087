//! Traefik, Kong, and any that is not known.

use relay_config::Timespan;
use serde_json::json;

use super::setting::{Https, Idle, Profile, Severity, Wishes};

const PLAIN: &str = "tokens do not travel in the clear";

/// Traefik neither buffers nor times streams out; all else is set on its entry points.
pub(super) fn traefik(wishes: &Wishes<'_>) -> Profile {
    let profile = Profile::new(Idle::Unlimited).note(
        Severity::Advice,
        "a Traefik that is replaced cuts its streams after 10s: raise `transport.lifeCycle.graceTimeOut` of its entry points",
    );
    match wishes.https {
        Https::Redirect => profile
            .with(
                "traefik.ingress.kubernetes.io/router.tls",
                "true",
                "the certificate is used",
            )
            .with(
                "traefik.ingress.kubernetes.io/router.entrypoints",
                "websecure",
                PLAIN,
            )
            .note(
                Severity::Advice,
                "plain http is answered 404 unless the entry point `web` redirects: set its `http.redirections.entryPoint.to: websecure`",
            ),
        Https::Off => profile,
    }
}

/// Kong Ingress Controller: settings of the upstream side stand on the Service.
pub(super) fn kong(wishes: &Wishes<'_>) -> Profile {
    let mut profile = Profile::new(Idle::Of(Timespan::from_secs(3_600)))
        .with(
            "konghq.com/request-buffering",
            "false",
            "a publish passes on as it comes in",
        )
        .with(
            "konghq.com/response-buffering",
            "false",
            "events pass at once instead of waiting for a full buffer",
        )
        .on_service(
            "konghq.com/connect-timeout",
            "5000",
            "a dead pod is left soon",
        )
        .on_service(
            "konghq.com/read-timeout",
            "3600000",
            "a stream may be silent for an hour instead of 60s",
        )
        .on_service(
            "konghq.com/retries",
            "0",
            "a publish that may have arrived is not sent a second time",
        )
        .on_service(
            "konghq.com/upstream-policy",
            wishes.name,
            "streams spread by how many are open, not by turns",
        )
        .on_service(
            "konghq.com/write-timeout",
            "3600000",
            "a client that takes nothing for a while is the relay's to judge",
        )
        .note(
            Severity::Advice,
            "plugins that transform responses hold them back; keep them off this host",
        );
    profile = profile.object(
        wishes,
        ("configuration.konghq.com", "v1beta1", "KongUpstreamPolicy"),
        &json!({ "algorithm": "least-connections" }),
        "a replica that was just started would get no more streams than one that is full",
    );
    if wishes.https == Https::Redirect {
        profile = profile
            .with("konghq.com/https-redirect-status-code", "308", PLAIN)
            .with("konghq.com/protocols", "https", PLAIN);
    }
    profile
}

/// Nothing is known of it, so nothing is set; a minute is what most allow.
pub(super) fn generic() -> Profile {
    Profile::new(Idle::Of(Timespan::from_secs(60))).note(
        Severity::Breaks,
        "it is not known what this controller does to streams: see that it neither buffers nor compresses responses of type text/event-stream, does not limit how long a response takes, and allows 60s without a byte",
    )
}
