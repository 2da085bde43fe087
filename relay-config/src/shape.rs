//! Which keys are legal where, read from the JSON Schema so that it is said only once.

use serde_json::{Map, Value};

use crate::error::Unknown;
use crate::nearest::nearest;
use crate::tree::{Kind, Node};
use crate::validate::Problem;

/// The schemas of an object's fields; `None` if it is no object.
pub(crate) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    alternatives(schema).find_map(|schema| schema["properties"].as_object())
}

/// The schema of a list's items; `None` if it is no list.
pub(crate) fn items(schema: &Value) -> Option<&Value> {
    alternatives(schema).find_map(|schema| schema.get("items"))
}

/// Whether a text is a legal type of value.
pub(crate) fn takes_text(schema: &Value) -> bool {
    alternatives(schema).any(|schema| match &schema["type"] {
        Value::String(name) => name == "string",
        Value::Array(names) => names.iter().any(|name| name == "string"),
        _ => false,
    })
}

/// The schema itself and those of which one must hold, as for optional values and choices.
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    let inner = ["anyOf", "oneOf"]
        .into_iter()
        .filter_map(|key| schema[key].as_array())
        .flatten();
    std::iter::once(schema).chain(inner)
}

/// Adds every key of `node` that `schema` does not know to `unknown`.
pub(crate) fn unknown_keys(schema: &Value, node: &Node, path: &str, unknown: &mut Vec<Unknown>) {
    match &node.kind {
        Kind::Map(entries) => {
            let Some(legal) = properties(schema) else {
                return;
            };
            for entry in entries {
                let inner = join(path, &entry.key);
                match legal.get(&entry.key) {
                    Some(schema) => unknown_keys(schema, &entry.node, &inner, unknown),
                    None => unknown.push(Unknown::Key {
                        origin: entry.key_origin.clone(),
                        path: inner,
                        nearest: nearest(&entry.key, legal.keys().map(String::as_str))
                            .map_or_else(String::new, |name| join(path, name)),
                    }),
                }
            }
        }
        Kind::List(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                if let Some(schema) = items(schema) {
                    unknown_keys(schema, node, &format!("{path}[{index}]"), unknown);
                }
            }
        }
        Kind::Null | Kind::Scalar(_) => {}
    }
}

/// The first list where `schema` wants an object. serde would take its items for the fields in
/// the order of their declaration.
pub(crate) fn list_for_object(schema: &Value, node: &Node, path: &str) -> Option<Problem> {
    match &node.kind {
        Kind::List(_) if properties(schema).is_some() => Some(Problem {
            path: path.to_owned(),
            message: "is a list; write keys and values".to_owned(),
        }),
        Kind::List(nodes) => nodes.iter().enumerate().find_map(|(index, node)| {
            list_for_object(items(schema)?, node, &format!("{path}[{index}]"))
        }),
        Kind::Map(entries) => entries.iter().find_map(|entry| {
            let schema = properties(schema)?.get(&entry.key)?;
            list_for_object(schema, &entry.node, &join(path, &entry.key))
        }),
        Kind::Null | Kind::Scalar(_) => None,
    }
}

/// The path of the field `key` of what is at `path`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    format!("{path}.{key}")
}
