//! TLS towards a server that the relay is a client of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS towards a server. Files are PEM, and read again for every connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClientTls {
    /// Certificate authorities to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The client's certificate, with its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The private key of `certificate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name that the server's certificate must carry, if it is not the host that is connected to
    /// (nodes of a cluster are often known by address only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}
