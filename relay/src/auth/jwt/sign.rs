//! Signing tokens: for scripts and tests. A relay that serves signs nothing.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use relay_config::Algorithm;
use ring::{hmac, rand::SystemRandom, signature as ring_signature};
use serde_json::{Map, Value, json};
use spki::der::Document;

/// A key that signs tokens with one algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    kind: Kind,
}

enum Kind {
    Secret(hmac::Key),
    Rsa(Box<ring_signature::RsaKeyPair>),
    Ecdsa(Box<ring_signature::EcdsaKeyPair>),
    Ed25519(Box<ring_signature::Ed25519KeyPair>),
}

/// Why nothing can be signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignError {
    #[error("this is no private key in PEM (`BEGIN PRIVATE KEY`, PKCS#8)")]
    NotPem,
    #[error("the private key is not for this algorithm")]
    OtherKey,
    #[error("the system has no random numbers")]
    NoRandom,
}

impl SigningKey {
    /// Of a secret (HS256, HS384, HS512), or of a private key in PEM.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Result<SigningKey, SignError> {
        use Algorithm as A;
        let kind = match algorithm {
            A::HS256 => Kind::Secret(hmac::Key::new(hmac::HMAC_SHA256, key)),
            A::HS384 => Kind::Secret(hmac::Key::new(hmac::HMAC_SHA384, key)),
            A::HS512 => Kind::Secret(hmac::Key::new(hmac::HMAC_SHA512, key)),
            _ => Kind::from_pem(algorithm, key)?,
        };
        Ok(SigningKey { algorithm, kind })
    }

    /// A token with these claims; `id` becomes its `kid`.
    pub fn sign(&self, id: Option<&str>, claims: &Map<String, Value>) -> Result<String, SignError> {
        let mut header = json!({"alg": self.algorithm.as_str(), "typ": "JWT"});
        if let Some(id) = id {
            header["kid"] = id.into();
        }
        let part = |text: String| URL_SAFE_NO_PAD.encode(text);
        let claims = Value::Object(claims.clone());
        let signed = format!("{}.{}", part(header.to_string()), part(claims.to_string()));
        let signature = self.signature(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, bytes: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::Secret(key) => Ok(hmac::sign(key, bytes).as_ref().to_vec()),
            Kind::Ed25519(pair) => Ok(pair.sign(bytes).as_ref().to_vec()),
            Kind::Ecdsa(pair) => {
                let signature = pair.sign(&random, bytes);
                signature
                    .map(|signature| signature.as_ref().to_vec())
                    .map_err(|_| SignError::NoRandom)
            }
            Kind::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding(self.algorithm)?, &random, bytes, &mut signature)
                    .map_err(|_| SignError::NoRandom)?;
                Ok(signature)
            }
        }
    }
}

impl Kind {
    fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Kind, SignError> {
        use ring_signature as ring;
        let pem = std::str::from_utf8(pem).map_err(|_| SignError::NotPem)?;
        let (label, document) = Document::from_pem(pem.trim()).map_err(|_| SignError::NotPem)?;
        if label != "PRIVATE KEY" {
            return Err(SignError::NotPem);
        }
        let der = document.as_bytes();
        let ecdsa = |curve| {
            let pair = ring::EcdsaKeyPair::from_pkcs8(curve, der, &SystemRandom::new());
            pair.map(|pair| Kind::Ecdsa(Box::new(pair)))
        };
        let kind = match algorithm {
            Algorithm::ES256 => ecdsa(&ring::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => ecdsa(&ring::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDSA => ring::Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map(|pair| Kind::Ed25519(Box::new(pair))),
            _ => ring::RsaKeyPair::from_pkcs8(der).map(|pair| Kind::Rsa(Box::new(pair))),
        };
        kind.map_err(|_| SignError::OtherKey)
    }
}

fn padding(algorithm: Algorithm) -> Result<&'static dyn ring_signature::RsaEncoding, SignError> {
    match algorithm {
        Algorithm::RS256 => Ok(&ring_signature::RSA_PKCS1_SHA256),
        Algorithm::RS384 => Ok(&ring_signature::RSA_PKCS1_SHA384),
        Algorithm::RS512 => Ok(&ring_signature::RSA_PKCS1_SHA512),
        Algorithm::PS256 => Ok(&ring_signature::RSA_PSS_SHA256),
        Algorithm::PS384 => Ok(&ring_signature::RSA_PSS_SHA384),
        Algorithm::PS512 => Ok(&ring_signature::RSA_PSS_SHA512),
        _ => Err(SignError::OtherKey),
    }
}
