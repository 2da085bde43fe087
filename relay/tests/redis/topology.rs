//! Which node a command goes to.

use crate::{
    LIMIT,
    servers::{
        Certificates, Cluster, Proxy, Replicas, SENTINEL_PASSWORD, SERVICE, Sentinels, Server,
        until_async,
    },
    session, settings, start,
};
use relay_config::{Redis as Settings, RedisCluster, RedisCredentials, RedisSentinel, RedisTls};
use sse_relay::redis::{Command, CommandError, NotExecuted, Primary, Redis, Slot};
use std::{fs, path::Path};
use tempfile::TempDir;

pub fn with_sentinels(sentinels: &Sentinels, password: &Path) -> Settings {
    Settings {
        sentinel: Some(RedisSentinel {
            service: SERVICE.into(),
            nodes: sentinels.nodes(),
            credentials: Some(RedisCredentials {
                password_file: Some(password.display().to_string()),
                ..RedisCredentials::default()
            }),
            database: 0,
        }),
        ..Settings::default()
    }
}

pub fn password() -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().expect("a directory");
    let file = folder.path().join("password");
    fs::write(&file, SENTINEL_PASSWORD).expect("the file is written");
    (folder, file)
}

pub fn with_cluster(nodes: Vec<String>) -> Settings {
    Settings {
        cluster: Some(RedisCluster { nodes }),
        ..Settings::default()
    }
}

fn incr(key: &str) -> Command {
    Command::new("INCR").arg(key)
}

/// Until it is surely executed.
async fn executed(primary: &Primary, command: &Command) -> i64 {
    until_async("an executed command", || async {
        let answer = primary.session().ok()?.command(command).await;
        answer.ok()?.integer()
    })
    .await
}

async fn failure(primary: &Primary, reason: &str) -> String {
    until_async("the failure", || async {
        match primary.session() {
            Err(CommandError::NotSent(sse_relay::redis::NotSent::NoConnection(why)))
                if why.reason() == reason =>
            {
                Some(why.to_string())
            }
            // Shown only if the test fails.
            Err(other) => {
                println!("{other}");
                None
            }
            Ok(_) => None,
        }
    })
    .await
}

#[tokio::test]
async fn sentinels_name_the_primary_and_the_next_one() {
    let sentinels = Sentinels::start();
    let (_folder, password) = password();
    let primary = start(&with_sentinels(&sentinels, &password));
    let old = session(&primary).await;
    old.command(&incr("n")).await.unwrap();
    let before = sentinels.primary();
    before.cli(&["WAIT", "2", "5000"]);

    sentinels.fail_over();

    let new = until_async("the new primary", || async {
        primary
            .session()
            .ok()
            .filter(|new| new.replication_id() != old.replication_id())
    })
    .await;
    assert_eq!(executed(&primary, &incr("n")).await, 2);
    assert!(old.command(&incr("n")).await.is_err());
    assert_ne!(new.replication_id(), old.replication_id());
}

#[tokio::test]
async fn a_frozen_primary_is_left_for_the_one_that_sentinels_promote() {
    let sentinels = Sentinels::start();
    let (_folder, password) = password();
    let primary = start(&with_sentinels(&sentinels, &password));
    session(&primary).await;
    let frozen = sentinels.primary();
    frozen.freeze();
    sentinels.until_other_than(frozen.port);

    assert_eq!(executed(&primary, &incr("n")).await, 1);

    // The old one wakes up and still takes itself for the primary: nobody writes to it.
    frozen.thaw();
    assert_eq!(executed(&primary, &incr("n")).await, 2);
    assert_eq!(sentinels.primary().cli(&["GET", "n"]), "2");
}

#[tokio::test]
async fn wrong_names_and_passwords_of_sentinels_are_told() {
    let sentinels = Sentinels::start();
    let (_folder, password) = password();
    let mut settings = with_sentinels(&sentinels, &password);
    settings.sentinel.as_mut().unwrap().service = "other".into();
    let said = failure(&start(&settings), "unknown-service").await;
    assert!(said.contains("`other`"), "{said}");

    settings.sentinel.as_mut().unwrap().credentials = None;
    failure(&start(&settings), "authentication").await;

    let server = Server::start();
    let sentinel = settings.sentinel.as_mut().unwrap();
    sentinel.nodes = vec![format!("127.0.0.1:{}", server.port)];
    let said = failure(&start(&settings), "protocol").await;
    assert!(said.contains("no Sentinel"), "{said}");
}

