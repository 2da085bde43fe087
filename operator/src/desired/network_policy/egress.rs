//! Whom the relay's pods open connections to by themselves, and the rules that let them.
//!
//! A policy knows no names of hosts, so the port of each is open to everywhere. A Service may lead to
//! another port of its pods, which is what a policy sees: the pods of its namespace may be reached at any.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::{
    NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use relay_config::{
    Broker, BrokerProtocol, Postgres, PostgresAddress, Redis, RedisAddress, RedisMode, SourceKind,
    SourceRedis,
};
use reqwest::Url;

use crate::desired::redis;
use crate::validate::Valid;

/// Where primaries listen that Sentinels name, and nodes of a cluster that others name, unless
/// somebody changed it.
const REDIS_PORT: u16 = 6379;
/// Where API servers listen, unless somebody changed it. Some networks look at policies after the
/// Service's address has become the API server's.
const API_SERVER: u16 = 6443;
/// Its Service, behind which are no pods of a namespace.
const API_SERVER_HOST: &str = "kubernetes.default.svc";
/// Where names are asked for, and where OpenShift's pods for that listen.
const DNS: [u16; 2] = [53, 5353];
/// The label by which Kubernetes itself names each namespace.
const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// A server that the relay opens connections to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
}

/// The rules for all that the configuration names; none if that is nobody.
pub fn rules(valid: &Valid) -> Vec<NetworkPolicyEgressRule> {
    let servers = servers(valid);
    let own_redis = valid.redis.as_ref().map(|_| to_own_redis(valid));
    if servers.is_empty() && own_redis.is_none() {
        return Vec::new();
    }
    let ports: BTreeSet<u16> = servers.iter().map(|server| server.port).collect();
    let here = &valid.names.namespace;
    let namespaces = servers.iter().filter_map(|server| server.namespace(here));
    let namespaces: BTreeSet<&str> = namespaces.collect();
    let dns = DNS
        .into_iter()
        .flat_map(|port| [to(port, "UDP"), to(port, "TCP")]);
    dns.chain(own_redis)
        .chain(ports.into_iter().map(|port| to(port, "TCP")))
        .chain(namespaces.into_iter().map(to_pods_of))
        .collect()
}

/// Everybody whom the configuration names, but for a Redis of the relay's own.
fn servers(valid: &Valid) -> Vec<Server> {
    let config = &valid.config;
    let mut found = Vec::new();
    if let Some(auth) = &config.auth {
        let sets = auth.jwt.iter().filter_map(|issuer| issuer.jwks.as_ref());
        found.extend(sets.filter_map(|set| by_url(set.url.as_deref()?)));
        found.extend(auth.forward.as_ref().and_then(|asked| by_url(&asked.url)));
    }
    let auth = valid.spec.auth.as_ref();
    if auth.is_some_and(|auth| auth.service_accounts.is_some()) {
        found.push(Server::new(API_SERVER_HOST, API_SERVER));
    }
    let collector = config.traces.as_ref();
    let collector = collector.and_then(|traces| traces.endpoint.as_deref());
    found.extend(collector.and_then(by_url));
    let shared = config.redis.as_ref().filter(|_| valid.redis.is_none());
    found.extend(shared.into_iter().flat_map(of_redis));
    found.extend(
        config
            .archive
            .iter()
            .flat_map(|to| of_postgres(&to.postgres)),
    );
    let sources = config.sources.iter().filter_map(|source| source.kind());
    found.extend(sources.flat_map(of_source));
    found
}

fn of_source(source: SourceKind<'_>) -> Vec<Server> {
    let redis = |one: &SourceRedis| of_redis(&one.settings());
    let broker = |one: &Broker, protocol| of_broker(one, protocol).into_iter().collect();
    match source {
        SourceKind::RedisPubSub(source) => redis(&source.redis),
        SourceKind::RedisStream(source) => redis(&source.redis),
        SourceKind::DjangoChannels(source) => source.hosts.iter().flat_map(redis).collect(),
        SourceKind::Sse(source) => by_url(&source.url).into_iter().collect(),
        SourceKind::PostgresListen(source) => of_postgres(&source.postgres).into_iter().collect(),
        SourceKind::PostgresOutbox(source) => of_postgres(&source.postgres).into_iter().collect(),
        SourceKind::Rabbitmq(source) => broker(&source.broker, BrokerProtocol::Amqp091),
        SourceKind::Stomp(source) => broker(&source.broker, BrokerProtocol::Stomp),
        SourceKind::Amqp(source) => broker(&source.broker, BrokerProtocol::Amqp10),
    }
}

/// The servers that are named. What these name in turn is known by its usual port only.
fn of_redis(redis: &Redis) -> Vec<Server> {
    let named = match redis.target().map(|target| target.mode) {
        Ok(RedisMode::Standalone {
            address: RedisAddress::Tcp(server),
            ..
        }) => return vec![Server::new(&server.host, server.port)],
        Ok(RedisMode::Sentinel { sentinels, .. }) => sentinels,
        Ok(RedisMode::Cluster { seeds }) => seeds,
        _ => return Vec::new(),
    };
    let learnt = named.iter().map(|server| (&server.host, REDIS_PORT));
    let servers = named.iter().map(|server| (&server.host, server.port));
    let both = servers.chain(learnt);
    both.map(|(host, port)| Server::new(host, port)).collect()
}

