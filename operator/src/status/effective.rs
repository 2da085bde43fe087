//! Where subscribers go, and what was derived.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::defaults::defaults;
use crate::controller_profile::Idle;
use crate::crd::{Effective, Scheme};
use crate::desired::{maxmemory, resources, streams_each};
use crate::document::Unread;
use crate::scaling::Aim;
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
    let resources = resources(valid);
    let asked = |what: &str| {
        // a limit without a request is a request, too
        let of = |amounts: &Option<BTreeMap<String, Quantity>>| {
            Some(amounts.as_ref()?.get(what)?.0.clone())
        };
        of(&resources.requests).or_else(|| of(&resources.limits))
    };
    let archive = valid.config.archive.as_ref();
    Effective {
        image: valid.image.clone(),
        replicas: valid.replicas,
        memory: asked("memory"),
        cpu: asked("cpu"),
        connections: i64::try_from(valid.sizing.connections).unwrap_or(i64::MAX),
        termination_grace_period: format!("{}s", valid.leaving.grace_seconds()),
        drain: format!("{}s", valid.leaving.drain_seconds()),
        streams_per_replica: streams_per_replica(valid),
        redis_max_memory: valid
            .redis
            .as_ref()
            .map(|store| maxmemory(store.memory).to_string()),
        defaults: defaults(valid),
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

/// Streams of each replica that are aimed at by whoever changes their number.
fn streams_per_replica(valid: &Valid) -> Option<i64> {
    let asked = valid.spec.autoscaling.as_ref()?;
    let by_others = asked.hpa.as_ref().or(asked.keda.as_ref());
    if let Some(scaling) = by_others {
        return Some(streams_each(valid, scaling).into());
    }
    let aim = Aim::of(&valid.spec, &mut Unread::default())?;
    i64::try_from(aim.streams).ok()
}
