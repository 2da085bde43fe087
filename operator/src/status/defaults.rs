//! What holds where the resource says nothing: the relay's own defaults, which the schema does not set
//! (decision 0060).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::document::path_in_resource;
use crate::scaling::HEADROOM;
use crate::validate::Valid;

/// Constants of the relay's configuration, by their paths there. Those of lists (each issuer's
/// `clockSkew`) are not among them.
const CONSTANTS: [&str; 29] = [
    "heartbeat.interval",
    "retention.events",
    "retention.age",
    "retention.bytes",
    "event.maxBytes",
    "http.maxBodyBytes",
    "http.maxBatchEvents",
    "stream.maxChannels",
    "stream.maxAge",
    "stream.maxQueueBytes",
    "stream.maxMemory",
    "tcp.keepAlive",
    "tcp.userTimeout",
    "revocations.keep",
    "revocations.max",
    "cors.maxAge",
    "archive.retention",
    "archive.tableSpan",
    "archive.interval",
    "archive.batchEvents",
    "archive.readers",
    "archive.postgres.connectTimeout",
    "archive.postgres.commandTimeout",
    "redis.connectTimeout",
    "redis.commandTimeout",
    "traces.maxQueue",
    "auth.forward.lifetime",
    "auth.forward.timeout",
    "auth.forward.cache",
];

/// Parts of the resource that hold nothing while they are left out.
const PARTS: [&str; 5] = [
    "cors",
    "archive",
    "redis.external",
    "traces",
    "auth.forward",
];

/// Each field of the resource that was left out and has a constant in its place, with that.
pub(super) fn defaults(valid: &Valid) -> BTreeMap<String, String> {
    let (spec, config) = (json(&valid.spec), json(&valid.config));
    let holds = CONSTANTS.iter().filter_map(|constant| {
        let field = path_in_resource(constant);
        let value = text(at(&config, constant)?)?;
        left_out(&spec, &field).then_some((field, value))
    });
    let mut holds: BTreeMap<String, String> = holds.collect();
    let headroom = "autoscaling.streams.headroom";
    if at(&spec, "autoscaling.streams").is_some() && at(&spec, headroom).is_none() {
        holds.insert(headroom.to_owned(), HEADROOM.to_string());
    }
    holds
}

fn left_out(spec: &Value, field: &str) -> bool {
    let part = PARTS.iter().find(|part| {
        let rest = field.strip_prefix(**part);
        rest.is_some_and(|rest| rest.starts_with('.'))
    });
    part.is_none_or(|part| at(spec, part).is_some()) && at(spec, field).is_none()
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("it is plain data")
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut names = path.split('.');
    let found = names.try_fold(value, |value, name| value.get(name))?;
    (!found.is_null()).then_some(found)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
