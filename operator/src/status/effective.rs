//! Where subscribers go, and what was derived.

use crate::controller_profile::Idle;
use crate::crd::{Effective, Scheme};
use crate::validate::{By, Valid};

/// The address of subscribers: outside if there is a way in, else that of the Service.
pub(super) fn url(valid: &Valid) -> String {
    let Some(way_in) = &valid.way_in else {
        let scheme = scheme(valid.spec.tls.is_some());
        return format!("{scheme}://{}.{}", valid.names.relay, valid.names.namespace);
    };
    let (scheme, hosts) = match &way_in.by {
        By::Ingress(ingress, _) => (scheme(ingress.tls.is_some()), &ingress.hosts),
        By::Gateway(gateway, _) => {
            let encrypted = gateway.scheme == Scheme::Https;
            (scheme(encrypted), &gateway.hostnames)
        }
    };
    let host = hosts.first().map_or("", String::as_str);
    format!("{scheme}://{host}")
}

const fn scheme(encrypted: bool) -> &'static str {
    match encrypted {
        true => "https",
        false => "http",
    }
}

/// What was derived from the resource; `foreign` are kinds of others that it has objects of.
pub(super) fn effective(valid: &Valid, foreign: &[String]) -> Effective {
    let by = valid.way_in.as_ref().map(|way_in| &way_in.by);
    let redis = valid.config.redis.as_ref();
    let archive = valid.config.archive.as_ref();
    Effective {
        image: valid.image.clone(),
        replicas: valid.replicas,
        memory: valid.sizing.memory.to_string(),
        cpu: valid.sizing.cpu(),
        connections: i64::try_from(valid.sizing.connections).unwrap_or(i64::MAX),
        termination_grace_period: format!("{}s", valid.leaving.grace_seconds()),
        redis_prefix: redis.map(|redis| redis.prefix.clone()),
        archive_schema: archive.map(|archive| archive.schema.clone()),
        ingress_controller: match by {
            Some(By::Ingress(_, controller)) => Some(*controller),
            _ => None,
        },
        gateway: match by {
            Some(By::Gateway(_, implementation)) => Some(*implementation),
            _ => None,
        },
        foreign_kinds: foreign.to_vec(),
        idle_timeout: valid.profile().and_then(|profile| match profile.idle {
            Idle::Unlimited => None,
            Idle::Of(limit) => Some(limit.to_string()),
        }),
    }
}
