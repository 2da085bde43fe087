//! Unix sockets for publishers and subscribers of the same machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Unix socket that is served like `listen`, without TLS. Who may open it is what the mode of its
/// file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnixSocket {
    /// Where its file is. A file that nobody listens on any more is replaced.
    #[schemars(example = &"/run/sse-relay/relay.sock")]
    pub path: String,
    /// Mode of the file, as chmod takes it.
    #[serde(default = "default_mode")]
    #[schemars(regex(pattern = r"^0?[0-7]{3}$"))]
    pub mode: String,
}

fn default_mode() -> String {
    "660".to_owned()
}

/// Longest path that the system takes, in bytes, less what its first name has besides.
pub(crate) const MAX_PATH_BYTES: usize = 90;

impl UnixSocket {
    /// The mode as a number; `None` if it is none.
    #[must_use]
    pub fn mode_bits(&self) -> Option<u32> {
        let digits = self.mode.strip_prefix('0').unwrap_or(&self.mode);
        let octal = digits.len() == 3 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_three_octal_digits() {
        let bits = |mode: &str| {
            let socket = UnixSocket {
                path: String::new(),
                mode: mode.to_owned(),
            };
            socket.mode_bits()
        };
        assert_eq!(bits("660"), Some(0o660));
        assert_eq!(bits("0600"), Some(0o600));
        for wrong in ["", "66", "688", "1777", "0o66", "+66", "rw-"] {
            assert_eq!(bits(wrong), None, "{wrong}");
        }
    }
}
