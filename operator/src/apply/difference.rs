//! Whether an object already says all that is wanted of it.

use kube::core::DynamicObject;
use serde_json::Value;

/// Whether `there` has everything that `wanted` says. What else it has (defaults, fields of others)
/// does not matter.
#[must_use]
pub fn contains(there: &DynamicObject, wanted: &DynamicObject) -> bool {
    let json = |object: &DynamicObject| serde_json::to_value(object).unwrap_or_default();
    covers(&json(there), &json(wanted))
}

/// Lists of objects are sets here: the API server keeps most of them by a key and adds to them
/// what others wrote. Lists of plain values are values.
fn covers(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| there.get(name).is_some_and(|there| covers(there, wanted))),
        (Value::Array(there), Value::Array(wanted)) if wanted.iter().any(Value::is_object) => {
            wanted
                .iter()
                .all(|wanted| there.iter().any(|there| covers(there, wanted)))
        }
        _ => there == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_fields_of_others_do_not_matter() {
        let there = json!({ "a": { "b": 1, "default": true }, "list": [{ "name": "x", "more": 1 }, { "name": "y" }] });
        assert!(covers(
            &there,
            &json!({ "a": { "b": 1 }, "list": [{ "name": "x" }] })
        ));
    }

    #[test]
    fn a_changed_a_missing_and_a_shortened_value_matter() {
        let there = json!({ "a": 1, "words": ["x", "y"] });
        for wanted in [
            json!({ "a": 2 }),
            json!({ "b": 1 }),
            json!({ "words": ["x"] }),
        ] {
            assert!(!covers(&there, &wanted), "{wanted}");
        }
    }
}
