//! Keys that check signatures. A key's kind says which algorithms it is for, so a public key is never
//! a secret of HMAC.

use crate::auth::SignedBy;
use relay_config::{Algorithm, JwtKey};
use ring::{hmac, signature};
use sha2::{Digest, Sha256};
use spki::{
    SubjectPublicKeyInfoRef,
    der::{Decode, Document, Reader, SliceReader, asn1::UintRef, pem::PemLabel},
};
use std::{io, path::PathBuf};

/// Largest file with a key, in bytes.
const MAX_KEY_FILE: usize = 64 * 1024;
/// Moduli of RSA in bits: shorter ones are too weak, longer ones take too long.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key that checks signatures.
#[derive(Debug)]
pub struct Key {
    /// The `kid` of the tokens that it signs; `None` where every token may be its.
    pub id: Option<Box<str>>,
    pub purpose: Purpose,
    /// The only algorithm that it is for, where it says so.
    pub algorithm: Option<Algorithm>,
    /// Where it is from: what is remembered of who shows a token that it signed.
    pub origin: SignedBy,
    pub kind: Kind,
}

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Signatures,
    /// Encryption, or signing itself.
    Other,
}

/// The key itself, which says what it can be for.
#[derive(Debug)]
pub enum Kind {
    /// HMAC with the algorithms that the secret is long enough for.
    Secret(Vec<(Algorithm, hmac::Key)>),
    /// Modulus and exponent, big-endian.
    Rsa {
        n: Box<[u8]>,
        e: Box<[u8]>,
    },
    /// Uncompressed points.
    P256(Box<[u8]>),
    P384(Box<[u8]>),
    Ed25519(Box<[u8]>),
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{} has more than {MAX_KEY_FILE} bytes: that is no key", .0.display())]
    TooLarge(PathBuf),
    #[error(
        "the secret has {0} bytes; HS256 takes at least 32, HS384 48 and HS512 64 (RFC 7518, 3.2)"
    )]
    ShortSecret(usize),
    #[error("the file of the secret holds a PEM key; name a public key in `publicKeyFile`")]
    PemAsSecret,
    #[error("this is a private key, which belongs to the issuer alone; name the public one")]
    Private,
    #[error("this is no public key in PEM (`BEGIN PUBLIC KEY` or `BEGIN RSA PUBLIC KEY`)")]
    NotPem,
    #[error("keys of this kind are not for any algorithm here; use RSA, P-256, P-384 or Ed25519")]
    Unsupported,
    #[error("the modulus of the RSA key has {0} bits; it takes 2048 to 8192")]
    Modulus(usize),
    #[error("no key is configured: name a `secretFile`, `publicKeyFile` or `publicKey`")]
    Nothing,
}

impl Key {
    /// What a configuration names, read.
    pub fn load(key: &JwtKey) -> Result<Key, KeyError> {
        let (kind, fingerprint) = match (&key.secret_file, &key.public_key_file, &key.public_key) {
            (Some(path), _, _) => {
                let bytes = read(path)?;
                let secret = strip_line_end(&bytes);
                (Kind::secret(secret)?, fingerprint(&[secret]))
            }
            (None, Some(path), _) => {
                let pem = read(path)?;
                let pem = std::str::from_utf8(&pem).map_err(|_| KeyError::NotPem)?;
                Kind::from_pem(pem)?.with_fingerprint()
            }
            (None, None, Some(pem)) => Kind::from_pem(pem)?.with_fingerprint(),
            (None, None, None) => return Err(KeyError::Nothing),
        };
        Ok(Key {
            id: key.id.as_deref().map(Into::into),
            purpose: Purpose::Signatures,
            algorithm: None,
            origin: SignedBy::Configured(fingerprint),
            kind,
        })
    }

    /// Whether it is for an algorithm.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        if self.algorithm.is_some_and(|only| only != algorithm) {
            return false;
        }
        match &self.kind {
            Kind::Secret(keys) => keys.iter().any(|(known, _)| *known == algorithm),
            Kind::Rsa { .. } => matches!(
                algorithm,
                A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512
            ),
            Kind::P256(_) => algorithm == A::ES256,
            Kind::P384(_) => algorithm == A::ES384,
            Kind::Ed25519(_) => algorithm == A::EdDSA,
        }
    }

    /// Whether it signed these bytes with this algorithm; never for one that it is not for.
    pub fn signed(&self, algorithm: Algorithm, bytes: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(algorithm, key).verify(bytes, signature)
        };
        let verified = match &self.kind {
            Kind::Secret(keys) => {
                let key = keys.iter().find(|(known, _)| *known == algorithm);
                // in constant time
                return key.is_some_and(|(_, key)| hmac::verify(key, bytes, signature).is_ok());
            }
            Kind::Rsa { n, e } => {
                let Some(parameters) = rsa(algorithm) else {
                    return false;
                };
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(parameters, bytes, signature)
            }
            _ if !self.fits(algorithm) => return false,
            Kind::P256(point) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            Kind::P384(point) => by(&signature::ECDSA_P384_SHA384_FIXED, point),
            Kind::Ed25519(point) => by(&signature::ED25519, point),
        };
        verified.is_ok()
    }
}

/// Tells keys apart, and nothing of what they are: of a secret, which has at least 256 bits, 64 of its
/// hash give nothing away.
fn fingerprint(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    hash.update("sse-relay key");
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    u64::from_le_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
}

