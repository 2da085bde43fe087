//! What a way in by the Gateway API means.

use std::collections::BTreeMap;

use relay_config::Config;

use super::{Doubt, exposed, noted, too_slow};
use crate::controller_profile::{Https, Profile, Wishes};
use crate::crd::{Exposed, Gateway, Reason, SseRelaySpec};
use crate::document::Leaving;
use crate::gateway_profile::Implementation;
use crate::names::Names;
use crate::resolve::{GatewayFound, Resolved};

/// The way in from outside by the Gateway API.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayRoute {
    /// What was written.
    pub gateway: Gateway,
    /// What is shown, in order and once.
    pub exposed: Vec<Exposed>,
    /// The program that serves it.
    pub implementation: Implementation,
    /// What that needs.
    pub profile: Profile,
    /// What stands against streaming well, if anything does.
    pub doubt: Option<Doubt>,
}

pub(super) fn by_gateway(
    names: &Names,
    spec: &SseRelaySpec,
    gateway: &Gateway,
    resolved: &Resolved,
    leaving: &Leaving,
    config: &Config,
) -> GatewayRoute {
    let (implementation, doubt) = implementation(gateway, &resolved.gateway);
    let profile = implementation.profile(&Wishes {
        name: &names.relay,
        namespace: &names.namespace,
        drain_seconds: leaving.drain_seconds(),
        https: Https::Off,
        annotations: &BTreeMap::new(),
    });
    let doubt = doubt
        .or_else(|| too_slow(implementation.as_str(), profile.idle, config))
        .or_else(|| noted(&profile));
    GatewayRoute {
        gateway: gateway.clone(),
        exposed: exposed(spec),
        implementation,
        profile,
        doubt,
    }
}

/// The program that serves the Gateway: as the resource names it, as its class says, or as it was
/// before.
fn implementation(gateway: &Gateway, found: &GatewayFound) -> (Implementation, Option<Doubt>) {
    if let Some(named) = gateway.implementation {
        return (named, None);
    }
    let doubt = |works, reason, message: String| {
        Some(Doubt {
            works,
            reason,
            message,
        })
    };
    match found {
        GatewayFound::NotNeeded => (Implementation::Generic, None),
        GatewayFound::Found { controller } => match Implementation::of_class(controller) {
            Some(known) => (known, None),
            None => (
                Implementation::Generic,
                doubt(
                    None,
                    Reason::ControllerUnknown,
                    format!("the Gateway is served by `{controller}`, which is not known here; if streams pass and quiet ones last, name `generic` in spec.gateway.implementation"),
                ),
            ),
        },
        GatewayFound::Missing { what, before } => (
            before.unwrap_or(Implementation::Generic),
            doubt(
                Some(false),
                Reason::GatewayNotFound,
                format!("there is no {what}; correct spec.gateway.parentRefs, or have it made"),
            ),
        ),
        GatewayFound::Forbidden { before } => (
            before.unwrap_or(Implementation::Generic),
            doubt(
                None,
                Reason::ControllerUnknown,
                "the operator may not look at the Gateway and its class; name what serves it in spec.gateway.implementation".to_owned(),
            ),
        ),
    }
}
