//! What can be ordered of every replica, as data. Releases N and N−1 understand each other: a command
//! that a replica does not know is refused by it as a whole, never half done.

use super::revocation::{Revocation, RevocationId};
use crate::{
    event::Attributes,
    hub::{
        extend::{Extended, Extension},
        open::{Directed, EndReason},
        select::StreamSelector,
    },
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Grows when a command changes its meaning, or one is added.
pub const VERSION: u16 = 1;

/// Something that every replica does with its own streams.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "camelCase", deny_unknown_fields)]
pub enum Command {
    /// Ends the streams that are selected. They are told why, and may come back.
    End {
        streams: StreamSelector,
        reason: EndReason,
    },
    /// Refuses credentials from now on, and ends the streams that they opened.
    Revoke { revocation: Revocation },
    /// An event for one stream alone, which has this id. Releases before this one refuse one with
    /// attributes or a time, of which they know nothing.
    Direct {
        connection: String,
        /// Its blocks, as they go on the wire.
        event: String,
        #[serde(default, skip_serializing_if = "Attributes::is_empty")]
        attributes: Attributes,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time: Option<Timestamp>,
    },
    /// A new credential for a stream that is open.
    Extend {
        connection: String,
        extension: Box<Extension>,
    },
    /// Takes a revocation back.
    Restore { id: RevocationId },
}

/// What a command did; the outcomes of several replicas add up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Streams that it concerned.
    pub streams: u64,
    /// Streams that it should have concerned, and that were too far behind for it.
    #[serde(default)]
    pub slow: u64,
    /// What became of a new credential, where its stream is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<Extended>,
}

impl Outcome {
    /// What became of an event for one stream.
    pub fn directed(&self) -> Directed {
        match self {
            Outcome { streams: 1.., .. } => Directed::Delivered,
            Outcome { slow: 1.., .. } => Directed::Slow,
            _ => Directed::Gone,
        }
    }
}

impl From<Directed> for Outcome {
    fn from(directed: Directed) -> Outcome {
        Outcome {
            streams: u64::from(directed == Directed::Delivered),
            slow: u64::from(directed == Directed::Slow),
            ..Outcome::default()
        }
    }
}

impl std::ops::Add for Outcome {
    type Output = Outcome;

    fn add(self, other: Outcome) -> Outcome {
        Outcome {
            streams: self.streams + other.streams,
            slow: self.slow + other.slow,
            extended: self.extended.or(other.extended),
        }
    }
}

/// Why a message is no command of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Undecodable {
    #[error("it was sent by a release that is newer than this one (version {0})")]
    Newer(u16),
    #[error("it is not a command")]
    Malformed,
}

#[derive(Serialize)]
struct Message<'a> {
    version: u16,
    #[serde(flatten)]
    command: &'a Command,
}

#[derive(Deserialize)]
struct Version {
    version: u16,
}

impl Command {
    pub fn encode(&self) -> Vec<u8> {
        let message = Message {
            version: VERSION,
            command: self,
        };
        serde_json::to_vec(&message).expect("structs of text with string keys")
    }

    pub fn decode(message: &[u8]) -> Result<Command, Undecodable> {
        let mut message: serde_json::Value =
            serde_json::from_slice(message).map_err(|_| Undecodable::Malformed)?;
        let Version { version } =
            Version::deserialize(&message).map_err(|_| Undecodable::Malformed)?;
        if version > VERSION {
            return Err(Undecodable::Newer(version));
        }
        if let Some(object) = message.as_object_mut() {
            object.remove("version");
        }
        serde_json::from_value(message).map_err(|_| Undecodable::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::revocation::Revoked, subject::Subject};

    fn end() -> Command {
        Command::End {
            streams: StreamSelector {
                subject: Subject::parse("ann").ok(),
                ..StreamSelector::default()
            },
            reason: EndReason::Disconnected,
        }
    }

    #[test]
    fn commands_are_the_same_after_the_way_to_another_replica() {
        let revocation = Revocation {
            revoked: Revoked::Token("page".into()),
            until: 2,
            at: 1,
        };
        let id = revocation.revoked.id();
        let direct = Command::Direct {
            connection: "r-1".into(),
            event: "data: x\n\n".into(),
            attributes: Attributes::default(),
            time: None,
        };
        let text = String::from_utf8(direct.encode()).unwrap();
        assert_eq!(
            text, r#"{"version":1,"command":"direct","connection":"r-1","event":"data: x\n\n"}"#,
            "as the releases before wrote it"
        );
        let told = Command::Direct {
            connection: "r-1".into(),
            event: "data: x\n\n".into(),
            attributes: Attributes::new([("site".to_owned(), "eu".to_owned())]).unwrap(),
            time: "2026-11-21T07:00:20.5Z".parse().ok(),
        };
        for command in [
            end(),
            Command::Revoke { revocation },
            Command::Restore { id },
            direct,
            told,
        ] {
            assert_eq!(Command::decode(&command.encode()), Ok(command));
        }
        let text = String::from_utf8(end().encode()).unwrap();
        assert_eq!(
            text,
            r#"{"version":1,"command":"end","streams":{"subject":"ann"},"reason":"disconnected"}"#
        );
    }

    #[test]
    fn what_is_not_known_is_refused_as_a_whole() {
        let decode = |text: &str| Command::decode(text.as_bytes());
        assert_eq!(
            decode(r#"{"version":2,"command":"dance"}"#),
            Err(Undecodable::Newer(2))
        );
        for text in [
            "",
            "{}",
            r#"{"version":1}"#,
            r#"{"version":1,"command":"dance"}"#,
            r#"{"version":1,"command":"end","streams":{"colour":"red"},"reason":"revoked"}"#,
            r#"{"version":1,"command":"end","streams":{"subject":""},"reason":"revoked"}"#,
        ] {
            assert_eq!(decode(text), Err(Undecodable::Malformed), "{text}");
        }
    }

    #[test]
    fn outcomes_add_up() {
        let ended = |streams| Outcome {
            streams,
            ..Outcome::default()
        };
        assert_eq!(ended(1) + ended(2), ended(3));
        for directed in [Directed::Delivered, Directed::Slow, Directed::Gone] {
            let all = Outcome::from(Directed::Gone) + directed.into() + Directed::Gone.into();
            assert_eq!(all.directed(), directed);
        }
    }
}
