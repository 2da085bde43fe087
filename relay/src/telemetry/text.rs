//! A log line for people.

use super::record::Record;
use crate::printable::{Printable, is_hidden};
use serde_json::Value;
use std::fmt::{self, Write};
use tracing::Level;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colours {
    On,
    Off,
}

/// With its line end.
pub fn line(record: &Record, environment: &str, colours: Colours) -> String {
    let mut line = String::new();
    write(&mut line, record, environment, colours).expect("a string takes any text");
    line
}

fn write(line: &mut String, record: &Record, environment: &str, colours: Colours) -> fmt::Result {
    let (dim, bold) = (Paint(DIM, colours), Paint(BOLD, colours));
    dim.write(line, &format!("{:.3}", record.time))?;
    let (level, colour) = match record.level {
        Level::ERROR => ("ERROR", RED),
        Level::WARN => ("WARN ", YELLOW),
        Level::INFO => ("INFO ", GREEN),
        Level::DEBUG => ("DEBUG", BLUE),
        Level::TRACE => ("TRACE", MAGENTA),
    };
    line.push(' ');
    Paint(colour, colours).write(line, level)?;
    line.push(' ');
    bold.write(line, &Printable(&record.event).to_string())?;
    if !record.message.is_empty() {
        write!(line, " {}", Printable(&record.message))?;
    }
    let environment = Value::from(environment);
    let fields = record
        .fields
        .iter()
        .map(|(name, value)| (name.as_ref(), value));
    for (name, value) in fields.chain([("env", &environment)]) {
        line.push(' ');
        dim.write(line, &format!("{name}="))?;
        match value {
            Value::String(text) if is_plain(text) => line.push_str(text),
            Value::String(text) => write!(line, "{text:?}")?,
            value => write!(line, "{value}")?,
        }
    }
    line.push('\n');
    Ok(())
}

/// Whether it cannot be taken for something else without quotes.
fn is_plain(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || matches!(c, '"' | '=' | '\\') || is_hidden(c);
    !text.is_empty() && !text.chars().any(odd)
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "34";
const MAGENTA: &str = "35";
const BOLD: &str = "1";
const DIM: &str = "2";

/// A rendition of ECMA-48.
struct Paint(&'static str, Colours);

impl Paint {
    fn write(&self, line: &mut String, text: &str) -> fmt::Result {
        match self.1 {
            Colours::On => write!(line, "\x1b[{}m{text}\x1b[0m", self.0),
            Colours::Off => line.write_str(text),
        }
    }
}
