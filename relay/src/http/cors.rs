//! Which answers a page of another origin may read, and what it may ask (Fetch standard, 3.2).
//!
//! The relay answers everybody who may have the answer; these headers tell a browser which pages
//! may see it. What a page may *do* with its user's cookies is decided by [`super::access`].

use super::{
    App, hardening,
    problem::{Kind, Problem},
};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use relay_config::{CorsMethod, OriginPattern};
use std::sync::Arc;

/// What a page asks with, before its browser sends the request (a preflight).
const REQUEST_PRIVATE_NETWORK: &str = "access-control-request-private-network";
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// The headers of one answer.
pub type Headers = Vec<(HeaderName, HeaderValue)>;

/// Which pages of other origins may use the relay.
#[derive(Default)]
pub struct Cors {
    origins: Vec<OriginPattern>,
    methods: Option<HeaderValue>,
    headers: Vec<HeaderRule>,
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
}

/// Header names that a page may send, in lower case.
enum HeaderRule {
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
}

/// What a browser asks on behalf of a page.
#[derive(Clone, Copy, Default)]
struct Preflight<'a> {
    origin: &'a str,
    /// Names of headers, separated by commas.
    headers: &'a str,
    private_network: bool,
}

impl Cors {
    /// Of a configuration that was validated; what is illegal in one that was not means nobody.
    pub fn new(config: &relay_config::Cors) -> Cors {
        let methods: Vec<&str> = config
            .methods
            .iter()
            .copied()
            .map(CorsMethod::as_str)
            .collect();
        let list = |texts: &[&str]| {
            let joined = (!texts.is_empty()).then(|| texts.join(", "));
            joined.and_then(|text| HeaderValue::from_str(&text).ok())
        };
        let exposed: Vec<&str> = config.exposed_headers.iter().map(String::as_str).collect();
        let parsed = config
            .origins
            .iter()
            .map(|text| OriginPattern::parse(text).ok());
        Cors {
            origins: parsed.flatten().collect(),
            methods: list(&methods),
            headers: config
                .headers
                .iter()
                .map(|name| HeaderRule::of(name))
                .collect(),
            exposed: list(&exposed),
            credentials: config.credentials,
            max_age: Some(HeaderValue::from(config.max_age.as_millis() / 1000)),
        }
    }

    /// Whether anything is said to browsers at all.
    pub fn is_on(&self) -> bool {
        !self.origins.is_empty()
    }

    /// Whether the configuration names this origin, alone or as a subdomain: `*` and `null` name
    /// nobody.
    pub fn names(&self, origin: &str) -> bool {
        self.origins
            .iter()
            .any(|pattern| pattern.is_named() && pattern.matches(origin))
    }

    /// Whether a page of this origin may act as the user whose cookies its browser sends.
    pub fn lends_cookies_to(&self, origin: &str) -> bool {
        self.credentials && self.names(origin)
    }

    /// Whether every page there is may use the relay.
    fn is_for_everybody(&self) -> bool {
        !self.credentials && self.origins.contains(&OriginPattern::Any)
    }

