//! From a member of a mailbox to what was sent. Pure.

use super::fernet::{FernetError, Keys};
use relay_config::Timespan;
use rmpv::Value;
use std::fmt::Write;

/// Random bytes before each message, so that no two are the same member.
const RANDOM: usize = 12;
/// Deepest nesting that is read.
const DEPTH: usize = 64;
/// The key that the layer adds.
const CHANNELS: &str = "__asgi_channel__";
/// The layer itself takes tokens that are so many seconds older than its messages may be.
const GRACE: u64 = 10;

/// What lay in a mailbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// The random bytes, in hexadecimal.
    pub id: String,
    /// To which group.
    pub group: String,
    pub sent: Sent,
}

/// What was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// `type` of the message.
    pub kind: Option<String>,
    /// The message as JSON, without what the layer added.
    pub body: String,
}

/// Why it cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Undecodable {
    #[error("it has less than the layer puts before a message")]
    Short,
    #[error(transparent)]
    Fernet(#[from] FernetError),
    #[error("it is neither msgpack nor JSON as the layer writes them{hint}")]
    Format { hint: &'static str },
    #[error("it is no map with texts for keys")]
    NoMap,
    #[error("it has something that JSON does not have")]
    NotJson,
}

pub struct Decoder {
    /// What the relay's channels begin with.
    channels: String,
    keys: Option<Keys>,
}

impl Decoder {
    pub fn new(mailbox: &str, keys: Option<Keys>) -> Decoder {
        Decoder {
            channels: format!("{mailbox}!"),
            keys,
        }
    }

    /// `now` in seconds since 1970. Nothing of the message is in the error.
    pub fn decode(
        &self,
        member: &[u8],
        now: u64,
        expiry: Timespan,
    ) -> Result<Received, Undecodable> {
        let (random, rest) = member.split_at_checked(RANDOM).ok_or(Undecodable::Short)?;
        let entries = self.entries(rest, now, Some(expiry.std().as_secs() + GRACE))?;
        let (added, sent): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|(key, _)| key.as_str() == Some(CHANNELS));
        Ok(Received {
            id: random.iter().fold(String::new(), |mut id, byte| {
                let _ = write!(id, "{byte:02x}"); // a String takes it
                id
            }),
            group: self.group(added.first().map(|(_, value)| value)),
            sent: sent_of(&sent)?,
        })
    }

    /// What the pub/sub layer publishes: the message alone, of any age.
    pub fn published(&self, payload: &[u8], now: u64) -> Result<Sent, Undecodable> {
        sent_of(&self.entries(payload, now, None)?)
    }

    fn entries(
        &self,
        bytes: &[u8],
        now: u64,
        max_age: Option<u64>,
    ) -> Result<Vec<(Value, Value)>, Undecodable> {
        let opened = match &self.keys {
            Some(keys) => Some(keys.open(bytes, now, max_age)?),
            None => None,
        };
        match read(opened.as_deref().unwrap_or(bytes))? {
            Value::Map(entries) => Ok(entries),
            _ => Err(Undecodable::NoMap),
        }
    }

    /// Of the channels that it was sent to, ours says which group it was.
    fn group(&self, channels: Option<&Value>) -> String {
        let ours = |value: &Value| Some(value.as_str()?.strip_prefix(&*self.channels)?.to_owned());
        let found = match channels {
            Some(Value::Array(all)) => all.iter().find_map(ours),
            Some(one) => ours(one),
            None => None,
        };
        found.unwrap_or_default()
    }
}

fn sent_of(entries: &[(Value, Value)]) -> Result<Sent, Undecodable> {
    let kind = entries
        .iter()
        .find(|(key, _)| key.as_str() == Some("type"))
        .and_then(|(_, value)| value.as_str().map(str::to_owned));
    let mut body = String::new();
    write_map(&mut body, entries)?;
    Ok(Sent { kind, body })
}

/// Which of the two formats it is shows in its first byte.
fn read(mut bytes: &[u8]) -> Result<Value, Undecodable> {
    let wrong = |hint| Undecodable::Format { hint };
    match bytes.first() {
        Some(b'{') => serde_json::from_slice(bytes).map_err(|_| wrong("")),
        Some(0x80..=0x8f | 0xde | 0xdf) => {
            let value = rmpv::decode::read_value_with_max_depth(&mut bytes, DEPTH);
            match value {
                Ok(value) if bytes.is_empty() => Ok(value),
                _ => Err(wrong("")),
            }
        }
        Some(b'g') => Err(wrong("; is it encrypted? Set `encryptionKeys`")),
        _ => Err(wrong("")),
    }
}

fn write_map(out: &mut String, entries: &[(Value, Value)]) -> Result<(), Undecodable> {
    out.push('{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        text(out, key.as_str().ok_or(Undecodable::NoMap)?);
        out.push(':');
        write(out, value)?;
    }
    out.push('}');
    Ok(())
}

