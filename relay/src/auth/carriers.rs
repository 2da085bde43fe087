//! Where a request may carry a token.

use super::credential::{Credential, MAX_TOKEN};
use crate::tls::client_certificate::ClientCertificate;
use percent_encoding::percent_decode_str;
use relay_config::{Auth, RouteCredentials};
use std::borrow::Cow;

/// Where a request may carry a token besides the header `Authorization`.
#[derive(Debug, Default)]
pub struct Carriers {
    cookie: Option<Box<str>>,
    parameter: Option<Box<str>>,
    foreign: Foreign,
}

/// Whether cookies say something to another application.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Foreign {
    #[default]
    Ignored,
    PassedOn,
}

/// The parts of a request that may carry a token.
pub struct Parts<'a, 'r, A, C> {
    /// The values of all headers `Authorization` and `Cookie`.
    pub authorization: A,
    pub cookies: C,
    /// The query, where the path lets it carry a token.
    pub query: Option<&'a str>,
    /// What the client of its connection has shown, and an authority has vouched for.
    pub certificate: Option<&'a ClientCertificate>,
    /// Where the route of its path lets it carry a token besides.
    pub route: Option<&'r RouteCredentials>,
}

impl Carriers {
    pub fn new(auth: Option<&Auth>) -> Carriers {
        let boxed = |name: &String| name.as_str().into();
        Carriers {
            cookie: auth
                .and_then(|auth| auth.cookie.as_ref())
                .map(|cookie| boxed(&cookie.name)),
            parameter: auth
                .and_then(|auth| auth.query_parameter.as_ref())
                .map(boxed),
            foreign: match auth.and_then(|auth| auth.forward.as_ref()) {
                Some(forward) if passes_cookies(forward) => Foreign::PassedOn,
                Some(_) | None => Foreign::Ignored,
            },
        }
    }

    /// The one credential of a request. The same token twice is one; two are none.
    pub fn credential<'a>(
        &self,
        parts: Parts<'a, '_, impl Iterator<Item = &'a [u8]>, impl Iterator<Item = &'a [u8]>>,
    ) -> Credential<'a> {
        let mut cookies = parts.cookies.peekable();
        let has_cookies = cookies.peek().is_some();
        let found = [
            Credential::from_headers(
                parts.authorization,
                parts.route.and_then(|route| route.scheme.as_deref()),
            ),
            self.of_cookies(cookies),
            of_query(
                parts.query.unwrap_or_default(),
                parts
                    .route
                    .and_then(|route| route.query_parameter.as_deref())
                    .or(self.parameter.as_deref()),
            ),
        ];
        let mut found = found.into_iter().filter(|one| *one != Credential::None);
        let Some(first) = found.next() else {
            return match self.foreign {
                Foreign::PassedOn if has_cookies => Credential::Foreign,
                Foreign::PassedOn | Foreign::Ignored => Credential::None,
            };
        };
        match found.all(|other| other.token() == first.token()) {
            true => first,
            false => Credential::Several,
        }
    }

    /// RFC 6265, 4.2.1. A name that is there twice may have been set by another host of the domain.
    fn of_cookies<'a>(&self, headers: impl Iterator<Item = &'a [u8]>) -> Credential<'a> {
        let Some(wanted) = &self.cookie else {
            return Credential::None;
        };
        let pairs = headers.flat_map(|header| header.split(|byte| *byte == b';'));
        let named = pairs.filter_map(|pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(wanted.as_bytes())?.strip_prefix(b"=")?;
            let quoted = value
                .strip_prefix(b"\"")
                .and_then(|v| v.strip_suffix(b"\""));
            Some(quoted.unwrap_or(value))
        });
        let mut values = named.filter(|value| !value.is_empty());
        let Some(value) = values.next() else {
            return Credential::None;
        };
        if values.any(|other| other != value) {
            return Credential::Several;
        }
        match std::str::from_utf8(value) {
            Ok(token) if token.len() <= MAX_TOKEN => Credential::Cookie(token),
            _ => Credential::Malformed,
        }
    }
}

