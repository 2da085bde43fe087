//! Who may talk to a relay without credentials.
//!
//! With no credentials configured a loopback listener is open, but only to programs of this machine
//! and to pages that the relay itself serves: a page of another site that a browser of this machine
//! shows could otherwise publish and read (cross-site requests, DNS rebinding).

use super::problem::{Kind, Problem};
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
#[error(
    "{0} can be reached from other machines, and no credentials are configured: anybody could publish and read. \
     Listen on a loopback address (--listen 127.0.0.1:8080), or say --insecure-open if everybody may"
)]
pub struct NotLoopback(SocketAddr);

impl Openness {
    /// With credentials configured nothing depends on where a request comes from.
    pub fn of(config: &Config) -> Result<Openness, NotLoopback> {
        match (
            &config.auth,
            config.insecure_open,
            config.listen.ip().is_loopback(),
        ) {
            (Some(_), _, _) | (None, true, _) => Ok(Openness::Everybody),
            (None, false, true) => Ok(Openness::Loopback),
            (None, false, false) => Err(NotLoopback(config.listen)),
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
    pub fn allows(self, request: &Caller<'_>) -> Result<(), Problem> {
        let browser = request.origin.is_some() || request.sec_fetch_site.is_some();
        if self == Openness::Everybody || !browser {
            return Ok(());
        }
        let host = request.host.unwrap_or_default();
        if !is_loopback_name(host) {
            return Err(Problem::new(
                Kind::ForeignHost,
                "without credentials this relay serves browsers only under a loopback name such as localhost; \
                 open it under that name, or start it with --insecure-open",
            ));
        }
        let same = match (request.origin, request.sec_fetch_site) {
            (Some(origin), _) => origin
                .split_once("://")
                .is_some_and(|(_, authority)| authority == host),
            (None, Some(site)) => matches!(site, "same-origin" | "none"),
            (None, None) => true,
        };
        same.then_some(()).ok_or_else(|| {
            Problem::new(
                Kind::CrossOrigin,
                "without credentials this relay serves only its own pages; open streams from the same origin, \
                 or start it with --insecure-open",
            )
        })
    }
}

/// What tells a browser's request from a program's.
#[derive(Clone, Copy, Default, Debug)]
pub struct Caller<'a> {
    pub host: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub sec_fetch_site: Option<&'a str>,
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
    }

    #[test]
    fn programs_and_own_pages_may_and_foreign_pages_may_not() {
        let open = Openness::Loopback;
        assert!(
            open.allows(&caller("relay.internal:80", None, None))
                .is_ok(),
            "no browser"
        );
        assert!(
            open.allows(&caller(
                "127.0.0.1:80",
                Some("http://127.0.0.1:80"),
                Some("same-origin")
            ))
            .is_ok()
        );
        assert!(
            open.allows(&caller("localhost:80", None, Some("none")))
                .is_ok(),
            "typed into the address bar"
        );
        assert!(
            open.allows(&caller("[::1]:80", None, Some("same-origin")))
                .is_ok()
        );
        let kind = |caller| open.allows(&caller).unwrap_err().kind;
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
            Openness::Everybody
                .allows(&caller("x", Some("http://evil.example"), None))
                .is_ok()
        );
    }
}
