//! What the relay can be told and the resource has no field for, as the relay reads it.

use relay_config::Config;
use serde_json::{Map, Value};

use super::{Unread, path_in_resource};

/// Fields of the relay's configuration that `settings` may hold.
pub const FIELDS: [&str; 33] = [
    "audit.target",
    "auth.forward.cacheEntries",
    "auth.forward.concurrency",
    "event.maxAttributes",
    "http.bodyTimeout",
    "http.headTimeout",
    "http.hsts",
    "http.http1",
    "http.http2",
    "http.idleTimeout",
    "http.maxConcurrentStreams",
    "http.maxHeadBytes",
    "http.threads",
    "idempotency.maxKeys",
    "idempotency.window",
    "limits.burst",
    "limits.ipv4Prefix",
    "limits.ipv6Prefix",
    "limits.maxTracked",
    "limits.toBrowsers",
    "redis.publishWindow",
    "stream.connectedEvent",
    "stream.maxFilterValues",
    "stream.overflow",
    "stream.retry",
    "stream.retryJitter",
    "stream.writeTimeout",
    "tickets.bind",
    "tickets.max",
    "tickets.redeemWithin",
    "tickets.reopenWithin",
    "tls.handshakeTimeout",
    "tls.maxHandshakes",
];

/// Fields, or whole sections, that nobody sets in a pod, and why.
pub const NOT_IN_PODS: [(&str, &str); 14] = [
    (
        "adminListen",
        "probes and metrics find the pods at their port",
    ),
    ("archive.postgres.credentials.passwordVariable", VARIABLES),
    ("archive.postgres.urlVariable", VARIABLES),
    (
        "audit.file",
        "pods can write no files; their lines go where all others go",
    ),
    (
        "data",
        "without redis the log of a relay is in memory; what must last is in Redis",
    ),
    (
        "demo",
        "what is made up is for trying the relay out by hand",
    ),
    (
        "insecureOpen",
        "write auth.anonymous with what everybody may do",
    ),
    ("listen", "Services find the pods at their port"),
    (
        "logging.format",
        "it is JSON, for those who collect lines of pods",
    ),
    ("proxies.trustUnixSockets", SOCKETS),
    ("redis.credentials.passwordVariable", VARIABLES),
    ("redis.sentinel.credentials.passwordVariable", VARIABLES),
    ("stream.maxConnections", "it is derived from maxStreams"),
    ("unixSockets", SOCKETS),
];

const VARIABLES: &str = "pods have no variables of yours; name a Secret";
const SOCKETS: &str = "nobody outside of a pod could open one";

/// `config` with what `from` says, which means nothing where [`Unread`] says so.
pub(super) fn settings(config: Config, from: &Map<String, Value>, unread: &mut Unread) -> Config {
    let mut told = Told {
        tree: serde_json::to_value(&config).expect("plain data"),
        config,
        unread,
    };
    told.section("", from);
    told.config
}

struct Told<'a> {
    config: Config,
    /// The same.
    tree: Value,
    unread: &'a mut Unread,
}

impl Told<'_> {
    fn section(&mut self, within: &str, fields: &Map<String, Value>) {
        for (name, value) in fields {
            let path = match within {
                "" => name.clone(),
                within => format!("{within}.{name}"),
            };
            let below = format!("{path}.");
            let said = match value {
                _ if FIELDS.contains(&path.as_str()) => self.field(&path, value),
                Value::Object(inner) if FIELDS.iter().any(|field| field.starts_with(&below)) => {
                    self.section(&path, inner);
                    continue;
                }
                _ => Err(refusal(&path)),
            };
            if let Err(message) = said {
                self.unread.0.push((format!("settings.{path}"), message));
            }
        }
    }

    fn field(&mut self, path: &str, value: &Value) -> Result<(), String> {
        let mut tree = self.tree.clone();
        let mut place = &mut tree;
        let (sections, name) = path.rsplit_once('.').unwrap_or(("", path));
        for section in sections.split('.') {
            place = match place.get_mut(section) {
                Some(inner) if inner.is_object() => inner,
                _ => {
                    return Err(format!(
                        "without spec.{sections} it says nothing; write that too, or remove it"
                    ));
                }
            };
        }
        place[name] = value.clone();
        self.config = serde_json::from_value(tree.clone()).map_err(|error| error.to_string())?;
        self.tree = tree;
        Ok(())
    }
}