fn rsa(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

impl Kind {
    /// The same key has the same fingerprint, however it is written.
    fn with_fingerprint(self) -> (Kind, u64) {
        let fingerprint = match &self {
            Kind::Secret(_) => fingerprint(&[]), // one is never written in PEM
            Kind::Rsa { n, e } => fingerprint(&[b"rsa", n, e]),
            Kind::P256(point) | Kind::P384(point) | Kind::Ed25519(point) => {
                fingerprint(&[b"point", point])
            }
        };
        (self, fingerprint)
    }

    fn secret(secret: &[u8]) -> Result<Kind, KeyError> {
        if secret.starts_with(b"-----BEGIN") {
            return Err(KeyError::PemAsSecret);
        }
        let keys: Vec<(Algorithm, hmac::Key)> = [
            (Algorithm::HS256, hmac::HMAC_SHA256, 32),
            (Algorithm::HS384, hmac::HMAC_SHA384, 48),
            (Algorithm::HS512, hmac::HMAC_SHA512, 64),
        ]
        .into_iter()
        .filter(|(_, _, least)| secret.len() >= *least)
        .map(|(algorithm, hmac, _)| (algorithm, hmac::Key::new(hmac, secret)))
        .collect();
        if keys.is_empty() {
            return Err(KeyError::ShortSecret(secret.len()));
        }
        Ok(Kind::Secret(keys))
    }

    fn from_pem(pem: &str) -> Result<Kind, KeyError> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        let (label, document) = Document::from_pem(pem.trim()).map_err(|_| KeyError::NotPem)?;
        match label {
            SubjectPublicKeyInfoRef::PEM_LABEL => Kind::from_info(document.as_bytes()),
            "RSA PUBLIC KEY" => Kind::from_pkcs1(document.as_bytes()),
            _ => Err(KeyError::NotPem),
        }
    }

    /// SubjectPublicKeyInfo (RFC 5280, 4.1).
    fn from_info(der: &[u8]) -> Result<Kind, KeyError> {
        const RSA: &str = "1.2.840.113549.1.1.1";
        const EC: &str = "1.2.840.10045.2.1";
        const P256: &str = "1.2.840.10045.3.1.7";
        const P384: &str = "1.3.132.0.34";
        const ED25519: &str = "1.3.101.112";
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| KeyError::NotPem)?;
        let bits = info.subject_public_key.as_bytes();
        let bits = bits.ok_or(KeyError::NotPem)?;
        match info.algorithm.oid.to_string().as_str() {
            RSA => Kind::from_pkcs1(bits),
            EC => {
                let curve = info.algorithm.parameters_oid();
                match curve.map(|oid| oid.to_string()).as_deref() {
                    Ok(P256) => Kind::p256(bits),
                    Ok(P384) => Kind::p384(bits),
                    _ => Err(KeyError::Unsupported),
                }
            }
            ED25519 => Kind::ed25519(bits),
            _ => Err(KeyError::Unsupported),
        }
    }

    /// RSAPublicKey (RFC 8017, A.1.1).
    fn from_pkcs1(der: &[u8]) -> Result<Kind, KeyError> {
        let read = |der| -> Result<Kind, spki::der::Error> {
            let mut reader = SliceReader::new(der)?;
            let (n, e) = reader.sequence(|inner| {
                let numbers = (UintRef::decode(inner)?, UintRef::decode(inner)?);
                Ok::<_, spki::der::Error>(numbers)
            })?;
            reader.finish()?;
            Ok(Kind::Rsa {
                n: n.as_bytes().into(),
                e: e.as_bytes().into(),
            })
        };
        read(der).map_err(|_| KeyError::NotPem)?.checked()
    }

    /// Of modulus and exponent, big-endian.
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Kind, KeyError> {
        let strip = |bytes: &[u8]| -> Box<[u8]> {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            bytes[zeros..].into()
        };
        Kind::Rsa {
            n: strip(n),
            e: strip(e),
        }
        .checked()
    }

    /// Of an uncompressed point, as the two that follow.
    pub fn p256(point: &[u8]) -> Result<Kind, KeyError> {
        uncompressed(point, 65).map(Kind::P256)
    }

    pub fn p384(point: &[u8]) -> Result<Kind, KeyError> {
        uncompressed(point, 97).map(Kind::P384)
    }

    pub fn ed25519(point: &[u8]) -> Result<Kind, KeyError> {
        match point.len() {
            32 => Ok(Kind::Ed25519(point.into())),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn checked(self) -> Result<Kind, KeyError> {
        if let Kind::Rsa { n, .. } = &self {
            let leading = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
            let bits = (n.len() * 8).saturating_sub(leading);
            if !RSA_BITS.contains(&bits) {
                return Err(KeyError::Modulus(bits));
            }
        }
        Ok(self)
    }
}

fn uncompressed(point: &[u8], bytes: usize) -> Result<Box<[u8]>, KeyError> {
    let legal = point.len() == bytes && point.first() == Some(&4);
    legal.then(|| point.into()).ok_or(KeyError::Unsupported)
}

fn read(path: &PathBuf) -> Result<Vec<u8>, KeyError> {
    use io::Read;
    let failed = |error| KeyError::Read {
        path: path.clone(),
        error,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let limit = MAX_KEY_FILE as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_KEY_FILE {
        return Err(KeyError::TooLarge(path.clone()));
    }
    Ok(bytes)
}

pub fn strip_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}
