//! What is written as in the relay's own configuration, and files that it may name.

use std::borrow::Cow;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::auth::SecretKey;

/// A path of another system, which the relay serves as that did. It is written as in the relay's
/// configuration, whose checks the operator makes: the schema of routes would take more than half of
/// the room that a definition has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Route(pub Map<String, Value>);

/// A system that events are pulled from, written as in the relay's configuration, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Source(pub Map<String, Value>);

/// What the relay can be told and the resource has no field for, written as in the relay's
/// configuration, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub Map<String, Value>);

impl JsonSchema for Route {
    fn schema_name() -> Cow<'static, str> {
        "Route".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        verbatim(
            "A path of another system, which the relay serves as that did: `paths`, `channels` and what else docs/routes.md has. The operator checks what stands here, and the condition Ready says what is wrong.",
        )
    }
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        verbatim(
            "A system that events are pulled from: `name`, one kind, and `mapping`, as in the relay's configuration. Passwords stand in files (`files`). The operator checks what stands here, and the condition Ready says what is wrong.",
        )
    }
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        verbatim(
            "What else the relay can be told, as in its configuration: `audit`, `http`, `idempotency`, `stream`, `tickets` and others. What the rest of this resource says is not said here. The operator checks what stands here, and the condition Ready says what is wrong.",
        )
    }
}

fn verbatim(description: &str) -> Schema {
    json_schema!({
        "type": "object",
        "description": description,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// A key of a Secret that pods see as the file `/run/secrets/sse-relay/files/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Name of the file.
    #[schemars(length(max = 63), regex(pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
    /// What stands in it.
    pub secret: SecretKey,
}
