//! The JSON Schema of the document.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::config::Config;

/// The JSON Schema (draft 2020-12) of [`Config`]: types, defaults and descriptions.
///
/// It has no references. What holds between fields is checked by [`Config::validate`] only.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value();
    join_lines(&mut schema);
    schema
}

/// Makes each description one line: where a comment in the code breaks means nothing.
fn join_lines(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            fields.values_mut().for_each(join_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::shape::{items, properties};

    #[test]
    fn the_generated_file_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.json");
        let generated = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap_or_default() == generated,
            "{} is out of date; run `UPDATE_GOLDEN=1 cargo test -p relay-config`",
            path.display()
        );
    }

    fn each_property(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
        for (name, property) in properties(schema).into_iter().flatten() {
            let path = format!("{path}.{name}");
            visit(&path, property);
            each_property(property, &path, visit);
        }
        if let Some(items) = items(schema) {
            each_property(items, &format!("{path}[]"), visit);
        }
    }

    #[test]
    fn every_field_has_a_description() {
        let mut seen = 0;
        each_property(&schema(), "", &mut |path, property| {
            seen += 1;
            let description = property["description"].as_str().unwrap_or_default();
            assert!(
                !description.is_empty() && !description.contains('\n'),
                "{path}"
            );
        });
        assert!(seen > 60, "walked only {seen} fields");
    }

    #[test]
    fn every_required_field_of_the_document_has_its_default_in_the_schema() {
        let schema = schema();
        let defaults = serde_json::to_value(Config::default()).unwrap();
        for (name, default) in defaults.as_object().unwrap() {
            assert_eq!(&schema["properties"][name]["default"], default, "{name}");
        }
    }

    #[test]
    fn unknown_keys_are_illegal_in_the_schema_too() {
        assert_eq!(schema()["additionalProperties"], Value::Bool(false));
        let text = schema().to_string();
        assert!(!text.contains("\"$ref\""), "references were inlined");
        assert!(text.contains("https://json-schema.org/draft/2020-12/schema"));
    }
}
