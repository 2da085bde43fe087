//! `sse-relay check` at the servers of sources, and of those who know users.

use crate::{
    servers::{Server, free_ports},
    support::Relay,
};
use serde_json::{Value, json};
use std::process::{Command, Output};

const SECRET: &str = "wr0ng-s3cret";

/// An address at which nobody listens.
fn nobody() -> String {
    let [port] = free_ports();
    format!("127.0.0.1:{port}")
}

fn check(document: &Value) -> Output {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("relay.yaml");
    std::fs::write(&file, document.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-relay"));
    command.arg("check").arg(&file);
    command.envs([("RIGHT", "right"), ("WRONG", SECRET)]);
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(said).unwrap()
}

/// Each has a line that says so.
fn assert_said(said: &str, expected: &[(&str, &str)]) {
    for (what, remedy) in expected {
        let line = said.lines().find(|line| line.contains(what));
        assert!(
            line.is_some_and(|line| line.contains(remedy)),
            "{what}: {remedy}: {said}"
        );
    }
}

/// A source of each kind that is at a Redis.
fn at_redis(name: &str, redis: &Value) -> [Value; 4] {
    let named = |kind: &str| format!("{name}-{kind}");
    [
        json!({"name": named("pubsub"), "redisPubSub": {"redis": redis, "channels": ["news"], "patterns": ["n*"]}}),
        json!({"name": named("stream"), "redisStream": {"redis": redis, "streams": ["orders"]}}),
        json!({"name": named("core"), "djangoChannels": {"hosts": [redis], "groups": ["g"]}}),
        json!({"name": named("layer"), "djangoChannels": {"layer": "pubSub", "hosts": [redis], "groups": ["g"]}}),
    ]
}

#[test]
fn a_redis_of_sources_is_connected_to_and_nothing_is_changed_there() {
    let server = Server::start_with_users(
        &[
            "user closed on nopass ~* &* -@all +@connection +INFO",
            "user relay on >right ~* &* +@all",
        ],
        &[],
    );
    let with = |user: &str, password: &str| {
        json!({
            "url": server.url(), "connectTimeout": "20s",
            "credentials": {"username": user, "passwordVariable": password},
        })
    };
    let away = json!({"url": format!("redis://{}", nobody()), "connectTimeout": "1s"});
    let sources = [
        at_redis("well", &with("relay", "RIGHT")),
        at_redis("password", &with("relay", "WRONG")),
        at_redis("rights", &with("closed", "WRONG")),
        at_redis("away", &away),
    ];
    let output = check(&json!({"sources": sources.concat()}));
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for kind in ["pubsub", "stream", "core", "layer"] {
        let line = |what: &str, end: &str| format!("source `{what}-{kind}`: {end}");
        assert_said(
            &said,
            &[
                (&line("well", "it can be used"), ""),
                (&line("password", "error"), "check `redis.credentials`"),
                (&line("rights", "error"), "give the user that right there"),
                (&line("away", "error"), "is the address right"),
            ],
        );
    }
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(server.cli(&["KEYS", "*"]).trim(), "");
}

#[test]
fn another_server_of_event_streams_is_opened() {
    let auth = json!({"tokens": [{
        "name": "page", "sha256": sse_relay::auth::hash_of("right"), "subscribe": ["**"],
    }]});
    let upstream = Relay::start_with(&[("SSE_RELAY_AUTH", &auth.to_string())], &[]);
    let source = |name: &str, path: &str, variable: &str| {
        let url = format!("http://{}{path}", upstream.public);
        json!({"name": name, "sse": {"url": url, "credentials": {"tokenVariable": variable}}})
    };
    let mut away = source("away", "", "RIGHT");
    away["sse"]["url"] = json!(format!("http://{}/v1/events?channel=a", nobody()));
    let sources = json!({"sources": [
        source("well", "/v1/events?channel=a", "RIGHT"),
        source("password", "/v1/events?channel=a", "WRONG"),
        source("other", "/health", "RIGHT"),
        away,
    ]});
    let output = check(&sources);
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_said(
        &said,
        &[
            ("source `well`: it can be used", ""),
            ("source `password`: error", "look at `credentials`"),
            (
                "source `other`: error",
                "is this the address of such a server",
            ),
            ("source `away`: error", "is the server running there"),
        ],
    );
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn who_knows_users_is_asked() {
    let relay = Relay::start(&[]);
    let at = |path: &str| format!("http://{}{path}", relay.public);
    let issuer = |name: &str, url: String| {
        json!({
            "name": name, "issuer": format!("https://{name}"), "algorithms": ["RS256"], "audience": ["x"],
            "jwks": {"url": url}, "grant": {"subscribe": ["a"]},
        })
    };
    let gone = format!("http://{}/keys", nobody());
    for (url, expected) in [
        (at("/health"), ("forward: warning", "let everybody in")),
        (at("/nowhere"), ("forward: error", "is the address right?")),
        (gone.clone(), ("forward: error", "is it running there?")),
    ] {
        let jwt = [
            issuer("no-keys", at("/health")),
            issuer("away", gone.clone()),
        ];
        let forward = json!({"url": url, "grant": {"subscribe": ["a"]}});
        let output = check(&json!({"auth": {"jwt": jwt, "forward": forward}}));
        let said = told(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_said(
            &said,
            &[
                expected,
                ("issuer `no-keys`: error", "look at `jwks`"),
                ("issuer `away`: error", "no connection"),
            ],
        );
    }
    // who shows nothing is refused, as it should be
    let known = json!({"tokens": [{"name": "page", "sha256": sse_relay::auth::hash_of("x"), "subscribe": ["a"]}]});
    let closed = Relay::start_with(&[("SSE_RELAY_AUTH", &known.to_string())], &[]);
    let url = format!("http://{}/v1/status", closed.public);
    let output = check(&json!({"auth": {"forward": {"url": url, "grant": {"subscribe": ["a"]}}}}));
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    assert_said(&said, &[("forward: it can be used", "")]);
}
