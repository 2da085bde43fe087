//! Who may talk to a relay without credentials.
//!
//! With no credentials configured a loopback listener is open, but only to programs of this machine
//! and to pages that the relay itself serves: a page of another site that a browser of this machine
//! shows could otherwise publish and read (cross-site requests, DNS rebinding).

use super::{
    cors::Cors,
    problem::{Kind, Problem},
};
use relay_config::Config;
use std::net::{IpAddr, SocketAddr};

/// How open a relay without credentials is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Openness {
    /// To this machine.
    Loopback,
    /// To everybody: `--insecure-open`, or credentials decide.
    Everybody,
}

/// Why a relay does not start.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotLoopback {
    #[error(
        "{0} can be reached from other machines, and no credentials are configured: anybody could publish and read. \
         Listen on a loopback address (--listen 127.0.0.1:8080), or say --insecure-open if everybody may"
    )]
    Address(SocketAddr),
    #[error(
        "`proxies` says that others reach this relay through a proxy, and no credentials are configured: \
         anybody could publish and read. Configure `auth`, or say --insecure-open if everybody may"
    )]
    Proxied,
}

impl Openness {
    /// With credentials configured nothing depends on where a request comes from.
    pub fn of(config: &Config) -> Result<Openness, NotLoopback> {
        match (
            &config.auth,
            config.insecure_open,
            config.listen.ip().is_loopback(),
        ) {
            (Some(_), _, _) | (None, true, _) => Ok(Openness::Everybody),
            (None, false, false) => Err(NotLoopback::Address(config.listen)),
            (None, false, true)
                if !config.proxies.trusted.is_empty() || config.proxies.trust_unix_sockets =>
            {
                Err(NotLoopback::Proxied)
            }
            (None, false, true) => Ok(Openness::Loopback),
        }
    }

    /// As logs call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Openness::Loopback => "loopback",
            Openness::Everybody => "everybody",
        }
    }

    /// Decides about a request by the headers that only browsers send, and the name it was sent to.
    pub fn allows(self, request: &Caller<'_>, cors: &Cors) -> Result<(), Problem> {
        let sender = request.sender(cors);
        if self == Openness::Everybody || sender == Sender::Program {
            return Ok(());
        }
        // whoever controls a name can let it lead here, and its pages then look like the relay's own
        if !is_loopback_name(request.host.unwrap_or_default()) {
            return Err(Problem::new(
                Kind::ForeignHost,
                "without credentials this relay serves browsers only under a loopback name such as localhost; \
                 open it under that name, or start it with --insecure-open",
            ));
        }
        match sender {
            Sender::Program | Sender::OwnPage | Sender::NamedPage => Ok(()),
            Sender::ForeignPage => Err(Problem::new(
                Kind::CrossOrigin,
                "without credentials this relay serves only its own pages and those of origins that `cors.origins` \
                 names (`*` names none); open streams from one of them, or start it with --insecure-open",
            )),
        }
    }
}

/// Who sends a request, as far as a browser tells: it cannot be made to lie by a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// No page of a browser.
    Program,
    /// A page of the relay itself, or its user by hand.
    OwnPage,
    /// A page of an origin that the configuration names.
    NamedPage,
    /// Any other page.
    ForeignPage,
}

/// What tells a browser's request from a program's.
#[derive(Clone, Copy, Default, Debug)]
pub struct Caller<'a> {
    pub host: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub sec_fetch_site: Option<&'a str>,
}

