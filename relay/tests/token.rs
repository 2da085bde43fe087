//! `sse-relay token`: tokens that it makes are taken, and what it says of others is what the relay says.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

mod support;

use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};
use sse_relay::auth::hash_of;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use support::{Relay, request};
use tempfile::TempDir;

const RSA: &str = include_str!("keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa.pub.pem");
const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct Setting {
    folder: TempDir,
    config: PathBuf,
}

impl Setting {
    fn new() -> Setting {
        let folder = TempDir::new().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, format!("{SECRET}\n")).unwrap();
        fs::write(folder.path().join("rsa.pem"), RSA).unwrap();
        let config = folder.path().join("relay.yaml");
        let document = json!({"tls": null, "auth": auth(&secret)});
        fs::write(&config, document.to_string()).unwrap();
        Setting { folder, config }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs `token` with this configuration.
    fn token(&self, line: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sse-relay"))
            .arg("token")
            .args(line)
            .env("SSE_RELAY_CONFIG", &self.config)
            .env_remove("SSE_RELAY_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn sign(&self, line: &[&str]) -> String {
        let output = self.token(&[&["new", "--jwt"], line].concat(), "");
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout).trim().to_owned()
    }

    /// The exit code, and what is said of a token.
    fn explain(&self, token: &str) -> (i32, String) {
        let output = self.token(&["explain"], token);
        (output.status.code().unwrap(), text(&output.stdout))
    }
}

