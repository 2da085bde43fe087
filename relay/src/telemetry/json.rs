//! A log line for programs: one JSON object.

use super::record::Record;
use crate::printable::is_hidden;
use serde_json::{Value, json};
use std::fmt::Write;
use tracing::Level;

/// With its line end.
pub fn line(record: &Record, environment: &str) -> String {
    let mut line = String::from("{");
    member(
        &mut line,
        "timestamp",
        &json!(format!("{:.3}", record.time)),
    );
    member(&mut line, "level", &json!(level(record.level)));
    member(&mut line, "event", &json!(record.event));
    member(&mut line, "env", &json!(environment));
    member(&mut line, "message", &json!(record.message));
    for (name, value) in &record.fields {
        member(&mut line, name, value);
    }
    line.push_str("}\n");
    line
}

/// As the configuration spells it.
fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn member(line: &mut String, name: &str, value: &Value) {
    if line.len() > 1 {
        line.push(',');
    }
    escaped(line, &Value::from(name).to_string());
    line.push(':');
    escaped(line, &value.to_string());
}

/// JSON lets the higher control characters and those that turn text around stand as they are; a
/// terminal that shows the line would obey them.
fn escaped(line: &mut String, json: &str) {
    for c in json.chars() {
        if is_hidden(c) {
            write!(line, "\\u{:04x}", u32::from(c)).expect("a string takes any text");
        } else {
            line.push(c);
        }
    }
}
