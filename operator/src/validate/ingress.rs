//! Which program serves the Ingress.

use super::Doubt;
use crate::controller_profile::Controller;
use crate::crd::{Ingress, Reason};
use crate::resolve::Class;

/// The program that serves the Ingress: as the resource names it, as its class says, or as it was
/// before, so that a class that is away for a moment changes no annotation.
pub(super) fn controller(ingress: &Ingress, class: &Class) -> (Controller, Option<Doubt>) {
    if let Some(named) = ingress.controller {
        return (named, None);
    }
    let doubt = |works, reason, message: String| {
        Some(Doubt {
            works,
            reason,
            message,
        })
    };
    match class {
        Class::NotNeeded => (Controller::Generic, None),
        Class::Found { name, controller } => match Controller::of_class(controller) {
            Some(known) => (known, None),
            None => (
                Controller::Generic,
                doubt(
                    None,
                    Reason::ControllerUnknown,
                    format!("IngressClass `{name}` is served by `{controller}`, which is not known here; if it is one of the known controllers, name it in spec.ingress.controller, else `generic`"),
                ),
            ),
        },
        Class::Missing { name, before } => match (Controller::of_class_name(name), before) {
            (Some(known), _) => (known, None),
            (None, before) => (
                before.unwrap_or(Controller::Generic),
                doubt(
                    Some(false),
                    Reason::IngressClassNotFound,
                    format!("there is no IngressClass `{name}`; correct spec.ingress.className, install the controller, or name it in spec.ingress.controller"),
                ),
            ),
        },
        Class::NoDefault { before } => (
            before.unwrap_or(Controller::Generic),
            doubt(
                Some(false),
                Reason::IngressClassNotFound,
                "no IngressClass is the cluster's default; set spec.ingress.className".to_owned(),
            ),
        ),
        Class::Forbidden { before } => (
            before.unwrap_or(Controller::Generic),
            doubt(
                None,
                Reason::ControllerUnknown,
                "the operator may not read IngressClasses; name the controller in spec.ingress.controller".to_owned(),
            ),
        ),
    }
}
