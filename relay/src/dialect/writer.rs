//! Fills templates in. Total: whatever the values are there is a text or none, of a bounded length.

use super::{
    json::{self, Style},
    value::{Facts, Value},
};
use relay_config::{Choice, Part, Place, Template};

/// One text after the other, in one memory.
pub struct Writer {
    style: Style,
    max: usize,
    out: String,
}

/// Which values a text takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    All,
    /// No JSON but strings.
    Texts,
}

impl Writer {
    /// `max` bounds each text, in bytes.
    pub fn new(style: Style, max: usize) -> Writer {
        Writer {
            style,
            max,
            out: String::new(),
        }
    }

    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// A template's text; `None` if a value is missing in a text, or there would be too much of it.
    /// In JSON what is missing is `null`, and between quotes nothing.
    pub fn text(&mut self, template: &Template, facts: &impl Facts) -> Option<&str> {
        self.fill_in(template, facts, Takes::All)?;
        Some(&self.out)
    }

    /// What is compared: JSON that is no string is like nothing.
    pub fn term(&mut self, template: &Template, facts: &impl Facts) -> Option<&str> {
        self.fill_in(template, facts, Takes::Texts)?;
        Some(&self.out)
    }

    /// A template's JSON; if it is an object, with the keys that it does not have.
    pub fn filled(
        &mut self,
        template: &Template,
        fill: &[(Box<str>, Template)],
        facts: &impl Facts,
    ) -> Option<&str> {
        self.fill_in(template, facts, Takes::All)?;
        let Some(mut keys) = json::keys(&self.out) else {
            return Some(&self.out);
        };
        let brace = self.out.trim_end().len().saturating_sub(1);
        self.out.truncate(brace);
        for (key, template) in fill {
            if keys.iter().any(|known| **known == **key) {
                continue;
            }
            if !keys.is_empty() {
                self.out.push_str(self.style.comma());
            }
            keys.push(key.to_string());
            json::quote(key, self.style, &mut self.out);
            self.out.push_str(self.style.colon());
            self.fill_in(template, facts, Takes::All)?;
        }
        self.out.push('}');
        Some(&self.out)
    }

    fn fill_in(&mut self, template: &Template, facts: &impl Facts, takes: Takes) -> Option<()> {
        for part in template.parts() {
            match part {
                Part::Text(text) => self.out.push_str(text),
                Part::Value { choices, place } => {
                    let value = choose(choices, *place, facts, self.style);
                    self.value(value, *place, takes)?;
                }
            }
            if self.out.len() > self.max {
                return None;
            }
        }
        Some(())
    }

    fn value(&mut self, value: Option<Value<'_>>, place: Place, takes: Takes) -> Option<()> {
        let (style, out) = (self.style, &mut self.out);
        match (value, place) {
            (None, Place::Text) => return None,
            (None, Place::Json) => out.push_str("null"),
            (None, Place::JsonString) => {}
            (Some(value), Place::Text) if takes == Takes::Texts && value.is_unlike_text() => {
                return None;
            }
            (Some(value), Place::Text) => out.push_str(&value.into_text(style)),
            (Some(value), Place::JsonString) => json::escape(&value.into_text(style), style, out),
            (Some(Value::Json(json)), Place::Json) => json::restyle(&json, style, out),
            (Some(Value::Document(text)), Place::Json) if json::is_json(text) => {
                json::restyle(text, style, out);
            }
            (Some(Value::Number(number)), Place::Json) => out.push_str(&number.to_string()),
            (Some(value), Place::Json) => json::quote(&value.into_text(style), style, out),
        }
        Some(())
    }
}

/// The first choice that is there. In a text, `null` is not.
fn choose<'c>(
    choices: &'c [Choice],
    place: Place,
    facts: &'c impl Facts,
    style: Style,
) -> Option<Value<'c>> {
    choices.iter().find_map(|choice| match choice {
        Choice::Reference(name, form) => {
            let value = facts.value(name)?;
            (place == Place::Json || !value.is_null()).then(|| value.in_form(*form, style))
        }
        Choice::Literal(text) => Some(Value::Text((&**text).into())),
        Choice::Json(json) => Some(Value::Json((&**json).into())),
    })
}