fn of_query<'a>(query: &'a str, parameter: Option<&str>) -> Credential<'a> {
    let Some(wanted) = parameter else {
        return Credential::None;
    };
    let mut values = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix(wanted)?.strip_prefix('='));
    match (values.next(), values.next()) {
        (None, _) => Credential::None,
        (Some(_), Some(_)) => Credential::Several,
        (Some(value), None) => match decode(value) {
            Some(token) if (1..=MAX_TOKEN).contains(&token.len()) => Credential::Query(token),
            _ => Credential::Malformed,
        },
    }
}

fn passes_cookies(forward: &relay_config::Forward) -> bool {
    let mut headers = forward.headers.iter();
    headers.any(|name| name.eq_ignore_ascii_case("cookie"))
}

/// Of `application/x-www-form-urlencoded`.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains('+') {
        return percent_decode_str(value).decode_utf8().ok();
    }
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carriers() -> Carriers {
        Carriers {
            cookie: Some("sse".into()),
            parameter: Some("token".into()),
            foreign: Foreign::Ignored,
        }
    }

    fn of<'a>(authorization: &'a [&str], cookies: &'a [&str], query: &'a str) -> Credential<'a> {
        carriers().credential(Parts {
            authorization: authorization.iter().map(|value| value.as_bytes()),
            cookies: cookies.iter().map(|value| value.as_bytes()),
            query: Some(query),
            certificate: None,
            route: None,
        })
    }

    #[test]
    fn a_token_is_carried_by_a_header_a_cookie_or_a_parameter() {
        assert!(of(&[], &[], "channel=a") == Credential::None);
        assert!(of(&["Bearer a"], &[], "") == Credential::Bearer("a"));
        assert!(of(&[], &["x=1; sse=a; y=2"], "") == Credential::Cookie("a"));
        assert!(of(&[], &["x=1", "sse=\"a\""], "") == Credential::Cookie("a"));
        assert!(of(&[], &["sse=; ssex=b; xsse=c"], "") == Credential::None);
        assert!(of(&[], &[], "channel=a&token=b") == Credential::Query("b".into()));
        assert!(of(&[], &[], "token=a%2Bb+c") == Credential::Query("a+b c".into()));
        let none = Carriers::default().credential(Parts {
            authorization: std::iter::empty(),
            cookies: [&b"sse=a"[..]].into_iter(),
            query: Some("token=a"),
            certificate: None,
            route: None,
        });
        assert!(
            none == Credential::None,
            "nothing is carried unless it is said where"
        );
    }

    #[test]
    fn cookies_of_another_application_count_where_it_is_asked() {
        let carriers = Carriers {
            foreign: Foreign::PassedOn,
            ..carriers()
        };
        let of = |cookie: &'static str| {
            carriers.credential(Parts {
                authorization: std::iter::empty(),
                cookies: [cookie.as_bytes()].into_iter(),
                query: None,
                certificate: None,
                route: None,
            })
        };
        assert!(of("session=1") == Credential::Foreign && of("session=1").is_ambient());
        assert!(of("session=1; sse=a") == Credential::Cookie("a"));
    }

    #[test]
    fn two_different_credentials_are_none() {
        assert!(of(&["Bearer a"], &["sse=a"], "token=a") == Credential::Bearer("a"));
        for (authorization, cookies, query) in [
            (&["Bearer a"][..], &["sse=b"][..], ""),
            (&["Bearer a"], &[], "token=b"),
            (&[], &["sse=a"], "token=b"),
            (&[], &["sse=a; sse=b"], ""),
            (&[], &["sse=a", "sse=b"], ""),
            (&[], &[], "token=a&token=a"),
            (&["Basic a"], &["sse=a"], ""),
        ] {
            assert!(
                of(authorization, cookies, query) == Credential::Several,
                "{authorization:?} {cookies:?} {query}"
            );
        }
    }

    #[test]
    fn what_is_no_token_is_malformed_wherever_it_stands() {
        let long = "x".repeat(MAX_TOKEN + 1);
        let cookie = format!("sse={long}");
        let parameter = format!("token={long}");
        for (cookies, query) in [
            (&[cookie.as_str()][..], ""),
            (&[], parameter.as_str()),
            (&[], "token="),
            (&[], "token=%FF"),
        ] {
            assert!(of(&[], cookies, query) == Credential::Malformed, "{query}");
        }
    }
}