impl Caller<'_> {
    pub fn sender(&self, cors: &Cors) -> Sender {
        match (self.origin, self.sec_fetch_site) {
            (None, None) => Sender::Program,
            (None, Some("same-origin" | "none")) => Sender::OwnPage,
            (None, Some(_)) => Sender::ForeignPage,
            (Some(origin), _) if self.is_own(origin) => Sender::OwnPage,
            (Some(origin), _) if cors.names(origin) => Sender::NamedPage,
            (Some(_), _) => Sender::ForeignPage,
        }
    }

    /// Whether what the request changes or reads with its user's cookies is what the user, or a page
    /// that may act for the user, wanted (CSRF). A browser that tells nothing is a program: cookies
    /// need `SameSite` against browsers that old.
    pub fn may_use_cookies(&self, cors: &Cors) -> bool {
        match self.sender(cors) {
            Sender::Program | Sender::OwnPage => true,
            Sender::NamedPage => self
                .origin
                .is_some_and(|origin| cors.lends_cookies_to(origin)),
            Sender::ForeignPage => false,
        }
    }

    fn is_own(&self, origin: &str) -> bool {
        origin
            .split_once("://")
            .is_some_and(|(_, authority)| Some(authority) == self.host)
    }
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller<'a>(host: &'a str, origin: Option<&'a str>, site: Option<&'a str>) -> Caller<'a> {
        Caller {
            host: Some(host),
            origin,
            sec_fetch_site: site,
        }
    }

    #[test]
    fn only_loopback_is_open_by_itself() {
        let of = |listen: &str, insecure_open, auth: Option<relay_config::Auth>| {
            let listen = listen.parse().unwrap();
            Openness::of(&Config {
                listen,
                insecure_open,
                auth,
                ..Config::default()
            })
        };
        assert_eq!(of("127.0.0.1:80", false, None), Ok(Openness::Loopback));
        assert_eq!(of("[::1]:80", false, None), Ok(Openness::Loopback));
        let refused = of("0.0.0.0:80", false, None).unwrap_err().to_string();
        assert!(refused.contains("--insecure-open"));
        assert_eq!(of("0.0.0.0:80", true, None), Ok(Openness::Everybody));
        let auth = Some(relay_config::Auth::default());
        assert_eq!(of("0.0.0.0:80", false, auth), Ok(Openness::Everybody));
        let mut proxied = Config::default();
        proxied.proxies.trusted.push("127.0.0.1".to_owned());
        let refused = Openness::of(&proxied).unwrap_err().to_string();
        assert!(refused.contains("proxy") && refused.contains("--insecure-open"));
    }

    fn allows(openness: Openness, caller: &Caller<'_>) -> Result<(), Problem> {
        openness.allows(caller, &Cors::default())
    }

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        Cors::new(&relay_config::Cors {
            origins: origins.iter().map(|text| (*text).to_owned()).collect(),
            credentials,
            ..relay_config::Cors::default()
        })
    }

    const PAGE: &str = "https://app.example";

    #[test]
    fn a_page_that_the_configuration_names_may_and_a_star_names_nobody() {
        let page = caller("localhost:80", Some(PAGE), Some("cross-site"));
        let allowed = |cors: &Cors, page: &Caller<'_>| Openness::Loopback.allows(page, cors);
        assert_eq!(allowed(&cors(&[PAGE], false), &page), Ok(()));
        for other in [cors(&["*"], false), cors(&["https://b.example"], false)] {
            let refused = allowed(&other, &page).unwrap_err();
            assert_eq!(refused.kind, Kind::CrossOrigin);
        }
        let rebound = caller("evil.example:80", Some(PAGE), Some("cross-site"));
        let refused = allowed(&cors(&[PAGE], false), &rebound).unwrap_err();
        assert_eq!(refused.kind, Kind::ForeignHost);
    }

    #[test]
    fn cookies_are_taken_from_own_pages_and_from_those_that_may_have_credentials() {
        let from = |origin, site| caller("relay.example", origin, site);
        let (with, without) = (cors(&[PAGE], true), cors(&[PAGE], false));
        for own in [
            from(Some("https://relay.example"), Some("same-origin")),
            from(None, Some("same-origin")),
            from(None, Some("none")),
            from(None, None),
        ] {
            assert!(own.may_use_cookies(&Cors::default()), "{own:?}");
        }
        let named = from(Some(PAGE), Some("cross-site"));
        assert!(named.may_use_cookies(&with) && !named.may_use_cookies(&without));
        for foreign in [
            from(Some("https://evil.example"), Some("cross-site")),
            from(Some("null"), Some("cross-site")),
            from(None, Some("cross-site")),
            from(None, Some("same-site")),
            from(Some("https://relay.example.evil.example"), None),
        ] {
            assert!(!foreign.may_use_cookies(&with), "{foreign:?}");
        }
    }

    #[test]
    fn programs_and_own_pages_may_and_foreign_pages_may_not() {
        let open = Openness::Loopback;
        assert!(
            allows(open, &caller("relay.internal:80", None, None)).is_ok(),
            "no browser"
        );
        assert!(
            allows(
                open,
                &caller(
                    "127.0.0.1:80",
                    Some("http://127.0.0.1:80"),
                    Some("same-origin")
                )
            )
            .is_ok()
        );
        assert!(
            allows(open, &caller("localhost:80", None, Some("none"))).is_ok(),
            "typed into the address bar"
        );
        assert!(allows(open, &caller("[::1]:80", None, Some("same-origin"))).is_ok());
        let kind = |caller| allows(open, &caller).unwrap_err().kind;
        assert_eq!(
            kind(caller("127.0.0.1:80", Some("http://evil.example"), None)),
            Kind::CrossOrigin
        );
        assert_eq!(
            kind(caller("127.0.0.1:80", Some("null"), None)),
            Kind::CrossOrigin
        );
        assert_eq!(
            kind(caller("127.0.0.1:80", None, Some("cross-site"))),
            Kind::CrossOrigin
        );
        assert_eq!(
            kind(caller(
                "evil.example:80",
                Some("http://evil.example:80"),
                None
            )),
            Kind::ForeignHost
        );
        assert!(
            allows(
                Openness::Everybody,
                &caller("x", Some("http://evil.example"), None)
            )
            .is_ok()
        );
    }
}
