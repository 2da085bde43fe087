//! The form of a signed token: three parts in base64url (RFC 7515, 7.1).

use crate::auth::Refused;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use relay_config::Algorithm;
use serde_json::{Map, Value};

/// A token that was taken apart. Nothing of it is believed yet.
pub struct Compact<'a> {
    pub algorithm: Algorithm,
    /// Which of its issuer's keys signed it.
    pub key: Option<String>,
    pub claims: Map<String, Value>,
    /// What is signed.
    pub signed: &'a [u8],
    pub signature: Vec<u8>,
}

/// Whether a text has the shape of a signed token.
pub fn looks_signed(token: &str) -> bool {
    let parts = || token.split('.');
    parts().count() == 3 && parts().take(2).all(|part| !part.is_empty())
}

impl<'a> Compact<'a> {
    pub fn parse(token: &'a str) -> Result<Compact<'a>, Refused> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::NotJwt)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::NotJwt)?;
        // `jwk`, `jku` and `x5u` are not looked at: a token does not bring its own key
        let header = decode(header)?;
        let algorithm = text(&header, "alg")?.ok_or(Refused::NotJwt)?;
        if algorithm.eq_ignore_ascii_case("none") {
            return Err(Refused::Unsigned);
        }
        if header.contains_key("crit") {
            return Err(Refused::Critical);
        }
        let mut known = Algorithm::ALL.into_iter();
        Ok(Compact {
            algorithm: known
                .find(|known| known.as_str() == algorithm)
                .ok_or(Refused::Algorithm)?,
            key: text(&header, "kid")?.map(str::to_owned),
            claims: decode(claims)?,
            signed: signed.as_bytes(),
            signature: URL_SAFE_NO_PAD
                .decode(signature)
                .map_err(|_| Refused::NotJwt)?,
        })
    }
}

/// What a signed token says of itself, for its holder. Nothing of it is checked.
pub struct Said {
    pub algorithm: String,
    pub key: Option<String>,
    pub claims: Map<String, Value>,
}

/// `None` of what cannot be read.
pub fn said(token: &str) -> Option<Said> {
    let mut parts = token.split('.');
    let (header, claims) = (decode(parts.next()?).ok()?, decode(parts.next()?).ok()?);
    let text = |name: &str| Some(header.get(name)?.as_str()?.to_owned());
    Some(Said {
        algorithm: text("alg").unwrap_or_else(|| "none".to_owned()),
        key: text("kid"),
        claims,
    })
}

fn text<'a>(header: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refused> {
    let value = header.get(name);
    value
        .map(|value| value.as_str().ok_or(Refused::NotJwt))
        .transpose()
}

fn decode(part: &str) -> Result<Map<String, Value>, Refused> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::NotJwt)?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::NotJwt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    fn refused(token: &str) -> Option<Refused> {
        Compact::parse(token).err()
    }

    #[test]
    fn a_token_is_taken_apart() {
        let token = token(
            r#"{"alg":"ES256","kid":"a","typ":"JWT"}"#,
            r#"{"sub":"ann"}"#,
        );
        let compact = Compact::parse(&token).unwrap();
        assert_eq!(compact.algorithm, Algorithm::ES256);
        assert_eq!(compact.key.as_deref(), Some("a"));
        assert_eq!(compact.claims["sub"], "ann");
        assert_eq!(compact.signature, b"sig");
        assert!(token.as_bytes().starts_with(compact.signed));
        assert!(looks_signed(&token) && !looks_signed("a.b") && !looks_signed("..."));
        assert!(!looks_signed("opaque") && !looks_signed(".."));
    }

    #[test]
    fn what_is_no_signed_token_is_refused_with_its_reason() {
        for (header, reason) in [
            (r#"{"alg":"none"}"#, Refused::Unsigned),
            (r#"{"alg":"NoNe"}"#, Refused::Unsigned),
            (r#"{"alg":"HS1"}"#, Refused::Algorithm),
            (r#"{"alg":"hs256"}"#, Refused::Algorithm),
            (r#"{"alg":["HS256"]}"#, Refused::NotJwt),
            (r#"{}"#, Refused::NotJwt),
            (r#"["HS256",null,null]"#, Refused::NotJwt),
            (r#"{"alg":"HS256","kid":7}"#, Refused::NotJwt),
            (
                r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
                Refused::Critical,
            ),
            (r#"{"alg":"HS256","crit":[]}"#, Refused::Critical),
        ] {
            assert_eq!(refused(&token(header, "{}")), Some(reason), "{header}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(4000));
        for wrong in [
            "..",
            "a.b.c",
            "e30.e30",
            &token(r#"{"alg":"HS256"}"#, "[]"),
            &token(r#"{"alg":"HS256"}"#, &deep),
            &format!("{}.x", token(r#"{"alg":"HS256"}"#, "{}")),
            &format!("{}=", token(r#"{"alg":"HS256"}"#, "{}")),
        ] {
            assert_eq!(refused(wrong), Some(Refused::NotJwt), "{wrong}");
        }
    }
}
