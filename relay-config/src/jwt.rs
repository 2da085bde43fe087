//! Signed tokens (JWT, RFC 7519): who issues them, with which keys, and what their claims allow.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::Right;
use crate::jwks::Jwks;
use crate::timespan::Timespan;

/// Who issues signed tokens, and what these allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Jwt {
    /// What the issuer is called in logs.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The claim `iss` of its tokens, exactly. Left out, its tokens are those whose `iss` no other
    /// entry names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https://id.example.com/")]
    pub issuer: Option<String>,
    /// Names of this relay: the claim `aud` must have one of them. Left out, a token that has
    /// `aud` at all is for somebody else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// Algorithms that are accepted. Left out, those that fit the keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Algorithm>,
    /// How far the issuer's clock may be off.
    #[serde(default = "default_leeway")]
    pub leeway: Timespan,
    /// Whether a token must end.
    #[serde(default)]
    pub expiry: Expiry,
    /// Keys that are known in advance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<JwtKey>,
    /// Where its keys are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
    /// Which claims say what the holder may do.
    #[serde(default)]
    pub claims: Claims,
    /// What every holder may do.
    #[serde(default)]
    pub grant: GrantTemplate,
}

fn default_leeway() -> Timespan {
    Timespan::from_secs(30)
}

/// Whether a token must have the claim `exp`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Expiry {
    /// One without it is refused.
    #[default]
    Required,
    /// One without it never ends.
    Optional,
}

/// How a token is signed (RFC 7518, RFC 8037).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 12] = [
        Algorithm::HS256,
        Algorithm::HS384,
        Algorithm::HS512,
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];

    /// As the header of a token and the configuration write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::HS256 => "HS256",
            Algorithm::HS384 => "HS384",
            Algorithm::HS512 => "HS512",
            Algorithm::RS256 => "RS256",
            Algorithm::RS384 => "RS384",
            Algorithm::RS512 => "RS512",
            Algorithm::PS256 => "PS256",
            Algorithm::PS384 => "PS384",
            Algorithm::PS512 => "PS512",
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            Algorithm::EdDSA => "EdDSA",
        }
    }
}

/// A key that is known in advance: exactly one of `secretFile`, `publicKeyFile` and `publicKey`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JwtKey {
    /// The `kid` of the tokens that it signs. Left out, it is tried for every token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// File with the secret of HS256, HS384 or HS512: at least 32, 48 or 64 bytes. One line end
    /// after it is no part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// File with a public key in PEM (`BEGIN PUBLIC KEY` or `BEGIN RSA PUBLIC KEY`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key_file: Option<PathBuf>,
    /// A public key in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// Which claims say what the holder of a token may do. A claim is named by names with dots
/// between levels (`realm_access.roles`), or by a JSON Pointer (`/kubernetes.io/namespace`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Claims {
    /// The claim with patterns of channels that the holder may publish to: a text or a list, at
    /// most 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
    /// The claim with patterns of channels that the holder may subscribe to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<String>,
    /// The claim with what else the holder may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manage: Option<String>,
    /// The claim with the user or service that the token stands for.
    pub subject: String,
    /// Claims that are kept as attributes of the holder, by the attribute's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Claims that limit which events the holder sees, by the attribute of the events: only those
    /// whose attribute has one of the claim's values. A token without such a claim is refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub filters: BTreeMap<String, String>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            publish: None,
            subscribe: None,
            manage: None,
            subject: "sub".to_owned(),
            attributes: BTreeMap::new(),
            filters: BTreeMap::new(),
        }
    }
}

/// What every holder of an issuer's tokens may do. `{claim}` in a pattern stands for a claim's
/// value, as one segment or a part of one: a value with a dot or a star is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GrantTemplate {
    /// Patterns of channels that every holder may publish to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Patterns of channels that every holder may subscribe to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
    /// What else every holder may do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manage: Vec<Right>,
    /// Only for holders whose claim has one of these values, as a text or in a list: Keycloak's roles are
    /// in `realm_access.roles`. Of several claims all must. To others this grant allows nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub only_with: BTreeMap<String, Vec<String>>,
}

impl GrantTemplate {
    /// Whether it allows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
