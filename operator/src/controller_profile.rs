//! What each ingress controller needs so that streams pass through it unbuffered and uncut.
//!
//! Values and defaults are those of the controllers' own documentation; `sse-relay-operator
//! explain` prints them with their reasons.

mod cloud;
mod envoy;
mod haproxy;
mod nginx;
mod others;
mod setting;

pub use setting::{Companion, Https, Idle, Note, Profile, Setting, Severity, Wishes};

use kube::core::GroupVersionKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program that serves Ingresses.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Controller {
    /// kubernetes/ingress-nginx, retired since March 2026.
    IngressNginx,
    /// F5 NGINX Ingress Controller (nginx/kubernetes-ingress).
    F5Nginx,
    /// Traefik.
    Traefik,
    /// HAProxy Technologies' controller (haproxytech/kubernetes-ingress).
    HaproxyTechnologies,
    /// The community's HAProxy controller (jcmoraisjr/haproxy-ingress).
    HaproxyIngress,
    /// AWS Load Balancer Controller.
    AwsAlb,
    /// Google Kubernetes Engine.
    Gce,
    /// Azure Application Gateway Ingress Controller.
    Agic,
    /// Contour.
    Contour,
    /// Kong Ingress Controller.
    Kong,
    /// Istio's ingress gateway.
    Istio,
    /// Cilium.
    Cilium,
    /// Any other: nothing is set, and an idle timeout of 60s is assumed.
    Generic,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::IngressNginx,
        Self::F5Nginx,
        Self::Traefik,
        Self::HaproxyTechnologies,
        Self::HaproxyIngress,
        Self::AwsAlb,
        Self::Gce,
        Self::Agic,
        Self::Contour,
        Self::Kong,
        Self::Istio,
        Self::Cilium,
        Self::Generic,
    ];

    /// As the resource writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IngressNginx => "ingress-nginx",
            Self::F5Nginx => "f5-nginx",
            Self::Traefik => "traefik",
            Self::HaproxyTechnologies => "haproxy-technologies",
            Self::HaproxyIngress => "haproxy-ingress",
            Self::AwsAlb => "aws-alb",
            Self::Gce => "gce",
            Self::Agic => "agic",
            Self::Contour => "contour",
            Self::Kong => "kong",
            Self::Istio => "istio",
            Self::Cilium => "cilium",
            Self::Generic => "generic",
        }
    }

    /// The one that says so in `IngressClass.spec.controller`.
    #[must_use]
    pub fn of_class(controller: &str) -> Option<Self> {
        let exact = Self::ALL
            .into_iter()
            .find(|known| known.class_controller() == controller && !controller.is_empty());
        let family = || match controller.split_once('/')?.0 {
            "haproxy.org" => Some(Self::HaproxyTechnologies),
            "projectcontour.io" => Some(Self::Contour),
            _ => None,
        };
        exact.or_else(family)
    }

    /// What its class says in `IngressClass.spec.controller`, unless somebody changed it. The
    /// generic one and Google's have no class.
    #[must_use]
    pub const fn class_controller(self) -> &'static str {
        match self {
            Self::IngressNginx => "k8s.io/ingress-nginx",
            Self::F5Nginx => "nginx.org/ingress-controller",
            Self::Traefik => "traefik.io/ingress-controller",
            Self::HaproxyTechnologies => "haproxy.org/ingress-controller/haproxy",
            Self::HaproxyIngress => "haproxy-ingress.github.io/controller",
            Self::AwsAlb => "ingress.k8s.aws/alb",
            Self::Agic => "azure/application-gateway",
            Self::Contour => "projectcontour.io/contour",
            Self::Kong => "ingress-controllers.konghq.com/kong",
            Self::Istio => "istio.io/ingress-controller",
            Self::Cilium => "cilium.io/ingress-controller",
            Self::Gce | Self::Generic => "",
        }
    }

    /// The one that goes by the name of a class which need not exist as an object.
    #[must_use]
    pub fn of_class_name(name: &str) -> Option<Self> {
        match name {
            "gce" | "gce-internal" => Some(Self::Gce),
            "azure-application-gateway" => Some(Self::Agic),
            "contour" => Some(Self::Contour),
            _ => None,
        }
    }

    /// The kinds of its own that its profile may have objects of.
    #[must_use]
    pub fn kinds(self) -> Vec<GroupVersionKind> {
        match self {
            Self::Gce => vec![
                GroupVersionKind::gvk("cloud.google.com", "v1", "BackendConfig"),
                GroupVersionKind::gvk("networking.gke.io", "v1beta1", "FrontendConfig"),
            ],
            Self::Kong => vec![GroupVersionKind::gvk(
                "configuration.konghq.com",
                "v1beta1",
                "KongUpstreamPolicy",
            )],
            Self::IngressNginx
            | Self::F5Nginx
            | Self::Traefik
            | Self::HaproxyTechnologies
            | Self::HaproxyIngress
            | Self::AwsAlb
            | Self::Agic
            | Self::Contour
            | Self::Istio
            | Self::Cilium
            | Self::Generic => Vec::new(),
        }
    }

    /// What it needs.
    #[must_use]
    pub fn profile(self, wishes: &Wishes<'_>) -> Profile {
        let mut profile = match self {
            Self::IngressNginx => nginx::community(wishes),
            Self::F5Nginx => nginx::f5(wishes),
            Self::Traefik => others::traefik(wishes),
            Self::HaproxyTechnologies => haproxy::technologies(wishes),
            Self::HaproxyIngress => haproxy::community(wishes),
            Self::AwsAlb => cloud::alb(wishes),
            Self::Gce => cloud::gce(wishes),
            Self::Agic => cloud::agic(wishes),
            Self::Contour => envoy::contour(wishes),
            Self::Kong => others::kong(wishes),
            Self::Istio => envoy::istio(wishes),
            Self::Cilium => envoy::cilium(wishes),
            Self::Generic => others::generic(),
        };
        profile.respect(wishes.annotations);
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_is_written_as_it_is_called() {
        for controller in Controller::ALL {
            let json = serde_json::to_value(controller).unwrap();
            assert_eq!(json, controller.as_str());
        }
    }

    #[test]
    fn a_profile_has_objects_of_its_own_kinds_only() {
        let annotations = std::collections::BTreeMap::new();
        for controller in Controller::ALL {
            let profile = controller.profile(&Wishes {
                name: "live",
                namespace: "default",
                drain_seconds: 70,
                https: Https::Redirect,
                annotations: &annotations,
            });
            let kinds: Vec<GroupVersionKind> = profile
                .objects
                .iter()
                .map(|companion| companion.object.types.clone().unwrap().try_into().unwrap())
                .collect();
            assert_eq!(kinds, controller.kinds(), "{}", controller.as_str());
        }
    }

    #[test]
    fn controllers_are_recognised_by_their_class() {
        for (class, controller) in [
            ("k8s.io/ingress-nginx", Controller::IngressNginx),
            (
                "haproxy.org/ingress-controller/haproxy",
                Controller::HaproxyTechnologies,
            ),
            (
                "projectcontour.io/projectcontour/contour",
                Controller::Contour,
            ),
            ("ingress.k8s.aws/alb", Controller::AwsAlb),
        ] {
            assert_eq!(Controller::of_class(class), Some(controller), "{class}");
        }
        assert_eq!(Controller::of_class("example.com/mine"), None);
        assert_eq!(
            Controller::of_class_name("gce-internal"),
            Some(Controller::Gce)
        );
    }
}
