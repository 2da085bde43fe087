//! Fields of a resource that mean nothing, for `render`. The API server finds them by itself.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use crate::crd::definition;

/// A sentence for each field of `relay`'s spec that the definition does not have.
#[must_use]
pub fn unknown_fields(relay: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let definition = definition();
    let versions = definition.spec.versions.iter();
    let schemas =
        versions.filter_map(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    for schema in schemas {
        let spec = schema.properties.as_ref().and_then(|all| all.get("spec"));
        if let Some(spec) = spec {
            walk(spec, &relay["spec"], "spec", &mut found);
        }
    }
    found
}

fn walk(schema: &JSONSchemaProps, value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match (&schema.properties, schema.additional_properties.as_ref()) {
                    (Some(known), _) => match known.get(name) {
                        Some(schema) => walk(schema, value, &path, found),
                        None => {
                            let names: Vec<&str> = known.keys().map(String::as_str).collect();
                            found.push(format!(
                                "{path}: unknown; write one of {}",
                                names.join(", ")
                            ));
                        }
                    },
                    (None, Some(JSONSchemaPropsOrBool::Schema(schema))) => {
                        walk(schema, value, &path, found);
                    }
                    (None, _) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    walk(schema, item, &format!("{path}[{index}]"), found);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_misspelt_field_is_named_with_those_that_there_are() {
        let relay = json!({ "spec": { "rollout": { "drainWindows": "5s" }, "replicas": 1 } });
        assert_eq!(
            unknown_fields(&relay),
            ["spec.rollout.drainWindows: unknown; write one of drainWindow, propagation, strategy"]
        );
    }
}
