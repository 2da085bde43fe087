//! Where to subscribe and publish: a URL on loopback with a place for the channel.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("`{0}` is not of the form http://HOST:PORT/PATH")]
    Form(String),
    #[error("`{0}` is not on loopback; this tool loads only its own machine")]
    NotLoopback(String),
}

/// An `http` URL in which `{channel}` stands for the channel's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    address: SocketAddr,
    target: String,
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        let form = || EndpointError::Form(url.to_owned());
        let rest = url.strip_prefix("http://").ok_or_else(form)?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let address = match host {
            "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
            _ => host.trim_matches(['[', ']']).parse().map_err(|_| form())?,
        };
        if !address.is_loopback() {
            return Err(EndpointError::NotLoopback(url.to_owned()));
        }
        if path
            .bytes()
            .any(|byte| byte.is_ascii_control() || byte == b' ')
        {
            return Err(form());
        }
        let address = SocketAddr::new(address, port.parse().map_err(|_| form())?);
        Ok(Self {
            address,
            target: path.to_owned(),
        })
    }
}

impl Endpoint {
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The request target for a channel whose name needs no escaping.
    #[must_use]
    pub fn target(&self, channel: &str) -> String {
        self.target.replace("{channel}", channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gives_address_and_target() {
        let endpoint: Endpoint = "http://localhost:8080/sub?channel={channel}"
            .parse()
            .unwrap();
        assert_eq!(endpoint.address(), "127.0.0.1:8080".parse().unwrap());
        assert_eq!(endpoint.target("a"), "/sub?channel=a");
    }

    #[test]
    fn another_machine_is_refused() {
        let error = "http://192.0.2.1:80/".parse::<Endpoint>().unwrap_err();
        assert!(matches!(error, EndpointError::NotLoopback(_)));
    }
}
