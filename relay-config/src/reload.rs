//! Which fields a running relay takes from a changed document, and which need a restart.
//!
//! Every field of the document is in one of two lists; a test fails for one that is in neither.

use std::path::Path;

use serde_json::Value;

use crate::config::Config;
use crate::error::LoadError;

/// Fields that apply to live streams and newcomers, as soon as the document says otherwise.
const LIVE: &[&str] = &[
    "auth.anonymous.publish",
    "auth.anonymous.subscribe",
    "auth.certificates",
    "auth.cookie.name",
    "auth.forward.caFile",
    "auth.forward.cache",
    "auth.forward.cacheEntries",
    "auth.forward.claims.attributes",
    "auth.forward.claims.filters",
    "auth.forward.claims.manage",
    "auth.forward.claims.publish",
    "auth.forward.claims.subject",
    "auth.forward.claims.subscribe",
    "auth.forward.concurrency",
    "auth.forward.grant.manage",
    "auth.forward.grant.onlyWith",
    "auth.forward.grant.publish",
    "auth.forward.grant.subscribe",
    "auth.forward.headers",
    "auth.forward.lifetime",
    "auth.forward.timeout",
    "auth.forward.url",
    "auth.jwt",
    "auth.queryParameter",
    "auth.tokens",
    "channels",
    "cors.credentials",
    "cors.exposedHeaders",
    "cors.headers",
    "cors.maxAge",
    "cors.methods",
    "cors.origins",
    "drain.propagation",
    "drain.timeout",
    "drain.window",
    "event.maxAttributes",
    "event.maxBytes",
    "heartbeat.as",
    "heartbeat.interval",
    "http.bodyTimeout",
    "http.headTimeout",
    "http.hsts",
    "http.http1",
    "http.http2",
    "http.idleTimeout",
    "http.maxBatchEvents",
    "http.maxBodyBytes",
    "http.maxConcurrentStreams",
    "http.maxHeadBytes",
    "limits.authFailuresPerSecond",
    "limits.burst",
    "limits.ipv4Prefix",
    "limits.ipv6Prefix",
    "limits.maxTracked",
    "limits.perAddress.opensPerSecond",
    "limits.perAddress.publishBytesPerSecond",
    "limits.perAddress.publishesPerSecond",
    "limits.perAddress.streams",
    "limits.perAttribute",
    "limits.perSubject.opensPerSecond",
    "limits.perSubject.publishBytesPerSecond",
    "limits.perSubject.publishesPerSecond",
    "limits.perSubject.streams",
    "limits.toBrowsers",
    "limits.total.opensPerSecond",
    "limits.total.publishBytesPerSecond",
    "limits.total.publishesPerSecond",
    "limits.total.streams",
    "logging.level",
    "proxies.header",
    "proxies.plaintext",
    "proxies.proxyProtocol",
    "proxies.trustUnixSockets",
    "proxies.trusted",
    "retention.age",
    "retention.bytes",
    "retention.events",
    "revocations.keep",
    "routes",
    "stream.connectedEvent",
    "stream.maxAge",
    "stream.maxChannels",
    "stream.maxConnections",
    "stream.maxFilterValues",
    "stream.maxMemory",
    "stream.maxQueueBytes",
    "stream.overflow",
    "stream.retry",
    "stream.retryJitter",
    "stream.writeTimeout",
    "tickets.bind",
    "tickets.redeemWithin",
];

/// Fields that a process takes when it starts.
const RESTART: &[&str] = &[
    "adminListen",
    "archive.batchEvents",
    "archive.channels",
    "archive.clients",
    "archive.interval",
    "archive.postgres.commandTimeout",
    "archive.postgres.connectTimeout",
    "archive.postgres.credentials.passwordFile",
    "archive.postgres.credentials.passwordVariable",
    "archive.postgres.credentials.username",
    "archive.postgres.tls.ca",
    "archive.postgres.tls.certificate",
    "archive.postgres.tls.key",
    "archive.postgres.tls.serverName",
    "archive.postgres.url",
    "archive.postgres.urlVariable",
    "archive.readers",
    "archive.retention",
    "archive.schema",
    "archive.tableSpan",
    "audit.file",
    "audit.target",
    "data.compactAt",
    "data.dir",
    "data.fsync",
    "data.fsyncInterval",
    "demo.enabled",
    "demo.interval",
    "demo.prefix",
    "environment",
    "http.threads",
    "idempotency.maxKeys",
    "idempotency.window",
    "insecureOpen",
    "listen",
    "logging.format",
    "maxLogBytes",
    "redis.cluster.nodes",
    "redis.commandTimeout",
    "redis.connectTimeout",
    "redis.credentials.passwordFile",
    "redis.credentials.passwordVariable",
    "redis.credentials.username",
    "redis.minReplicasAck",
    "redis.prefix",
    "redis.publishWindow",
    "redis.sentinel.credentials.passwordFile",
    "redis.sentinel.credentials.passwordVariable",
    "redis.sentinel.credentials.username",
    "redis.sentinel.database",
    "redis.sentinel.nodes",
    "redis.sentinel.service",
    "redis.tls.ca",
    "redis.tls.certificate",
    "redis.tls.key",
    "redis.tls.serverName",
    "redis.url",
    "revocations.max",
    "sources",
    "tcp.keepAlive",
    "tcp.userTimeout",
    "tickets.max",
    "tickets.reopenWithin",
    "tls.certificate",
    "tls.clientAuth",
    "tls.clientCa",
    "tls.handshakeTimeout",
    "tls.key",
    "tls.maxHandshakes",
    "tls.minVersion",
    "traces.caFile",
    "traces.endpoint",
    "traces.headersFile",
    "traces.maxQueue",
    "traces.sampleRatio",
    "unixSockets",
];

