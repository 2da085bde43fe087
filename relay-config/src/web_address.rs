//! Addresses that the relay asks by itself.

/// Why an address is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither http nor https, or no host.
    #[error("is no address; write https://HOST/PATH")]
    Form,
    /// A user or a password would come into logs.
    #[error("has a user or a password; take it out, the configuration has fields for credentials")]
    User,
    /// Anybody on the way could change what comes.
    #[error("is not encrypted; write https, or http with a loopback address such as 127.0.0.1")]
    Plain,
}

/// Whether what comes from an address may be read or changed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It must not: https, or http that does not leave the machine.
    Safe,
    /// Whoever wrote the address knows the network.
    Any,
}

pub(crate) fn check(address: &str, way: Way) -> Result<(), AddressError> {
    let (scheme, rest) = address.split_once("://").ok_or(AddressError::Form)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if authority.contains('@') {
        return Err(AddressError::User);
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    if authority.is_empty() || authority.starts_with(':') || address.contains(odd) {
        return Err(AddressError::Form);
    }
    match (scheme, way) {
        ("https", _) | ("http", Way::Any) => Ok(()),
        ("http", Way::Safe) if is_loopback(authority) => Ok(()),
        ("http", Way::Safe) => Err(AddressError::Plain),
        _ => Err(AddressError::Form),
    }
}

fn is_loopback(authority: &str) -> bool {
    if let Ok(address) = authority.parse::<std::net::SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = authority
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(authority, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_changed_on_the_way_is_safe() {
        for safe in [
            "https://id.example.com/keys",
            "https://id.example.com:8443",
            "http://127.0.0.1:8080/keys",
            "http://127.0.0.9",
            "http://[::1]:80/keys",
            "http://[::1]",
            "http://localhost:9/keys?x=1",
        ] {
            assert_eq!(check(safe, Way::Safe), Ok(()), "{safe}");
        }
        for (address, error) in [
            ("http://id.example.com", AddressError::Plain),
            ("http://localhost.example.com", AddressError::Plain),
            ("http://127.0.0.1.example.com", AddressError::Plain),
            ("http://127.0.0.1@id.example.com", AddressError::User),
            ("https://user:secret@id.example.com", AddressError::User),
            ("ftp://id.example.com", AddressError::Form),
            ("id.example.com", AddressError::Form),
            ("https://", AddressError::Form),
            ("https://:80/", AddressError::Form),
            ("https:///keys", AddressError::Form),
            ("http://127.0.0.1\\.example.com", AddressError::Form),
        ] {
            assert_eq!(check(address, Way::Safe), Err(error), "{address}");
        }
        assert_eq!(check("http://app.shop.svc/session", Way::Any), Ok(()));
        assert_eq!(check("http://a:b@app", Way::Any), Err(AddressError::User));
    }
}
