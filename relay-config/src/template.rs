//! Texts with `${…}` where a value goes: the language of a route's frames, its status and its answers.
//!
//! A value is the first of its choices that is there: `${data.msg_type|type|'none'}`. A choice is a
//! reference, perhaps with a form (`${time:isoformat}`), a text in single quotes, or JSON. There are no
//! loops, no calls and no nesting: whatever the texts and the values are, there is one result, and
//! what is wrong with a text is found when it is read.

mod fault;
mod name;

pub use fault::TemplateFault;
pub use name::{Form, Name, Scope};

use serde::de::IgnoredAny;

/// The longest template, in bytes.
const MAX_BYTES: usize = 8 * 1024;
/// The most values in a template.
const MAX_VALUES: usize = 64;

/// What the result of a template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Any text.
    Text,
    /// JSON: a value outside of quotes is JSON, one between quotes is text.
    Json,
}

/// A text with places for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It goes out as it is.
    Text(Box<str>),
    /// A place for a value.
    Value {
        /// The first that is there counts; at least one.
        choices: Box<[Choice]>,
        /// How it is written.
        place: Place,
    },
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a text.
    Text,
    /// In JSON, as a value of its own.
    Json,
    /// In JSON, between quotes.
    JsonString,
}

/// Where a value may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// What has this name.
    Reference(Name, Form),
    /// This text.
    Literal(Box<str>),
    /// This JSON.
    Json(Box<str>),
}

impl Template {
    /// The template that `text` spells, for what has the names of `scope`.
    pub fn parse(text: &str, language: Language, scope: Scope) -> Result<Self, TemplateFault> {
        if text.len() > MAX_BYTES {
            return Err(TemplateFault::TooLong);
        }
        let mut reader = Reader {
            rest: text,
            quotes: Quotes::default(),
            literal: String::new(),
            parts: Vec::new(),
        };
        reader.read(language, scope)?;
        let template = Self {
            parts: reader.parts.into(),
        };
        if template.values().count() > MAX_VALUES {
            return Err(TemplateFault::TooManyValues);
        }
        if language == Language::Json {
            template.check_json()?;
        }
        Ok(template)
    }

    /// Its parts in their order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether it is nothing but the value of a name, without another choice.
    #[must_use]
    pub fn is_only(&self, name: &Name) -> bool {
        match &*self.parts {
            [Part::Value { choices, .. }] => {
                matches!(&**choices, [Choice::Reference(one, _)] if one == name)
            }
            _ => false,
        }
    }

    /// All names that it refers to.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.values().flatten().filter_map(|choice| match choice {
            Choice::Reference(name, _) => Some(name),
            Choice::Literal(_) | Choice::Json(_) => None,
        })
    }

    fn values(&self) -> impl Iterator<Item = &[Choice]> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value { choices, .. } => Some(&**choices),
            Part::Text(_) => None,
        })
    }

    /// Whatever the values are, the result is JSON if it is with these.
    fn check_json(&self) -> Result<(), TemplateFault> {
        let sample: String = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Value { place, .. } if *place == Place::JsonString => "x",
                Part::Value { .. } => "null",
            })
            .collect();
        match serde_json::from_str::<IgnoredAny>(&sample) {
            Ok(_) => Ok(()),
            Err(error) => Err(TemplateFault::NotJson(error.to_string())),
        }
    }
}

/// Whether a place in JSON is between quotes.
#[derive(Default)]
struct Quotes {
    within: bool,
    escaped: bool,
}

impl Quotes {
    fn pass(&mut self, c: char) {
        if self.escaped {
            self.escaped = false;
        } else if c == '"' {
            self.within = !self.within;
        } else if c == '\\' {
            self.escaped = self.within;
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
    quotes: Quotes,
    literal: String,
    parts: Vec<Part>,
}

impl Reader<'_> {
    fn read(&mut self, language: Language, scope: Scope) -> Result<(), TemplateFault> {
        while let Some(c) = self.rest.chars().next() {
            if let Some(rest) = self.rest.strip_prefix("$$") {
                self.rest = rest;
                self.literal.push('$');
            } else if let Some(rest) = self.rest.strip_prefix("${") {
                self.flush();
                let (inside, rest) = until_brace(rest)?;
                self.rest = rest;
                let place = match (language, self.quotes.within) {
                    (Language::Text, _) => Place::Text,
                    (Language::Json, false) => Place::Json,
                    (Language::Json, true) => Place::JsonString,
                };
                let choices = choices(inside, scope)?;
                self.parts.push(Part::Value { choices, place });
            } else {
                self.quotes.pass(c);
                self.literal.push(c);
                self.rest = &self.rest[c.len_utf8()..];
            }
        }
        self.flush();
        Ok(())
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            let text = std::mem::take(&mut self.literal).into();
            self.parts.push(Part::Text(text));
        }
    }
}

