//! What a request carries to say who sends it.

use crate::tls::client_certificate::ClientCertificate;
use std::borrow::Cow;

/// Longest token that is looked at, in bytes. Longer ones are refused unread.
pub const MAX_TOKEN: usize = 16 * 1024;

/// What a request carries to say who sends it.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credential<'a> {
    #[default]
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(&'a str),
    /// The cookie that is configured.
    Cookie(&'a str),
    /// The parameter that is configured.
    Query(Cow<'a, str>),
    /// The certificate of its connection, which a rule knows.
    Certificate(&'a ClientCertificate),
    /// Cookies that only another application may understand.
    Foreign,
    /// Two that are not the same.
    Several,
    /// Something that is no credential of ours.
    Malformed,
}

impl<'a> Credential<'a> {
    /// The token, if it is one.
    pub fn token(&self) -> Option<&str> {
        match self {
            Credential::Bearer(token) | Credential::Cookie(token) => Some(token),
            Credential::Query(token) => Some(token),
            Credential::None
            | Credential::Certificate(_)
            | Credential::Foreign
            | Credential::Several
            | Credential::Malformed => None,
        }
    }

    /// Whether a browser sends it by itself, whichever page asks.
    pub fn is_ambient(&self) -> bool {
        matches!(
            self,
            Credential::Cookie(_) | Credential::Foreign | Credential::Certificate(_)
        )
    }

    /// Of the values of all `Authorization` headers: at most one may be there. Another scheme may mean
    /// the same as `Bearer`.
    pub fn from_headers(
        mut values: impl Iterator<Item = &'a [u8]>,
        scheme: Option<&str>,
    ) -> Credential<'a> {
        match (values.next(), values.next()) {
            (None, _) => Credential::None,
            (Some(value), None) => Credential::from_header(value, scheme),
            (Some(_), Some(_)) => Credential::Malformed,
        }
    }

    fn from_header(value: &'a [u8], other: Option<&str>) -> Credential<'a> {
        let token = std::str::from_utf8(value).ok().and_then(|text| {
            let (scheme, token) = text.trim().split_once(' ')?;
            let known = scheme.eq_ignore_ascii_case("bearer") || Some(scheme) == other;
            known.then(|| token.trim())
        });
        match token {
            Some(token) if (1..=MAX_TOKEN).contains(&token.len()) => Credential::Bearer(token),
            _ => Credential::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_header_is_a_credential_and_anything_else_is_not() {
        let of = |values: &[&'static str]| match Credential::from_headers(
            values.iter().map(|value| value.as_bytes()),
            Some("Token"),
        ) {
            Credential::None => "none".to_owned(),
            Credential::Bearer(token) => token.to_owned(),
            _ => "malformed".to_owned(),
        };
        assert_eq!(of(&[]), "none");
        assert_eq!(of(&["Bearer abc"]), "abc");
        assert_eq!(of(&["bearer  abc "]), "abc");
        assert_eq!(of(&["Token abc"]), "abc");
        for wrong in [
            &["Basic abc"][..],
            &["token abc"],
            &["Bearer"],
            &["Bearer "],
            &["abc"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(of(wrong), "malformed", "{wrong:?}");
        }
        let long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
        assert!(
            Credential::from_headers([long.as_bytes()].into_iter(), None) == Credential::Malformed
        );
    }
}
