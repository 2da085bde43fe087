//! The two controllers that are HAProxy. Neither buffers or compresses streams.

use relay_config::Timespan;

use super::setting::{Https, Idle, Profile, Severity, Wishes};

/// Both: what clients may be silent for is a setting of the whole controller.
const CLIENT_TIMEOUT: Timespan = Timespan::from_secs(50);
const QUIET: &str = "the relay may be silent for an hour instead of 50s";
const LEAST: &str = "streams spread by how many are open, not by turns";
const PLAIN: &str = "tokens do not travel in the clear";

/// haproxytech/kubernetes-ingress.
pub(super) fn technologies(wishes: &Wishes<'_>) -> Profile {
    let profile = Profile::new(Idle::Of(CLIENT_TIMEOUT))
        .with("haproxy.org/load-balance", "leastconn", LEAST)
        .with("haproxy.org/timeout-server", "1h", QUIET)
        .note(
            Severity::Advice,
            "a client's side is cut after `timeout-client` (50s) without a byte, which only the controller's ConfigMap can raise; heartbeats keep it open",
        );
    match wishes.https {
        Https::Redirect => profile.with("haproxy.org/ssl-redirect", "true", PLAIN),
        Https::Off => profile,
    }
}

/// jcmoraisjr/haproxy-ingress.
pub(super) fn community(wishes: &Wishes<'_>) -> Profile {
    let profile = Profile::new(Idle::Of(CLIENT_TIMEOUT))
        .with("haproxy-ingress.github.io/balance-algorithm", "leastconn", LEAST)
        .with("haproxy-ingress.github.io/timeout-server", "1h", QUIET)
        .note(
            Severity::Advice,
            "the controller takes 2000 connections in all: raise `max-connections` in its ConfigMap, and `timeout-client` (50s) if heartbeats are to be rarer",
        );
    match wishes.https {
        Https::Redirect => profile.with("haproxy-ingress.github.io/ssl-redirect", "true", PLAIN),
        Https::Off => profile,
    }
}
