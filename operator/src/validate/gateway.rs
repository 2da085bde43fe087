//! Which program serves the Gateway.

use super::Doubt;
use crate::crd::{Gateway, Reason};
use crate::gateway_profile::Implementation;
use crate::resolve::GatewayFound;

/// The program that serves the Gateway: as the resource names it, as its class says, or as it was
/// before.
pub(super) fn implementation(
    gateway: &Gateway,
    found: &GatewayFound,
) -> (Implementation, Option<Doubt>) {
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
