//! The lines that swf-testbed's receiver prints. Whoever reads its output finds the same here; text from
//! the stream cannot move the cursor or set colours.

use crate::{cli::client::Failure, printable::Printable};
use reqwest::StatusCode;
use serde_json::{Map, Value};
use std::{
    fmt::{self, Write},
    time::Duration,
};

/// Why there is no stream, or no more of one.
#[derive(Debug)]
pub enum Trouble {
    /// The status or the stream answered 401 or 403.
    Auth {
        asked: Asked,
        status: StatusCode,
        failure: Failure,
    },
    /// A redirect, most often to where people log in.
    Redirect {
        asked: Asked,
        location: String,
        failure: Failure,
    },
    /// Any other answer.
    Unavailable { asked: Asked, failure: Failure },
    /// Nothing came for this long.
    Silent { to: String, time: Duration },
    /// No connection, or one that broke.
    Connection(Failure),
}

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    Registration,
    Status,
    Stream,
}

impl Trouble {
    /// What an answer is that was not wanted.
    pub fn of_answer(
        asked: Asked,
        failure: Failure,
        status: StatusCode,
        location: Option<String>,
    ) -> Trouble {
        match status.as_u16() {
            401 | 403 => Trouble::Auth {
                asked,
                status,
                failure,
            },
            300..=399 => Trouble::Redirect {
                asked,
                location: location.unwrap_or_else(|| "unknown".to_owned()),
                failure,
            },
            _ => Trouble::Unavailable { asked, failure },
        }
    }

    /// For the end of the program.
    pub fn into_failure(self) -> Failure {
        match self {
            Trouble::Auth { failure, .. }
            | Trouble::Redirect { failure, .. }
            | Trouble::Unavailable { failure, .. }
            | Trouble::Connection(failure) => failure,
            Trouble::Silent { to, .. } => Failure::Lost {
                to,
                why: "nothing came".to_owned(),
            },
        }
    }
}

impl fmt::Display for Trouble {
    /// Without the line end of its last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Auth {
                asked,
                status,
                failure,
            } => write!(
                f,
                "❌ Auth failed{} (HTTP {}). Check SWF_API_TOKEN (token may be missing/invalid).\n   {failure}\n   \
                 If running via Apache, ensure 'WSGIPassAuthorization On' is enabled.",
                asked.within(),
                status.as_u16()
            ),
            Trouble::Redirect {
                asked,
                location,
                failure,
            } => write!(
                f,
                "❌ Got redirect{} to {}: {failure}\n   The Authorization header does not reach the monitor.\n   \
                 If running via Apache, ensure 'WSGIPassAuthorization On' is enabled.",
                asked.within(),
                Printable(location)
            ),
            Trouble::Unavailable { asked, failure } => {
                write!(f, "❌ {} not available: {failure}", asked.named())
            }
            Trouble::Silent { time, .. } => write!(
                f,
                "⏱️  Read timeout while waiting for messages: nothing came for {} s",
                time.as_secs()
            ),
            Trouble::Connection(failure) => write!(f, "❌ Connection error: {failure}"),
        }
    }
}

impl Asked {
    fn within(self) -> &'static str {
        match self {
            Asked::Registration => " registering",
            Asked::Status => "",
            Asked::Stream => " opening stream",
        }
    }

    fn named(self) -> &'static str {
        match self {
            Asked::Registration => "Registration",
            Asked::Status => "SSE endpoint",
            Asked::Stream => "SSE stream",
        }
    }
}

/// What a block of the stream prints; nothing for a heartbeat. `at` is the local time.
pub fn event(at: &str, kind: &str, data: &str) -> Option<String> {
    let parsed: Result<Value, _> = serde_json::from_str(data);
    match (kind, parsed) {
        ("heartbeat", _) => None,
        ("connected", parsed) => {
            let id = parsed.ok().and_then(|data| data.get("client_id").cloned());
            let id = id.as_ref().map_or("unknown".to_owned(), text);
            Some(format!(
                "[{at}] 🔗 Connected to SSE stream\n[{at}] 📋 Client ID: {id}\n"
            ))
        }
        (_, Ok(Value::Object(fields))) => Some(message(at, &fields)),
        (_, Ok(_)) => Some(format!(
            "[{at}] ❌ Error parsing message: not a JSON object: {}\n",
            Printable(data)
        )),
        (_, Err(_)) => Some(format!("[{at}] 📨 Non-JSON message: {}\n", Printable(data))),
    }
}

fn message(at: &str, fields: &Map<String, Value>) -> String {
    let field = |name: &str, none: &str| fields.get(name).map_or(none.to_owned(), text);
    let mut lines = format!(
        "[{at}] 📨 Message received:\n         Message: {}\n           Agent: {}\n            Run:  {}\n",
        field("msg_type", "unknown"),
        field("processed_by", "unknown"),
        field("run_id", "N/A"),
    );
    for (name, label) in [("message", "Text"), ("filename", "File")] {
        if let Some(value) = fields.get(name) {
            let _ = writeln!(lines, "            {label}: {}", text(value));
        }
    }
    lines.push_str(&rule());
    lines
}

/// The line under a message.
pub fn rule() -> String {
    format!("{}\n", "-".repeat(60))
}

/// As Python prints it, but what has members is JSON.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => Printable(text).to_string(),
        other => Printable(&other.to_string()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_lines() {
        let data = r#"{"msg_type": "stf_gen", "processed_by": "daq", "run_id": 5, "message": "caf\u00e9", "filename": "a\u001b[31m", "x": 1}"#;
        let printed = event("10:11:12", "stf_gen", data).unwrap();
        let wanted = "[10:11:12] 📨 Message received:\n         Message: stf_gen\n           Agent: daq\n\
                      \x20           Run:  5\n            Text: café\n            File: a\\u{1b}[31m\n";
        assert_eq!(printed, wanted.to_owned() + &rule());
        let bare = event("t", "message", r#"{"run_id": null}"#).unwrap();
        assert!(
            bare.contains("Message: unknown\n           Agent: unknown\n            Run:  None\n"),
            "{bare}"
        );
    }

    #[test]
    fn what_is_no_message_says_so_and_a_heartbeat_is_silent() {
        assert_eq!(event("t", "heartbeat", "{}"), None);
        assert_eq!(
            event(
                "t",
                "connected",
                r#"{"client_id": "c1", "status": "connected"}"#
            )
            .unwrap(),
            "[t] 🔗 Connected to SSE stream\n[t] 📋 Client ID: c1\n"
        );
        assert_eq!(
            event("t", "error", "upstream 502").unwrap(),
            "[t] 📨 Non-JSON message: upstream 502\n"
        );
        assert!(
            event("t", "m", "[1]")
                .unwrap()
                .contains("Error parsing message")
        );
    }
}
