//! `sse-relay check` at PostgreSQL.

use super::*;
use crate::{
    redis::Certificates,
    tls::{PASSWORD, encrypted},
};
use std::process::{Command, Output};

fn check(env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-relay"));
    command.arg("check").envs(env.iter().copied());
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(&[&out[..], err].concat()).into_owned()
}

#[test]
fn servers_that_can_be_used_are_said_to_be_and_nothing_is_changed_there() {
    let server = Server::start();
    server.execute(outbox::TABLE);
    server.execute("INSERT INTO sse_outbox (channel, data) VALUES ('a', 'kept')");
    let sources = json!([
        {"name": "box", "postgresOutbox": {"postgres": {"url": server.url()}}},
        {"name": "pg", "postgresListen": {"postgres": {"url": server.url()}, "onDemand": ["**"]}},
    ]);
    let output = check(&[
        ("SSE_RELAY_SOURCES", &sources.to_string()),
        ("SSE_RELAY_ARCHIVE__POSTGRES__URL", &server.url()),
    ]);
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    for what in ["archive", "source `box`", "source `pg`"] {
        assert!(said.contains(&format!("{what}: it can be used")), "{said}");
    }
    assert_eq!(server.number("SELECT count(*) FROM sse_outbox"), 1);
    assert_eq!(
        server.number("SELECT count(*) FROM pg_namespace WHERE nspname = 'sse_relay'"),
        0
    );
}

#[test]
fn what_is_in_the_way_is_said_with_what_to_do() {
    let certificates = Certificates::of("localhost");
    let server = encrypted(&certificates);
    server.execute(outbox::TABLE);
    server.execute("GRANT SELECT ON sse_outbox TO relay");
    let tls = json!({"ca": certificates.path("ca.pem"), "serverName": "localhost"});
    let postgres = json!({
        "url": server.url(),
        "tls": tls,
        "credentials": {"username": "relay", "passwordVariable": "RIGHT"},
    });
    let mut elsewhere = postgres.clone();
    elsewhere["url"] = json!(server.url().replace(postgres::DATABASE, "nowhere"));
    let mut unencrypted = postgres.clone();
    unencrypted.as_object_mut().unwrap().remove("tls");
    let sources = json!([
        {"name": "read-only", "postgresOutbox": {"postgres": postgres}},
        {"name": "no-table", "postgresOutbox": {"postgres": postgres, "table": "other"}},
        {"name": "no-database", "postgresListen": {"postgres": elsewhere, "channels": ["a"]}},
        {"name": "no-tls", "postgresListen": {"postgres": unencrypted, "channels": ["a"]}},
        {"name": "away", "postgresListen": {"postgres": {"url": "postgres://127.0.0.1:1/x"}, "channels": ["a"]}},
        {"name": "well", "postgresListen": {"postgres": postgres, "channels": ["a"]}},
    ]);
    let archive = json!({ "postgres": postgres });
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("relay.yaml");
    let document = json!({"sources": sources, "archive": archive}).to_string();
    std::fs::write(&file, document).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .arg("check")
        .arg(&file)
        .env("RIGHT", PASSWORD)
        .output()
        .unwrap();
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (what, remedy) in [
        ("archive: error", "CREATE SCHEMA"),
        ("source `read-only`: error", "GRANT"),
        ("source `no-table`: error", "docs/sources.md"),
        ("source `no-database`: error", "CREATE DATABASE"),
        ("source `no-tls`: error", "set `tls`"),
        ("source `away`: error", "is PostgreSQL running there"),
        ("source `well`: it can be used", ""),
    ] {
        let line = said.lines().find(|line| line.contains(what));
        assert!(
            line.is_some_and(|line| line.contains(remedy)),
            "{what}: {said}"
        );
    }
    assert!(!said.contains(PASSWORD), "{said}");
}
