//! Whom the relay's pods run as. The relay asks nothing of Kubernetes, so it may do nothing.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::validate::Valid;

pub fn build(valid: &Valid) -> ServiceAccount {
    ServiceAccount {
        metadata: valid.names.meta(&valid.names.relay),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