fn auth(secret: &Path) -> Value {
    json!({
        "tokens": [{"name": "backend", "sha256": hash_of("static"), "publish": ["orders.**"]},
                   {"name": "old", "sha256": hash_of("ended"), "publish": ["**"], "expires": "2026-01-01T00:00:00Z"}],
        "jwt": [
            {"name": "users", "issuer": "https://id.example", "audience": ["sse", "other"],
             "keys": [{"id": "hmac", "secretFile": secret}],
             "claims": {"publish": "sse.publish", "subscribe": "sse.subscribe",
                        "attributes": {"team": "team"}, "filters": {"tenant": "tenants"}}},
            {"name": "services", "issuer": "https://rsa.example",
             "keys": [{"id": "rsa", "publicKey": RSA_PUBLIC}], "grant": {"publish": ["services.{sub}"]}},
        ],
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const USERS: [&str; 4] = ["--issuer", "users", "--claim", "tenants=[\"a\",\"b\"]"];

#[test]
fn a_token_that_is_signed_here_opens_what_it_says_and_nothing_else() {
    let setting = Setting::new();
    let relay = Relay::start(&["--config", &setting.config.display().to_string()]);
    let line = [
        &["ann"],
        &USERS[..],
        &["--subscribe", "orders.*", "--claim", "team=blue"],
    ];
    let token = setting.sign(&line.concat());
    let bearer = format!("Authorization: Bearer {token}");
    let mut stream = relay.connect();
    stream.send(request(
        "GET",
        "/v1/events?channel=orders.eu",
        &[&bearer],
        b"",
    ));
    assert_eq!(stream.head().status, 200);
    let denied = relay.request("GET", "/v1/events?channel=news", &[&bearer], b"");
    assert_eq!(
        (denied.status, denied.problem()),
        (403, "not-granted".to_owned())
    );
    let (code, said) = setting.explain(&token);
    assert_eq!(code, 0);
    for part in [
        "accepted: signed by \"users\"",
        "publish    nothing",
        "subscribe  orders.*",
        "subject    ann",
        "attribute  team is blue",
        "whose tenant is one of: a, b",
        "until",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // with a private key, which the relay does not have
    let rsa = setting.path("rsa.pem");
    let line = [
        "api",
        "--issuer",
        "services",
        "--key-file",
        &rsa,
        "--key-id",
        "rsa",
    ];
    let bearer = format!("Authorization: Bearer {}", setting.sign(&line));
    let published = relay.request("POST", "/v1/channels/services.api/events", &[&bearer], b"x");
    assert_eq!(published.status, 201);
}

#[test]
fn what_the_relay_would_refuse_is_not_made_and_the_reason_is_said() {
    let setting = Setting::new();
    let rsa = setting.path("rsa.pem");
    for (line, says) in [
        (&["--subscribe", "a"][..], "--issuer: users, services"),
        (&["--issuer", "nobody"], "users, services"),
        (&["--issuer", "services"], "--key-file"),
        (&["--issuer", "services", "--key-file", "/none"], "/none"),
        (
            &["--issuer", "services", "--key-file", &rsa, "--publish", "a"],
            "claims.publish",
        ),
        (&["--issuer", "services", "--key-file", &rsa], "(claims)"),
        (&["--issuer", "users"], "(claims)"),
        (&["--issuer", "users", "--algorithm", "HS1"], "no algorithm"),
        (&["--issuer", "users", "--algorithm", "RS256"], "RS256"),
        (&["--issuer", "users", "--key-file", &rsa], "would refuse"),
    ] {
        let output = setting.token(&[&["new", "--jwt"], line].concat(), "");
        assert_eq!(output.status.code(), Some(2), "{line:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(says), "{line:?}: {said}");
        assert!(
            !said.contains(SECRET) && !said.contains(RSA.lines().nth(1).unwrap()),
            "{said}"
        );
    }
}

#[test]
fn a_refused_token_is_explained_by_what_it_says_and_what_is_wanted() {
    let setting = Setting::new();
    let with = |more: &[&str]| setting.sign(&[&["ann"], &USERS[..], more].concat());
    let good = with(&[]);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}{}", &signature[4..], "AAAA");
    let (code, said) = setting.explain(&forged);
    assert_eq!(code, 1);
    for part in [
        "refused (signature)",
        "it says alg  HS256",
        "iss          \"https://id.example\"",
        "aud          \"sse\"",
        "\"users\" wants iss https://id.example, aud sse or other",
        "keys: hmac",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(signature) && !said.contains(SECRET));
    let another = Setting::new();
    let document = json!({"auth": {"jwt": [
        {"name": "mine", "issuer": "https://id.example", "audience": ["mine"],
         "keys": [{"secretFile": setting.path("secret")}], "grant": {"subscribe": ["**"]}},
        {"name": "old", "issuer": "https://old.example", "algorithms": ["HS512"],
         "keys": [{"secretFile": setting.path("secret")}], "grant": {"subscribe": ["**"]}},
    ]}});
    fs::write(&another.config, document.to_string()).unwrap();
    let (_, said) = another.explain(&good);
    assert!(
        said.contains("refused (audience)") && said.contains("aud mine"),
        "{said}"
    );
    let past = ["new", "--jwt", "--claim", "exp=1700000000"];
    let output = setting.token(&[&past[..], &USERS[..]].concat(), "");
    let said = text(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(2),
        "a token that has ended is not made"
    );
    assert!(
        said.contains("(expired)") && said.contains(" s ago)"),
        "{said}"
    );
}

#[test]
fn a_static_token_and_a_ticket_are_explained_without_showing_them() {
    let setting = Setting::new();
    let (code, said) = setting.explain("static\n");
    assert!(
        code == 0 && said.contains("accepted: token \"backend\""),
        "{said}"
    );
    let (code, said) = setting.explain("wrong-secret");
    assert_eq!(code, 1);
    assert!(
        said.contains("refused (unknown)") && said.contains(&hash_of("wrong-secret")),
        "{said}"
    );
    assert!(
        said.contains("known are    backend, old") && !said.contains("wrong-secret"),
        "{said}"
    );
    assert!(setting.explain("ended").1.contains("refused (expired)"));
    assert!(
        setting
            .explain("sseticket_x")
            .1
            .contains("only the relay that made it")
    );
    assert!(
        setting
            .explain(&"x".repeat(20_000))
            .1
            .contains("refused (malformed)")
    );
    // never an argument
    let output = setting.token(&["explain", "static"], "");
    assert_eq!(output.status.code(), Some(2));
    let output = setting.token(&["explain"], "");
    assert!(
        text(&output.stderr).contains("there is no token"),
        "{output:?}"
    );
}

#[test]
fn a_certificate_is_explained_by_the_names_that_it_has() {
    let setting = Setting::new();
    let mut params = CertificateParams::new(["api.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "api");
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let path = setting.path("client.crt");
    fs::write(&path, certificate.pem()).unwrap();
    let explain = |san: &str| {
        let document = json!({
            "tls": {"certificate": "c", "key": "k", "clientAuth": "optional", "clientCa": "ca"},
            "auth": {"certificates": [{"name": "service", "san": san, "publish": ["orders.**"]}]},
        });
        fs::write(&setting.config, document.to_string()).unwrap();
        let output = setting.token(&["explain", "--certificate", &path], "");
        (output.status.code().unwrap(), text(&output.stdout))
    };
    let (code, said) = explain("api.example");
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("certificate \"service\"") && said.contains("orders.**"),
        "{said}"
    );
    let (code, said) = explain("other.example");
    assert_eq!(code, 1);
    for part in [
        "refused (unknown)",
        "its names    api.example",
        "\"service\" by other.example",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
