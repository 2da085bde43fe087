//! Tokens as the operator handles them: made, hashed, never shown.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::rotation::Passwords;

/// Keys of the generated Secret, one for each token.
pub const PUBLISH: &str = "publish";
/// See [`PUBLISH`].
pub const SUBSCRIBE: &str = "subscribe";
/// See [`PUBLISH`].
pub const MANAGE: &str = "manage";
/// Key of the Secret with the token of [`Generated::probe`].
pub const PROBE: &str = "token";
/// A shorter token could be found from its hash.
pub const LEAST_BYTES: usize = 20;

/// A token. It is shown nowhere: not in logs, errors or debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not UTF-8, or with characters that no header carries.
    #[error("holds bytes that no HTTP header carries; write printable ASCII without spaces")]
    Unprintable,
    /// So short that it could be guessed from its hash.
    #[error(
        "is shorter than {LEAST_BYTES} characters, so that it could be found from its hash; make one with `sse-relay token new`"
    )]
    TooShort,
}

impl Token {
    /// The token that a Secret's bytes spell; white space around it, as a final line break, is
    /// left away.
    pub fn read(bytes: &[u8]) -> Result<Self, TokenError> {
        let text = std::str::from_utf8(bytes).map_err(|_| TokenError::Unprintable)?;
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Unprintable);
        }
        if text.len() < LEAST_BYTES {
            return Err(TokenError::TooShort);
        }
        Ok(Self(text.to_owned()))
    }

    /// The token that 32 random bytes make. The prefix lets scanners find one that got where it
    /// should not be.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(format!("sserelay_{}", hex(&bytes)))
    }

    /// Its SHA-256 in hexadecimal, which is what the relay knows.
    #[must_use]
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }

    /// The token itself, for the Secret that holds it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Everything secret that the operator makes for a relay: the tokens of one without `auth`, and
/// passwords at its own Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// May publish everywhere.
    pub publish: Token,
    /// May subscribe everywhere.
    pub subscribe: Token,
    /// May observe.
    pub manage: Token,
    /// May publish to and subscribe to the one channel by which the operator proves that streams
    /// stream.
    pub probe: Token,
    /// Users of a Redis that the operator runs.
    pub redis: RedisUsers,
}

/// Who may do what at a relay's own Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUsers {
    /// Of the relay.
    pub passwords: Passwords,
    /// Of the agent beside Redis.
    pub agent: Token,
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_without_its_line_break_and_never_shown() {
        let token = Token::read(b"a-token-of-twenty-bytes\n").unwrap();
        assert_eq!(token.reveal(), "a-token-of-twenty-bytes");
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_eq!(Token::read(b"short"), Err(TokenError::TooShort));
        assert_eq!(
            Token::read(b"a token of more than twenty bytes"),
            Err(TokenError::Unprintable)
        );
        assert_eq!(Token::read(&[0xff; 30]), Err(TokenError::Unprintable));
    }

    #[test]
    fn the_hash_is_sha_256() {
        let token = Token::read(b"abcdefghijklmnopqrstuvwxyz").unwrap();
        assert_eq!(
            token.hash(),
            "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73"
        );
    }
}
