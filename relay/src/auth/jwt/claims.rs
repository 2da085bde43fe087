//! The claims that every token may have (RFC 7519, 4.1): whose it is, for whom, from when, until when.

use crate::{auth::Refused, cursor::UnixMillis};
use relay_config::Expiry;
use serde_json::{Map, Value};

/// What is asked of a token, whoever shows it.
#[derive(Clone, Debug)]
pub struct Conditions {
    pub audience: Vec<String>,
    pub leeway_millis: u64,
    pub expiry: Expiry,
}

impl Conditions {
    /// When the token ends, the issuer's leeway included.
    pub fn check(
        &self,
        claims: &Map<String, Value>,
        now: UnixMillis,
    ) -> Result<Option<UnixMillis>, Refused> {
        self.check_audience(claims.get("aud"))?;
        let ends = match (millis(claims.get("exp"))?, self.expiry) {
            (None, Expiry::Required) => return Err(Refused::Endless),
            (None, Expiry::Optional) => None,
            (Some(expires), _) => Some(expires.saturating_add(self.leeway_millis)),
        };
        if ends.is_some_and(|ends| ends <= now) {
            return Err(Refused::Expired);
        }
        let begins = millis(claims.get("nbf"))?;
        if begins.is_some_and(|begins| begins > now.saturating_add(self.leeway_millis)) {
            return Err(Refused::NotYetValid);
        }
        Ok(ends)
    }

    /// RFC 7519, 4.1.3: who is not named by `aud` must refuse the token.
    fn check_audience(&self, claim: Option<&Value>) -> Result<(), Refused> {
        let ours = |name: &Value| {
            let name = name.as_str();
            name.is_some_and(|name| self.audience.iter().any(|known| known == name))
        };
        let named = match claim {
            None => self.audience.is_empty(),
            Some(Value::Array(names)) => names.iter().any(ours),
            Some(name) => ours(name),
        };
        named.then_some(()).ok_or(Refused::Audience)
    }
}

/// Longest id of a token, in bytes.
pub const MAX_ID: usize = 255;

/// The token's own id (RFC 7519, 4.1.7), by which it may be revoked.
pub fn id(claims: &Map<String, Value>) -> Result<Option<&str>, Refused> {
    match claims.get("jti") {
        None => Ok(None),
        Some(Value::String(id)) if (1..=MAX_ID).contains(&id.len()) => Ok(Some(id)),
        Some(_) => Err(Refused::Claims),
    }
}

/// A NumericDate (RFC 7519, 2): seconds, perhaps with a fraction.
fn millis(claim: Option<&Value>) -> Result<Option<UnixMillis>, Refused> {
    let Some(claim) = claim else {
        return Ok(None);
    };
    match (claim.as_u64(), claim.as_f64()) {
        (Some(seconds), _) => Ok(Some(seconds.saturating_mul(1000))),
        // a cast of a float saturates
        (None, Some(seconds)) if seconds.is_finite() => Ok(Some((seconds * 1000.0) as u64)),
        _ => Err(Refused::Claims),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: UnixMillis = 1_795_248_000_000;

    fn conditions(audience: &[&str], expiry: Expiry) -> Conditions {
        Conditions {
            audience: audience.iter().map(ToString::to_string).collect(),
            leeway_millis: 30_000,
            expiry,
        }
    }

    fn check(conditions: &Conditions, claims: Value) -> Result<Option<UnixMillis>, Refused> {
        let Value::Object(claims) = claims else {
            panic!("claims are an object");
        };
        conditions.check(&claims, NOW)
    }

    #[test]
    fn a_token_is_valid_from_its_begin_to_its_end_give_or_take_the_leeway() {
        let conditions = conditions(&[], Expiry::Required);
        let at = |seconds: i64| NOW as i64 / 1000 + seconds;
        assert_eq!(
            check(&conditions, json!({"exp": at(60), "nbf": at(-60)})),
            Ok(Some(NOW + 90_000))
        );
        assert!(check(&conditions, json!({"exp": at(-29)})).is_ok());
        assert_eq!(
            check(&conditions, json!({"exp": at(-30)})),
            Err(Refused::Expired)
        );
        assert!(check(&conditions, json!({"exp": at(60), "nbf": at(30)})).is_ok());
        assert_eq!(
            check(&conditions, json!({"exp": at(60), "nbf": at(31)})),
            Err(Refused::NotYetValid)
        );
        assert_eq!(
            check(&conditions, json!({"exp": at(60) as f64 + 0.5})),
            Ok(Some(NOW + 90_500))
        );
    }

    #[test]
    fn an_id_is_a_text_of_a_bounded_length() {
        let of = |jti: Value| {
            let mut claims = Map::new();
            claims.insert("jti".to_owned(), jti);
            id(&claims).map(|id| id.map(str::to_owned))
        };
        assert_eq!(id(&Map::new()), Ok(None));
        assert_eq!(of(json!("a")), Ok(Some("a".to_owned())));
        for wrong in [json!(""), json!(1), json!(null), json!("x".repeat(256))] {
            assert_eq!(of(wrong), Err(Refused::Claims));
        }
    }

    #[test]
    fn times_that_are_none_are_refused_and_never_overflow() {
        let conditions = conditions(&[], Expiry::Required);
        for exp in [json!("1795248060"), json!(null), json!([]), json!({})] {
            assert_eq!(
                check(&conditions, json!({"exp": exp})),
                Err(Refused::Claims)
            );
        }
        assert_eq!(
            check(&conditions, json!({"exp": -1})),
            Err(Refused::Expired)
        );
        assert_eq!(
            check(&conditions, json!({"exp": u64::MAX, "nbf": 0})),
            Ok(Some(u64::MAX))
        );
        assert_eq!(
            check(&conditions, json!({"exp": 1e300})),
            Ok(Some(u64::MAX))
        );
        assert_eq!(
            check(&conditions, json!({"exp": 1e300, "nbf": "x"})),
            Err(Refused::Claims)
        );
    }

    #[test]
    fn a_token_without_an_end_is_refused_unless_the_configuration_takes_it() {
        assert_eq!(
            check(&conditions(&[], Expiry::Required), json!({})),
            Err(Refused::Endless)
        );
        assert_eq!(
            check(&conditions(&[], Expiry::Optional), json!({})),
            Ok(None)
        );
    }

    #[test]
    fn a_token_must_be_for_this_relay() {
        let named = conditions(&["sse", "https://live.example"], Expiry::Optional);
        for ours in [json!("sse"), json!(["x", "https://live.example"])] {
            assert!(check(&named, json!({"aud": ours})).is_ok());
        }
        for other in [json!("ss"), json!(["x"]), json!([]), json!(7), json!(null)] {
            assert_eq!(check(&named, json!({"aud": other})), Err(Refused::Audience));
        }
        assert_eq!(check(&named, json!({})), Err(Refused::Audience));
        let unnamed = conditions(&[], Expiry::Optional);
        assert_eq!(
            check(&unnamed, json!({"aud": "sse"})),
            Err(Refused::Audience),
            "it is for somebody, and nobody said that it is us"
        );
    }
}
