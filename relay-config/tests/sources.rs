//! Sources that cannot work are refused, with what to do.

use std::collections::BTreeMap;

use relay_config::{Config, LoadError, SourceKind};

fn read(sources: &str) -> Result<Config, LoadError> {
    let yaml = format!("sources: {sources}");
    Config::from_sources(Some(("x", &yaml)), &BTreeMap::new())
}

/// `redisStream` with what it must have.
const STREAM: &str = "redisStream: {redis: {url: 'redis://r'}, streams: [a]}";

#[test]
fn a_source_has_a_name_and_one_kind_and_the_rest_is_defaults() {
    let config = read(&format!("[{{name: orders, {STREAM}}}]")).unwrap();
    let source = &config.sources[0];
    assert_eq!(source.mapping, relay_config::Mapping::default());
    let Some(SourceKind::RedisStream(stream)) = source.kind() else {
        panic!("{source:?}");
    };
    assert_eq!(
        (stream.group.as_str(), stream.claim_after.to_string()),
        ("sse-relay", "1m".to_owned())
    );
}

#[test]
fn each_fault_names_its_field() {
    let cases = [
        (format!("[{{name: 'A b', {STREAM}}}]"), "sources[0].name"),
        (format!("[{{name: '-a', {STREAM}}}]"), "sources[0].name"),
        (
            format!("[{{name: a, {STREAM}}}, {{name: a, {STREAM}}}]"),
            "sources[1].name",
        ),
        ("[{name: a}]".to_owned(), "sources[0]"),
        (
            "[{name: a, redisStream: {redis: {}, streams: [a]}}]".to_owned(),
            "sources[0].redisStream.redis",
        ),
        (
            "[{name: a, redisStream: {redis: {url: 'redis://u:secret@r'}, streams: [a]}}]"
                .to_owned(),
            "sources[0].redisStream.redis.url",
        ),
        (
            "[{name: a, redisStream: {redis: {url: 'redis://r'}, streams: []}}]".to_owned(),
            "sources[0].redisStream.streams",
        ),
        (
            "[{name: a, redisStream: {redis: {url: 'redis://r'}, streams: [b, b]}}]".to_owned(),
            "sources[0].redisStream.streams[1]",
        ),
        (
            "[{name: a, redisStream: {redis: {url: 'redis://r'}, streams: [a], claimAfter: 2h}}]"
                .to_owned(),
            "sources[0].redisStream.claimAfter",
        ),
        (
            format!("[{{name: a, {STREAM}, mapping: {{channel: '${{client.id}}'}}}}]"),
            "sources[0].mapping.channel",
        ),
        (
            format!("[{{name: a, {STREAM}, mapping: {{data: '${{data'}}}}]"),
            "sources[0].mapping.data",
        ),
        (
            format!("[{{name: a, {STREAM}, mapping: {{attributes: {{'a b': x}}}}}}]"),
            "sources[0].mapping.attributes.a b",
        ),
        (
            format!("[{{name: a, {STREAM}, mapping: {{keys: [a]}}}}]"),
            "sources[0].mapping.keys",
        ),
    ];
    for (sources, field) in cases {
        let Err(LoadError::Invalid(problems)) = read(&sources) else {
            panic!("{sources} is taken");
        };
        let fields: Vec<_> = problems.iter().map(|p| p.problem.path.as_str()).collect();
        assert_eq!(fields, [field], "{sources}");
        let said = problems[0].problem.message.clone();
        assert!(!said.contains("secret") && said.len() > 10, "{said}");
    }
}

#[test]
fn a_kind_that_there_is_not_is_an_unknown_key() {
    for sources in ["[{name: a, kafka: {}}]", "[{name: a, redisStreams: {}}]"] {
        assert!(
            matches!(read(sources), Err(LoadError::Unknown(_))),
            "{sources}"
        );
    }
}