/// What stands before the closing brace, quotes passed over, and what comes after it.
fn until_brace(text: &str) -> Result<(&str, &str), TemplateFault> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '}') => return Ok((&text[..at], &text[at + 1..])),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            _ => {}
        }
    }
    Err(TemplateFault::Open(fault::clip(text)))
}

fn choices(text: &str, scope: Scope) -> Result<Box<[Choice]>, TemplateFault> {
    let mut found = Vec::new();
    let (mut quote, mut start) = (None, 0);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '|') => {
                found.push(choice(&text[start..at], scope)?);
                start = at + 1;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            _ => {}
        }
    }
    found.push(choice(&text[start..], scope)?);
    Ok(found.into())
}

fn choice(text: &str, scope: Scope) -> Result<Choice, TemplateFault> {
    let text = text.trim();
    if let Some(literal) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        return Ok(Choice::Literal(literal.into()));
    }
    let json = text.starts_with(['[', '"', '-']) || text.starts_with(|c: char| c.is_ascii_digit());
    if json || ["null", "true", "false"].contains(&text) {
        return match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Ok(Choice::Json(text.into())),
            Err(error) => Err(TemplateFault::NotJson(error.to_string())),
        };
    }
    let (name, form) = match text.split_once(':') {
        None => (text, None),
        Some((name, form)) => (name.trim_end(), Some(form.trim())),
    };
    let name = Name::parse(name).filter(|name| scope.has(name));
    let Some(name) = name else {
        return Err(TemplateFault::Unknown {
            text: fault::clip(text),
            known: scope.names(),
        });
    };
    let form = match form {
        None => Form::default(),
        Some(form) => Form::parse(form, &name)?,
    };
    Ok(Choice::Reference(name, form))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str, language: Language) -> Result<Template, TemplateFault> {
        Template::parse(text, language, Scope::Event)
    }

    #[test]
    fn text_and_values_stand_in_their_order() {
        let template = parse("a $$ ${data.x|type|'n/a':|[1, \"}|\"]} b", Language::Text);
        assert!(template.is_err(), "a text has no form");
        let template = parse("a $$ ${data.x | type|'n/a'|[1, \"}|\"]} b", Language::Text).unwrap();
        let [Part::Text(a), Part::Value { choices, place }, Part::Text(b)] = template.parts()
        else {
            panic!("{template:?}");
        };
        assert_eq!((&**a, &**b, *place), ("a $ ", " b", Place::Text));
        assert_eq!(
            choices[0],
            Choice::Reference(Name::Data(["x".into()].into()), Form::Plain)
        );
        assert_eq!(choices[2], Choice::Literal("n/a".into()));
        assert_eq!(choices[3], Choice::Json("[1, \"}|\"]".into()));
    }

    #[test]
    fn in_json_a_value_between_quotes_is_text() {
        let template = parse(r#"{"a": ${data}, "b": "\"${type}\""}"#, Language::Json).unwrap();
        let places: Vec<Place> = template
            .parts()
            .iter()
            .filter_map(|part| match part {
                Part::Value { place, .. } => Some(*place),
                Part::Text(_) => None,
            })
            .collect();
        assert_eq!(places, [Place::Json, Place::JsonString]);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        for (text, language, says) in [
            ("${data", Language::Text, "no closing brace"),
            ("${datum}", Language::Text, "data.NAME"),
            ("${client.id}", Language::Text, "known here"),
            ("${data.}", Language::Text, "known here"),
            ("${for item in data}", Language::Text, "known here"),
            ("${time:noon}", Language::Text, "rfc3339"),
            ("${type:unix}", Language::Text, "text"),
            ("{\"a\": ${data}", Language::Json, "not JSON"),
            ("{${type}: 1}", Language::Json, "not JSON"),
            ("${[1}", Language::Text, "not JSON"),
        ] {
            let fault = parse(text, language).unwrap_err().to_string();
            assert!(fault.contains(says), "{text}: {fault}");
        }
        let long = "x".repeat(MAX_BYTES + 1);
        assert_eq!(parse(&long, Language::Text), Err(TemplateFault::TooLong));
        let many = "${type}".repeat(MAX_VALUES + 1);
        assert_eq!(
            parse(&many, Language::Text),
            Err(TemplateFault::TooManyValues)
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,60}|[${}|:'\"a-z.\\[\\]0-9 ]{0,40}") {
            for scope in Scope::ALL {
                for language in [Language::Text, Language::Json] {
                    let _ = Template::parse(&text, language, scope);
                }
            }
        }

        #[test]
        fn a_text_without_a_dollar_is_itself(text in "[^$]{1,60}") {
            let template = parse(&text, Language::Text).unwrap();
            prop_assert_eq!(template.parts(), &[Part::Text(text.into())]);
        }
    }
}
