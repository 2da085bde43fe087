//! The tokens of a relay whose resource names none.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::tokens::{Generated, MANAGE, PUBLISH, SUBSCRIBE, Token};
use crate::validate::Valid;

pub fn build(valid: &Valid, tokens: &Generated) -> Secret {
    let entry = |key: &str, token: &Token| {
        (
            key.to_owned(),
            ByteString(token.reveal().as_bytes().to_vec()),
        )
    };
    Secret {
        metadata: valid.names.meta(&valid.names.tokens()),
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([
            entry(PUBLISH, &tokens.publish),
            entry(SUBSCRIBE, &tokens.subscribe),
            entry(MANAGE, &tokens.manage),
        ])),
        ..Secret::default()
    }
}
