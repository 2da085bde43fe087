//! From texts and variables to a valid [`Config`].

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::Config;
use crate::error::{LoadError, Located, Unknown};
use crate::nearest::nearest;
use crate::origin::Origin;
use crate::schema::schema;
use crate::service_links::is_service_link;
use crate::shape::{list_for_object, properties, unknown_keys};
use crate::tree::{Kind, Node, read_file, read_variable};
use crate::validate::Problem;
use crate::variables::{Field, NOT_CONFIGURATION, PREFIX, Syntax, variables};

impl Config {
    /// The configuration that `file` (name for messages, and YAML text) and then the environment
    /// variables `vars` say; the rest is defaults. It is a valid one.
    ///
    /// A field's variable is `SSE_RELAY_` and its keys in capitals, `_` between words and `__`
    /// between levels: `SSE_RELAY_STREAM__MAX_QUEUE_BYTES=2Mi`. Lists and whole sections are
    /// written as JSON and replace those of the file; a variable of a field goes before one of
    /// its section. An empty variable counts as not set. Variables without the prefix, and
    /// [`NOT_CONFIGURATION`], are passed over, as are those that Kubernetes sets for a Service
    /// called `sse-relay`.
    pub fn from_sources(
        file: Option<(&str, &str)>,
        vars: &BTreeMap<String, String>,
    ) -> Result<Self, LoadError> {
        let (config, origins) = read(file, vars)?;
        config.validate().map_err(|problems| {
            let located = problems.into_iter().map(|p| locate(p, &origins));
            LoadError::Invalid(located.collect())
        })?;
        Ok(config)
    }
}

type Origins = BTreeMap<String, Origin>;

/// Everything but validation.
pub(crate) fn read(
    file: Option<(&str, &str)>,
    vars: &BTreeMap<String, String>,
) -> Result<(Config, Origins), LoadError> {
    let schema = schema();
    let mut unknown = Vec::new();
    let mut tree = match file {
        Some((name, text)) => read_file(name, text)?,
        None => Node {
            origin: Origin::Variable(PREFIX.into()),
            kind: Kind::Map(Vec::new()),
        },
    };
    unknown_keys(&schema, &tree, "", &mut unknown);
    overlay(&mut tree, vars, &schema, &mut unknown)?;
    if !unknown.is_empty() {
        return Err(LoadError::Unknown(unknown));
    }
    let misplaced = list_for_object(&schema, &tree, "");
    let mut origins = Origins::new();
    let value = tree.into_value("", &mut origins);
    let typed = match misplaced {
        Some(problem) => Err(problem),
        None => typed(value),
    };
    match typed {
        Ok(config) => Ok((config, origins)),
        Err(problem) => Err(LoadError::WrongValue(locate(problem, &origins))),
    }
}

/// Sets in `tree` what the variables say. They come sorted, so a section's variable comes before
/// those of its fields, which thus win.
fn overlay(
    tree: &mut Node,
    vars: &BTreeMap<String, String>,
    schema: &Value,
    unknown: &mut Vec<Unknown>,
) -> Result<(), LoadError> {
    let fields = variables(schema);
    for (name, text) in vars {
        if !name.starts_with(PREFIX) || NOT_CONFIGURATION.contains(&name.as_str()) {
            continue;
        }
        match fields.get(name) {
            None if is_service_link(name, text) => {}
            None => unknown.push(Unknown::Variable {
                name: name.clone(),
                nearest: nearest(name, fields.keys().map(String::as_str))
                    .unwrap_or(PREFIX)
                    .to_owned(),
            }),
            Some(_) if text.is_empty() => {}
            Some(field) => {
                let node = value(name, text, field)?;
                unknown_keys(
                    at(schema, &field.path),
                    &node,
                    &field.path.join("."),
                    unknown,
                );
                tree.set(&field.path, node);
            }
        }
    }
    Ok(())
}

fn value(name: &str, text: &str, field: &Field) -> Result<Node, LoadError> {
    match field.syntax {
        Syntax::Text => Ok(Node::text(name, text)),
        Syntax::Json => read_variable(name, text),
    }
}

fn at<'a>(schema: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(schema, |schema, key| {
        properties(schema)
            .and_then(|fields| fields.get(key))
            .unwrap_or(&Value::Null)
    })
}

fn typed(value: Value) -> Result<Config, Problem> {
    let value = match value {
        Value::Null => Value::Object(serde_json::Map::new()),
        value => value,
    };
    serde_path_to_error::deserialize(value).map_err(|error| Problem {
        path: match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        },
        message: error.inner().to_string(),
    })
}

/// Adds where the field or the innermost section around it was written.
fn locate(problem: Problem, origins: &Origins) -> Located {
    let mut path = problem.path.as_str();
    let origin = loop {
        if let Some(origin) = origins.get(path) {
            break Some(origin.clone());
        }
        match path.rfind(['.', '[']) {
            Some(end) => path = &path[..end],
            None => break None,
        }
    };
    Located { origin, problem }
}
