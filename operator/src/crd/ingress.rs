//! The way in from outside of the cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::controller_profile::Controller;

/// The way in from outside of the cluster by an Ingress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Host names that lead to the relay.
    #[schemars(
        length(min = 1, max = 16),
        inner(
            length(min = 1, max = 253),
            regex(
                pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
            )
        )
    )]
    pub hosts: Vec<String>,
    /// Name of the IngressClass; the cluster's default one, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Which program serves the Ingress. Left out, it is detected by the IngressClass. Its
    /// annotations keep streams open and unbuffered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Controller>,
    /// Serves https, and redirects plain http to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngressTls>,
    /// Annotations of the Ingress. They win over those that the operator sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
}

/// Serves https with the certificate of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressTls {
    /// Secret of this namespace with the certificate and its key. With an `issuer`, cert-manager
    /// writes it.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Issuer of cert-manager that gets the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Issuer>,
}

/// An issuer of cert-manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Whether it serves this namespace or the whole cluster.
    #[serde(default)]
    pub kind: IssuerKind,
}

/// Whether an issuer serves one namespace or the whole cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    /// One of this namespace.
    Issuer,
    /// One of the whole cluster.
    #[default]
    ClusterIssuer,
}

/// A part of the relay's HTTP interface that is shown outside.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Exposed {
    /// Streams: `/v1/events`.
    Subscribe,
    /// Publishing and the history of channels: `/v1/channels`.
    Publish,
    /// Status, connections and clients.
    Observe,
    /// The dashboard at `/`; it shows what `Observe` shows.
    Dashboard,
}
