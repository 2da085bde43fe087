//! Every field can be set by its environment variable alone.

use std::collections::BTreeMap;

use relay_config::{Config, schema, variable_names};
use serde_json::{Value, json};

/// A legal value other than the default for the leaf `path` of this schema.
fn other_value(path: &str, schema: &Value, default: &Value) -> Value {
    match path {
        "listen" | "adminListen" => return json!("127.0.0.1:1"),
        "channels" => return json!([{"match": "a.**", "publish": "deny"}]),
        "routes" => return json!([{"paths": ["/a"], "channels": ["a"]}]),
        "sources" => {
            let stream = json!({"redis": {"url": "redis://r"}, "streams": ["a"]});
            return json!([{"name": "a", "redisStream": stream}]);
        }
        "cors.origins" => return json!(["https://a.example"]),
        "proxies.trusted" => return json!(["10.0.0.0/8"]),
        "limits.perAttribute" => return json!([{"attribute": "team", "streams": 1}]),
        "limits.ipv4Prefix" => return json!(24),
        "limits.ipv6Prefix" => return json!(56),
        "http.hsts" => return json!("8760h"),
        "cors.methods" => return json!(["GET"]),
        "cors.headers" | "cors.exposedHeaders" => return json!(["X-A"]),
        "auth.anonymous.publish" | "auth.anonymous.subscribe" => return json!(["a.**"]),
        "auth.forward.grant.onlyWith" => return json!({"roles": ["a"]}),
        "auth.tokens" => {
            return json!([{"name": "a", "sha256": "0".repeat(64), "manage": ["observe"]}]);
        }
        "auth.certificates" => {
            return json!([{"name": "a", "subject": "CN=a", "manage": ["observe"]}]);
        }
        "auth.cookie" | "auth.cookie.name" => return json!("sse"),
        "auth.forward.url" => return json!("http://app/session"),
        "auth.forward.caFile" => return json!("ca.pem"),
        "auth.forward.claims.attributes" | "auth.forward.claims.filters" => {
            return json!({"team": "team"});
        }
        path if path.starts_with("auth.forward.claims.") => return json!("claim"),
        "auth.forward.grant.manage" => return json!(["observe"]),
        path if path.starts_with("auth.forward.grant.") => return json!(["a.**"]),
        "auth.forward.headers" => return json!(["x-session"]),
        "auth.jwt" => {
            let key = json!({"secretFile": "/run/secrets/jwt"});
            let jwt = json!({"name": "a", "leeway": "30s", "expiry": "required", "keys": [key],
                             "claims": {"publish": "sse", "subject": "sub"}, "grant": {}});
            return json!([jwt]);
        }
        "audit.target" => return json!("off"),
        "audit.file" => return json!("audit.json"),
        "tickets.bind" => return json!(["address"]),
        "stream.overflow" => return json!("dropOldest"),
        "stream.maxMemory" => return json!("512Mi"),
        "event.maxBytes" => return json!("512Ki"),
        "http.maxBodyBytes" => return json!("2Mi"),
        "http.maxHeadBytes" => return json!("32Ki"),
        "stream.maxQueueBytes" => return json!("2Mi"),
        "archive.channels" => return json!(["a.**"]),
        "archive.schema" => return json!("other"),
        "archive.clients" => return json!(false),
        "archive.retention" => return json!("48h"),
        "archive.tableSpan" => return json!("12h"),
        "archive.postgres.credentials.username" => return json!("relay"),
        path if path.starts_with("archive.postgres.tls.") => return json!("x.pem"),
        "traces.headersFile" | "traces.caFile" => return json!("x.pem"),
        "traces.sampleRatio" => return json!(0.5),
        "unixSockets" => return json!([{"path": "/run/relay.sock", "mode": "600"}]),
        "drain.timeout" => return json!("60s"),
        "tls.minVersion" => return json!("1.3"),
        "tls.clientCa" => return json!("ca.pem"),
        "redis.publishWindow" => return json!("7ms"),
        "redis.cluster.nodes" | "redis.sentinel.nodes" => return json!(["redis:6379"]),
        path if path.starts_with("redis.tls.") => return json!("x.pem"),
        path if path.starts_with("redis.")
            && !path.contains("imeout")
            && !path.ends_with("minReplicasAck")
            && !path.ends_with("database") =>
        {
            let example = schema["examples"].get(0).cloned();
            return example.unwrap_or_else(|| json!("relay"));
        }
        _ => {}
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let mut names = choices.iter().map(|choice| choice["const"].clone());
        return names
            .rfind(|name| name != default)
            .expect("a choice has more than one name");
    }
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    match (default, &schema["examples"]) {
        (Value::Bool(on), _) => json!(!on),
        (Value::Number(_), _) => json!(2),
        _ if pattern.contains("ms") => json!("1001ms"),
        _ if pattern.contains("Mi") => json!("65Mi"),
        (Value::String(_), _) => json!("debug"),
        (_, Value::Array(examples)) => examples[0].clone(),
        _ => json!(2),
    }
}

