//! `serve --dialect`: in the place of another server, whose environment is understood. Pure.

use serde_json::json;
use std::collections::BTreeMap;

/// Servers whose place the relay takes.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// sse-relay-server of Tobi-De: ALLOWED_ORIGINS, REDIS_URL, LOG_LEVEL …
    SseRelayServer,
}

/// Why the environment of another server means nothing here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DialectError {
    #[error(
        "set REDIS_URL or DATABASE_URL, where notify() publishes; or SSE_RELAY_SOURCES, or `sources` in a file that --config names"
    )]
    NoBroker,
    #[error("RELAY_USE_PG is True: set DATABASE_URL too, or leave it out")]
    NoDatabase,
    #[error(
        "LOG_LEVEL is `{0}`; write DEBUG, INFO, WARNING, ERROR or CRITICAL, or set SSE_RELAY_LOGGING__LEVEL"
    )]
    LogLevel(String),
}

impl Dialect {
    /// The configuration that stands for it, where no other file is given: name and text.
    pub fn file(self) -> (&'static str, &'static str) {
        match self {
            Dialect::SseRelayServer => (
                "sse-relay-server.yaml",
                include_str!("../../../examples/routes/sse-relay-server.yaml"),
            ),
        }
    }

    /// Our variables with what the other server's say. Those that are set already stay as they are.
    /// `given` is whether a configuration file was named, which then says where to listen and what to
    /// pull from.
    pub fn translate(
        self,
        variables: &BTreeMap<String, String>,
        given: bool,
    ) -> Result<BTreeMap<String, String>, DialectError> {
        match self {
            Dialect::SseRelayServer => sse_relay_server(variables, given),
        }
    }
}

fn sse_relay_server(
    variables: &BTreeMap<String, String>,
    given: bool,
) -> Result<BTreeMap<String, String>, DialectError> {
    let set = |name: &str| {
        let value = variables.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    };
    let mut ours = variables.clone();
    let mut say = |name: &str, value: String| {
        ours.entry(name.to_owned()).or_insert(value);
    };
    if !given {
        say("SSE_RELAY_LISTEN", "0.0.0.0:8001".to_owned());
    }
    if let Some(origins) = set("ALLOWED_ORIGINS") {
        let origins: Vec<&str> = origins.split(',').map(str::trim).collect();
        if origins.contains(&"*") {
            // browsers take no credentials from everywhere, whatever a server says
            say("SSE_RELAY_CORS__CREDENTIALS", "false".to_owned());
        }
        say("SSE_RELAY_CORS__ORIGINS", json!(origins).to_string());
    }
    match (set("RELAY_SERVER_DEBUG"), set("LOG_LEVEL")) {
        (Some("True"), _) => say("SSE_RELAY_LOGGING__LEVEL", "debug".to_owned()),
        (_, Some(level)) => say("SSE_RELAY_LOGGING__LEVEL", severity(level)?.to_owned()),
        _ => {}
    }
    let forced = set("RELAY_USE_PG") == Some("True");
    match (set("REDIS_URL"), set("DATABASE_URL")) {
        (Some(_), _) if !forced => say("SSE_RELAY_SOURCES", from_redis()),
        (_, Some(_)) => say("SSE_RELAY_SOURCES", from_postgres()),
        _ if given || set("SSE_RELAY_SOURCES").is_some() => {}
        _ if forced => return Err(DialectError::NoDatabase),
        _ => return Err(DialectError::NoBroker),
    }
    Ok(ours)
}

/// What `notify()` publishes to Redis, channel by channel as streams ask for it.
fn from_redis() -> String {
    let source = json!({
        "name": "notify",
        "redisPubSub": {"redis": {"urlVariable": "REDIS_URL"}, "onDemand": ["**"]},
        "mapping": payload(),
    });
    json!([source]).to_string()
}

/// The same of PostgreSQL, where `notify()` writes the name without quotes.
fn from_postgres() -> String {
    let source = json!({
        "name": "notify",
        "postgresListen": {
            "postgres": {"urlVariable": "DATABASE_URL"},
            "names": "folded",
            "onDemand": ["**"],
        },
        "mapping": payload(),
    });
    json!([source]).to_string()
}

