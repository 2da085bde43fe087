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
use crate::crd::{self, Exposed, IngressTls, IssuerKind};
use crate::validate::{By, Valid, WayIn};

/// GKE looks for its class here, and not in `ingressClassName`.
const CLASS: &str = "kubernetes.io/ingress.class";

pub fn build(valid: &Valid) -> Option<Ingress> {
    let way_in = valid.way_in.as_ref()?;
    let By::Ingress(asked, controller) = &way_in.by else {
        return None;
    };
    let mut metadata = valid.names.meta(&valid.names.relay);
    let annotations = annotations(way_in, asked, *controller);
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    let hosts = &asked.hosts;
    Some(Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: match controller {
                Controller::Gce => None,
                _ => asked.class_name.clone(),
            },
            rules: Some(
                hosts
                    .iter()
                    .map(|host| IngressRule {
                        host: Some(host.clone()),
                        http: Some(HTTPIngressRuleValue {
                            paths: paths(valid, &way_in.exposed),
                        }),
                    })
                    .collect(),
            ),
            tls: asked.tls.as_ref().map(|tls| {
                vec![IngressTLS {
                    hosts: Some(hosts.clone()),
                    secret_name: Some(tls.secret_name.clone()),
                }]
            }),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    })
}

fn annotations(
    way_in: &WayIn,
    asked: &crd::Ingress,
    controller: Controller,
) -> BTreeMap<String, String> {
    let settings = way_in.profile.ingress.iter();
    let mut annotations: BTreeMap<String, String> = settings
        .map(|setting| (setting.key.to_owned(), setting.value.clone()))
        .collect();
    if controller == Controller::Gce {
        let class = asked.class_name.as_deref().unwrap_or("gce");
        annotations.insert(CLASS.to_owned(), class.to_owned());
    }
    annotations.extend(asked.tls.iter().filter_map(issuer));
    annotations.extend(asked.annotations.clone());
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
