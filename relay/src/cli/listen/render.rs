//! An event as text: for eyes, or one line of JSON for programs.

use crate::printable::Printable;
use jiff::Timestamp;
use serde::Serialize;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// With the time at which the event came.
    Readable(Timestamp),
    Json,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    event: &'a str,
    data: &'a str,
}

/// Whole lines. JSON has every character as it came, since each has its escape there; the readable
/// form shows control characters instead of obeying them.
pub fn event(form: Form, id: &str, kind: &str, data: &str) -> String {
    match form {
        Form::Json => {
            let line = Line {
                id,
                event: kind,
                data,
            };
            serde_json::to_string(&line).expect("three texts are JSON") + "\n"
        }
        Form::Readable(time) => readable(time, id, kind, data),
    }
}

/// Data of one line stand on the event's line, longer data below it.
fn readable(time: Timestamp, id: &str, kind: &str, data: &str) -> String {
    let id = if id.is_empty() { "-" } else { id };
    let mut out = format!("{time:.3}  {}  {}", Printable(id), Printable(kind));
    let lines: Vec<&str> = data.split('\n').collect();
    let before = if lines.len() > 1 { "\n    " } else { "  " };
    for line in lines {
        out.push_str(before);
        out.push_str(&Printable(line).to_string());
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_line_that_keeps_everything() {
        assert_eq!(
            event(Form::Json, "", "message", "a\n\"b\"\u{1b}"),
            "{\"id\":\"\",\"event\":\"message\",\"data\":\"a\\n\\\"b\\\"\\u001b\"}\n"
        );
    }

    #[test]
    fn the_readable_form_has_time_id_type_and_data() {
        let form = Form::Readable(Timestamp::UNIX_EPOCH);
        assert_eq!(
            event(form, "7", "tick", "{}"),
            "1970-01-01T00:00:00.000Z  7  tick  {}\n"
        );
        assert_eq!(
            event(form, "", "message", "a\n\x1b[2J\n"),
            "1970-01-01T00:00:00.000Z  -  message\n    a\n    \\u{1b}[2J\n    \n"
        );
    }
}