/// The keys that the other server knows; it cuts its streams at others.
fn payload() -> serde_json::Value {
    json!({"expect": "object", "keys": ["comment", "data", "event", "id", "retry", "sep"]})
}

/// Levels as Python has them.
fn severity(level: &str) -> Result<&'static str, DialectError> {
    match level.to_ascii_uppercase().as_str() {
        "DEBUG" | "NOTSET" => Ok("debug"),
        "INFO" => Ok("info"),
        "WARN" | "WARNING" => Ok("warn"),
        "ERROR" | "CRITICAL" | "FATAL" => Ok("error"),
        _ => Err(DialectError::LogLevel(level.chars().take(40).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_config::{Config, ListenNames, SourceKind};

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    fn config(pairs: &[(&str, &str)]) -> Result<Config, DialectError> {
        let dialect = Dialect::SseRelayServer;
        let ours = dialect.translate(&variables(pairs), false)?;
        Ok(Config::from_sources(Some(dialect.file()), &ours).unwrap())
    }

    #[test]
    fn its_environment_is_a_legal_configuration() {
        let config = config(&[
            ("REDIS_URL", "redis://:secret@redis:6379/0"),
            (
                "ALLOWED_ORIGINS",
                "https://a.example, https://b.example:8443",
            ),
            ("LOG_LEVEL", "warning"),
            ("RELAY_USE_PG", "true"), // only `True` counts there
        ])
        .unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:8001");
        assert_eq!(config.cors.origins.len(), 2);
        assert_eq!(config.logging.level, "warn");
        let Some(SourceKind::RedisPubSub(source)) = config.sources[0].kind() else {
            panic!("{:?}", config.sources);
        };
        assert_eq!(source.on_demand, ["**"]);
        assert!(!config.to_yaml().contains("secret"));
        assert_eq!(config.routes.len(), 1);
    }

    #[test]
    fn notifications_of_postgresql_are_pulled_without_redis_or_if_it_is_asked_for() {
        let database = (
            "DATABASE_URL",
            "postgres://page:secret@db/app?sslmode=require",
        );
        let redis = ("REDIS_URL", "redis://redis");
        for variables in [
            &[database][..],
            &[database, redis, ("RELAY_USE_PG", "True")],
        ] {
            let config = config(variables).unwrap();
            let Some(SourceKind::PostgresListen(source)) = config.sources[0].kind() else {
                panic!("{:?}", config.sources);
            };
            assert_eq!(source.on_demand, ["**"]);
            assert_eq!(source.names, ListenNames::Folded);
            assert!(!config.to_yaml().contains("secret"));
        }
        let config = config(&[database, redis]).unwrap();
        assert!(matches!(
            config.sources[0].kind(),
            Some(SourceKind::RedisPubSub(_))
        ));
    }

    #[test]
    fn our_own_variables_win() {
        let config = config(&[
            ("REDIS_URL", "redis://redis"),
            ("LOG_LEVEL", "DEBUG"),
            ("SSE_RELAY_LOGGING__LEVEL", "error"),
            ("SSE_RELAY_LISTEN", "127.0.0.1:1"),
        ])
        .unwrap();
        assert_eq!(
            (config.logging.level.as_str(), config.listen.port()),
            ("error", 1)
        );
    }

    #[test]
    fn all_origins_are_without_credentials() {
        let config = config(&[("REDIS_URL", "redis://r"), ("ALLOWED_ORIGINS", "*")]).unwrap();
        assert!(!config.cors.credentials);
    }

    #[test]
    fn what_is_missing_or_means_nothing_is_said() {
        assert_eq!(config(&[]).unwrap_err(), DialectError::NoBroker);
        let pg = [("REDIS_URL", "redis://r"), ("RELAY_USE_PG", "True")];
        assert_eq!(config(&pg).unwrap_err(), DialectError::NoDatabase);
        let loud = [("REDIS_URL", "redis://r"), ("LOG_LEVEL", "LOUD")];
        assert!(matches!(config(&loud), Err(DialectError::LogLevel(_))));
        assert!(
            config(&[("REDIS_URL", "redis://r"), ("RELAY_SERVER_DEBUG", "True")])
                .is_ok_and(|config| config.logging.level == "debug")
        );
    }
}
