//! The CustomResourceDefinition as `crds/` holds it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::SseRelay;

/// The definition of `SseRelay`.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    let mut json = serde_json::to_value(SseRelay::crd()).expect("a definition is plain data");
    tidy(&mut json);
    serde_json::from_value(json).expect("only descriptions and formats were changed")
}

/// The definition as YAML, ready for `kubectl apply`.
#[must_use]
pub fn yaml() -> String {
    serde_saphyr::to_string(&definition()).expect("a definition is plain data")
}

/// Makes each description one line, and drops what only confuses: formats of Rust's integers, which
/// the API server has no name for, and leave to write a null, which is neither there nor absent.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            let format = fields.get("format").and_then(Value::as_str);
            if format.is_some_and(|format| format.starts_with('u')) {
                fields.remove("format");
            }
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
