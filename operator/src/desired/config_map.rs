//! The relay's configuration, where its pods read it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::document;
use crate::validate::Valid;

/// The file's name within the ConfigMap.
pub const FILE: &str = "relay.yaml";

pub fn build(valid: &Valid) -> ConfigMap {
    ConfigMap {
        metadata: valid.names.meta(&valid.names.config()),
        data: Some(BTreeMap::from([(
            FILE.to_owned(),
            document::yaml(&valid.config),
        )])),
        ..ConfigMap::default()
    }
}
