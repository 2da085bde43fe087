//! Issuers of signed tokens, as the relay reads them.

use relay_config as config;

use super::{Unread, right};
use crate::crd::{Algorithm, Claims, Grant, Jwks, Jwt, PublicKey};

pub(super) fn issuers(from: &[Jwt], unread: &mut Unread) -> Vec<config::Jwt> {
    let issuers = from.iter().enumerate();
    issuers
        .map(|(index, issuer)| one(&format!("auth.jwt[{index}]"), issuer, unread))
        .collect()
}

fn one(path: &str, from: &Jwt, unread: &mut Unread) -> config::Jwt {
    let leeway = from.leeway.as_ref();
    let leeway = leeway.map(|leeway| unread.span(&format!("{path}.leeway"), leeway));
    config::Jwt {
        name: from.name.clone(),
        issuer: from.issuer.clone(),
        audience: from.audience.clone(),
        algorithms: from.algorithms.iter().copied().map(algorithm).collect(),
        leeway: leeway.unwrap_or(DEFAULT_LEEWAY),
        expiry: config::Expiry::Required,
        keys: from.keys.iter().map(key).collect(),
        jwks: from.jwks.as_ref().map(|jwks| set(path, jwks, unread)),
        claims: claims(from.claims.clone().unwrap_or_default()),
        grant: grant(from.grant.clone().unwrap_or_default()),
    }
}

/// As the relay has it.
const DEFAULT_LEEWAY: config::Timespan = config::Timespan::from_secs(30);

fn set(path: &str, from: &Jwks, unread: &mut Unread) -> config::Jwks {
    let mut set = config::Jwks {
        url: Some(from.url.clone()),
        ..config::Jwks::default()
    };
    if let Some(refresh) = &from.refresh {
        set.refresh = unread.span(&format!("{path}.jwks.refresh"), refresh);
    }
    set
}

fn key(from: &PublicKey) -> config::JwtKey {
    config::JwtKey {
        id: from.id.clone(),
        public_key: Some(from.public_key.clone()),
        ..config::JwtKey::default()
    }
}

fn claims(from: Claims) -> config::Claims {
    let default = config::Claims::default();
    config::Claims {
        publish: from.publish,
        subscribe: from.subscribe,
        manage: from.manage,
        subject: from.subject.unwrap_or(default.subject),
        filters: from.filters,
        attributes: default.attributes,
    }
}

fn grant(from: Grant) -> config::GrantTemplate {
    config::GrantTemplate {
        publish: from.publish,
        subscribe: from.subscribe,
        manage: from.manage.into_iter().map(right).collect(),
    }
}

fn algorithm(from: Algorithm) -> config::Algorithm {
    match from {
        Algorithm::RS256 => config::Algorithm::RS256,
        Algorithm::RS384 => config::Algorithm::RS384,
        Algorithm::RS512 => config::Algorithm::RS512,
        Algorithm::PS256 => config::Algorithm::PS256,
        Algorithm::PS384 => config::Algorithm::PS384,
        Algorithm::PS512 => config::Algorithm::PS512,
        Algorithm::ES256 => config::Algorithm::ES256,
        Algorithm::ES384 => config::Algorithm::ES384,
        Algorithm::EdDSA => config::Algorithm::EdDSA,
    }
}
