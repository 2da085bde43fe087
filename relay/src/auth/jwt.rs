//! Signed tokens (JWT, RFC 7519): who issued one, whether that is true, and what it allows.

mod claims;
mod compact;
mod jwk;
pub mod key;
pub mod key_set;
pub mod sign;

pub use claims::MAX_ID;
pub use compact::{Said, looks_signed, said};

use super::{Refused, SignedBy, mapping::Mapping};
use crate::{cursor::UnixMillis, grant::Grant};
use claims::Conditions;
use compact::Compact;
use key::{Key, KeyError, Purpose};
use key_set::KeySet;
use relay_config::{Algorithm, Jwt};
use std::sync::Arc;

/// Most keys of an issuer that are tried for one token.
const MAX_TRIES: usize = 16;

/// Who issues signed tokens.
pub struct Issuer {
    pub name: Arc<str>,
    /// The claim `iss` of its tokens; `None` for those that no other issuer has.
    claim: Option<String>,
    /// Empty: those that fit the keys.
    algorithms: Vec<Algorithm>,
    keys: Vec<Key>,
    /// The keys that it publishes.
    published: Option<Arc<KeySet>>,
    conditions: Conditions,
    mapping: Mapping,
}

/// Why an issuer cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    #[error("issuer {name:?}, key {index}: {error}")]
    Key {
        name: String,
        index: usize,
        error: KeyError,
    },
    #[error("issuer {0:?}: a claim or a pattern of its configuration is not legal")]
    Mapping(String),
}

impl Issuer {
    /// Reads the issuer's own keys. Those that it publishes are taken from `known`, if they are there.
    pub fn new(jwt: &Jwt, known: &[Arc<KeySet>]) -> Result<Issuer, IssuerError> {
        let keys = jwt.keys.iter().enumerate().map(|(index, key)| {
            Key::load(key).map_err(|error| IssuerError::Key {
                name: jwt.name.clone(),
                index,
                error,
            })
        });
        let name: Arc<str> = jwt.name.as_str().into();
        let published = jwt.jwks.as_ref().map(|settings| {
            let same = known.iter().find(|set| set.is_of(&name, settings));
            same.cloned()
                .unwrap_or_else(|| Arc::new(KeySet::new(name.clone(), settings)))
        });
        Ok(Issuer {
            name,
            claim: jwt.issuer.clone(),
            algorithms: jwt.algorithms.clone(),
            keys: keys.collect::<Result<_, _>>()?,
            published,
            conditions: Conditions {
                audience: jwt.audience.clone(),
                leeway_millis: jwt.leeway.as_millis(),
                expiry: jwt.expiry,
            },
            mapping: Mapping::new(&jwt.claims, &jwt.grant)
                .ok_or_else(|| IssuerError::Mapping(jwt.name.clone()))?,
        })
    }

    /// The keys that it publishes, if it does.
    pub fn published(&self) -> Option<&Arc<KeySet>> {
        self.published.as_ref()
    }

    /// What a token of this issuer allows; the signature before all else.
    fn grant(
        &self,
        token: &Compact<'_>,
        now: UnixMillis,
        everybody: &Grant,
    ) -> Result<(Grant, SignedBy), Fault> {
        let key = self.check_signature(token)?;
        let expires = self.conditions.check(&token.claims, now)?;
        let grant = self.mapping.grant(&token.claims, expires, everybody)?;
        Ok((grant, key))
    }

    /// Whether it has a key still that signed a token once. What it publishes is its own affair.
    pub fn has(&self, key: SignedBy) -> bool {
        match key {
            SignedBy::Published => self.published.is_some(),
            SignedBy::Configured(_) => self.keys.iter().any(|known| known.origin == key),
        }
    }

    fn check_signature(&self, token: &Compact<'_>) -> Result<SignedBy, Fault> {
        let allowed = self.algorithms.is_empty() || self.algorithms.contains(&token.algorithm);
        if !allowed {
            return Err(Refused::Algorithm.into());
        }
        let published = self.published.as_ref().and_then(|set| set.keys());
        let all = || {
            self.keys
                .iter()
                .chain(published.iter().flat_map(|keys| keys.iter()))
        };
        let refused = match check(all(), token) {
            Ok(key) => return Ok(key),
            Err(refused) => refused,
        };
        match &self.published {
            Some(set) if published.is_none() => Err(Fault::NoKeys(set.clone())),
            Some(set) if refused == Refused::UnknownKey => Err(Fault::UnknownKey(set.clone())),
            _ => Err(refused.into()),
        }
    }
}