/// What differs between two documents: paths of fields, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// They apply to a running relay.
    pub live: Vec<&'static str>,
    /// They need a restart.
    pub restart: Vec<&'static str>,
}

impl Changes {
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Changes {
        let (old, new) = (tree(old), tree(new));
        let differ = |path: &&&'static str| at(&old, path) != at(&new, path);
        Changes {
            live: LIVE.iter().filter(differ).copied().collect(),
            restart: RESTART.iter().filter(differ).copied().collect(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart.is_empty()
    }
}

impl Config {
    /// What a relay that runs with this document runs with when it changes to `new`: the fields that
    /// apply at once are the new ones, the others stay. Together they must be a valid document.
    pub fn changed_to(&self, new: &Config) -> Result<Config, LoadError> {
        let (old, mut tree) = (tree(self), tree(new));
        for path in RESTART {
            // a section may be missing altogether, and comes and goes as a whole
            let section = path.split('.').next().unwrap_or(path);
            let path = if is_live(section) { path } else { section };
            put(&mut tree, path, at(&old, path).cloned());
        }
        let text = tree.to_string(); // JSON is YAML
        Config::from_sources(
            Some(("the new configuration", &text)),
            &std::collections::BTreeMap::new(),
        )
    }

    /// The fields that need a restart, as one value: while it stays the same, a relay need not be
    /// started anew.
    #[must_use]
    pub fn needing_restart(&self) -> Value {
        let tree = tree(self);
        let fields = RESTART.iter().map(|path| {
            let value = at(&tree, path).cloned().unwrap_or(Value::Null);
            ((*path).to_owned(), value)
        });
        Value::Object(fields.collect())
    }

    /// Files that the document names and whose content is part of what it says: keys and secrets.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        let issuers = self.auth.iter().flat_map(|auth| &auth.jwt);
        let keys = issuers.flat_map(|jwt| &jwt.keys);
        let forward = self.auth.iter().filter_map(|auth| auth.forward.as_ref());
        keys.flat_map(|key| [&key.secret_file, &key.public_key_file])
            .chain(forward.map(|forward| &forward.ca_file))
            .filter_map(|file| file.as_deref())
            .collect()
    }
}

fn tree(config: &Config) -> Value {
    serde_json::to_value(config).expect("only strings, numbers, lists and string-keyed maps")
}

/// Whether some field of a section applies at once.
fn is_live(section: &str) -> bool {
    LIVE.iter()
        .any(|path| path.split('.').next() == Some(section))
}

fn at<'v>(tree: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(tree, |value, key| value.get(key))
}

/// Sets a field, or takes it away. A section that is not there has none of its fields.
fn put(tree: &mut Value, path: &str, value: Option<Value>) {
    let (sections, field) = path.rsplit_once('.').unwrap_or(("", path));
    let sections = sections.split('.').filter(|key| !key.is_empty());
    let mut within = Some(tree);
    for key in sections {
        within = within.and_then(|value| value.get_mut(key));
    }
    if let Some(Value::Object(fields)) = within {
        match value {
            Some(value) => fields.insert(field.to_owned(), value),
            None => fields.remove(field),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::properties;
    use std::collections::BTreeMap;

    fn leaves(schema: &Value, path: &str, found: &mut Vec<String>) {
        let Some(fields) = properties(schema) else {
            return found.push(path.to_owned());
        };
        for (key, schema) in fields {
            let inner = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            leaves(schema, &inner, found);
        }
    }

    #[test]
    fn every_field_says_whether_it_needs_a_restart() {
        let mut fields = Vec::new();
        leaves(&crate::schema(), "", &mut fields);
        fields.sort();
        let mut said: Vec<String> = [LIVE, RESTART]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect();
        said.sort();
        assert_eq!(
            said, fields,
            "each field of the document stands once, in LIVE or in RESTART of reload.rs"
        );
        assert!(LIVE.is_sorted() && RESTART.is_sorted());
    }

    fn config(yaml: &str) -> Config {
        Config::from_sources(Some(("test", yaml)), &BTreeMap::new()).unwrap()
    }

    #[test]
    fn changes_are_told_apart() {
        let old = config("listen: 127.0.0.1:1\nretention: {events: 5}");
        let new = config(
            "listen: 127.0.0.1:2\nretention: {events: 6}\nauth: {anonymous: {subscribe: [a]}}\ndata: {dir: /tmp/x}",
        );
        let changes = Changes::between(&old, &new);
        assert_eq!(
            changes.live,
            [
                "auth.anonymous.publish",
                "auth.anonymous.subscribe",
                "retention.events"
            ]
        );
        assert_eq!(changes.restart, ["data.dir", "listen"]);
        assert!(Changes::between(&new, &new).is_empty());
        assert_ne!(old.needing_restart(), new.needing_restart());
        let live = config("listen: 127.0.0.1:1\nretention: {events: 7}");
        assert_eq!(old.needing_restart(), live.needing_restart());
    }

    #[test]
    fn what_needs_a_restart_stays_and_the_rest_applies() {
        let old = config("listen: 127.0.0.1:1\nhttp: {threads: 3}\nretention: {events: 5}");
        let new = config("listen: 127.0.0.1:2\nhttp: {maxBatchEvents: 7}\ndata: {dir: /tmp/x}");
        let live = old.changed_to(&new).unwrap();
        assert_eq!((live.listen, live.http.threads), (old.listen, Some(3)));
        assert_eq!(
            (live.data.dir.as_ref(), live.http.max_batch_events),
            (None, 7)
        );
        assert_eq!(live.retention, new.retention);
        assert_eq!(Changes::between(&old, &live).restart, [""; 0]);
        assert_eq!(Changes::between(&new, &live).live, [""; 0]);
    }
}