/// Its nesting is bounded by whoever read it.
fn write(out: &mut String, value: &Value) -> Result<(), Undecodable> {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Boolean(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Integer(number) => {
            let _ = write!(out, "{number}"); // a String takes it
        }
        Value::F32(number) => float(out, f64::from(*number))?,
        Value::F64(number) => float(out, *number)?,
        Value::String(string) => text(out, string.as_str().ok_or(Undecodable::NotJson)?),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item)?;
            }
            out.push(']');
        }
        Value::Map(entries) => write_map(out, entries)?,
        Value::Binary(_) | Value::Ext(..) => return Err(Undecodable::NotJson),
    }
    Ok(())
}

fn float(out: &mut String, number: f64) -> Result<(), Undecodable> {
    if !number.is_finite() {
        return Err(Undecodable::NotJson);
    }
    out.push_str(&serde_json::Value::from(number).to_string());
    Ok(())
}

fn text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Timespan = Timespan::from_secs(60);

    fn decoder() -> Decoder {
        Decoder::new("relay", None)
    }

    /// A message of channels_redis 4.3.0 with msgpack, to two channels.
    fn golden() -> Vec<u8> {
        let hex = "e11535c772a193b479739ce283a474797065a962726f616463617374a77061796c6f616488\
                   a86d73675f74797065a77374665f67656eac70726f6365737365645f6279b36461712d73696d756c61746f722d6167656e74\
                   a672756e5f6964ac72756e2d323032352d303031a16e01a166cb3ff8000000000000a162c3a17ac0a16c9201a2c3a9\
                   b05f5f617367695f6368616e6e656c5f5f92a96f746865722e612178a772656c61792167";
        let hex: String = hex.split_whitespace().collect();
        let pairs = hex.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn a_message_of_python_keeps_its_members_in_their_order() {
        let received = decoder().decode(&golden(), 0, MINUTE).unwrap();
        assert_eq!(received.id, "e11535c772a193b479739ce2");
        assert_eq!(received.group, "g");
        assert_eq!(received.sent.kind.as_deref(), Some("broadcast"));
        assert_eq!(
            received.sent.body,
            r#"{"type":"broadcast","payload":{"msg_type":"stf_gen","processed_by":"daq-simulator-agent","run_id":"run-2025-001","n":1,"f":1.5,"b":true,"z":null,"l":[1,"é"]}}"#
        );
    }

    #[test]
    fn json_is_told_by_its_first_byte() {
        let member = br#"123456789012{"type": "broadcast", "b": {"z": 1, "a": "\u00e9"}, "__asgi_channel__": "relay!g"}"#;
        let received = decoder().decode(member, 0, MINUTE).unwrap();
        assert_eq!(received.group, "g");
        assert_eq!(
            received.sent.body,
            r#"{"type":"broadcast","b":{"z":1,"a":"é"}}"#
        );
    }

    #[test]
    fn what_cannot_be_read_says_why_and_nothing_of_what_it_is() {
        let of = |rest: &[u8]| {
            let member = [b"123456789012", rest].concat();
            decoder().decode(&member, 0, MINUTE).unwrap_err()
        };
        assert_eq!(
            decoder().decode(b"short", 0, MINUTE),
            Err(Undecodable::Short)
        );
        let encrypted = of(b"gAAAAAsecret");
        assert!(encrypted.to_string().contains("encryptionKeys"));
        assert!(!encrypted.to_string().contains("secret"));
        for broken in [
            &b""[..],
            b"\x81\xa1",
            b"\x80\x80",
            b"{",
            b"\x93\x01\x02\x03",
        ] {
            assert_eq!(of(broken), Undecodable::Format { hint: "" }, "{broken:?}");
        }
        assert_eq!(of(b"\x81\x01\x02"), Undecodable::NoMap);
        assert_eq!(of(b"\x81\xa1a\xc4\x01x"), Undecodable::NotJson, "bytes");
        assert_eq!(
            of(b"\x81\xa1a\xcb\x7f\xf8\0\0\0\0\0\0"),
            Undecodable::NotJson,
            "no number"
        );
        let mut deep = b"\x81\xa1a".to_vec();
        deep.extend([0x91; 100_000]);
        deep.push(0xc0);
        assert_eq!(of(&deep), Undecodable::Format { hint: "" });
        // an array that says it has 4 billion items takes no memory for them
        assert_eq!(
            of(b"\x81\xa1a\xdd\xff\xff\xff\xff"),
            Undecodable::Format { hint: "" }
        );
    }

    #[test]
    fn what_is_published_is_the_message_alone() {
        let sent = decoder().published(b"\x82\xa4type\xa9broadcast\xa1n\x01", 0);
        let sent = sent.unwrap();
        assert_eq!(sent.kind.as_deref(), Some("broadcast"));
        assert_eq!(sent.body, r#"{"type":"broadcast","n":1}"#);
        let json = decoder().published(br#"{"type": "broadcast"}"#, 0).unwrap();
        assert_eq!(json.body, r#"{"type":"broadcast"}"#);
        assert!(decoder().published(b"", 0).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..80), first in 0x80_u8..0x90) {
            for member in [bytes.clone(), [&b"123456789012"[..], &[first], &bytes].concat()] {
                if let Ok(sent) = decoder().published(&member, 0) {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&sent.body).is_ok());
                }
                if let Ok(received) = decoder().decode(&member, 0, MINUTE) {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&received.sent.body).is_ok());
                }
            }
        }
    }
}
