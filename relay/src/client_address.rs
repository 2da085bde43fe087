//! Where a request comes from: what limits, logs and lists know a client by.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The address of a client: its connection's, or what a trusted proxy says. An IPv4 address is one,
/// however it was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientAddress {
    ip: IpAddr,
    port: Option<u16>,
}

impl ClientAddress {
    pub fn new(ip: IpAddr, port: Option<u16>) -> ClientAddress {
        ClientAddress {
            ip: ip.to_canonical(),
            port,
        }
    }

    pub fn ip(&self) -> IpAddr {
        self.ip
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> ClientAddress {
        ClientAddress::new(address.ip(), Some(address.port()))
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_with_its_port_if_it_is_known() {
        let of = |ip: &str, port| ClientAddress::new(ip.parse().unwrap(), port).to_string();
        assert_eq!(of("::ffff:192.0.2.7", Some(80)), "192.0.2.7:80");
        assert_eq!(of("2001:db8::7", Some(80)), "[2001:db8::7]:80");
        assert_eq!(of("2001:db8::7", None), "2001:db8::7");
    }
}
