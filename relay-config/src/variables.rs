//! The environment variable of each field.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::shape::{properties, takes_text};

/// How every variable of this configuration begins.
pub const PREFIX: &str = "SSE_RELAY_";

/// Variables with that prefix that are not configuration: the relay's command line reads them.
pub const NOT_CONFIGURATION: [&str; 4] = [
    "SSE_RELAY_CONFIG",
    "SSE_RELAY_LOG",
    "SSE_RELAY_TOKEN",
    "SSE_RELAY_URL",
];

/// The field that a variable sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The keys that lead to it.
    pub(crate) path: Vec<String>,
    /// How its value is written.
    pub(crate) syntax: Syntax,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// As it stands, without quotes.
    Text,
    /// As JSON: numbers, `true` and `false`, lists, objects.
    Json,
}

/// The names of all variables that set a field (or a whole section, as JSON), sorted.
#[must_use]
pub fn variable_names() -> Vec<String> {
    variables(&crate::schema()).into_keys().collect()
}

/// Every field and section of the document by the name of its variable.
pub(crate) fn variables(schema: &Value) -> BTreeMap<String, Field> {
    let mut found = BTreeMap::new();
    collect(schema, &[], &mut found);
    found
}

fn collect(schema: &Value, path: &[String], found: &mut BTreeMap<String, Field>) {
    for (key, schema) in properties(schema).into_iter().flatten() {
        let path = [path, std::slice::from_ref(key)].concat();
        collect(schema, &path, found);
        let syntax = if takes_text(schema) {
            Syntax::Text
        } else {
            Syntax::Json
        };
        found.insert(name(&path), Field { path, syntax });
    }
}

fn name(path: &[String]) -> String {
    let levels: Vec<String> = path.iter().map(|key| screaming_snake(key)).collect();
    format!("{PREFIX}{}", levels.join("__"))
}

fn screaming_snake(camel: &str) -> String {
    let mut snake = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_uppercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_s_variable_is_its_path_with_two_underscores_between_levels() {
        let variables = variables(&crate::schema());
        let path = |name: &str| variables[name].path.join(".");
        assert_eq!(path("SSE_RELAY_LISTEN"), "listen");
        assert_eq!(
            path("SSE_RELAY_STREAM__MAX_QUEUE_BYTES"),
            "stream.maxQueueBytes"
        );
        assert_eq!(path("SSE_RELAY_HEARTBEAT__AS"), "heartbeat.as");
        assert_eq!(path("SSE_RELAY_HTTP__HTTP2"), "http.http2");
        assert_eq!(path("SSE_RELAY_HEARTBEAT"), "heartbeat");
    }

    #[test]
    fn no_field_has_a_variable_that_is_not_configuration() {
        let names = variable_names();
        for name in NOT_CONFIGURATION {
            assert!(!names.iter().any(|n| n == name), "{name}");
        }
    }

    #[test]
    fn texts_stand_as_they_are_and_the_rest_is_json() {
        let variables = variables(&crate::schema());
        for (name, syntax) in [
            ("SSE_RELAY_DATA__DIR", Syntax::Text),
            ("SSE_RELAY_LOGGING__FORMAT", Syntax::Text),
            ("SSE_RELAY_MAX_LOG_BYTES", Syntax::Text),
            ("SSE_RELAY_DRAIN__WINDOW", Syntax::Text),
            ("SSE_RELAY_CHANNELS", Syntax::Json),
            ("SSE_RELAY_DRAIN", Syntax::Json),
            ("SSE_RELAY_HTTP__THREADS", Syntax::Json),
            ("SSE_RELAY_INSECURE_OPEN", Syntax::Json),
        ] {
            assert_eq!(variables[name].syntax, syntax, "{name}");
        }
    }
}
