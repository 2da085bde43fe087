//! Requests of which a trusted proxy says that they came without TLS.

use super::{
    forwarded::{Client, Proxies},
    problem::{Kind, Problem},
};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use relay_config::Plaintext;

/// Whether a request may come as it did; a redirect is for [`refused`] to answer.
pub fn check(proxies: &Proxies, client: Client) -> Result<(), Problem> {
    match proxies.over_plaintext(client) {
        Plaintext::Allow => Ok(()),
        Plaintext::Refuse | Plaintext::Redirect => Err(Problem::new(
            Kind::PlaintextRefused,
            "send it with https; a token that was sent over http should be replaced",
        )),
    }
}

/// The answer to a request that may not come as it did.
pub fn refused<B>(
    proxies: &Proxies,
    request: &http::Request<B>,
    client: Client,
) -> Option<Response> {
    let problem = check(proxies, client).err()?;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let location = match proxies.over_plaintext(client) {
        Plaintext::Redirect if reads => location(request),
        _ => None,
    };
    Some(match location {
        Some(location) => {
            let headers = [(header::LOCATION, location)];
            (StatusCode::PERMANENT_REDIRECT, headers).into_response()
        }
        None => problem.into_response(),
    })
}

/// The same target with https. The port is the one of http, so it is left out.
fn location<B>(request: &http::Request<B>) -> Option<HeaderValue> {
    let uri = request.uri();
    let host = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    let authority: http::uri::Authority = host.parse().ok()?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    HeaderValue::from_str(&format!("https://{}{target}", authority.host())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn a_redirect_leads_to_the_same_place_with_https() {
        let of = |host: &str, target: &str| {
            let request = http::Request::builder().uri(target).header("host", host);
            let location = location(&request.body(Body::empty()).unwrap());
            location.map(|location| location.to_str().unwrap().to_owned())
        };
        assert_eq!(
            of("sse.example.com:80", "/v1/events?channel=a%20b").unwrap(),
            "https://sse.example.com/v1/events?channel=a%20b"
        );
        assert_eq!(of("[::1]:80", "/").unwrap(), "https://[::1]/");
        for no_host in ["a b", "", "a/b", "user@evil.example:80:80"] {
            assert_eq!(of(no_host, "/"), None, "{no_host}");
        }
    }
}
