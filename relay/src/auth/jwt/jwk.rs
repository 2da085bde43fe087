//! Sets of keys as issuers publish them (RFC 7517, RFC 7518, RFC 8037).

use super::key::{Key, Kind, Purpose};
use crate::auth::SignedBy;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use relay_config::Algorithm;
use serde_json::{Map, Value};

/// Most keys of a set.
const MAX_KEYS: usize = 100;

/// Why a text is no set of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoSet {
    /// Not JSON, or without a list `keys`, or with more than a hundred of them.
    Malformed,
    /// None that can check a signature of the algorithms that there are.
    NoKeys,
}

/// The keys of a set. What cannot be understood is passed over (RFC 7517, 5), and so are secrets: a
/// set is published.
pub fn parse(bytes: &[u8]) -> Result<Vec<Key>, NoSet> {
    let set: Map<String, Value> = serde_json::from_slice(bytes).map_err(|_| NoSet::Malformed)?;
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or(NoSet::Malformed)?;
    if keys.len() > MAX_KEYS {
        return Err(NoSet::Malformed);
    }
    let keys: Vec<Key> = keys.iter().filter_map(key).collect();
    match keys.iter().any(|key| key.purpose == Purpose::Signatures) {
        true => Ok(keys),
        false => Err(NoSet::NoKeys),
    }
}

fn key(value: &Value) -> Option<Key> {
    let jwk = value.as_object()?;
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(jwk, name)?).ok();
    let point = || Some([vec![4], bytes("x")?, bytes("y")?].concat());
    let kind = match (text(jwk, "kty")?, text(jwk, "crv")) {
        ("RSA", _) => Kind::rsa(&bytes("n")?, &bytes("e")?),
        ("EC", Some("P-256")) => Kind::p256(&point()?),
        ("EC", Some("P-384")) => Kind::p384(&point()?),
        ("OKP", Some("Ed25519")) => Kind::ed25519(&bytes("x")?),
        _ => return None,
    };
    let algorithm = text(jwk, "alg").map(|name| {
        let mut known = Algorithm::ALL.into_iter();
        known.find(|known| known.as_str() == name)
    });
    Some(Key {
        id: text(jwk, "kid").map(Into::into),
        // a key for an algorithm that there is not, of encryption say, is none for signatures
        purpose: match algorithm {
            Some(None) => Purpose::Other,
            _ => purpose(jwk),
        },
        algorithm: algorithm.flatten(),
        origin: SignedBy::Published,
        kind: kind.ok()?,
    })
}

/// RFC 7517, 4.2 and 4.3.
fn purpose(jwk: &Map<String, Value>) -> Purpose {
    let by_use = match jwk.get("use") {
        None => true,
        Some(usage) => usage == "sig",
    };
    let by_operations = match jwk.get("key_ops") {
        None => true,
        Some(operations) => operations
            .as_array()
            .is_some_and(|operations| operations.iter().any(|one| one == "verify")),
    };
    match by_use && by_operations {
        true => Purpose::Signatures,
        false => Purpose::Other,
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // the public key of RFC 8037, A.2
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn parsed(keys: Value) -> Result<Vec<Key>, NoSet> {
        parse(json!({"keys": keys}).to_string().as_bytes())
    }

    fn ed25519(more: Value) -> Value {
        let mut key = json!({"kty": "OKP", "crv": "Ed25519", "x": X});
        for (name, value) in more.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    #[test]
    fn keys_that_are_published_check_what_they_signed() {
        // the signature of RFC 8037, A.4
        let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let keys = parsed(json!([ed25519(json!({"kid": "a", "use": "sig"}))])).unwrap();
        assert_eq!(keys[0].id.as_deref(), Some("a"));
        assert!(keys[0].signed(Algorithm::EdDSA, signed, &signature));
        assert!(!keys[0].signed(Algorithm::EdDSA, b"other", &signature));
    }

    #[test]
    fn what_cannot_be_understood_is_passed_over() {
        let mixed = json!([
            {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
            {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
            {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
            {"kty": 7},
            "text",
            ed25519(json!({"kid": 7})),
        ]);
        let keys = parsed(mixed).unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].id, None);
    }

    #[test]
    fn a_key_is_for_what_it_says() {
        let purpose = |more: Value| {
            let other = ed25519(json!({}));
            parsed(json!([ed25519(more), other])).unwrap()[0].purpose
        };
        for signs in [
            json!({}),
            json!({"use": "sig"}),
            json!({"key_ops": ["verify"]}),
            json!({"alg": "EdDSA"}),
        ] {
            assert_eq!(purpose(signs.clone()), Purpose::Signatures, "{signs}");
        }
        for other in [
            json!({"use": "enc"}),
            json!({"use": ["sig"]}),
            json!({"key_ops": ["sign"]}),
            json!({"key_ops": "verify"}),
            json!({"alg": "ECDH-ES"}),
        ] {
            assert_eq!(purpose(other.clone()), Purpose::Other, "{other}");
        }
        let keys = parsed(json!([ed25519(json!({"alg": "RS256"}))])).unwrap();
        assert!(!keys[0].fits(Algorithm::EdDSA) && !keys[0].fits(Algorithm::RS256));
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), NoSet::Malformed);
        }
        assert_eq!(parsed(json!([])).unwrap_err(), NoSet::NoKeys);
        let only_enc = json!([ed25519(json!({"use": "enc"}))]);
        assert_eq!(parsed(only_enc).unwrap_err(), NoSet::NoKeys);
        let many = json!(vec![ed25519(json!({})); MAX_KEYS + 1]);
        assert_eq!(parsed(many).unwrap_err(), NoSet::Malformed);
    }
}
