//! Every release that `scripts/install-servers.sh` brings.

use crate::{
    LIMIT,
    servers::{Cluster, Replicas, Server, releases, until_async},
    session, settings, start,
};
use relay_config::{Redis as Settings, RedisCluster};
use sse_relay::redis::{Command, CommandError, NotSent, Redis, Script, Slot};

#[tokio::test]
async fn every_release_from_7_on_serves_scripts_alone_and_as_a_cluster() {
    let script = Script::new(
        "#!lua\nredis.call('SPUBLISH', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[1])",
    );
    for (name, program) in releases().filter(|(name, _)| !name.starts_with("redis-6")) {
        let server = Server::start_program(&program, &[]);
        let primary = start(&settings(&server));
        session(&primary).await;
        let reply = primary.script(&script, &[b"{p}n"], &[b"x"]).await;
        assert_eq!(reply.unwrap().integer(), Some(1), "{name}");

        let cluster = Cluster::start_with(Replicas::None, &program);
        let redis = Redis::start(&Settings {
            cluster: Some(RedisCluster {
                nodes: cluster.nodes(),
            }),
            ..Settings::default()
        });
        let primary = redis.unwrap().primary(Slot::of(b"{p}"));
        primary.wait(LIMIT).await.unwrap();
        let reply = primary.script(&script, &[b"{p}n"], &[b"x"]).await;
        assert_eq!(reply.unwrap().integer(), Some(1), "{name} as a cluster");
    }
}

#[tokio::test]
async fn redis_6_is_refused_by_name() {
    let (_, program) = releases()
        .find(|(name, _)| name.starts_with("redis-6"))
        .expect("scripts/install-servers.sh brings one");
    let server = Server::start_program(&program, &[]);
    let primary = start(&settings(&server));

    let said = until_async("the refusal", || async {
        match primary.session() {
            Err(CommandError::NotSent(NotSent::NoConnection(why))) if why.reason() == "too-old" => {
                Some(why.to_string())
            }
            Err(_) => None,
            Ok(session) => panic!("it took {:?}", session.command(&Command::new("PING")).await),
        }
    })
    .await;

    assert!(
        said.contains("Redis 6.2.5") && said.contains("7.0"),
        "{said}"
    );
}
