//! The PROXY protocol: from whom it is believed, and before what it comes.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with the tests of TLS")]
#[path = "tls/authority.rs"]
mod authority;
#[allow(dead_code, reason = "shared with the tests of TLS")]
#[path = "tls/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the tests of delivery")]
#[path = "delivery/relay.rs"]
mod relay;
#[allow(dead_code, reason = "shared with the tests of delivery")]
#[path = "delivery/client.rs"]
mod stream;

use authority::Authority;
use client::Secure;
use relay::{Relay, eventually};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};
use stream::{Request, Subscriber, Version};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const V1: &[u8] = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n";
/// Whom the headers speak of.
const CLIENT: &str = "203.0.113.9:4711";

fn v2() -> Vec<u8> {
    let addresses = [203, 0, 113, 9, 127, 0, 0, 1, 0x12, 0x67, 0, 80];
    // an extension that nobody knows
    let extension = [0xEE, 0, 2, 1, 2];
    let fixed = [0x21, 0x11, 0, 12 + 5];
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &fixed, &addresses, &extension].concat()
}

async fn start(proxies: &str) -> Relay {
    Relay::start(&format!("insecureOpen: true\nproxies: {{{proxies}}}")).await
}

/// A connection that begins with these bytes, in two pieces.
async fn connect(relay: &Relay, begin: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(relay.public).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (first, second) = begin.split_at(begin.len() / 2);
    socket.write_all(first).await.unwrap();
    // not for the result's sake: so that both pieces are seen as such, most of the time
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _ = socket.write_all(second).await; // the first piece may be refused already
    socket
}

/// Whether the relay closes a connection without a word.
async fn is_closed(mut socket: TcpStream) -> bool {
    let get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let _ = socket.write_all(get).await; // it may be closed already
    let mut bytes = Vec::new();
    let _ = socket.read_buf(&mut bytes).await; // a reset is an end too
    bytes.is_empty()
}

async fn refused(relay: &Relay) -> u64 {
    relay
        .sample("sse_relay_connections_refused_total{reason=\"proxy-protocol\"}")
        .await
}

/// Waits until the log tells of a stream of this client.
async fn is_known(relay: &Relay, client: &str) {
    let said = format!("remote={client}");
    eventually(&said, async || relay.log().contains(&said)).await;
}

#[tokio::test]
async fn a_trusted_proxy_says_for_whom_it_connects() {
    for header in [V1.to_vec(), v2()] {
        for version in [Version::Http11, Version::Http2, Version::Http10] {
            let relay = start("trusted: [127.0.0.1], proxyProtocol: require").await;
            let socket = connect(&relay, &header).await;
            let request = Request::new("channel=a").version(version);
            let stream = Subscriber::on(socket, relay.public, &request).await;
            assert_eq!(stream.status, 200);
            is_known(&relay, CLIENT).await;
            assert_eq!(refused(&relay).await, 0);
        }
    }
}

#[tokio::test]
async fn where_a_header_is_required_nothing_goes_without() {
    let relay = start("trusted: [127.0.0.1], proxyProtocol: require").await;
    let wrong = [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 \r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xFF\xFF",
    ];
    for begin in wrong {
        assert!(is_closed(connect(&relay, begin).await).await);
    }
    assert_eq!(refused(&relay).await, wrong.len() as u64);
    // a proxy that looks whether we live says so
    let local = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20, 0, 0, 0]].concat();
    assert!(!is_closed(connect(&relay, &local).await).await);
}

#[tokio::test]
async fn who_is_not_trusted_is_not_believed() {
    let required = start("trusted: [192.0.2.0/24], proxyProtocol: require").await;
    assert!(is_closed(connect(&required, V1).await).await);
    assert_eq!(refused(&required).await, 1);
    let accepted = start("trusted: [192.0.2.0/24], proxyProtocol: accept").await;
    for header in [V1.to_vec(), v2()] {
        assert!(is_closed(connect(&accepted, &header).await).await);
    }
    assert_eq!(refused(&accepted).await, 2, "each is counted");
    let plain = TcpStream::connect(accepted.public).await.unwrap();
    let stream = Subscriber::on(plain, accepted.public, &Request::new("channel=a")).await;
    assert_eq!(stream.status, 200, "without a header it is a client");
    assert!(
        !accepted.log().contains("203.0.113.9"),
        "{}",
        accepted.log()
    );
    let off = Relay::start("").await;
    let mut answer = String::new();
    let mut socket = connect(&off, V1).await;
    let _ = socket.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn where_a_header_is_accepted_it_may_be_missing() {
    let relay = start("trusted: [127.0.0.1], proxyProtocol: accept").await;
    let plain = TcpStream::connect(relay.public).await.unwrap();
    let own = plain.local_addr().unwrap().to_string();
    let _stream = Subscriber::on(plain, relay.public, &Request::new("channel=a")).await;
    is_known(&relay, &own).await;
    let told = connect(&relay, V1).await;
    let _stream = Subscriber::on(told, relay.public, &Request::new("channel=a")).await;
    is_known(&relay, CLIENT).await;
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let (authority, folder) = (Authority::new("a"), TempDir::new().unwrap());
    authority.server(2100).mount(folder.path());
    let tls = format!(
        "insecureOpen: true\nproxies: {{trusted: [127.0.0.1], proxyProtocol: require}}\n\
         tls: {{certificate: {0}/tls.crt, key: {0}/tls.key}}",
        folder.path().display()
    );
    let relay = Relay::start(&tls).await;
    for header in [V1.to_vec(), v2()] {
        let socket = connect(&relay, &header).await;
        let secure = Secure::new(&authority).speaking("h2");
        let io = secure.over(socket).await.unwrap();
        let request = Request::new("channel=a").version(Version::Http2);
        let stream = Subscriber::over(io, relay.public, &request).await;
        assert_eq!(stream.status, 200);
    }
    is_known(&relay, CLIENT).await;
    let without = Secure::new(&authority).connect(relay.public).await;
    assert!(without.is_err());
    assert_eq!(refused(&relay).await, 1);
}

/// haproxy, forwarding TCP.
struct Haproxy {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Haproxy {
    async fn start(to: SocketAddr, option: &str) -> Haproxy {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let folder = TempDir::new().unwrap();
        let config = format!(
            "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  \
             timeout server 60s\nlisten through\n  bind {address}\n  server relay {to} {option}\n"
        );
        let path = folder.path().join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        let search = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let process = Command::new("haproxy")
            .env("PATH", search)
            .args(["-db", "-f"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is there: scripts/install-test-tools.sh installs it");
        eventually("haproxy listens", async || {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        Haproxy {
            process,
            address,
            _folder: folder,
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn behind_a_real_haproxy_the_client_is_known() {
    for option in ["send-proxy", "send-proxy-v2"] {
        let relay = start("trusted: [127.0.0.1], proxyProtocol: require").await;
        let proxy = Haproxy::start(relay.public, option).await;
        let socket = TcpStream::connect(proxy.address).await.unwrap();
        let client = socket.local_addr().unwrap().to_string();
        let stream = Subscriber::on(socket, relay.public, &Request::new("channel=a")).await;
        assert_eq!(stream.status, 200, "{option}");
        is_known(&relay, &client).await;
    }
}
