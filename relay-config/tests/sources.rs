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
            "[{name: a, djangoChannels: {hosts: [], groups: [g]}}]".to_owned(),
            "sources[0].djangoChannels.hosts",
        ),
        (
            "[{name: a, djangoChannels: {hosts: [{url: 'redis://r'}], groups: ['a b']}}]".to_owned(),
            "sources[0].djangoChannels.groups[0]",
        ),
        (
            "[{name: a, djangoChannels: {hosts: [{url: 'redis://r'}], groups: [g], mailbox: 'a!b'}}]"
                .to_owned(),
            "sources[0].djangoChannels.mailbox",
        ),
        (
            "[{name: a, djangoChannels: {hosts: [{url: 'redis://r'}], groups: [g], encryptionKeys: [{}]}}]"
                .to_owned(),
            "sources[0].djangoChannels.encryptionKeys[0]",
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

/// A broker of RabbitMQ that can be used.
const RABBIT: &str = "broker: {url: 'amqp://mq', credentials: {username: relay, passwordFile: /p}}";

#[test]
fn brokers_have_their_defaults() {
    let config = read(&format!(
        "[{{name: a, rabbitmq: {{{RABBIT}, queues: [q]}}}}, \
          {{name: b, stomp: {{broker: {{url: 'stomp://mq'}}, destinations: [/topic/a]}}}}, \
          {{name: c, amqp: {{broker: {{url: 'amqps://mq'}}, addresses: [a], routing: queue}}}}]"
    ))
    .unwrap();
    let kinds: Vec<_> = config
        .sources
        .iter()
        .filter_map(|source| source.kind())
        .collect();
    let [
        SourceKind::Rabbitmq(rabbitmq),
        SourceKind::Stomp(stomp),
        SourceKind::Amqp(amqp),
    ] = kinds[..]
    else {
        panic!("{kinds:?}");
    };
    assert_eq!(
        (rabbitmq.prefetch, stomp.prefetch, amqp.prefetch),
        (100, 100, 100)
    );
    assert_eq!(rabbitmq.broker.heartbeat.to_string(), "10s");
    assert!(amqp.is_kept() && !stomp.is_kept());
}

#[test]
fn a_topic_is_kept_only_where_somebody_keeps_it() {
    let kept = |more: &str| {
        let text = format!("[{{name: b, stomp: {{broker: {{url: 'stomp://mq'}}, {more}}}}}]");
        let config = read(&text).unwrap();
        match config.sources[0].kind() {
            Some(SourceKind::Stomp(stomp)) => stomp.is_kept(),
            other => panic!("{other:?}"),
        }
    };
    assert!(kept("destinations: [/queue/a, /queue/b]"));
    assert!(!kept("destinations: [/queue/a, /topic/b]"));
    assert!(!kept("destinations: [a]"));
    assert!(kept("destinations: [a], routing: queue"));
    assert!(!kept("destinations: [/queue/a], routing: topic"));
    assert!(kept(
        "destinations: [/topic/a], durable: {clientId: c, name: n}"
    ));
}

#[test]
fn each_fault_of_a_broker_names_its_field() {
    let rabbit = |more: &str| format!("rabbitmq: {{{RABBIT}, {more}}}");
    let stomp = |more: &str| format!("stomp: {{broker: {{url: 'stomp://mq'}}, {more}}}");
    let amqp = |more: &str| format!("amqp: {{broker: {{url: 'amqp://mq'}}, {more}}}");
    let cases = [
        (rabbit("queues: []"), "rabbitmq.queues"),
        (rabbit("queues: [a, a]"), "rabbitmq.queues[1]"),
        (rabbit("queues: [a], prefetch: 0"), "rabbitmq.prefetch"),
        (
            "rabbitmq: {broker: {url: 'amqp://mq'}, queues: [a]}".to_owned(),
            "rabbitmq.broker",
        ),
        (
            "rabbitmq: {broker: {url: 'amqp://u:secret@mq'}, queues: [a]}".to_owned(),
            "rabbitmq.broker.url",
        ),
        (
            "stomp: {broker: {url: 'stomp://mq', tls: {}}, destinations: [a]}".to_owned(),
            "stomp.broker.tls",
        ),
        (
            stomp("destinations: ['a\\nb']").replace('\'', "\""),
            "stomp.destinations[0]",
        ),
        (
            stomp("destinations: [a, b], durable: {clientId: c, name: n}"),
            "stomp.durable",
        ),
        (
            stomp("destinations: [a], durable: {clientId: '', name: n}"),
            "stomp.durable.clientId",
        ),
        (
            amqp("addresses: [a], routing: queue, durable: {clientId: c, name: n}"),
            "amqp.durable",
        ),
        (
            amqp("addresses: [a], routing: topic, prefetch: 10001"),
            "amqp.prefetch",
        ),
    ];
    for (kind, path) in cases {
        let error = read(&format!("[{{name: a, {kind}}}]"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("sources[0].{path}")),
            "{kind}: {error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}