fn of_postgres(postgres: &Postgres) -> Option<Server> {
    match postgres.target("").ok()?.address {
        PostgresAddress::Tcp { host, port } => Some(Server { host, port }),
        PostgresAddress::Unix { .. } => None,
    }
}

fn of_broker(broker: &Broker, protocol: BrokerProtocol) -> Option<Server> {
    let address = broker.address(protocol).ok()?;
    Some(Server::new(&address.host, address.port))
}

fn by_url(url: &str) -> Option<Server> {
    let url = Url::parse(url).ok()?;
    Some(Server::new(url.host_str()?, url.port_or_known_default()?))
}

impl Server {
    fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
        }
    }

    /// The namespace of the Service that the host names, as seen from the namespace `here`. Of two
    /// words the second may also be the end of a domain of the world, which is then a namespace that
    /// nobody has.
    fn namespace<'s>(&'s self, here: &'s str) -> Option<&'s str> {
        let host = self.host.trim_matches(['[', ']']);
        let no_service = ["localhost", API_SERVER_HOST].contains(&host);
        if no_service || host.parse::<std::net::IpAddr>().is_ok() {
            return None;
        }
        let words: Vec<&str> = host.trim_end_matches('.').split('.').collect();
        match words[..] {
            [_] => Some(here),
            [_, namespace] => Some(namespace),
            _ => {
                let of_cluster = words.iter().position(|word| *word == "svc")?;
                (of_cluster >= 2).then(|| words[of_cluster - 1])
            }
        }
    }
}

fn to_own_redis(valid: &Valid) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(labels(valid.names.redis_selector())),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![port(redis::PORT, "TCP")]),
    }
}

fn to_pods_of(namespace: &str) -> NetworkPolicyEgressRule {
    let label = (NAMESPACE.to_owned(), namespace.to_owned());
    NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(labels([label].into())),
            ..NetworkPolicyPeer::default()
        }]),
        ports: None,
    }
}

fn to(number: u16, protocol: &str) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: None,
        ports: Some(vec![port(number.into(), protocol)]),
    }
}

fn port(number: i32, protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}

fn labels(labels: std::collections::BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    }
}

#[cfg(test)]
mod tests {
    use relay_config::Config;

    use super::*;

    fn shown(servers: impl IntoIterator<Item = Server>) -> Vec<String> {
        let servers = servers.into_iter();
        servers
            .map(|server| format!("{}:{}", server.host, server.port))
            .collect()
    }

    #[test]
    fn every_kind_of_source_may_reach_its_servers() {
        for (source, servers) in [
            (
                "redisPubSub: {redis: {url: 'redis://cache'}, channels: [a]}",
                "cache:6379",
            ),
            (
                "redisStream: {redis: {url: 'rediss://cache:7000'}, streams: [a], group: b}",
                "cache:7000",
            ),
            (
                "redisStream: {redis: {sentinel: {service: m, nodes: [one]}}, streams: [a], group: b}",
                "one:26379 one:6379",
            ),
            (
                "djangoChannels: {hosts: [{url: 'redis://a:1'}, {url: 'redis://b:2'}], groups: [g]}",
                "a:1 b:2",
            ),
            (
                "sse: {url: 'https://other.example.com/events'}",
                "other.example.com:443",
            ),
            ("sse: {url: 'http://other:8080/events'}", "other:8080"),
            (
                "postgresListen: {postgres: {url: 'postgres://db/app'}, channels: [a]}",
                "db:5432",
            ),
            (
                "postgresOutbox: {postgres: {url: 'postgres://db:5433/app'}, table: outbox}",
                "db:5433",
            ),
            (
                "rabbitmq: {broker: {url: 'amqps://mq'}, queues: [a]}",
                "mq:5671",
            ),
            (
                "stomp: {broker: {url: 'stomp://mq'}, destinations: [/queue/a]}",
                "mq:61613",
            ),
            (
                "amqp: {broker: {url: 'amqp://mq'}, addresses: [a], routing: queue}",
                "mq:5672",
            ),
        ] {
            let source = format!("{{name: a, {source}}}");
            let source: relay_config::Source = serde_saphyr::from_str(&source).unwrap();
            let found = shown(of_source(source.kind().unwrap()));
            assert_eq!(found.join(" "), servers, "{source:?}");
        }
        let config: Config = serde_saphyr::from_str(
            "{archive: {postgres: {url: 'postgres://archive.data.svc/events'}}}",
        )
        .unwrap();
        let archive = config.archive.unwrap();
        assert_eq!(
            shown(of_postgres(&archive.postgres)),
            ["archive.data.svc:5432"]
        );
    }

    #[test]
    fn a_host_may_be_a_service_whose_pods_have_other_ports() {
        for (host, namespace) in [
            ("redis", Some("shop")),
            ("redis.cache", Some("cache")),
            ("redis-0.redis.cache.svc", Some("cache")),
            ("redis.cache.svc.cluster.local", Some("cache")),
            ("id.example.com", None),
            ("svc.example.com", None),
            (API_SERVER_HOST, None),
            ("10.1.2.3", None),
            ("[2001:db8::1]", None),
        ] {
            assert_eq!(Server::new(host, 1).namespace("shop"), namespace, "{host}");
        }
    }
}
