//! What is said of a Redis before it is used, and whether the rights that we print are enough.

use crate::{
    servers::{Certificates, Cluster, Server, free_ports, releases},
    settings,
    topology::with_cluster,
};
use relay_config::{Redis as Settings, RedisCredentials, RedisRole};
use sse_relay::redis::preflight::{Finding, Severity, inspect};
use std::{fs, process::Command as Process};

/// A server as it should be.
const GOOD: &[(&str, &str)] = &[("maxmemory", "100mb"), ("appendonly", "yes")];

fn errors(findings: &[Finding]) -> Vec<String> {
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

fn reasons(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.reason).collect()
}

fn line(role: &str, password: &str) -> String {
    let output = Process::new(env!("CARGO_BIN_EXE_sse-relay"))
        .args([
            "redis-acl",
            role,
            "--user",
            "tester",
            "--prefix",
            "live",
            "--password-file",
            password,
        ])
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .expect("text")
        .trim_end()
        .to_owned()
}

/// A server whose user `tester` has the rights of the role, and the settings of that user.
fn with_role(program: &str, role: &str, more: &str) -> (Server, Settings, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("password");
    fs::write(&file, "hunter2\n").expect("the file is written");
    let password = file.display().to_string();
    let user = format!("{}{more}", line(role, &password));
    let server = Server::start_program_with_users(program, &[&user], GOOD);
    let settings = Settings {
        prefix: "live".into(),
        credentials: Some(RedisCredentials {
            username: Some("tester".into()),
            password_file: Some(password),
            ..RedisCredentials::default()
        }),
        ..settings(&server)
    };
    (server, settings, folder)
}

#[tokio::test]
async fn the_rights_that_are_printed_for_the_relay_are_enough_on_every_release() {
    for (name, program) in releases().filter(|(name, _)| !name.starts_with("redis-6")) {
        let (_server, settings, _folder) = with_role(&program, "relay", "");
        let findings = inspect(&settings).await;
        assert_eq!(reasons(&findings), [""; 0], "{name}: {findings:?}");
    }
}

#[tokio::test]
async fn nobody_may_do_more_than_what_the_role_is_for() {
    for (role, refused) in [
        (
            "relay",
            &[
                "FLUSHALL",
                "KEYS *",
                "CONFIG GET *",
                "GET other",
                "SET live:{abc}:a b",
            ][..],
        ),
        (
            "publisher",
            &[
                "DEL live:{abc}:a",
                "SSUBSCRIBE live:{abc}:a",
                "HGET live:{fleet}:a f",
                "HSET other f v",
                "SPUBLISH other m",
            ],
        ),
        (
            "read-only",
            &[
                "XADD live:{abc}:a * f v",
                "SPUBLISH live:{abc}:a m",
                "HGET live:{fleet}:a f",
                "HGET other f",
                "EVALSHA a 0",
            ],
        ),
    ] {
        let (server, _settings, _folder) = with_role("redis-server", role, "");
        for command in refused {
            let words: Vec<_> = ["ACL", "DRYRUN", "tester"]
                .into_iter()
                .chain(command.split(' '))
                .collect();
            let answer = server.cli(&words);
            assert_ne!(answer, "OK", "{role}: {command}");
        }
        let own = ["ACL", "DRYRUN", "tester", "HMGET", "live:{abc}:head", "e"];
        assert_eq!(server.cli(&own), "OK", "{role}");
    }
}

#[tokio::test]
async fn a_missing_right_is_named_with_the_remedy() {
    let (_server, settings, _folder) = with_role("redis-server", "relay", " -xadd -ssubscribe");
    let errors = errors(&inspect(&settings).await);
    let all = errors.join("\n");
    assert!(
        all.contains("'xadd'") && all.contains("'ssubscribe'"),
        "{all}"
    );
    assert!(
        errors.iter().all(|error| error.contains("redis-acl relay")),
        "{all}"
    );
}

/// Every text that follows `before` in the files under a directory of the sources, up to its end.
fn named(directory: &str, before: &str, end: char) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![format!("{}/src/{directory}", env!("CARGO_MANIFEST_DIR"))];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path.display().to_string());
                continue;
            }
            let text = fs::read_to_string(path).expect("text");
            let named = text
                .split(before)
                .skip(1)
                .filter_map(|rest| rest.split(end).next());
            found.extend(named.map(|name| name.to_lowercase().replace(' ', "|")));
        }
    }
    found
}

#[test]
fn every_command_that_the_log_runs_is_among_the_rights_of_the_relay() {
    let rights = RedisRole::Relay.commands();
    // Logging in needs no right; Sentinels have users of their own.
    let elsewhere = ["auth", "sentinel|master", "info|server", "info|replication"];
    let scripts = named("event_log/redis/scripts", "call('", '\'');
    let mut commands = named("event_log/redis", "Command::new(\"", '"');
    commands.extend(named("redis", "Command::new(\"", '"'));
    assert!(
        scripts.len() > 10 && commands.len() > 10,
        "they are written in another way now"
    );
    for command in scripts.iter().chain(&commands) {
        let known = rights.contains(&&**command) || elsewhere.contains(&&**command);
        assert!(
            known,
            "{command} is missing from `RedisRole`, so relays with these rights fail"
        );
    }
}

#[tokio::test]
async fn a_redis_that_may_lose_events_is_told_and_a_full_one_is_an_error() {
    let server = Server::start_with(&[("maxmemory-policy", "allkeys-lru")]);
    let findings = inspect(&settings(&server)).await;
    assert_eq!(
        reasons(&findings),
        ["eviction", "no-memory-limit", "not-persistent"]
    );
    assert_eq!(server.cli(&["DBSIZE"]), "0", "nothing stays");

    server.cli(&[
        "CONFIG",
        "SET",
        "maxmemory-policy",
        "noeviction",
        "maxmemory",
        "1",
    ]);
    let errors = errors(&inspect(&settings(&server)).await).join("\n");
    assert!(
        errors.contains("OOM") && errors.contains("raise maxmemory"),
        "{errors}"
    );
}

#[tokio::test]
async fn every_node_of_a_cluster_is_looked_at_and_each_finding_is_told_once() {
    let cluster = Cluster::start();
    cluster.servers[2].cli(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    let findings = inspect(&with_cluster(cluster.nodes())).await;
    assert_eq!(
        reasons(&findings)
            .iter()
            .filter(|r| **r == "eviction")
            .count(),
        1
    );
    assert_eq!(
        reasons(&findings)
            .iter()
            .filter(|r| **r == "no-memory-limit")
            .count(),
        1
    );
    assert!(errors(&findings).is_empty(), "{findings:?}");
}

#[tokio::test]
async fn what_keeps_from_connecting_is_an_error_with_its_reason() {
    let [port] = free_ports();
    let findings = inspect(&Settings {
        url: Some(format!("redis://127.0.0.1:{port}")),
        ..Settings::default()
    })
    .await;
    let told = errors(&findings).join("\n");
    assert!(told.contains("cannot be reached"), "{told}");

    let certificates = Certificates::of("redis.test");
    let (_server, port) = Server::start_with_tls(&certificates, &[]);
    let findings = inspect(&Settings {
        url: Some(format!("rediss://localhost:{port}")),
        ..Settings::default()
    })
    .await;
    let told = errors(&findings).join("\n");
    assert!(told.contains("redis.tls.ca"), "{told}");
}