#[tokio::test]
async fn each_slot_of_a_cluster_is_served_by_its_owner() {
    let cluster = Cluster::start();
    let redis = Redis::start(&with_cluster(cluster.nodes()[..1].to_vec())).unwrap();

    for key in ["{a}n", "{b}n", "{c}n", "{d}n", "{e}n"] {
        let slot = Slot::of(key.as_bytes());
        let session = redis.primary(slot).wait(LIMIT).await.unwrap();
        assert_eq!(
            session.command(&incr(key)).await.unwrap().integer(),
            Some(1)
        );
        let owner = &cluster.servers[cluster.owner(slot.number()).unwrap()];
        assert_eq!(owner.cli(&["GET", key]), "1");
    }
}

#[tokio::test]
async fn a_slot_that_moves_is_followed_and_nothing_is_executed_twice() {
    let cluster = Cluster::start();
    let redis = Redis::start(&with_cluster(cluster.nodes())).unwrap();
    let slot = Slot::of(b"{a}");
    let primary = redis.primary(slot);
    let old = primary.wait(LIMIT).await.unwrap();
    old.command(&incr("{a}n")).await.unwrap();
    let from = cluster.owner(slot.number()).unwrap();
    let to = (from + 1) % 3;

    cluster.begin_move(slot.number(), to);
    let asked = old.command(&incr("{a}n")).await.unwrap_err();
    assert!(
        matches!(
            asked,
            CommandError::NotExecuted {
                why: NotExecuted::Ask,
                ..
            }
        ),
        "{asked}"
    );
    cluster.finish_move(slot.number(), from, to);
    let moved = old.command(&incr("{a}n")).await.unwrap_err();
    assert!(
        matches!(
            moved,
            CommandError::NotExecuted {
                why: NotExecuted::Moved,
                ..
            }
        ),
        "{moved}"
    );

    assert_eq!(executed(&primary, &incr("{a}n")).await, 2);
    assert_eq!(cluster.servers[to].cli(&["GET", "{a}n"]), "2");
    let new = primary.session().unwrap();
    assert_ne!(new.replication_id(), old.replication_id());
}

#[tokio::test]
async fn a_node_that_dies_is_replaced_and_stalls_no_other() {
    let mut cluster = Cluster::start_with(Replicas::OneEach, "redis-server");
    let redis = Redis::start(&with_cluster(cluster.nodes())).unwrap();
    let keys = ["{a}", "{b}", "{c}", "{d}", "{e}", "{f}"];
    for key in keys {
        redis
            .primary(Slot::of(key.as_bytes()))
            .wait(LIMIT)
            .await
            .unwrap();
    }
    let owner = |key: &str| cluster.owner(Slot::of(key.as_bytes()).number()).unwrap();
    let dead = owner("{a}");
    let elsewhere = keys.into_iter().find(|key| owner(key) != dead).unwrap();

    cluster.servers[dead].kill();

    let healthy = redis.primary(Slot::of(elsewhere.as_bytes()));
    healthy
        .session()
        .unwrap()
        .command(&incr(&format!("{elsewhere}n")))
        .await
        .unwrap();
    let lost = redis.primary(Slot::of(b"{a}"));
    assert!(executed(&lost, &incr("{a}n")).await >= 1);
}

#[tokio::test]
async fn one_server_given_as_a_cluster_is_refused_with_the_remedy() {
    let server = Server::start();
    let primary = start(&with_cluster(vec![format!("127.0.0.1:{}", server.port)]));
    let said = failure(&primary, "not-cluster").await;
    assert!(said.contains("redis.url"), "{said}");
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_left_and_comes_back() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let primary = start(&Settings {
        url: Some(proxy.url()),
        ..Settings::default()
    });
    session(&primary).await;

    proxy.cut_way_back();
    let lost = primary
        .session()
        .unwrap()
        .command(&incr("n"))
        .await
        .unwrap_err();
    assert!(matches!(lost, CommandError::Unknown(_)), "{lost}");
    failure(&primary, "timeout").await;
    proxy.mend();

    assert_eq!(
        executed(&primary, &incr("n")).await,
        2,
        "the lost one was executed once"
    );
    proxy.reset();
    assert_eq!(executed(&primary, &incr("n")).await, 3);
}

