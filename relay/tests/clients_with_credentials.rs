//! Real clients with their credentials: a script with a static token (curl), a backend with a signed
//! one (httpx-sse), a session that only another application knows (curl). A page with cookies is among
//! the browser tests.

#![allow(clippy::unwrap_used)]

#[path = "forward/application.rs"]
mod application;
mod support;

use application::{Application, Reply};
use relay_config::Algorithm;
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};
use support::{
    Relay,
    program::{Program, python},
};
use tempfile::TempDir;

const OPERATOR: &str = "Authorization: Bearer operator-secret";

fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--no-buffer",
        "--fail-with-body",
    ]);
    curl
}

fn start(auth: &Value) -> Relay {
    Relay::start_with(&[("SSE_RELAY_AUTH", &auth.to_string())], &[])
}

fn publish(relay: &Relay, header: &str) {
    let target = "/v1/channels/orders.eu/events";
    let answer = relay.request("POST", target, &[header], b"hello");
    assert_eq!(answer.status, 201, "{answer:?}");
}

fn operator() -> Value {
    json!({"name": "operator", "sha256": sse_relay::auth::hash_of("operator-secret"), "publish": ["**"]})
}

#[test]
fn a_script_streams_with_a_static_token_and_curl() {
    let token = json!({"name": "script", "sha256": sse_relay::auth::hash_of("script-secret"), "subscribe": ["orders.*"]});
    let relay = start(&json!({"tokens": [token, operator()]}));
    let folder = TempDir::new().unwrap();
    let headers = folder.path().join("headers");
    fs::write(&headers, "Authorization: Bearer script-secret\n").unwrap();
    let url = format!(
        "http://{}/v1/events?channel=orders.*&from=earliest",
        relay.public
    );
    let client = Program::start(
        curl()
            .arg("--header")
            .arg(format!("@{}", headers.display()))
            .arg(&url),
    );
    publish(&relay, OPERATOR);
    client.until("data: hello");
    let refused = curl().arg(&url).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stdout).contains("unauthenticated"));
}

#[test]
fn an_application_that_alone_knows_its_sessions_serves_curl_with_a_cookie() {
    let application = Application::start(Reply::Json(
        json!({"subject": "ann", "subscribe": ["orders.**"]}),
    ));
    let relay = start(
        &json!({"tokens": [operator()], "forward": {"url": application.url(), "timeout": "1s", "cache": "0s"}}),
    );
    let url = format!(
        "http://{}/v1/events?channel=orders.eu&from=earliest",
        relay.public
    );
    let client = Program::start(curl().args(["--cookie", "session=ann-session"]).arg(&url));
    publish(&relay, OPERATOR);
    client.until("data: hello");
    assert!(application.asked()[0].contains("session=ann-session"));
    for (reply, status) in [
        (Reply::Status(401), "401"),
        (Reply::Status(403), "403"),
        (Reply::Status(500), "503"),
        (Reply::Never, "503"),
    ] {
        application.reply(reply);
        let mut command = curl();
        command.args([
            "--cookie",
            "session=ann-session",
            "--write-out",
            "%{http_code}",
            "--output",
            "/dev/null",
        ]);
        let refused = command.arg(&url).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&refused.stdout), status);
    }
}

#[test]
fn a_backend_streams_with_httpx_and_tokens_that_another_implementation_signed() {
    let python = python();
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("secret"), "s".repeat(64)).unwrap();
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let signed = Command::new(&python)
        .arg(clients.join("sign.py"))
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&signed.stderr);
    let tokens: Value =
        serde_json::from_slice(&signed.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let key = |name: &str| json!({"publicKeyFile": file(name)});
    let relay = start(&json!({"jwt": [{
        "name": "id", "issuer": "https://id.example", "audience": ["sse"],
        "keys": [key("rsa.pem"), key("p256.pem"), key("p384.pem"), key("ed25519.pem"), {"secretFile": file("secret")}],
        "grant": {"publish": ["orders.*"], "subscribe": ["orders.*"]},
    }]}));
    let token = |algorithm: Algorithm| tokens[algorithm.as_str()].as_str().unwrap();
    let client = Program::start(
        Command::new(&python)
            .arg(clients.join("stream.py"))
            .arg(format!(
                "http://{}/v1/events?channel=orders.eu",
                relay.public
            ))
            .env("TOKEN", token(Algorithm::RS256)),
    );
    client.until("open");
    for algorithm in Algorithm::ALL {
        publish(
            &relay,
            &format!("Authorization: Bearer {}", token(algorithm)),
        );
        client.until("hello");
    }
}