    /// What lets a page of `origin` read an answer. The same for everybody where the configuration
    /// says so; else caches are told that it depends on the origin, on answers without one too.
    pub fn headers(&self, origin: Option<&str>) -> Headers {
        let mut headers = Vec::new();
        if !self.is_on() {
            return headers;
        }
        if self.is_for_everybody() {
            let everybody = HeaderValue::from_static("*");
            headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, everybody));
        } else {
            headers.push((header::VARY, HeaderValue::from_static("Origin")));
            let Some(origin) = origin.filter(|origin| self.matches(origin)) else {
                return headers;
            };
            let Ok(origin) = HeaderValue::from_str(origin) else {
                return headers;
            };
            headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
            if self.credentials {
                let yes = HeaderValue::from_static("true");
                headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes));
            }
        }
        if let Some(exposed) = &self.exposed {
            headers.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone()));
        }
        headers
    }

    /// The same as lines of a head that the relay writes itself.
    pub fn lines(&self, origin: Option<&str>) -> Box<[u8]> {
        let mut lines = Vec::new();
        for (name, value) in self.headers(origin) {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        lines.into()
    }

    fn matches(&self, origin: &str) -> bool {
        self.origins.iter().any(|pattern| pattern.matches(origin))
    }

    /// The answer to a preflight, beside [`Cors::headers`]. A page of the internet reaches a relay
    /// of a private network only if its origin is named.
    fn preflight(&self, asked: Preflight<'_>) -> Result<Headers, Problem> {
        if !self.matches(asked.origin) {
            return Err(Problem::new(
                Kind::CrossOrigin,
                "pages of this origin may not use the relay; whoever runs it can add the origin to `cors.origins`",
            ));
        }
        let mut headers = vec![(
            header::VARY,
            HeaderValue::from_static(
                "Access-Control-Request-Method, Access-Control-Request-Headers",
            ),
        )];
        let allowed: Vec<&str> = asked
            .headers
            .split(',')
            .map(str::trim)
            .filter(|name| self.headers.iter().any(|rule| rule.allows(name)))
            .collect();
        let allowed = HeaderValue::from_str(&allowed.join(", ")).ok();
        let allowed = allowed.filter(|allowed| !allowed.is_empty());
        let yes = HeaderValue::from_static("true");
        let private = asked.private_network && self.names(asked.origin);
        headers.extend(
            [
                (header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
                (header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
                (ALLOW_PRIVATE_NETWORK, private.then_some(yes)),
            ]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
        );
        Ok(headers)
    }

    /// Says in an answer which pages may read it.
    pub fn apply(&self, origin: Option<&HeaderValue>, response: &mut Response) {
        let origin = origin.and_then(|origin| origin.to_str().ok());
        extend(response.headers_mut(), self.headers(origin));
    }
}

impl HeaderRule {
    fn of(name: &str) -> HeaderRule {
        let name = name.to_ascii_lowercase();
        match name.strip_suffix('*') {
            Some("") => HeaderRule::Any,
            Some(prefix) => HeaderRule::Prefix(prefix.into()),
            None => HeaderRule::Exact(name.into()),
        }
    }

    fn allows(&self, name: &str) -> bool {
        let starts = |prefix: &str| {
            let start = name.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        match self {
            HeaderRule::Any => !name.is_empty(),
            HeaderRule::Exact(exact) => name.eq_ignore_ascii_case(exact),
            HeaderRule::Prefix(prefix) => starts(prefix),
        }
    }
}

/// `Vary` adds to what an answer says already; nothing else is there twice.
fn extend(headers: &mut HeaderMap, more: Headers) {
    for (name, value) in more {
        if name == header::VARY {
            headers.append(name, value);
        } else {
            headers.insert(name, value);
        }
    }
}

/// What a browser asks before it sends a page's request; `None` if this is no such question.
fn asked(request: &Request) -> Option<Preflight<'_>> {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let preflight = request.method() == Method::OPTIONS
        && headers.contains_key("access-control-request-method");
    Some(Preflight {
        origin: text("origin").filter(|_| preflight)?,
        headers: text("access-control-request-headers").unwrap_or_default(),
        private_network: text(REQUEST_PRIVATE_NETWORK) == Some("true"),
    })
}

/// Around everything else: a refusal too can be read by the page that it is for.
pub async fn share(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let hsts = hardening::hsts(&app, super::client(&request));
    let mut response = answer(&app, request, next).await;
    if let Some(hsts) = hsts {
        let headers = response.headers_mut();
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    response
}

async fn answer(app: &App, request: Request, next: Next) -> Response {
    let settings = app.settings();
    let cors = &settings.cors;
    if !cors.is_on() || settings.routes.are_silent_at(request.uri().path()) {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match asked(&request).map(|asked| cors.preflight(asked)) {
        None => next.run(request).await,
        Some(Err(problem)) => problem.into_response(),
        Some(Ok(headers)) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            extend(response.headers_mut(), headers);
            response
        }
    };
    cors.apply(origin.as_ref(), &mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        Cors::new(&relay_config::Cors {
            origins: origins.iter().map(|text| (*text).to_owned()).collect(),
            credentials,
            ..relay_config::Cors::default()
        })
    }

    fn lines(cors: &Cors, origin: Option<&str>) -> String {
        String::from_utf8(cors.lines(origin).into()).unwrap()
    }

    const APP: &str = "https://app.example.com";

    #[test]
    fn without_origins_nothing_is_said() {
        let off = Cors::default();
        assert!(!off.is_on());
        assert_eq!(lines(&off, Some(APP)), "");
    }

    #[test]
    fn a_named_origin_is_echoed_and_caches_keep_it_apart() {
        let named = cors(&[APP, "https://*.example.org"], true);
        let exposed = "access-control-expose-headers: Allow, Retry-After, WWW-Authenticate\r\n";
        for origin in [APP, "https://a.b.example.org"] {
            assert_eq!(
                lines(&named, Some(origin)),
                format!(
                    "vary: Origin\r\naccess-control-allow-origin: {origin}\r\naccess-control-allow-credentials: true\r\n{exposed}"
                )
            );
        }
        for other in [None, Some("https://evil.example"), Some("null"), Some("")] {
            assert_eq!(lines(&named, other), "vary: Origin\r\n", "{other:?}");
        }
    }

    #[test]
    fn everybody_is_told_the_same_and_never_with_credentials() {
        let open = cors(&["*", APP], false);
        let told = lines(&open, None);
        assert!(told.starts_with("access-control-allow-origin: *\r\n"));
        assert_eq!(told, lines(&open, Some(APP)));
        assert!(!told.contains("credentials") && !told.contains("vary"));
        // a document that was never validated
        assert!(!lines(&cors(&["*"], true), None).contains("allow-origin"));
    }

    #[test]
    fn cookies_are_for_named_origins_where_credentials_are_on() {
        assert!(cors(&[APP], true).lends_cookies_to(APP));
        assert!(!cors(&[APP], false).lends_cookies_to(APP));
        assert!(!cors(&["*", "null"], true).lends_cookies_to(APP));
        assert!(!cors(&["*", "null"], true).lends_cookies_to("null"));
        assert!(!cors(&[APP], true).lends_cookies_to("https://evil.example"));
    }

    fn preflight(cors: &Cors, asked: Preflight<'_>) -> Vec<String> {
        let headers = cors.preflight(asked).unwrap();
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn a_preflight_gets_of_its_headers_those_that_are_allowed() {
        let asked = Preflight {
            origin: APP,
            headers: "authorization, ce-source,sse-event,x-other , ce, last-event-id",
            ..Preflight::default()
        };
        let told = preflight(&cors(&[APP], false), asked);
        assert!(
            told.contains(
                &"access-control-allow-headers: authorization, ce-source, sse-event, last-event-id"
                    .to_owned()
            )
        );
        assert!(told.contains(&"access-control-allow-methods: GET, HEAD, POST".to_owned()));
        assert!(told.contains(&"access-control-max-age: 3600".to_owned()));
        let any = Cors::new(&relay_config::Cors {
            origins: vec![APP.to_owned()],
            headers: vec!["*".to_owned()],
            ..relay_config::Cors::default()
        });
        assert!(preflight(&any, asked)[2].ends_with("x-other, ce, last-event-id"));
    }

    #[test]
    fn a_private_network_is_open_to_named_origins_only() {
        let asked = Preflight {
            origin: APP,
            private_network: true,
            ..Preflight::default()
        };
        let allowed = "access-control-allow-private-network: true".to_owned();
        assert!(preflight(&cors(&[APP], false), asked).contains(&allowed));
        assert!(!preflight(&cors(&["*"], false), asked).contains(&allowed));
    }

    #[test]
    fn a_preflight_of_another_origin_is_refused() {
        let asked = Preflight {
            origin: "https://evil.example",
            ..Preflight::default()
        };
        let refused = cors(&[APP], false).preflight(asked).unwrap_err();
        assert_eq!(refused.kind, Kind::CrossOrigin);
    }
}
