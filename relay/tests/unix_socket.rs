//! Unix sockets: what is published and streamed over them, who is at their other end, and their files.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
};
use support::{LIMIT, Relay, request};
use tempfile::TempDir;

struct Socket {
    folder: TempDir,
    path: PathBuf,
}

impl Socket {
    fn new() -> Socket {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("relay.sock");
        Socket { folder, path }
    }

    fn relay(&self, settings: &[(&str, Value)]) -> Relay {
        let sockets = json!([{"path": self.path, "mode": "600"}]);
        let mut env = vec![("SSE_RELAY_UNIX_SOCKETS", sockets.to_string())];
        env.extend(settings.iter().map(|(name, value)| {
            let text = value.as_str().map_or(value.to_string(), str::to_owned);
            (*name, text)
        }));
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, &**value)).collect();
        Relay::start_with(&env, &[])
    }

    /// One request; everything until the relay closes.
    fn ask(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> String {
        let headers = [headers, &["Connection: close"]].concat();
        let mut socket = connect(&self.path);
        socket
            .write_all(&request(method, target, &headers, body))
            .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn connect(path: &Path) -> UnixStream {
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

fn until(socket: &mut UnixStream, text: &str) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let so_far = String::from_utf8_lossy(&read).into_owned();
        if so_far.contains(text) {
            return so_far;
        }
        let n = socket.read(&mut buffer).unwrap();
        assert!(n > 0, "it ended without {text:?}, with {so_far:?}");
        read.extend_from_slice(&buffer[..n]);
    }
}

const EVENTS: &str = "/v1/channels/c/events";

#[test]
fn events_go_in_and_out_by_a_socket_and_between_it_and_the_network() {
    let socket = Socket::new();
    let relay = socket.relay(&[]);
    let mut plain = connect(&socket.path);
    plain
        .write_all(&request("GET", "/v1/events?channel=c", &[], b""))
        .unwrap();
    until(&mut plain, "id: ");
    // a stream on a connection that served something else before
    let mut used = connect(&socket.path);
    used.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    until(&mut used, "{\"status\":\"ok\"}");
    used.write_all(&request("GET", "/v1/events?channel=c", &[], b""))
        .unwrap();
    until(&mut used, "id: ");
    let mut far = relay.subscribe("channel=c");
    far.until("id: ");
    let answer = socket.ask("POST", EVENTS, &[], b"by the socket");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    relay.publish("c", "by the network");
    far.until("data: by the network\n\n");
    for stream in [&mut plain, &mut used] {
        let came = until(stream, "data: by the network\n\n");
        assert!(came.contains("data: by the socket\n\n"), "{came}");
    }
    let refused = socket.ask("GET", "/v1/events", &[], b"");
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
}

#[test]
fn a_file_has_its_mode_survives_a_kill_and_goes_with_the_relay() {
    let socket = Socket::new();
    let first = socket.relay(&[]);
    let mode = fs::metadata(&socket.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // another relay does not take it away
    let sockets = json!([{"path": socket.path}]).to_string();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .env("SSE_RELAY_UNIX_SOCKETS", sockets)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && said.contains("another program listens there"),
        "{said}"
    );
    assert!(socket.ask("GET", "/health", &[], b"").contains("ok"));
    first.signal(Signal::KILL);
    drop(first);
    assert!(socket.path.exists());
    let again = socket.relay(&[("SSE_RELAY_DRAIN__PROPAGATION", json!("0s"))]);
    assert!(socket.ask("GET", "/health", &[], b"").contains("ok"));
    assert!(again.stop().success());
    assert_eq!(fs::read_dir(socket.folder.path()).unwrap().count(), 0);
}

#[test]
fn who_connects_by_a_socket_has_no_address_unless_a_trusted_proxy_says_one() {
    let limits = json!({"perAddress": {"publishesPerSecond": 1}, "burst": "1s"});
    let forwarded = "X-Forwarded-For: 192.0.2.1";
    let many = |socket: &Socket| {
        let answers = (0..5).map(|_| socket.ask("POST", EVENTS, &[forwarded], b"x"));
        let refused = answers.filter(|answer| answer.starts_with("HTTP/1.1 429"));
        refused.count()
    };
    let socket = Socket::new();
    let _relay = socket.relay(&[("SSE_RELAY_LIMITS", limits.clone())]);
    assert_eq!(many(&socket), 0, "what anybody may write is no address");
    let auth = json!({"anonymous": {"publish": ["**"]}});
    let socket = Socket::new();
    let _relay = socket.relay(&[
        ("SSE_RELAY_LIMITS", limits),
        ("SSE_RELAY_PROXIES", json!({"trustUnixSockets": true})),
        ("SSE_RELAY_AUTH", auth),
    ]);
    assert!(many(&socket) >= 3);
}

#[test]
fn with_trusted_proxies_behind_a_socket_nothing_is_open_by_itself() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .env(
            "SSE_RELAY_PROXIES",
            json!({"trustUnixSockets": true}).to_string(),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("--insecure-open"),
        "{said}"
    );
}

#[test]
fn a_socket_speaks_plain_text_beside_tls() {
    let socket = Socket::new();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (
        socket.folder.path().join("c"),
        socket.folder.path().join("k"),
    );
    fs::write(&certificate, certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let tls = json!({"certificate": certificate, "key": key});
    let relay = socket.relay(&[("SSE_RELAY_TLS", tls)]);
    assert!(
        socket
            .ask("POST", EVENTS, &[], b"x")
            .starts_with("HTTP/1.1 201")
    );
    let mut far = relay.connect();
    far.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        far.answer().problem(),
        "malformed-request",
        "the network has TLS"
    );
}
