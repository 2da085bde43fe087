//! Who the streams of a load are: over which connection each comes, what it asks for besides its
//! channel, and whom it says it is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

/// What a stream's connection speaks below the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wire {
    /// HTTP/1.1 on the bare socket.
    #[default]
    Plain,
    /// HTTP/1.1 over TLS; whatever certificate comes is taken.
    Tls,
    /// HTTP/2 on the bare socket, begun as if it was known that the server speaks it (RFC 9113, 3.3).
    Http2,
}

/// Whom streams say they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    #[default]
    None,
    /// All show this token.
    Token(String),
    /// Each shows a token for a subject of its own, signed with this secret (HS256).
    Subjects { secret: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscribers {
    pub wire: Wire,
    pub credentials: Credentials,
    /// How many different filters they have, each of which lets every event through; 0: none.
    pub filters: u32,
    /// Further channels that all ask for.
    pub shared_channels: u32,
    /// Further channels that only the one stream asks for.
    pub own_channels: u32,
}

/// The attribute that every event has, as a header of its publish.
pub const ATTRIBUTE: &str = "Sse-Attribute: kind=a\r\n";
/// Seconds of Unix time when signed tokens end: long after any run.
const EXPIRES: u64 = 4_000_000_000;

impl Subscribers {
    /// What follows the request's target for the stream of this number.
    #[must_use]
    pub fn parameters(&self, stream: usize) -> String {
        let mut text = String::new();
        for other in 0..self.shared_channels {
            text += &format!("&channel=other-{other}");
        }
        for own in 0..self.own_channels {
            text += &format!("&channel=own-{stream}-{own}");
        }
        if self.filters > 0 {
            text += &format!("&filter.kind=a,b{}", stream as u32 % self.filters);
        }
        text
    }

    /// The value of the header `Authorization`, if the stream of this number has one.
    #[must_use]
    pub fn authorization(&self, stream: usize) -> Option<String> {
        match &self.credentials {
            Credentials::None => None,
            Credentials::Token(token) => Some(format!("Bearer {token}")),
            Credentials::Subjects { secret } => {
                let claims = format!("{{\"sub\":\"user-{stream}\",\"exp\":{EXPIRES}}}");
                Some(format!("Bearer {}", signed(secret, &claims)))
            }
        }
    }
}

fn signed(secret: &str, claims: &str) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let text = format!(
        "{}.{}",
        encode(b"{\"alg\":\"HS256\"}"),
        encode(claims.as_bytes())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", encode(signature.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_asks_for_what_its_number_says() {
        let subscribers = Subscribers {
            filters: 2,
            shared_channels: 1,
            own_channels: 1,
            ..Subscribers::default()
        };
        let expected = "&channel=other-0&channel=own-3-0&filter.kind=a,b1";
        assert_eq!(subscribers.parameters(3), expected);
        assert_eq!(Subscribers::default().parameters(3), "");
    }

    #[test]
    fn a_signed_token_is_that_of_the_standards_example() {
        // RFC 7515, A.1, with a header of ours: only the shape and the determinism are ours to test
        let one = signed("secret", "{}");
        assert_eq!(one, signed("secret", "{}"));
        assert_ne!(one, signed("other", "{}"));
        assert_eq!(one.split('.').count(), 3);
    }
}