/// Why a token is not taken.
#[derive(Clone)]
pub enum Fault {
    Refused(Refused),
    /// Its issuer's keys could not be had yet.
    NoKeys(Arc<KeySet>),
    /// It names a key that its issuer had not published when it was last asked.
    UnknownKey(Arc<KeySet>),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Fault {
        Fault::Refused(refused)
    }
}

/// Which of the keys signed a token.
fn check<'a>(
    keys: impl Iterator<Item = &'a Key>,
    token: &Compact<'_>,
) -> Result<SignedBy, Refused> {
    let mut named = keys.filter(|key| is_meant(key, token)).peekable();
    if named.peek().is_none() {
        return Err(Refused::UnknownKey);
    }
    let mut signing = named
        .filter(|key| key.purpose == Purpose::Signatures)
        .peekable();
    if signing.peek().is_none() {
        return Err(Refused::KeyUse);
    }
    let mut fitting = signing
        .filter(|key| key.fits(token.algorithm))
        .take(MAX_TRIES)
        .peekable();
    if fitting.peek().is_none() {
        return Err(Refused::Algorithm);
    }
    let signed = fitting.find(|key| key.signed(token.algorithm, token.signed, &token.signature));
    signed.map(|key| key.origin).ok_or(Refused::Signature)
}

/// A key without a name may be any token's, and a token that names no key may be any key's.
fn is_meant(key: &Key, token: &Compact<'_>) -> bool {
    match (&key.id, &token.key) {
        (Some(id), Some(meant)) => **id == **meant,
        (None, _) | (_, None) => true,
    }
}

/// A token whose signature and claims are right.
#[derive(Debug)]
pub struct Verified {
    /// Name of its issuer.
    pub issuer: Arc<str>,
    /// Its own id, the claim `jti`, if it has one.
    pub id: Option<Arc<str>>,
    /// Whose key has signed it.
    pub key: SignedBy,
    pub grant: Grant,
}

/// Whose a token is, and what it allows.
///
/// Where several issuers have the same claim `iss` (for two audiences, say) each is asked in turn.
pub fn verify(
    issuers: &[Issuer],
    token: &str,
    now: UnixMillis,
    everybody: &Grant,
) -> Result<Verified, Fault> {
    let token = Compact::parse(token)?;
    let mut fault = Fault::Refused(Refused::Issuer);
    for issuer in of(issuers, &token) {
        match (issuer.grant(&token, now, everybody), &fault) {
            (Ok((grant, key)), _) => {
                let id = claims::id(&token.claims)?;
                return Ok(Verified {
                    issuer: issuer.name.clone(),
                    id: id.map(Into::into),
                    key,
                    grant,
                });
            }
            // whoever has no keys yet might have taken it
            (Err(_), Fault::NoKeys(_) | Fault::UnknownKey(_)) => {}
            // that it is for somebody else says less than what the one whom it is for says
            (Err(Fault::Refused(Refused::Audience)), Fault::Refused(known))
                if *known != Refused::Issuer => {}
            (Err(new), _) => fault = new,
        }
    }
    Err(fault)
}

fn of<'a>(issuers: &'a [Issuer], token: &Compact<'_>) -> impl Iterator<Item = &'a Issuer> {
    let claim = token.claims.get("iss").and_then(|claim| claim.as_str());
    let claim = claim.filter(|claim| {
        let named = |issuer: &Issuer| issuer.claim.as_deref() == Some(claim);
        issuers.iter().any(named)
    });
    let claim = claim.map(str::to_owned);
    issuers.iter().filter(move |issuer| issuer.claim == claim)
}

