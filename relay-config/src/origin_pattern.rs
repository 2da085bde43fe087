//! Which pages a rule means, by the origin that their browser sends.

use std::fmt;
use std::str::FromStr;

/// The longest legal pattern, in bytes: a host's name has at most 253.
pub const MAX_ORIGIN_BYTES: usize = 300;

/// Pages by their origin (RFC 6454): `https://app.example.com`, every subdomain of a host
/// (`https://*.example.com`, at any depth, without the host itself), `null`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`: every page there is.
    Any,
    /// `null`: what pages without an origin of their own send: sandboxed frames, local files.
    Null,
    /// One origin, as browsers write it.
    Exact(Box<str>),
    /// Every subdomain.
    Subdomains {
        /// Scheme with its `://`.
        before: Box<str>,
        /// The host with the dot before it, and the port with its colon where it is no default.
        after: Box<str>,
    },
}

/// Why a text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Longer than [`MAX_ORIGIN_BYTES`].
    #[error("an origin has at most {MAX_ORIGIN_BYTES} bytes; shorten it")]
    TooLong,
    /// `app.example.com`.
    #[error("write the scheme too, as in `https://app.example.com`")]
    NoScheme,
    /// `https://app.example.com/`.
    #[error("an origin has no path; write scheme, host and, if it is not the default, port")]
    Path,
    /// Empty, or with characters that browsers do not send.
    #[error(
        "`{0}` is not a host as browsers send it; write letters, digits, `-` and `.`, and names in \
         other scripts as punycode (`xn--…`)"
    )]
    Host(String),
    /// `https://app.example.com:http`.
    #[error("`{0}` is not a port; write a number from 1 to 65535")]
    Port(String),
    /// `https://a*.example.com`.
    #[error("a star stands for whole subdomains, at the beginning: `https://*.example.com`")]
    Star,
    /// `https://*.com`.
    #[error(
        "`*.{0}` would mean hosts of many owners; name at least a domain, as in `https://*.example.com`"
    )]
    TooWide(String),
}

impl OriginPattern {
    /// The pattern that `text` spells, or what is wrong with it. Capitals and default ports, which
    /// browsers do not send, are taken as they would.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ if text.len() > MAX_ORIGIN_BYTES => return Err(OriginError::TooLong),
            _ => {}
        }
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://").ok_or(OriginError::NoScheme)?;
        if !legal_scheme(scheme) {
            return Err(OriginError::NoScheme);
        }
        if authority.contains(['/', '?', '#']) {
            return Err(OriginError::Path);
        }
        let (host, port) = split_port(authority);
        let port = port.map_or(Ok(String::new()), |port| legal_port(scheme, port))?;
        match host.strip_prefix("*.") {
            Some(domain) => {
                check_host(domain)?;
                if !domain.contains('.') && domain != "localhost" {
                    return Err(OriginError::TooWide(domain.to_owned()));
                }
                Ok(Self::Subdomains {
                    before: format!("{scheme}://").into(),
                    after: format!(".{domain}{port}").into(),
                })
            }
            None => {
                check_host(host)?;
                Ok(Self::Exact(format!("{scheme}://{host}{port}").into()))
            }
        }
    }

    /// Whether a page that sends `origin` is meant.
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Null => origin == "null",
            Self::Exact(exact) => **exact == *origin,
            Self::Subdomains { before, after } => origin
                .strip_prefix(&**before)
                .and_then(|rest| rest.strip_suffix(&**after))
                .is_some_and(|labels| !labels.is_empty() && labels.bytes().all(legal_in_name)),
        }
    }

    /// Whether its pages are named, and are not just any page.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        matches!(self, Self::Exact(_) | Self::Subdomains { .. })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Null => f.write_str("null"),
            Self::Exact(exact) => f.write_str(exact),
            Self::Subdomains { before, after } => write!(f, "{before}*{after}"),
        }
    }
}

impl FromStr for OriginPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::parse(text)
    }
}

/// RFC 3986, 3.1.
fn legal_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // a colon within brackets is the address's
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The port with its colon; nothing where it is the scheme's own.
fn legal_port(scheme: &str, text: &str) -> Result<String, OriginError> {
    let port = text.parse::<u16>().ok().filter(|port| *port != 0);
    match (scheme, port) {
        (_, None) => Err(OriginError::Port(text.to_owned())),
        ("http", Some(80)) | ("https", Some(443)) => Ok(String::new()),
        (_, Some(port)) => Ok(format!(":{port}")),
    }
}

fn check_host(host: &str) -> Result<(), OriginError> {
    if host.contains('*') {
        return Err(OriginError::Star);
    }
    let legal = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(legal_in_name),
    };
    legal
        .then_some(())
        .ok_or_else(|| OriginError::Host(host.to_owned()))
}

fn legal_in_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, origin: &str) -> bool {
        OriginPattern::parse(pattern).unwrap().matches(origin)
    }

    #[test]
    fn an_origin_means_itself_as_browsers_write_it() {
        assert!(matches(
            "https://App.Example.com:443",
            "https://app.example.com"
        ));
        assert!(matches("http://localhost:5173", "http://localhost:5173"));
        assert!(matches("http://[::1]:3000", "http://[::1]:3000"));
        assert!(matches("capacitor://localhost", "capacitor://localhost"));
        for other in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.example",
            "https://evil.example",
            "null",
            "",
        ] {
            assert!(!matches("https://app.example.com", other), "{other}");
        }
    }

    #[test]
    fn a_star_means_subdomains_at_any_depth_and_nothing_else() {
        let pattern = "https://*.example.com";
        assert!(matches(pattern, "https://a.example.com"));
        assert!(matches(pattern, "https://b.a.example.com"));
        for other in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://a.example.com.evil.example",
            "https://evil.example/.example.com",
            "https://evil.example#.example.com",
            "https://evil@a.example.com",
        ] {
            assert!(!matches(pattern, other), "{other}");
        }
        assert!(matches(
            "https://*.example.com:8443",
            "https://a.example.com:8443"
        ));
    }

    #[test]
    fn null_and_any_mean_what_they_say() {
        assert!(matches("null", "null") && !matches("null", "https://a.example"));
        assert!(matches("*", "https://a.example") && matches("*", "null"));
        assert!(!OriginPattern::Any.is_named() && !OriginPattern::Null.is_named());
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_what_to_write() {
        for (text, says) in [
            ("app.example.com", "scheme"),
            ("", "scheme"),
            ("https://", "host"),
            ("https://app.example.com/", "no path"),
            ("https://a b", "host"),
            ("https://ex\u{e4}mple.com", "punycode"),
            ("https://a:http", "port"),
            ("https://a:0", "port"),
            ("https://a*.example.com", "whole subdomains"),
            ("https://a.*.example.com", "whole subdomains"),
            ("https://*", "whole subdomains"),
            ("https://*.com", "many owners"),
            ("https://[::x]", "host"),
        ] {
            let error = OriginPattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_is_written() {
        for text in [
            "*",
            "null",
            "https://a.example",
            "https://*.example.com:8443",
        ] {
            assert_eq!(OriginPattern::parse(text).unwrap().to_string(), text);
        }
    }
}
