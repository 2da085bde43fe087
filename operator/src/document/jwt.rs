//! Issuers of signed tokens, as the relay reads them.

use relay_config as config;

use super::{Unread, right};
use crate::crd::{Algorithm, Claims, Grant, Jwks, Jwt, KnownKey, ServiceAccounts};
use crate::references::auth::jwt_secret;
use crate::references::path_in_pod;

pub(super) fn issuers(from: &[Jwt], unread: &mut Unread) -> Vec<config::Jwt> {
    let issuers = from.iter().enumerate();
    issuers
        .map(|(index, issuer)| one(index, issuer, unread))
        .collect()
}

fn one(index: usize, from: &Jwt, unread: &mut Unread) -> config::Jwt {
    let path = &format!("auth.jwt[{index}]");
    let leeway = from.leeway.as_ref();
    let leeway = leeway.map(|leeway| unread.span(&format!("{path}.leeway"), leeway));
    config::Jwt {
        name: from.name.clone(),
        issuer: from.issuer.clone(),
        audience: from.audience.clone(),
        algorithms: from.algorithms.iter().copied().map(algorithm).collect(),
        leeway: leeway.unwrap_or(DEFAULT_LEEWAY),
        expiry: config::Expiry::Required,
        keys: from
            .keys
            .iter()
            .enumerate()
            .map(|(number, from)| key(index, number, from))
            .collect(),
        jwks: from.jwks.as_ref().map(|jwks| set(path, jwks, unread)),
        claims: claims(from.claims.clone().unwrap_or_default()),
        grant: grant(from.grant.clone().unwrap_or_default()),
    }
}

/// Where pods find the cluster's certificate authority and a token of their own, for its keys.
pub const CLUSTER_CA: &str = "cluster/ca.crt";
/// See [`CLUSTER_CA`].
pub const CLUSTER_TOKEN: &str = "cluster/token";
/// The cluster's keys, which every service account may read.
pub const CLUSTER_KEYS: &str = "https://kubernetes.default.svc/openid/v1/jwks";

/// This cluster as an issuer: the one of all tokens whose issuer nothing else names.
pub(super) fn cluster(from: &ServiceAccounts) -> config::Jwt {
    config::Jwt {
        name: "service-accounts".to_owned(),
        issuer: None,
        audience: from.audiences.clone(),
        algorithms: Vec::new(),
        leeway: DEFAULT_LEEWAY,
        expiry: config::Expiry::Required,
        keys: Vec::new(),
        jwks: Some(config::Jwks {
            url: Some(CLUSTER_KEYS.to_owned()),
            ca_file: Some(path_in_pod(CLUSTER_CA).into()),
            token_file: Some(path_in_pod(CLUSTER_TOKEN).into()),
            ..config::Jwks::default()
        }),
        claims: config::Claims::default(),
        grant: grant(from.grant.clone()),
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

fn key(issuer: usize, number: usize, from: &KnownKey) -> config::JwtKey {
    let secret = from.secret.as_ref();
    config::JwtKey {
        id: from.id.clone(),
        public_key: from.public_key.clone(),
        secret_file: secret.map(|_| path_in_pod(&jwt_secret(issuer, number)).into()),
        ..config::JwtKey::default()
    }
}

pub(super) fn claims(from: Claims) -> config::Claims {
    let default = config::Claims::default();
    config::Claims {
        publish: from.publish,
        subscribe: from.subscribe,
        manage: from.manage,
        subject: from.subject.unwrap_or(default.subject),
        filters: from.filters,
        attributes: from.attributes,
    }
}

pub(super) fn grant(from: Grant) -> config::GrantTemplate {
    config::GrantTemplate {
        publish: from.publish,
        subscribe: from.subscribe,
        manage: from.manage.into_iter().map(right).collect(),
        only_with: from.only_with,
    }
}

fn algorithm(from: Algorithm) -> config::Algorithm {
    match from {
        Algorithm::HS256 => config::Algorithm::HS256,
        Algorithm::HS384 => config::Algorithm::HS384,
        Algorithm::HS512 => config::Algorithm::HS512,
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
