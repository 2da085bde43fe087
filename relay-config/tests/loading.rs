//! What loading says to the person who wrote the document.

use std::collections::BTreeMap;

use relay_config::{
    Access, ByteSize, Config, Fsync, HeartbeatAs, LoadError, LogFormat, Overflow, Timespan,
};

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn load(yaml: &str, variables: &[(&str, &str)]) -> Result<Config, LoadError> {
    Config::from_sources(Some(("relay.yaml", yaml)), &vars(variables))
}

fn error(yaml: &str, variables: &[(&str, &str)]) -> String {
    load(yaml, variables)
        .expect_err("the document is refused")
        .to_string()
}

#[test]
fn nothing_at_all_is_the_defaults() {
    for yaml in ["", "\n", "# only a comment\n", "---\n", "{}", "~"] {
        assert_eq!(load(yaml, &[]), Ok(Config::default()), "{yaml:?}");
    }
    assert_eq!(
        Config::from_sources(None, &vars(&[])),
        Ok(Config::default())
    );
}

#[test]
fn a_document_says_what_differs_from_the_defaults() {
    let yaml = r#"
listen: 0.0.0.0:9090
insecureOpen: true
environment: no
logging: {format: json}
data:
  dir: /data
  fsync: always
heartbeat: {interval: 20s, as: event}
channels:
  - match: prices.**
    retention: {events: 1, age: 1h30m}
    overflow: coalesce
    coalesceBy: symbol
    subscribe: deny
stream: {retryJitter: 1, maxConnections: 5}
"#;
    let config = load(yaml, &[]).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:9090");
    assert!(config.insecure_open);
    assert_eq!(config.environment, "no");
    assert_eq!(config.logging.format, LogFormat::Json);
    assert_eq!(config.data.dir.as_deref(), Some("/data".as_ref()));
    assert_eq!(config.data.fsync, Fsync::Always);
    assert_eq!(config.heartbeat.interval, Timespan::from_secs(20));
    assert_eq!(config.heartbeat.r#as, HeartbeatAs::Event);
    assert_eq!(config.stream.max_connections, Some(5));
    let settings = config.effective("prices.eur");
    assert_eq!(settings.retention.events, 1);
    assert_eq!(settings.overflow, Overflow::Coalesce);
    assert_eq!(settings.subscribe, Access::Deny);
}

#[test]
fn a_section_with_nothing_in_it_is_its_defaults() {
    let yaml = "logging:\n  # level: debug\ndata:\n  dir:\nchannels:\n";
    assert_eq!(load(yaml, &[]), Ok(Config::default()));
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_right_name() {
    assert_eq!(
        error("listen: 127.0.0.1:1\n\nheartbet:\n  interval: 1s\n", &[]),
        "relay.yaml:3:1: unknown key `heartbet`; did you mean `heartbeat`?"
    );
    assert_eq!(
        error("stream:\n  max_queue_bytes: 1Mi\n", &[]),
        "relay.yaml:2:3: unknown key `stream.max_queue_bytes`; did you mean `stream.maxQueueBytes`?"
    );
}

#[test]
fn all_unknown_names_are_reported_at_once() {
    let yaml = "a: {b: 1}\nchannels:\n  - match: x\n    retention: {evnts: 1}\n";
    let variables = [
        ("SSE_RELAY_HEARTBET__INTERVAL", "1s"),
        ("SSE_RELAY_CHANNELS", r#"[{"mach": "x"}]"#),
    ];
    let lines = error(yaml, &variables);
    let lines: Vec<_> = lines.lines().collect();
    assert!(lines[0].starts_with("relay.yaml:1:1: unknown key `a`"));
    assert_eq!(
        lines[1..],
        [
            "relay.yaml:4:17: unknown key `channels[0].retention.evnts`; \
             did you mean `channels[0].retention.events`?",
            "SSE_RELAY_CHANNELS: unknown key `channels[0].mach`; did you mean `channels[0].match`?",
            "SSE_RELAY_HEARTBET__INTERVAL: unknown; did you mean SSE_RELAY_HEARTBEAT__INTERVAL?",
        ]
    );
}

#[test]
fn a_key_written_twice_is_an_error_with_its_place() {
    for yaml in [
        "environment: a\nlisten: 127.0.0.1:1\nenvironment: b\n",
        "drain:\n  window: 1s\n  window: 2s\n",
    ] {
        let message = error(yaml, &[]);
        assert!(message.starts_with("relay.yaml:3:"), "{message}");
        assert!(message.contains("is there twice; remove one"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let message = error(
        "",
        &[("SSE_RELAY_DRAIN", r#"{"window":"1s","window":"2s"}"#)],
    );
    assert!(message.starts_with("SSE_RELAY_DRAIN: "), "{message}");
}

#[test]
fn a_parser_s_complaint_says_its_place_once() {
    assert_eq!(error("a: [", &[]), "relay.yaml:1:4: unclosed bracket '['");
    assert_eq!(
        error("environment: a\n---\nenvironment: b\n", &[]),
        "relay.yaml:3:1: a second document begins; write one document only"
    );
    assert_eq!(
        error("", &[("SSE_RELAY_CHANNELS", "[{")]),
        "SSE_RELAY_CHANNELS: unclosed bracket '{' at line 1, column 2"
    );
}

#[test]
fn what_is_not_yaml_is_an_error_with_its_place() {
    for yaml in [
        "a: [",
        "a: b: c",
        "stream: {retryJitter: .nan}",
        "a\n---\nb",
    ] {
        let message = error(yaml, &[]);
        assert!(message.starts_with("relay.yaml:"), "{yaml:?}: {message}");
        assert!(!message.contains("relay.yaml:0"), "{yaml:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{yaml:?}: {message}");
        let found = load(yaml, &[]).unwrap_err();
        assert_eq!(found.reason(), "Syntax", "{yaml:?}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_place_and_path() {
    let cases = [
        (
            "heartbeat:\n  interval: 15\n",
            "relay.yaml:2:13: heartbeat.interval: `15` has no unit; write for example `15s` or `15ms`",
        ),
        (
            "retention: {bytes: 64MB}",
            "relay.yaml:1:20: retention.bytes: `64MB` is not a number of bytes; write a whole number with or without a unit, such as `64Mi`, `500k` or `1048576`",
        ),
        (
            "logging: {format: jsn}",
            "relay.yaml:1:19: logging.format: unknown variant `jsn`, expected `text` or `json`",
        ),
        (
            "insecureOpen: yes",
            "relay.yaml:1:15: insecureOpen: invalid type: string \"yes\", expected a boolean",
        ),
        (
            "listen: 8080",
            "relay.yaml:1:9: listen: invalid type: integer `8080`, expected socket address",
        ),
        (
            "channels:\n  - overflow: dropOldest\n",
            "relay.yaml:2:5: channels[0]: missing field `match`",
        ),
        (
            "channels: {match: a}",
            "relay.yaml:1:11: channels: invalid type: map, expected a sequence",
        ),
        (
            "retention: {events: -1}",
            "relay.yaml:1:21: retention.events: invalid value: integer `-1`, expected u64",
        ),
        (
            "x",
            "relay.yaml:1:1: invalid type: string \"x\", expected struct Config",
        ),
        (
            "drain: [1s, 2s, 3s]",
            "relay.yaml:1:8: drain: is a list; write keys and values",
        ),
        ("- a", "relay.yaml:1:1: is a list; write keys and values"),
    ];
    for (yaml, message) in cases {
        assert_eq!(error(yaml, &[]), message, "{yaml:?}");
    }
}

#[test]
fn a_variable_goes_before_the_file_and_a_field_s_before_its_section_s() {
    let config = load(
        "drain: {window: 1s, timeout: 100s}\nenvironment: a\n",
        &[
            (
                "SSE_RELAY_DRAIN",
                r#"{"window": "2s", "propagation": "3s"}"#,
            ),
            ("SSE_RELAY_DRAIN__PROPAGATION", "4s"),
            ("SSE_RELAY_ENVIRONMENT", "b"),
            ("SSE_RELAY_MAX_LOG_BYTES", "2Gi"),
            ("SSE_RELAY_HTTP__THREADS", "3"),
            (
                "SSE_RELAY_CHANNELS",
                r#"[{"match": "\u00e4.*", "publish": "deny"}]"#,
            ),
        ],
    )
    .unwrap();
    assert_eq!(config.drain.window, Timespan::from_secs(2));
    assert_eq!(config.drain.propagation, Timespan::from_secs(4));
    assert_eq!(config.drain.timeout, Timespan::from_secs(30));
    assert_eq!(config.environment, "b");
    assert_eq!(config.max_log_bytes, ByteSize(2 << 30));
    assert_eq!(config.http.threads, Some(3));
    assert_eq!(config.channels[0].r#match, "ä.*");
}

#[test]
fn a_mistake_in_the_file_does_not_vanish_behind_a_variable() {
    for yaml in ["drain: [1s]", "drain: 1s", "[]", "x"] {
        let found = load(yaml, &[("SSE_RELAY_DRAIN__WINDOW", "2s")]).unwrap_err();
        assert_eq!(found.reason(), "WrongValue", "{yaml}");
        assert!(found.to_string().starts_with("relay.yaml:1:"), "{found}");
    }
}

#[test]
fn text_in_a_variable_is_text_and_cannot_become_another_key() {
    for text in ["12", "true", "a: b", "\"quoted\"", "#x", "[1]", "null"] {
        let config = load("", &[("SSE_RELAY_ENVIRONMENT", text)]).unwrap();
        assert_eq!(config.environment, text);
    }
}

#[test]
fn variables_that_are_empty_or_not_configuration_change_nothing() {
    let variables = [
        ("SSE_RELAY_CONFIG", "/etc/relay.yaml"),
        ("SSE_RELAY_LOG", "debug"),
        ("SSE_RELAY_TOKEN", "secret"),
        ("SSE_RELAY_URL", "http://localhost"),
        ("SSE_RELAY_HTTP__THREADS", ""),
        ("SSE_RELAY_ENVIRONMENT", ""),
        ("SSE_RELAY_PORT", "tcp://10.0.0.1:8080"),
        ("SSE_RELAY_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    assert_eq!(load("", &variables), Ok(Config::default()));
}

#[test]
fn a_wrong_value_in_a_variable_names_the_variable() {
    let cases = [
        (
            "SSE_RELAY_DRAIN__WINDOW",
            "20",
            "SSE_RELAY_DRAIN__WINDOW: drain.window: `20` has no unit; write for example `20s` or `20ms`",
        ),
        (
            "SSE_RELAY_HTTP__THREADS",
            "many",
            "SSE_RELAY_HTTP__THREADS: http.threads: invalid type: string \"many\", expected usize",
        ),
        (
            "SSE_RELAY_DRAIN__WINDOW",
            "20m",
            "SSE_RELAY_DRAIN__WINDOW: drain.window: is 20m; write a time from 0s to 10m",
        ),
    ];
    for (name, value, message) in cases {
        let found = error("", &[(name, value)]);
        assert_eq!(found.lines().next(), Some(message));
    }
    let message = error("", &[("SSE_RELAY_CHANNELS", "[")]);
    assert!(message.starts_with("SSE_RELAY_CHANNELS: "), "{message}");
}

#[test]
fn a_secret_in_an_unrelated_variable_is_never_shown() {
    let message = error("", &[("SSE_RELAY_TOKN", "s3cret")]);
    assert!(!message.contains("s3cret"), "{message}");
}

#[test]
fn all_problems_of_a_well_formed_document_come_with_their_places() {
    let yaml = "heartbeat:\n  interval: 11m\nchannels:\n  - match: a*\n    overflow: coalesce\n";
    let message = error(yaml, &[]);
    let lines: Vec<_> = message.lines().collect();
    assert_eq!(
        lines,
        [
            "relay.yaml:4:12: channels[0].match: a star stands for whole segments; \
             replace `a*` by `*` or by a name without a star",
            "relay.yaml:4:5: channels[0].coalesceBy: is missing; \
             name the attribute whose last value is kept",
            "relay.yaml:2:13: heartbeat.interval: is 11m; write a time from 1s to 10m",
        ]
    );
}
