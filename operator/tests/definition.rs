//! `crds/` holds what the code says, and it fits where it has to.

use std::path::Path;

use serde_json::Value;
use sse_relay_operator::crd::{definition, yaml};

/// What all annotations of an object can hold together. `kubectl apply` writes the whole definition into
/// one; a tenth is left to others, and to the fields of the next release.
const CLIENT_SIDE_APPLY: usize = 256 * 1024 / 10 * 9;

#[test]
fn the_generated_files_are_what_the_code_says() {
    // the second is the chart's: a chart holds no links to files outside of it
    for folder in ["../crds", "../charts/sse-relay-operator/files"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let path = folder.join("sserelays.sserelay.dev.yaml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, yaml()).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap_or_default() == yaml(),
            "{} is out of date; run `make crds`",
            path.display()
        );
    }
}

#[test]
fn it_stays_under_what_client_side_apply_can_hold() {
    let json = serde_json::to_string(&definition()).unwrap();
    assert!(json.len() < CLIENT_SIDE_APPLY, "{} bytes", json.len());
}

fn each_property(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    let properties = schema["properties"].as_object();
    for (name, property) in properties.into_iter().flatten() {
        let path = format!("{path}.{name}");
        visit(&path, property);
        each_property(property, &path, visit);
    }
    if schema["items"].is_object() {
        each_property(&schema["items"], &format!("{path}[]"), visit);
    }
}

fn rules(value: &Value) -> Vec<&Value> {
    let inner = |value| rules(value);
    match value {
        Value::Object(fields) => {
            let own = fields.get("x-kubernetes-validations");
            let own = own.and_then(Value::as_array).into_iter().flatten();
            own.chain(fields.values().flat_map(inner)).collect()
        }
        Value::Array(items) => items.iter().flat_map(inner).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_field_has_a_description_and_every_rule_a_message() {
    let definition = serde_json::to_value(definition()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut fields = 0;
    each_property(schema, "", &mut |path, property| {
        fields += 1;
        if path != ".spec" && path != ".status" {
            assert!(property["description"].is_string(), "{path}");
        }
    });
    assert!(fields > 100, "walked only {fields} fields");
    let rules = rules(schema);
    assert!(rules.len() >= 10, "found only {} rules", rules.len());
    for rule in rules {
        assert!(rule["message"].is_string(), "{rule}");
    }
}
