//! `sse-relay check`, and the same while the relay runs.

use crate::{
    http,
    servers::{Certificates, Cluster, Server, free_ports, releases, until},
    support::{Connection, Relay, request},
};
use serde_json::Value;
use std::process::{Command, Output};

fn check(settings: &[(&str, &str)], options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .arg("check")
        .args(options)
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the relay's admin port shows of its Redis, once it was looked at.
pub fn findings(relay: &Relay) -> Vec<Value> {
    let mut findings = None;
    until("a look at Redis", || {
        let mut connection = Connection::to(relay.admin);
        connection.send(request("GET", "/checks", &["Connection: close"], b""));
        findings = connection.answer().json()["redis"]["findings"]
            .as_array()
            .cloned();
        findings.is_some().then_some(())
    });
    findings.unwrap()
}

/// Waits until the relay shows a finding with this reason.
pub fn found(relay: &Relay, reason: &str) -> String {
    until(reason, || {
        let findings = findings(relay);
        let found = findings.iter().find(|found| found["reason"] == reason)?;
        Some(found["message"].as_str().unwrap().to_owned())
    })
}

#[test]
fn what_may_lose_events_is_a_warning_with_its_remedy_and_no_failure() {
    let server = Server::start_with(&[("maxmemory-policy", "allkeys-lru")]);
    let output = check(&[("SSE_RELAY_REDIS__URL", &server.url())], &[]);
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    for (what, remedy) in [
        ("warning: maxmemory-policy", "noeviction"),
        ("warning: maxmemory is not set", "70 %"),
        ("warning: appendonly is off", "appendonly yes"),
    ] {
        let line = said.lines().find(|line| line.contains(what));
        assert!(line.is_some_and(|line| line.contains(remedy)), "{said}");
    }
    assert_eq!(server.cli(&["DBSIZE"]), "0", "nothing stays of it");
}

#[test]
fn a_redis_as_it_should_be_gives_no_word() {
    let server = Server::start_with(&[("maxmemory", "100mb"), ("appendonly", "yes")]);
    let output = check(&[("SSE_RELAY_REDIS__URL", &server.url())], &[]);
    assert_eq!(
        (told(&output).as_str(), output.status.code()),
        ("", Some(0))
    );
}

/// What is wrong, the settings, and what is to be done.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn what_keeps_the_relay_from_using_redis_is_an_error_with_its_remedy() {
    let [nobody] = free_ports();
    let secured = Server::start_with_users(&["user relay on >right ~* &* +@all"], &[]);
    let wrong = secured.folder().join("password");
    std::fs::write(&wrong, "wrong").unwrap();
    let (_, old) = releases()
        .find(|(name, _)| name.starts_with("redis-6"))
        .unwrap();
    let old = Server::start_program(old, &[]);
    let cluster = Cluster::start();
    let certificates = Certificates::of("redis.test");
    let (_tls, tls) = Server::start_with_tls(&certificates, &[]);
    let tls = format!("rediss://127.0.0.1:{tls}");
    let taken = Server::start();
    taken.cli(&["SET", "sse-relay:{dlj}:head", "something"]);
    let full = Server::start_with(&[("maxmemory", "1")]);
    let url = "SSE_RELAY_REDIS__URL";
    let cases: &[Case<'_>] = &[
        (
            "an unreachable host",
            &[(url, &format!("redis://127.0.0.1:{nobody}"))],
            "is the address right",
        ),
        (
            "a wrong password",
            &[
                (url, &secured.url()),
                ("SSE_RELAY_REDIS__CREDENTIALS__USERNAME", "relay"),
                (
                    "SSE_RELAY_REDIS__CREDENTIALS__PASSWORD_FILE",
                    wrong.to_str().unwrap(),
                ),
            ],
            "check `redis.credentials`",
        ),
        ("Redis 6", &[(url, &old.url())], "use Redis 7.0 or later"),
        (
            "a cluster's node as one server",
            &[(url, &cluster.servers[0].url())],
            "configure `redis.cluster.nodes`",
        ),
        (
            "one server as a cluster",
            &[(
                "SSE_RELAY_REDIS__CLUSTER__NODES",
                &format!("[\"127.0.0.1:{}\"]", taken.port),
            )],
            "configure `redis.url`",
        ),
        (
            "another name in the certificate",
            &[
                (url, &tls),
                ("SSE_RELAY_REDIS__TLS__CA", &certificates.path("ca.pem")),
                ("SSE_RELAY_REDIS__TLS__SERVER_NAME", "redis.example"),
            ],
            "set `redis.tls.serverName`",
        ),
        (
            "an authority that is not trusted",
            &[
                (url, &tls),
                ("SSE_RELAY_REDIS__TLS__SERVER_NAME", "redis.test"),
            ],
            "set `redis.tls.ca`",
        ),
        (
            "keys of another kind",
            &[(url, &taken.url())],
            "sse-relay:{dlj}:head is not what the log keeps there",
        ),
        ("a full Redis", &[(url, &full.url())], "raise maxmemory"),
    ];
    for (what, settings, remedy) in cases {
        let output = check(settings, &[]);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(
            said.contains("redis: error: ") && said.contains(remedy),
            "{what}: {said}"
        );
        assert!(!said.contains("wrong\n"), "no password is told: {said}");
    }
    let [(_, settings, _), ..] = cases else {
        unreachable!("there are cases")
    };
    let offline = check(settings, &["--offline"]);
    assert!(offline.status.success(), "{}", told(&offline));
}

#[test]
fn a_log_of_a_cluster_is_not_taken_for_one_of_a_server() {
    let server = Server::start();
    let url = server.url();
    {
        let relay = Relay::start_with(&[("SSE_RELAY_REDIS__URL", &url)], &[]);
        relay.publish("a", "1");
    }
    server.cli(&["HSET", "sse-relay:{dlj}:head", "n", "8"]);
    let output = check(&[("SSE_RELAY_REDIS__URL", &url)], &[]);
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("8 partition(s)") && said.contains("redis.prefix"),
        "{said}"
    );
}

#[test]
fn a_relay_that_runs_tells_what_it_finds_and_when_it_is_mended() {
    let server = Server::start_with(&[("maxmemory", "100mb"), ("appendonly", "yes")]);
    let relay = Relay::start_with(&[("SSE_RELAY_REDIS__URL", &server.url())], &[]);
    assert_eq!(findings(&relay), [] as [Value; 0]);
    relay.publish("a", "1");
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    until("a refusal", || {
        let answer = http::publish(relay.public, "a", "2", "2").unwrap();
        (answer.problem() == "unavailable").then_some(())
    });
    let message = found(&relay, "out-of-memory");
    assert!(message.contains("raise maxmemory"), "{message}");
    assert!(
        relay.output().contains("log.append_refused"),
        "{}",
        relay.output()
    );
    let figure = "sse_relay_redis_findings{severity=\"error\"} ";
    let errors = |relay: &Relay| {
        let scraped = relay.scrape();
        let line = scraped.lines().find_map(|line| line.strip_prefix(figure));
        line.unwrap().parse::<u32>().unwrap()
    };
    assert!(errors(&relay) > 0);
    server.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    until("a publish that is taken", || {
        let answer = http::publish(relay.public, "a", "2", "2").unwrap();
        (answer.status < 300).then_some(())
    });
    until("nothing to tell any more", || {
        (errors(&relay) == 0).then_some(())
    });
    assert!(
        relay.output().contains("redis.mended"),
        "{}",
        relay.output()
    );
}