fn leaves(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    let Some(fields) = schema["properties"].as_object() else {
        found.push((path.to_owned(), schema.clone()));
        return;
    };
    for (name, schema) in fields {
        let inner = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        leaves(schema, &inner, found);
    }
}

fn variable(path: &str) -> String {
    let mut name = String::from("SSE_RELAY_");
    for c in path.chars() {
        match c {
            '.' => name.push_str("__"),
            c if c.is_uppercase() => name.extend(['_', c]),
            c => name.extend(c.to_uppercase()),
        }
    }
    name
}

#[test]
fn every_leaf_of_the_schema_is_set_by_its_variable() {
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let names = variable_names();
    let mut found = Vec::new();
    leaves(&schema(), "", &mut found);
    assert!(found.len() > 40, "walked only {} leaves", found.len());
    for (path, schema) in found {
        let name = variable(&path);
        assert!(names.contains(&name), "{name}");
        let pointer = format!("/{}", path.replace('.', "/"));
        let default = defaults.pointer(&pointer).unwrap_or(&Value::Null);
        let wanted = other_value(&path, &schema, default);
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let mut vars = BTreeMap::new();
        for (path, wanted) in meaningless_without(&path) {
            vars.insert(variable(path), text(&wanted));
        }
        vars.insert(name.clone(), text(&wanted));
        let config = Config::from_sources(None, &vars).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut expected = defaults.clone();
        for (path, wanted) in meaningless_without(&path) {
            set(&mut expected, path, wanted);
        }
        set(&mut expected, &path, wanted);
        let expected: Config = serde_json::from_value(expected).unwrap();
        assert_ne!(expected, Config::default(), "{name}: the test sets nothing");
        assert_eq!(config, expected, "{name}");
    }
}

/// What else must be set, and to what, where a field alone would have no effect and is refused.
fn meaningless_without(path: &str) -> Vec<(&'static str, Value)> {
    let (certificate, key) = (
        ("tls.certificate", json!("c.pem")),
        ("tls.key", json!("k.pem")),
    );
    match path {
        "proxies.plaintext" | "proxies.proxyProtocol" => {
            vec![("proxies.trusted", json!(["10.0.0.0/8"]))]
        }
        "tls.clientAuth" => vec![certificate, key, ("tls.clientCa", json!("ca.pem"))],
        "tls.clientCa" => vec![certificate, key, ("tls.clientAuth", json!("optional"))],
        "auth.certificates" => vec![
            certificate,
            key,
            ("tls.clientAuth", json!("optional")),
            ("tls.clientCa", json!("ca.pem")),
        ],
        path if path.starts_with("auth.forward.") => {
            vec![("auth.forward.url", json!("http://app/session"))]
        }
        path if path.starts_with("tls.") => vec![certificate, key],
        "archive.postgres.url" | "archive.postgres.urlVariable" => Vec::new(),
        path if path.starts_with("archive.") => {
            let mut needed = vec![("archive.postgres.url", json!("postgres://db/events"))];
            needed.extend(match path {
                "archive.postgres.credentials.username" => Some((
                    "archive.postgres.credentials.passwordFile",
                    json!("/password"),
                )),
                path if path.starts_with("archive.postgres.credentials.") => {
                    Some(("archive.postgres.credentials.username", json!("relay")))
                }
                "archive.postgres.tls.certificate" => {
                    Some(("archive.postgres.tls.key", json!("k.pem")))
                }
                "archive.postgres.tls.key" => {
                    Some(("archive.postgres.tls.certificate", json!("c.pem")))
                }
                _ => None,
            });
            needed
        }
        "redis.url" | "redis.cluster.nodes" => Vec::new(),
        "redis.sentinel.nodes" => vec![("redis.sentinel.service", json!("main"))],
        "redis.sentinel.service" => vec![("redis.sentinel.nodes", json!(["redis:26379"]))],
        "redis.credentials.username" => vec![
            ("redis.url", json!("redis://redis")),
            ("redis.credentials.passwordFile", json!("/password")),
        ],
        "redis.sentinel.credentials.username" => vec![
            ("redis.sentinel.service", json!("main")),
            ("redis.sentinel.nodes", json!(["redis:26379"])),
            (
                "redis.sentinel.credentials.passwordFile",
                json!("/password"),
            ),
        ],
        path if path.starts_with("redis.sentinel.") => vec![
            ("redis.sentinel.service", json!("main")),
            ("redis.sentinel.nodes", json!(["redis:26379"])),
        ],
        "redis.tls.certificate" => vec![
            ("redis.url", json!("rediss://redis")),
            ("redis.tls.key", json!("k.pem")),
        ],
        "redis.tls.key" => vec![
            ("redis.url", json!("rediss://redis")),
            ("redis.tls.certificate", json!("c.pem")),
        ],
        path if path.starts_with("redis.tls.") => vec![("redis.url", json!("rediss://redis"))],
        path if path.starts_with("redis.") => vec![("redis.url", json!("redis://redis"))],
        _ => Vec::new(),
    }
}

fn set(value: &mut Value, path: &str, wanted: Value) {
    let inner = path.split('.').fold(value, |value, key| &mut value[key]);
    *inner = wanted;
}
