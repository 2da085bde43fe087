//! Secrets with tokens that the operator makes.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::tokens::{Generated, MANAGE, PROBE, PUBLISH, SUBSCRIBE, Token};
use crate::validate::Valid;

pub fn build(valid: &Valid, tokens: &Generated) -> Secret {
    let entries = [
        (PUBLISH, &tokens.publish),
        (SUBSCRIBE, &tokens.subscribe),
        (MANAGE, &tokens.manage),
    ];
    secret(valid, &valid.names.tokens(), &entries)
}

/// The token by which the operator proves that streams stream.
pub fn probe(valid: &Valid, tokens: &Generated) -> Secret {
    secret(valid, &valid.names.probe(), &[(PROBE, &tokens.probe)])
}

fn secret(valid: &Valid, name: &str, tokens: &[(&str, &Token)]) -> Secret {
    let entries = tokens.iter().map(|(key, token)| {
        (
            (*key).to_owned(),
            ByteString(token.reveal().as_bytes().to_vec()),
        )
    });
    Secret {
        metadata: valid.names.meta(name),
        type_: Some("Opaque".to_owned()),
        data: Some(entries.collect::<BTreeMap<_, _>>()),
        ..Secret::default()
    }
}
