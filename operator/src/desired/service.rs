//! The Services: one for whoever publishes and subscribes, one that finds each pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::names::{ADMIN_PORT, PUBLIC_PORT, SERVICE_PORT, SERVICE_PORT_TLS};
use crate::validate::Valid;

/// Name of the port of publishers and subscribers.
pub const HTTP: &str = "http";
/// Name of the port of health and metrics.
pub const ADMIN: &str = "admin";

/// For publishers and subscribers; an Ingress leads here too.
pub fn public(valid: &Valid) -> Service {
    let mut metadata = valid.names.meta(&valid.names.relay);
    let settings = valid
        .profile()
        .into_iter()
        .flat_map(|profile| &profile.service);
    let annotations: BTreeMap<String, String> = settings
        .map(|setting| (setting.key.to_owned(), setting.value.clone()))
        .collect();
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(valid.names.selector()),
            ports: Some(vec![public_port(valid, service_port(valid))]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Each pod by its address, also while it starts and leaves, for metrics and for looking closely.
pub fn headless(valid: &Valid) -> Service {
    Service {
        metadata: valid.names.meta(&valid.names.pods()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(valid.names.selector()),
            ports: Some(vec![
                public_port(valid, PUBLIC_PORT),
                port(ADMIN, ADMIN_PORT),
            ]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The port of the Service: that of http, or of https if the pods speak TLS.
pub fn service_port(valid: &Valid) -> i32 {
    match valid.spec.tls {
        Some(_) => SERVICE_PORT_TLS,
        None => SERVICE_PORT,
    }
}

fn public_port(valid: &Valid, number: i32) -> ServicePort {
    let protocol = match valid.spec.tls {
        Some(_) => "https",
        None => "http",
    };
    ServicePort {
        app_protocol: Some(protocol.to_owned()),
        ..port(HTTP, number)
    }
}

fn port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        protocol: Some("TCP".to_owned()),
        app_protocol: Some("http".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}