#[cfg(test)]
mod tests {
    use super::{sign::SigningKey, *};
    use base64::{Engine, engine::general_purpose::STANDARD};
    use relay_config::JwtKey;
    use ring::{
        rand::SystemRandom,
        signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
            Ed25519KeyPair, KeyPair,
        },
    };
    use serde_json::{Value, json};

    const NOW: UnixMillis = 1_795_248_000_000;
    const RSA: &str = include_str!("../../tests/keys/rsa.pem");
    const RSA_PUBLIC: &str = include_str!("../../tests/keys/rsa.pub.pem");
    const RSA_PKCS1: &str = include_str!("../../tests/keys/rsa.pkcs1.pem");

    fn pem(label: &str, der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        let lines: Vec<&str> = body
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    }

    /// A fresh pair in PEM: private, public.
    fn pair(algorithm: Algorithm) -> (String, String) {
        let random = SystemRandom::new();
        // what stands before the key in a SubjectPublicKeyInfo of each kind
        let (private, prefix, public): (Vec<u8>, &[u8], Vec<u8>) = match algorithm {
            Algorithm::EdDSA => {
                let private = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
                let prefix = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
                let public = pair.public_key().as_ref().to_vec();
                (private.as_ref().to_vec(), prefix, public)
            }
            Algorithm::ES256 | Algorithm::ES384 => {
                let (curve, prefix): (_, &[u8]) = match algorithm {
                    Algorithm::ES256 => (
                        &ECDSA_P256_SHA256_FIXED_SIGNING,
                        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
                    ),
                    _ => (
                        &ECDSA_P384_SHA384_FIXED_SIGNING,
                        b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
                    ),
                };
                let private = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(curve, private.as_ref(), &random).unwrap();
                let public = pair.public_key().as_ref().to_vec();
                (private.as_ref().to_vec(), prefix, public)
            }
            _ => return (RSA.to_owned(), RSA_PUBLIC.to_owned()),
        };
        let public = [prefix, &public].concat();
        (pem("PRIVATE KEY", &private), pem("PUBLIC KEY", &public))
    }

    fn is_secret(algorithm: Algorithm) -> bool {
        matches!(
            algorithm,
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
        )
    }

    fn secret(byte: u8) -> String {
        String::from_utf8(vec![byte; 64]).unwrap()
    }

    /// A file for a secret, a text for a public key.
    fn key(id: Option<&str>, material: &str) -> (JwtKey, Option<tempfile::NamedTempFile>) {
        use std::io::Write;
        let id = id.map(str::to_owned);
        if material.contains("BEGIN") {
            let public_key = Some(material.to_owned());
            let key = JwtKey {
                id,
                public_key,
                ..JwtKey::default()
            };
            return (key, None);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{material}").unwrap();
        let key = JwtKey {
            id,
            secret_file: Some(file.path().to_owned()),
            ..JwtKey::default()
        };
        (key, Some(file))
    }

    fn issuer_of(config: Value, keys: &[(Option<&str>, &str)]) -> Result<Issuer, IssuerError> {
        let mut jwt: Jwt = serde_json::from_value(config).unwrap();
        let (keys, _files): (Vec<_>, Vec<_>) =
            keys.iter().map(|(id, material)| key(*id, material)).unzip();
        jwt.keys = keys;
        Issuer::new(&jwt, &[])
    }

    fn issuer(keys: &[(Option<&str>, &str)]) -> Issuer {
        let config =
            json!({"name": "id", "issuer": "https://id.example", "claims": {"publish": "p"}});
        issuer_of(config, keys).unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example", "exp": NOW / 1000 + 60, "p": "orders.*"})
    }

    fn token(algorithm: Algorithm, key: &str, id: Option<&str>, claims: &Value) -> String {
        let key = SigningKey::new(algorithm, key.as_bytes()).unwrap();
        key.sign(id, claims.as_object().unwrap()).unwrap()
    }

    fn check(issuers: &[Issuer], token: &str) -> Result<String, Refused> {
        match verify(issuers, token, NOW, &Grant::default()) {
            Ok(Verified { issuer, grant, .. }) => {
                assert_eq!(grant.publish.len(), 1);
                Ok(issuer.to_string())
            }
            Err(Fault::Refused(refused)) => Err(refused),
            Err(_) => panic!("these issuers publish no keys"),
        }
    }

    #[test]
    fn every_algorithm_signs_and_checks() {
        for algorithm in Algorithm::ALL {
            let (private, public) = match is_secret(algorithm) {
                true => (secret(b'a'), secret(b'a')),
                false => pair(algorithm),
            };
            let issuers = [issuer(&[(None, &public)])];
            let good = token(algorithm, &private, None, &claims());
            assert_eq!(check(&issuers, &good).as_deref(), Ok("id"), "{algorithm:?}");
            // one bit of what is signed, and one of the signature
            let (signed, signature) = good.rsplit_once('.').unwrap();
            let other = token(
                algorithm,
                &private,
                None,
                &json!({"iss": "https://id.example"}),
            );
            let forged = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
            assert_eq!(
                check(&issuers, &forged),
                Err(Refused::Signature),
                "{algorithm:?}"
            );
            let stripped = format!("{signed}.");
            assert_eq!(
                check(&issuers, &stripped),
                Err(Refused::Signature),
                "{algorithm:?}"
            );
        }
    }

    #[test]
    fn a_key_checks_only_its_own_kind_of_algorithm() {
        let materials: Vec<(Algorithm, String, String)> = Algorithm::ALL
            .into_iter()
            .map(|algorithm| match is_secret(algorithm) {
                true => (algorithm, secret(b'a'), secret(b'a')),
                false => {
                    let (private, public) = pair(algorithm);
                    (algorithm, private, public)
                }
            })
            .collect();
        let kind = |algorithm: Algorithm| algorithm.as_str()[..2].to_owned();
        for (signs, private, _) in &materials {
            let token = token(*signs, private, None, &claims());
            for (checks, _, public) in &materials {
                let same = kind(*signs) == kind(*checks) && kind(*signs) != "ES";
                let rsa = |algorithm| ["RS", "PS"].contains(&kind(algorithm).as_str());
                if same || signs == checks || (rsa(*signs) && rsa(*checks)) {
                    continue;
                }
                let issuers = [issuer(&[(None, public)])];
                assert_eq!(
                    check(&issuers, &token),
                    Err(Refused::Algorithm),
                    "{signs:?} by a key of {checks:?}"
                );
            }
        }
    }

    #[test]
    fn a_public_key_is_never_a_secret() {
        // the classic confusion: HMAC with the text of the public key
        for text in [RSA_PUBLIC, RSA_PUBLIC.trim(), RSA_PKCS1] {
            let forged = token(Algorithm::HS256, text, None, &claims());
            let issuers = [issuer(&[(None, RSA_PUBLIC)])];
            assert_eq!(check(&issuers, &forged), Err(Refused::Algorithm));
        }
        // and it cannot be configured as one
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, RSA_PUBLIC.as_bytes()).unwrap();
        let key = JwtKey {
            secret_file: Some(file.path().to_owned()),
            ..JwtKey::default()
        };
        assert!(matches!(Key::load(&key), Err(KeyError::PemAsSecret)));
    }

    #[test]
    fn keys_that_are_too_weak_or_none_at_all_are_refused() {
        let load = |material: &str| {
            let (key, _file) = key(None, material);
            Key::load(&key)
        };
        assert!(load(RSA_PKCS1).is_ok());
        assert!(matches!(load("short"), Err(KeyError::ShortSecret(5))));
        assert!(matches!(load(RSA), Err(KeyError::Private)));
        let garbage = pem("PUBLIC KEY", b"garbage");
        assert!(matches!(load(&garbage), Err(KeyError::NotPem)));
        let certificate = pem("CERTIFICATE", b"garbage");
        assert!(matches!(load(&certificate), Err(KeyError::NotPem)));
        let weak = RSA_PUBLIC_1024;
        assert!(matches!(load(weak), Err(KeyError::Modulus(1024))));
        let absent = JwtKey {
            secret_file: Some("/does/not/exist".into()),
            ..JwtKey::default()
        };
        assert!(matches!(Key::load(&absent), Err(KeyError::Read { .. })));
        // a secret of 32 bytes is one for HS256 alone
        let half = "a".repeat(32);
        let issuers = [issuer(&[(None, &half)])];
        let good = token(Algorithm::HS256, &half, None, &claims());
        assert!(check(&issuers, &good).is_ok());
        let strong = token(Algorithm::HS512, &half, None, &claims());
        assert_eq!(check(&issuers, &strong), Err(Refused::Algorithm));
    }

    #[test]
    fn the_key_that_a_token_names_checks_it() {
        let (a, b) = (secret(b'a'), secret(b'b'));
        let issuers = [issuer(&[(Some("a"), &a), (Some("b"), &b)])];
        let by = |key: &str, id| check(&issuers, &token(Algorithm::HS256, key, id, &claims()));
        assert!(by(&a, Some("a")).is_ok() && by(&b, Some("b")).is_ok());
        assert!(by(&b, None).is_ok(), "no name: each is tried");
        assert_eq!(by(&a, Some("b")), Err(Refused::Signature));
        assert_eq!(by(&a, Some("c")), Err(Refused::UnknownKey));
        let nameless = [issuer(&[(None, &a)])];
        let named = token(Algorithm::HS256, &a, Some("c"), &claims());
        assert!(check(&nameless, &named).is_ok());
    }

    #[test]
    fn only_the_algorithms_that_are_configured_are_taken() {
        let config = json!({"name": "id", "issuer": "https://id.example", "algorithms": ["HS512"],
                            "claims": {"publish": "p"}});
        let a = secret(b'a');
        let issuers = [issuer_of(config, &[(None, &a)]).unwrap()];
        let by = |algorithm| check(&issuers, &token(algorithm, &a, None, &claims()));
        assert!(by(Algorithm::HS512).is_ok());
        assert_eq!(by(Algorithm::HS256), Err(Refused::Algorithm));
    }

    #[test]
    fn each_issuer_s_tokens_are_checked_with_its_own_keys() {
        let (a, b, c) = (secret(b'a'), secret(b'b'), secret(b'c'));
        let of = |name: &str, issuer: Option<&str>, audience: &[&str], key: &str| {
            let config = json!({"name": name, "issuer": issuer, "audience": audience,
                                "claims": {"publish": "p"}});
            issuer_of(config, &[(None, key)]).unwrap()
        };
        let issuers = [
            of("one", Some("one"), &["x"], &a),
            of("two", Some("one"), &["y"], &b),
            of("rest", None, &[], &c),
        ];
        let claims = |issuer: Option<&str>, audience: Option<&str>| {
            let mut claims = json!({"exp": NOW / 1000 + 60, "p": "orders.*"});
            if let Some(issuer) = issuer {
                claims["iss"] = issuer.into();
            }
            if let Some(audience) = audience {
                claims["aud"] = audience.into();
            }
            claims
        };
        let by = |key: &str, claims: &Value| {
            check(&issuers, &token(Algorithm::HS256, key, None, claims))
        };
        assert_eq!(
            by(&a, &claims(Some("one"), Some("x"))).as_deref(),
            Ok("one")
        );
        assert_eq!(
            by(&b, &claims(Some("one"), Some("y"))).as_deref(),
            Ok("two")
        );
        assert_eq!(by(&c, &claims(None, None)).as_deref(), Ok("rest"));
        assert_eq!(by(&c, &claims(Some("else"), None)).as_deref(), Ok("rest"));
        assert_eq!(by(&c, &claims(Some("one"), None)), Err(Refused::Signature));
        assert_eq!(by(&a, &claims(None, None)), Err(Refused::Signature));
        assert_eq!(
            check(
                &issuers[..2],
                &token(Algorithm::HS256, &a, None, &claims(Some("else"), None))
            ),
            Err(Refused::Issuer)
        );
        assert_eq!(
            by(&a, &claims(Some("one"), Some("z"))),
            Err(Refused::Signature),
            "its first issuer says that it is for somebody else, its second that it is forged"
        );
    }

    #[test]
    fn a_token_that_is_not_signed_is_refused_whatever_it_says() {
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let issuers = [issuer(&[(None, RSA_PUBLIC)])];
        for alg in ["none", "None", "NONE"] {
            let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let unsigned = format!("{}.{}.", part(json!({"alg": alg})), part(claims()));
            assert_eq!(check(&issuers, &unsigned), Err(Refused::Unsigned));
        }
    }

    const RSA_PUBLIC_1024: &str = include_str!("../../tests/keys/weak.pub.pem");
}
