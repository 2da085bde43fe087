//! What `listen` tells on standard error.

use crate::printable::Printable;
use std::{fmt, time::Duration};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// There is a stream; `after` is the id it resumes after, empty for none.
    Connected { to: String, after: String },
    /// There is none, and there will be another attempt.
    Reconnecting { why: String, wait: Duration },
    /// Events are missing from the stream. The text is the control event's data.
    Gap(String),
    /// The relay said something else about itself or the stream.
    Control { kind: String, data: String },
    /// The server has no more for this stream (204).
    NoMore,
    /// The last line of a run that was connected.
    Closed(Summary),
}

/// What a run saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Control events left out.
    pub events: u64,
    pub gaps: u64,
    pub reconnects: u64,
}

/// What is worth telling of a control event. Greetings and heartbeats are not.
pub fn of_control(kind: &str, data: String) -> Option<Note> {
    match kind {
        "gap" => Some(Note::Gap(data)),
        "connected" | "heartbeat" => None,
        _ => Some(Note::Control {
            kind: kind.to_owned(),
            data,
        }),
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Connected { to, after } if after.is_empty() => write!(f, "connected to {to}"),
            Note::Connected { to, after } => {
                write!(f, "connected to {to}, resuming after {}", Printable(after))
            }
            Note::Reconnecting { why, wait } => {
                write!(f, "{why}; trying again in {:.1} s", wait.as_secs_f64())
            }
            Note::Gap(data) => {
                write!(
                    f,
                    "*** GAP *** events are missing here: {}",
                    Printable(data)
                )
            }
            Note::Control { kind, data } => {
                write!(f, "{}: {}", Printable(kind), Printable(data))
            }
            Note::NoMore => f.write_str("the server has no more for this stream"),
            Note::Closed(summary) => summary.fmt(f),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            events,
            gaps,
            reconnects,
        } = self;
        write!(
            f,
            "closed: {events} events, {gaps} gaps, {reconnects} reconnects"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_loudly_and_heartbeats_not() {
        let gap = of_control("gap", "{\"reason\":\"trimmed\"}".to_owned()).unwrap();
        assert_eq!(
            gap.to_string(),
            "*** GAP *** events are missing here: {\"reason\":\"trimmed\"}"
        );
        assert_eq!(of_control("heartbeat", String::new()), None);
        assert_eq!(
            of_control("end", "{}\x1b".to_owned()).unwrap().to_string(),
            "end: {}\\u{1b}"
        );
    }
}
