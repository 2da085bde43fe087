//! Where the relay finds its own Redis.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::PORT;
use crate::validate::Valid;

/// Name of the port.
pub const REDIS: &str = "redis";

pub fn build(valid: &Valid) -> Service {
    Service {
        metadata: valid.names.redis_meta(&valid.names.redis()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(valid.names.redis_selector()),
            ports: Some(vec![ServicePort {
                name: Some(REDIS.to_owned()),
                port: PORT,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(REDIS.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
