//! Issuers of signed tokens.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::{Right, SecretKey};
use super::text::Span;

/// Who issues signed tokens (JWT), and what these allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.jwks) || (has(self.keys) && self.keys.size() > 0)")
        .message("has no keys; name the address of its set in jwks.url, or some in keys"),
    validation = Rule::new("has(self.claims) || has(self.grant)")
        .message("its tokens would allow nothing; name claims that say what a holder may do, or a grant for every holder")
)]
pub struct Jwt {
    /// What the issuer is called in logs.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The claim `iss` of its tokens, exactly. Left out, its tokens are those whose `iss` no other
    /// entry names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub issuer: Option<String>,
    /// Names of this relay: the claim `aud` must have one of them. Left out, a token that has
    /// `aud` at all is for somebody else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 500)))]
    pub audience: Vec<String>,
    /// Algorithms that are accepted. Left out, those that fit the keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    pub algorithms: Vec<Algorithm>,
    /// How far the issuer's clock may be off; 30s, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leeway: Option<Span>,
    /// Where its keys are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
    /// Keys that are known in advance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub keys: Vec<KnownKey>,
    /// Which claims say what the holder may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
    /// What every holder may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
}

/// How a token is signed with a key whose public half is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA with P-256 and SHA-256.
    ES256,
    /// ECDSA with P-384 and SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

/// Where an issuer's keys are published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Jwks {
    /// Address of the set. The network policy lets the pods reach its port, anywhere.
    #[schemars(length(max = 500), regex(pattern = "^https://[^/?#@ ]+(/[^ ]*)?$"))]
    pub url: String,
    /// How often the address is asked; 5m, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Span>,
}

/// A key that is known in advance: a public one, or a secret that the issuer has too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.publicKey) != has(self.secret)")
        .message("name exactly one of publicKey and secret")
)]
pub struct KnownKey {
    /// The `kid` of the tokens that it signs. Left out, it is tried for every token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub id: Option<String>,
    /// The key in PEM (`BEGIN PUBLIC KEY` or `BEGIN RSA PUBLIC KEY`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10_000))]
    pub public_key: Option<String>,
    /// Where the secret of HS256, HS384 or HS512 stands, of at least 32, 48 or 64 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretKey>,
}

/// Which claims say what the holder of a token may do. A claim is named by names with dots
/// between levels (`realm_access.roles`), or by a JSON Pointer (`/kubernetes.io/namespace`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The claim with patterns of channels that the holder may publish to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub publish: Option<String>,
    /// The claim with patterns of channels that the holder may subscribe to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub subscribe: Option<String>,
    /// The claim with what else the holder may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub manage: Option<String>,
    /// The claim with the user or service that the token stands for; `sub`, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub subject: Option<String>,
    /// Claims that are kept as attributes of the holder, by the attribute's name: limits may go by
    /// them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20))]
    pub attributes: BTreeMap<String, String>,
    /// Claims that limit which events the holder sees, by the attribute of the events: only those
    /// whose attribute has one of the claim's values. A token without such a claim is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20))]
    pub filters: BTreeMap<String, String>,
}

/// What every holder of an issuer's tokens may do. `{claim}` in a pattern stands for a claim's
/// value, as one segment or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Patterns of channels that every holder may publish to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 200)))]
    pub publish: Vec<String>,
    /// Patterns of channels that every holder may subscribe to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 200)))]
    pub subscribe: Vec<String>,
    /// What else every holder may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub manage: Vec<Right>,
    /// Only for holders whose claim has one of these values, as a text or in a list: Keycloak's roles
    /// are in `realm_access.roles`. Of several claims all must.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20))]
    pub only_with: BTreeMap<String, Vec<String>>,
}
