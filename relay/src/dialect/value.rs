//! What a template's names stand for.

use super::json::{self, Style};
use jiff::{Timestamp, tz::TimeZone};
use relay_config::{Form, Name};
use std::borrow::Cow;

/// What the names of a template stand for.
pub trait Facts {
    /// `None` where there is no such thing.
    fn value(&self, name: &Name) -> Option<Value<'_>>;
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value<'f> {
    Text(Cow<'f, str>),
    /// Legal JSON.
    Json(Cow<'f, str>),
    /// An event's data: JSON, if that is what it is.
    Document(&'f str),
    Time(Timestamp),
    Number(u64),
}

impl<'f> Value<'f> {
    /// The member of a document that these keys lead to; the document itself without any.
    pub fn member(document: &'f str, keys: &[Box<str>]) -> Option<Value<'f>> {
        if keys.is_empty() {
            return Some(Value::Document(document));
        }
        json::member(document, keys).map(|json| Value::Json(json.into()))
    }

    /// The same in another form.
    pub(super) fn in_form(self, form: Form, style: Style) -> Value<'f> {
        match (self, form) {
            (Value::Time(time), form) => of_time(time, form),
            (value, Form::Text) => Value::Text(value.into_text(style)),
            (value, _) => value,
        }
    }

    /// As text: a JSON string is its content.
    pub(super) fn into_text(self, style: Style) -> Cow<'f, str> {
        match self {
            Value::Text(text) => text,
            Value::Document(text) => text.into(),
            Value::Json(json) => match json::string(&json) {
                Some(text) => text.into_owned().into(),
                None => json::restyled(&json, style).into(),
            },
            Value::Time(time) => format!("{time:.3}").into(),
            Value::Number(number) => number.to_string().into(),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Value::Json(json) if json == "null")
    }

    /// Whether it is JSON, but no string.
    pub(super) fn is_unlike_text(&self) -> bool {
        matches!(self, Value::Json(json) if !json.starts_with('"'))
    }
}

fn of_time(time: Timestamp, form: Form) -> Value<'static> {
    let civil = || time.to_zoned(TimeZone::UTC).datetime();
    match form {
        Form::Plain | Form::Text | Form::Rfc3339 => Value::Text(format!("{time:.3}").into()),
        Form::Isoformat => Value::Text(
            civil()
                .strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00")
                .to_string()
                .into(),
        ),
        Form::Utc => Value::Text(civil().strftime("%Y-%m-%d %H:%M:%S.%6f").to_string().into()),
        Form::Unix => {
            let micros = time.as_microsecond();
            let (sign, micros) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
            let digits = format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            let short = digits.trim_end_matches('0');
            let short = match short.ends_with('.') {
                true => format!("{short}0"),
                false => short.to_owned(),
            };
            Value::Json(short.into())
        }
        Form::Millis => Value::Json(time.as_millisecond().to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_forms_of_those_who_read_it() {
        let time: Timestamp = "2026-11-21T07:00:20.349575Z".parse().unwrap();
        let texts = [
            (Form::Plain, "2026-11-21T07:00:20.349Z"),
            (Form::Isoformat, "2026-11-21T07:00:20.349575+00:00"),
            (Form::Utc, "2026-11-21 07:00:20.349575"),
            (Form::Unix, "1795244420.349575"),
            (Form::Millis, "1795244420349"),
        ];
        for (form, text) in texts {
            let value = Value::Time(time).in_form(form, Style::COMPACT);
            assert_eq!(value.into_text(Style::COMPACT), text, "{form:?}");
        }
        let whole: Timestamp = "2026-11-21T07:00:20Z".parse().unwrap();
        assert_eq!(
            of_time(whole, Form::Unix),
            Value::Json("1795244420.0".into())
        );
        let old: Timestamp = "1969-12-31T23:59:59.5Z".parse().unwrap();
        assert_eq!(of_time(old, Form::Unix), Value::Json("-0.5".into()));
    }
}