fn with_tls(port: u16, certificates: &Certificates) -> Settings {
    Settings {
        url: Some(format!("rediss://127.0.0.1:{port}")),
        tls: Some(RedisTls {
            ca: Some(certificates.path("ca.pem")),
            certificate: Some(certificates.path("client.pem")),
            key: Some(certificates.path("client.key")),
            server_name: Some("redis.test".into()),
        }),
        ..Settings::default()
    }
}

#[tokio::test]
async fn tls_with_authority_client_certificate_and_name_is_spoken() {
    let certificates = Certificates::of("redis.test");
    let (server, port) = Server::start_with_tls(&certificates, &[]);
    let primary = start(&with_tls(port, &certificates));
    session(&primary).await.command(&incr("n")).await.unwrap();
    assert_eq!(server.cli(&["GET", "n"]), "1");
}

#[tokio::test]
async fn what_is_wrong_with_tls_is_told_with_the_setting() {
    let certificates = Certificates::of("redis.test");
    let (server, port) = Server::start_with_tls(&certificates, &[]);
    let right = with_tls(port, &certificates);
    let change = |change: fn(&mut RedisTls)| {
        let mut settings = right.clone();
        change(settings.tls.as_mut().unwrap());
        settings
    };
    let mut other = right.clone();
    other.tls.as_mut().unwrap().ca = Some(certificates.path("other-ca.pem"));
    let mut plain_port = right.clone();
    plain_port.url = Some(format!("rediss://127.0.0.1:{}", server.port));
    for (settings, expected) in [
        (change(|tls| tls.server_name = None), "redis.tls.serverName"),
        (
            change(|tls| tls.server_name = Some("other.test".into())),
            "redis.tls.serverName",
        ),
        (other, "redis.tls.ca"),
        (
            change(|tls| (tls.certificate, tls.key) = (None, None)),
            "redis.tls.certificate",
        ),
        (
            change(|tls| tls.ca = Some("/nowhere/ca.pem".into())),
            "/nowhere/ca.pem",
        ),
    ] {
        let said = failure(&start(&settings), "tls").await;
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // A plain port waits for the rest of what it takes for a command.
    let said = failure(&start(&plain_port), "timeout").await;
    assert!(said.contains("TLS"), "{said}");
    let plain = Settings {
        url: Some(format!("redis://127.0.0.1:{port}")),
        ..Settings::default()
    };
    let said = failure(&start(&plain), "closed").await;
    assert!(said.contains("rediss://"), "{said}");
}

#[tokio::test]
async fn a_rotated_password_counts_for_the_connection_that_lives() {
    let server = Server::start_with_users(&["user relay on >one ~* &* +@all"], &[]);
    let file = server.folder().join("password");
    fs::write(&file, "one").unwrap();
    let primary = start(&Settings {
        credentials: Some(RedisCredentials {
            username: Some("relay".into()),
            password_file: Some(file.display().to_string()),
            ..RedisCredentials::default()
        }),
        ..settings(&server)
    });
    let old = session(&primary).await;

    // A wrong one is tried, and logged by the server; the connection keeps its user.
    fs::write(&file, "wrong").unwrap();
    until_async("an AUTH on the living connection", || async {
        let log = server.cli(&["ACL", "LOG"]);
        (log.contains("auth") && log.contains("relay")).then_some(())
    })
    .await;
    old.command(&incr("n")).await.unwrap();

    server.cli(&["ACL", "LOG", "RESET"]);
    server.cli(&["ACL", "SETUSER", "relay", ">two", "<one"]);
    fs::write(&file, "two").unwrap();
    old.verify().await.unwrap();
    server.cli(&["CLIENT", "KILL", "USER", "relay"]);
    assert_eq!(executed(&primary, &incr("n")).await, 2);
    assert_eq!(
        server.cli(&["ACL", "LOG"]),
        "",
        "no wrong password was tried"
    );
}
