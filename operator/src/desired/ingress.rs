//! The way in from outside. Written byte for byte the same until the resource changes: some
//! controllers cut every stream on any change.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::exposure::{self, Shown};
use super::service::HTTP;
use crate::controller_profile::Controller;
use crate::crd::{Exposed, IngressTls, IssuerKind};
use crate::validate::{Route, Valid};

/// GKE looks for its class here, and not in `ingressClassName`.
const CLASS: &str = "kubernetes.io/ingress.class";

pub fn build(valid: &Valid, route: &Route) -> Ingress {
    let mut metadata = valid.names.meta(&valid.names.relay);
    let annotations = annotations(route);
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    let hosts = &route.ingress.hosts;
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: match route.controller {
                Controller::Gce => None,
                _ => route.ingress.class_name.clone(),
            },
            rules: Some(
                hosts
                    .iter()
                    .map(|host| IngressRule {
                        host: Some(host.clone()),
                        http: Some(HTTPIngressRuleValue {
                            paths: paths(valid, &route.exposed),
                        }),
                    })
                    .collect(),
            ),
            tls: route.ingress.tls.as_ref().map(|tls| {
                vec![IngressTLS {
                    hosts: Some(hosts.clone()),
                    secret_name: Some(tls.secret_name.clone()),
                }]
            }),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    }
}

fn annotations(route: &Route) -> BTreeMap<String, String> {
    let settings = route.profile.ingress.iter();
    let mut annotations: BTreeMap<String, String> = settings
        .map(|setting| (setting.key.to_owned(), setting.value.clone()))
        .collect();
    if route.controller == Controller::Gce {
        let class = route.ingress.class_name.as_deref().unwrap_or("gce");
        annotations.insert(CLASS.to_owned(), class.to_owned());
    }
    annotations.extend(route.ingress.tls.iter().filter_map(issuer));
    annotations.extend(route.ingress.annotations.clone());
    annotations
}

fn issuer(tls: &IngressTls) -> Option<(String, String)> {
    let issuer = tls.issuer.as_ref()?;
    let key = match issuer.kind {
        IssuerKind::Issuer => "cert-manager.io/issuer",
        IssuerKind::ClusterIssuer => "cert-manager.io/cluster-issuer",
    };
    Some((key.to_owned(), issuer.name.clone()))
}

fn paths(valid: &Valid, exposed: &[Exposed]) -> Vec<HTTPIngressPath> {
    let paths = exposed
        .iter()
        .flat_map(|exposed| exposure::paths(valid, *exposed));
    paths
        .map(|path| match path {
            Shown::Exact(path) => (path, "Exact"),
            Shown::Below(path) => (path, "Prefix"),
        })
        .map(|(path, kind)| HTTPIngressPath {
            path: Some(path),
            path_type: kind.to_owned(),
            backend: IngressBackend {
                service: Some(IngressServiceBackend {
                    name: valid.names.relay.clone(),
                    port: Some(ServiceBackendPort {
                        name: Some(HTTP.to_owned()),
                        number: None,
                    }),
                }),
                resource: None,
            },
        })
        .collect()
}
