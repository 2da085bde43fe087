//! Headers that keep browsers from making more of an answer than it is.

use super::{
    App,
    forwarded::{Client, Scheme},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What every answer has. What an answer says itself is left as it is.
pub fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // pages of other sites may not embed it; those that CORS lets in are not concerned
        (CORP, "same-origin"),
        // whatever a publisher wrote, it is no page
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        let value = HeaderValue::from_static(value);
        headers.entry(name).or_insert(value);
    }
}

/// `Strict-Transport-Security`, where it is asked for and the client came by TLS: a browser does not
/// believe it otherwise (RFC 6797, 7.2).
pub fn hsts(app: &App, client: Client) -> Option<HeaderValue> {
    let age = app.config().http.hsts?;
    let secure = match client.scheme {
        Some(scheme) => scheme == Scheme::Https,
        None => app.config().tls.is_some(),
    };
    let text = format!("max-age={}", age.as_millis() / 1000);
    HeaderValue::from_str(&text).ok().filter(|_| secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_own_policy_is_kept() {
        let mut headers = HeaderMap::new();
        let own = HeaderValue::from_static("default-src 'self'");
        headers.insert(header::CONTENT_SECURITY_POLICY, own.clone());
        harden(&mut headers);
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], own);
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[CORP], "same-origin");
    }
}
