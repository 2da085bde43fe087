//! JSON as text: members of it, and the same JSON in another style. Digits and the order of keys stay.

use relay_config::JsonStyle;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// How JSON is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    spaced: bool,
    ascii: bool,
}

impl Style {
    pub const COMPACT: Style = Style {
        spaced: false,
        ascii: false,
    };

    pub fn of(style: JsonStyle) -> Style {
        let (spaced, ascii) = match style {
            JsonStyle::Compact => (false, false),
            JsonStyle::CompactAscii => (false, true),
            JsonStyle::Spaced => (true, false),
            JsonStyle::SpacedAscii => (true, true),
        };
        Style { spaced, ascii }
    }

    /// What stands between two members.
    pub fn comma(self) -> &'static str {
        if self.spaced { ", " } else { "," }
    }

    pub fn colon(self) -> &'static str {
        if self.spaced { ": " } else { ":" }
    }
}

/// Whether a text is JSON.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The member of JSON text that these keys lead to; of a key that is there twice the last, as every
/// parser we know has it.
pub fn member<'t>(text: &'t str, keys: &[Box<str>]) -> Option<&'t str> {
    let mut text = text;
    for key in keys {
        let mut reader = serde_json::Deserializer::from_str(text);
        let found = reader.deserialize_map(Member { key }).ok()?;
        reader.end().ok()?; // what comes after it makes it no JSON
        text = found?.get();
    }
    Some(text)
}

/// The keys of a JSON object; `None` if it is none.
pub fn keys(text: &str) -> Option<Vec<String>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let keys = reader.deserialize_map(Keys).ok()?;
    reader.end().ok()?;
    Some(keys)
}

/// The content of a JSON string.
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inside.contains('\\') {
        return Some(inside.into());
    }
    serde_json::from_str::<String>(json).ok().map(Cow::Owned)
}

/// Legal JSON in a style.
pub fn restyled(json: &str, style: Style) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    restyle(json, style, &mut out);
    out
}

/// Appends legal JSON in a style.
pub fn restyle(json: &str, style: Style, out: &mut String) {
    let mut rest = json;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let end = end_of_string(rest);
            let token = &rest[..end];
            match string(token) {
                Some(text) => quote(&text, style, out),
                None => out.push_str(token), // half of a surrogate pair: escaped, and stays so
            }
            rest = &rest[end..];
            continue;
        }
        match c {
            ' ' | '\t' | '\n' | '\r' => {}
            ',' => out.push_str(style.comma()),
            ':' => out.push_str(style.colon()),
            _ => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
}

/// Length of the string that a text begins with, quotes included.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Appends a text as a JSON string.
pub fn quote(text: &str, style: Style, out: &mut String) {
    out.push('"');
    escape(text, style, out);
    out.push('"');
}

/// Appends a text as the inside of a JSON string. Characters that some clients take for line ends are
/// escaped in every style.
pub fn escape(text: &str, style: Style, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => unicode(c, out),
            '\u{7f}'.. if style.ascii => unicode(c, out),
            _ => out.push(c),
        }
    }
}

fn unicode(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

struct Member<'k> {
    key: &'k str,
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(self.key))? {
            if is_it {
                found = Some(map.next_value::<&RawValue>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this one.
struct Is<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(text == self.0)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = map.next_key_seed(Owned)? {
            map.next_value::<IgnoredAny>()?;
            keys.push(key);
        }
        Ok(keys)
    }
}

struct Owned;

impl<'de> DeserializeSeed<'de> for Owned {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PYTHON: Style = Style {
        spaced: true,
        ascii: true,
    };

    #[test]
    fn the_same_json_in_each_style() {
        let json =
            r#" {"a" : "é\u00e9😀\/" ,"n":[ 1.50, 1e3,-0 ], "b":{ },"q":"\"\\ \u0001\u007f"} "#;
        assert_eq!(
            restyled(json, PYTHON),
            "{\"a\": \"\\u00e9\\u00e9\\ud83d\\ude00/\", \"n\": [1.50, 1e3, -0], \"b\": {}, \"q\": \"\\\"\\\\ \\u0001\\u007f\"}"
        );
        assert_eq!(
            restyled(json, Style::COMPACT),
            "{\"a\":\"éé😀/\",\"n\":[1.50,1e3,-0],\"b\":{},\"q\":\"\\\"\\\\ \\u0001\u{7f}\"}"
        );
    }

    #[test]
    fn half_of_a_surrogate_pair_stays_as_it_is() {
        assert_eq!(restyled(r#"["\ud800", "a"]"#, PYTHON), r#"["\ud800", "a"]"#);
    }

    #[test]
    fn members_are_found_by_their_keys() {
        let path = |keys: &[&str]| -> Vec<Box<str>> { keys.iter().map(|k| (*k).into()).collect() };
        let json = r#"{"a":{"b\"":1,"c":[{}]},"a2":2,"d":1,"d":"x"}"#;
        assert_eq!(member(json, &path(&["a", "b\""])), Some("1"));
        assert_eq!(member(json, &path(&["a", "c"])), Some("[{}]"));
        assert_eq!(member(json, &path(&["d"])), Some("\"x\""), "the last one");
        assert_eq!(member(json, &path(&["a", "x"])), None);
        assert_eq!(member(json, &path(&["a2", "x"])), None);
        for no_object in ["", "x", "[1]", "1", "{\"d\":1} x", "{\"d\":1"] {
            assert_eq!(member(no_object, &path(&["d"])), None, "{no_object}");
        }
        assert_eq!(keys(json).unwrap(), ["a", "a2", "d", "d"]);
        assert_eq!(keys("[]"), None);
    }

    #[test]
    fn what_is_nested_very_deeply_breaks_nothing() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let object = format!("{{\"a\":{deep}}}");
        let found = member(&object, &["a".into()]);
        assert!(found.is_none_or(|found| found == deep));
        assert_eq!(restyled(&deep, PYTHON), deep);
    }

    proptest! {
        #[test]
        fn a_style_changes_no_value(text in "(?s).{0,30}", number: f64) {
            let value = serde_json::json!({"k": text, "n": [number, {"x": text}], &text: null});
            let json = value.to_string();
            for style in [PYTHON, Style::COMPACT] {
                let styled = restyled(&json, style);
                let back: serde_json::Value = serde_json::from_str(&styled).unwrap();
                prop_assert_eq!(&back, &value);
                prop_assert!(!style.ascii || styled.is_ascii());
                let line_ends = ['\n', '\r', '\u{2028}'];
                prop_assert!(!styled.contains(line_ends));
            }
        }
    }
}
