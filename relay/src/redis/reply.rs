//! What a server answers to a command.

use super::CommandError;
use super::error::from_server;
use ::redis::Value;
use bytes::Bytes;

/// An answer. Connections for commands speak RESP2, whose answers are the same in every version:
/// scores are texts, hashes are lists of field and value.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    Nil,
    Integer(i64),
    /// A string, a status (`OK`) or a number with a fraction.
    Bytes(Bytes),
    List(Vec<Reply>),
}

impl Reply {
    pub(super) fn from_value(value: Value) -> Result<Reply, CommandError> {
        Ok(match value {
            Value::Nil => Reply::Nil,
            Value::Int(number) => Reply::Integer(number),
            Value::BulkString(bytes) => Reply::Bytes(bytes.into()),
            Value::SimpleString(text) => Reply::Bytes(text.into()),
            Value::Okay => Reply::Bytes(Bytes::from_static(b"OK")),
            Value::Array(values) => {
                let items: Result<_, _> = values.into_iter().map(Reply::from_value).collect();
                Reply::List(items?)
            }
            Value::ServerError(error) => return Err(from_server(error.code(), error.details())),
            other => {
                let kind = match other {
                    Value::Map(_) => "map",
                    Value::Push { .. } => "push",
                    Value::Double(_) => "double",
                    _ => "RESP3",
                };
                return Err(CommandError::unreadable(kind));
            }
        })
    }

    /// The bytes, if the answer is a string.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Reply::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, if the answer is a string of UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The number, if the answer is an integer or the decimal text of one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Reply::Integer(number) => Some(*number),
            Reply::Bytes(_) => self.text()?.parse().ok(),
            _ => None,
        }
    }

    /// The items, if the answer is a list.
    pub fn list(&self) -> Option<&[Reply]> {
        match self {
            Reply::List(items) => Some(items),
            _ => None,
        }
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Reply::Nil)
    }
}