/// Why `path` is not for `settings`, and what to do.
fn refusal(path: &str) -> String {
    let of_section = |section: &str| {
        path.strip_prefix(section)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some((_, why)) = NOT_IN_PODS.iter().find(|(field, _)| of_section(field)) {
        return format!("{why}; remove it");
    }
    let below = format!("{path}.");
    let is_section = FIELDS.iter().any(|field| field.starts_with(&below));
    if known(path) && !is_section {
        return format!("write it as spec.{}", path_in_resource(path));
    }
    let (what, within) = match path.rsplit_once('.') {
        _ if is_section => ("is a section", path),
        Some((within, _)) => ("unknown", within),
        None => ("unknown", ""),
    };
    let mut names: Vec<&str> = FIELDS
        .iter()
        .filter_map(|field| field.strip_prefix(within))
        .map(|rest| rest.trim_start_matches('.'))
        .map(|rest| rest.split('.').next().unwrap_or(rest))
        .collect();
    names.dedup();
    format!("{what}; write one of {}", names.join(", "))
}

/// Whether the relay's configuration has something at `path`.
fn known(path: &str) -> bool {
    let schema = relay_config::schema();
    let mut place = Some(&schema);
    for name in path.split('.') {
        place = place.and_then(|schema| {
            let either = schema["anyOf"].as_array().into_iter().flatten();
            let sections = std::iter::once(schema).chain(either);
            sections
                .filter_map(|section| section["properties"].get(name))
                .next()
        });
    }
    place.is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(value: Value) -> (Config, Vec<String>) {
        let mut unread = Unread::default();
        let fields = value.as_object().unwrap();
        let config = settings(Config::default(), fields, &mut unread);
        let said = unread.0.into_iter();
        (
            config,
            said.map(|(path, why)| format!("{path}: {why}")).collect(),
        )
    }

    #[test]
    fn what_the_resource_has_no_field_for_is_told_to_the_relay() {
        let (config, said) = told(
            json!({ "stream": { "retry": "7s", "connectedEvent": false }, "tickets": { "max": 5 } }),
        );
        assert_eq!(said, [""; 0]);
        assert_eq!(config.stream.retry.to_string(), "7s");
        assert!(!config.stream.connected_event);
        assert_eq!(config.tickets.max, 5);
    }

    #[test]
    fn what_is_not_for_it_is_refused_with_what_to_do_and_the_rest_is_read() {
        for (value, expected) in [
            (
                json!({ "stream": { "retri": "7s" } }),
                "settings.stream.retri: unknown; write one of connectedEvent, maxFilterValues, overflow, retry, retryJitter, writeTimeout",
            ),
            (
                json!({ "stream": { "maxAge": "7m" } }),
                "settings.stream.maxAge: write it as spec.limits.streamAge",
            ),
            (
                json!({ "retention": { "events": 7 } }),
                "settings.retention: write it as spec.retention",
            ),
            (
                json!({ "listen": "0.0.0.0:1" }),
                "settings.listen: Services find the pods at their port; remove it",
            ),
            (
                json!({ "data": { "dir": "/x" } }),
                "settings.data: without redis",
            ),
            (
                json!({ "tls": { "maxHandshakes": 7 } }),
                "settings.tls.maxHandshakes: without spec.tls it says nothing",
            ),
            (
                json!({ "stream": 7 }),
                "settings.stream: is a section; write one of connectedEvent, ",
            ),
            (
                json!({ "steam": 7 }),
                "settings.steam: unknown; write one of audit, auth, event, ",
            ),
            (
                json!({ "tickets": { "max": "many" } }),
                "settings.tickets.max: ",
            ),
        ] {
            let (_, said) = told(value.clone());
            assert_eq!(said.len(), 1, "{value}: {said:?}");
            assert!(said[0].starts_with(expected), "{value}: {said:?}");
        }
        let (config, said) = told(json!({ "http": { "http3": true, "http2": false } }));
        assert_eq!(said.len(), 1);
        assert!(!config.http.http2);
    }

    #[test]
    fn every_field_is_one_of_the_relay_and_says_so_in_order() {
        assert!(FIELDS.is_sorted());
        let all = FIELDS
            .iter()
            .chain(NOT_IN_PODS.iter().map(|(field, _)| field));
        for field in all {
            assert!(known(field), "{field}");
        }
    }
}
