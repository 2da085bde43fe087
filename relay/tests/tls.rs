//! TLS: what a handshake must be, certificates that change under open streams, and connections that
//! only pretend to begin.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "tls/authority.rs"]
mod authority;
#[path = "tls/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the tests of delivery")]
#[path = "delivery/relay.rs"]
mod relay;
#[allow(dead_code, reason = "shared with the tests of delivery")]
#[path = "delivery/client.rs"]
mod stream;
mod support;

use authority::{Authority, Pair};
use client::Secure;
use relay::{Relay, eventually, exchange};
use rustix::process::Signal;
use rustls::{pki_types::CertificateDer, version::TLS12};
use std::{
    cell::Cell,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    time::Duration,
};
use stream::{End, Request, Subscriber, Version};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

/// A year that this certificate will not see the end of.
const FAR: i32 = 2100;

/// A relay with TLS, whose certificate is in a directory as a Secret's mount is.
struct Setting {
    relay: Relay,
    authority: Authority,
    folder: TempDir,
}

impl Setting {
    async fn new(tls: &str, yaml: &str) -> Setting {
        let authority = Authority::new("authority of the relay");
        let folder = TempDir::new().unwrap();
        authority.server(FAR).mount(folder.path());
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        let yaml = format!("tls: {{{}{tls}}}\n{yaml}", files(folder.path()));
        let relay = Relay::start(&yaml).await;
        Setting {
            relay,
            authority,
            folder,
        }
    }

    fn secure(&self) -> Secure {
        Secure::new(&self.authority)
    }

    fn ca(&self) -> String {
        self.file("ca.pem")
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    async fn subscribe(&self, secure: &Secure, request: &Request) -> Subscriber {
        let to = self.relay.public;
        let protocol = match request.version {
            Version::Http2 => "h2",
            _ => "http/1.1",
        };
        let io = secure.clone().speaking(protocol).connect(to).await.unwrap();
        Subscriber::over(io, to, request).await
    }

    async fn publish(&self, data: &str) {
        self.publish_as(&self.secure(), data).await;
    }

    async fn publish_as(&self, secure: &Secure, data: &str) {
        let mut io = secure.connect(self.relay.public).await.unwrap();
        let answer = post(&mut io, data, "close").await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    /// The certificate that a new connection gets.
    async fn certificate(&self) -> CertificateDer<'static> {
        let io = self.secure().connect(self.relay.public).await.unwrap();
        io.get_ref().1.peer_certificates().unwrap()[0]
            .clone()
            .into_owned()
    }

    async fn handshakes(&self, outcome: &str) -> u64 {
        let name = format!("sse_relay_tls_handshakes_total{{outcome=\"{outcome}\"}}");
        self.relay.sample(&name).await
    }
}

fn files(folder: &Path) -> String {
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    format!(
        "certificate: {}, key: {}",
        certificate.display(),
        key.display()
    )
}

/// One publish on a connection; the head of its answer, and perhaps more.
async fn post<S: stream::Io>(io: &mut S, data: &str, connection: &str) -> String {
    let request = format!(
        "POST /v1/channels/news/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
         Connection: {connection}\r\nContent-Length: {}\r\n\r\n{data}",
        data.len()
    );
    io.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains("\"id\"") {
        if io.read_buf(&mut bytes).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A program, to its end.
fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

#[tokio::test]
async fn curl_publishes_and_streams_in_every_version() {
    let setting = Setting::new("", "").await;
    let url = format!("https://{}", setting.relay.public);
    let versions: [&[&str]; 2] = [&["--tls-max", "1.2"], &["--tlsv1.3"]];
    let combined = versions
        .into_iter()
        .flat_map(|tls| [(tls, "--http1.1"), (tls, "--http2")]);
    for (version, http) in combined {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--cacert", &setting.ca(), http])
            .args(version);
        curl.args(["-H", "Content-Type: text/plain", "-d", "hello"]);
        curl.arg(format!("{url}/v1/channels/news/events"));
        let published = run(&mut curl);
        let text = String::from_utf8(published.stdout).unwrap();
        assert!(text.contains("\"id\""), "{version:?} {http}: {text}");
    }
    let mut listen = Command::new(env!("CARGO_BIN_EXE_sse-relay"));
    listen.args(["listen", &url, "--channel", "news", "--from", "earliest"]);
    listen.args(["--count", "4", "--ca", &setting.ca()]);
    let heard = String::from_utf8(run(&mut listen).stdout).unwrap();
    assert_eq!(heard.matches("hello").count(), 4, "{heard}");
    assert!(setting.handshakes("completed").await >= 5);
}

#[tokio::test]
async fn streams_over_tls_get_everything_in_order_and_end_well() {
    let setting = Setting::new("", "drain: {propagation: 0s, window: 1s, timeout: 20s}").await;
    let to = setting.relay.public;
    let mut streams = Vec::new();
    for version in [Version::Http11, Version::Http2] {
        let request = Request::new("channel=news").version(version);
        streams.push(setting.subscribe(&setting.secure(), &request).await);
    }
    // a connection that published before
    let mut io = setting.secure().connect(to).await.unwrap();
    let answer = post(&mut io, "first", "keep-alive").await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    streams.push(Subscriber::over(io, to, &Request::new("channel=news&from=earliest")).await);
    for n in 0..20 {
        setting.publish(&n.to_string()).await;
    }
    let mut expected = vec!["first".to_owned()];
    expected.extend((0..20).map(|n| n.to_string()));
    for stream in &mut streams {
        assert_eq!(stream.status, 200);
        assert_eq!(stream.data(21).await, expected);
    }
    setting.relay.signal();
    for stream in &mut streams {
        stream.rest().await;
        assert_eq!(stream.end, Some(End::Whole));
        assert!(stream.retry.is_some());
    }
    let mut relay = setting.relay;
    assert!(relay.exit().await.success(), "{}", relay.log());
}

#[tokio::test]
async fn what_is_no_handshake_is_told_so_or_closed_and_counted() {
    let setting = Setting::new(", minVersion: 1.3, handshakeTimeout: 1s", "").await;
    let to = setting.relay.public;
    let answer = exchange(to, "GET /v1/status", "").await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("https://"), "{}", answer.body);
    let mut old = setting.secure();
    old.versions = vec![&TLS12];
    assert!(old.connect(to).await.is_err());
    let foreign = setting.secure().speaking("spdy/1");
    assert!(foreign.connect(to).await.is_err());
    let mut torn = TcpStream::connect(to).await.unwrap();
    torn.write_all(&[22, 3, 1, 255, 255, 1, 2, 3])
        .await
        .unwrap();
    torn.shutdown().await.unwrap();
    eventually("four failures", async || {
        setting.handshakes("failed").await == 4
    })
    .await;
    // nothing, half a record, and a handshake without a request
    let _silent = TcpStream::connect(to).await.unwrap();
    let mut half = TcpStream::connect(to).await.unwrap();
    half.write_all(&[22, 3, 1]).await.unwrap();
    eventually("two are out of time", async || {
        setting.handshakes("timeout").await == 2
    })
    .await;
    assert_eq!(half.read(&mut [0; 8]).await.unwrap_or(0), 0);
    setting.publish("still served").await;
}

#[tokio::test]
async fn a_new_pair_is_used_for_new_connections_and_open_streams_go_on() {
    let setting = Setting::new("", "").await;
    let folder = setting.folder.path();
    let expiry = "sse_relay_certificate_expiry_timestamp_seconds";
    assert_eq!(setting.relay.sample(expiry).await, 4_102_444_800);
    let mut stream = setting
        .subscribe(&setting.secure(), &Request::new("channel=news"))
        .await;
    let next = setting.authority.server(2099);
    next.mount(folder);
    // nobody says so: the files are looked at
    eventually("the new certificate", async || {
        setting.certificate().await == next.chain()[0]
    })
    .await;
    assert_eq!(setting.relay.sample(expiry).await, 4_070_908_800);
    setting.publish("after the change").await;
    assert_eq!(stream.data(1).await, ["after the change"]);
    // somebody does
    let third = setting.authority.server(2098);
    third.mount(folder);
    setting.relay.send(Signal::HUP);
    eventually("the third certificate", async || {
        setting.certificate().await == third.chain()[0]
    })
    .await;
    assert_eq!(stream.end, None);
}

#[tokio::test]
async fn a_broken_new_pair_changes_nothing_and_is_told() {
    let setting = Setting::new("", "").await;
    let good = setting.certificate().await;
    let other = setting.authority.server(FAR);
    let broken = [
        (
            Pair {
                key: other.key.clone(),
                ..setting.authority.server(FAR)
            },
            "does not belong",
        ),
        (
            Pair {
                certificate: "no certificate".to_owned(),
                ..other.clone()
            },
            "has no certificate in PEM",
        ),
        (
            Pair {
                key: String::new(),
                ..other.clone()
            },
            "has no private key in PEM",
        ),
        (setting.authority.server(2001), "ended in the past"),
    ];
    let failed = "sse_relay_certificate_reloads_total{outcome=\"failed\"}";
    for (pair, why) in broken {
        let before = setting.relay.sample(failed).await;
        pair.mount(setting.folder.path());
        setting.relay.send(Signal::HUP);
        eventually(why, async || {
            setting.relay.sample(failed).await > before && setting.relay.log().contains(why)
        })
        .await;
        assert_eq!(setting.certificate().await, good, "{why}");
    }
    assert!(!setting.relay.log().contains("PRIVATE KEY"));
    other.mount(setting.folder.path());
    eventually("the pair that is right again", async || {
        setting.certificate().await == other.chain()[0]
    })
    .await;
}

#[tokio::test]
async fn a_relay_does_not_start_without_its_certificate_and_says_why() {
    let folder = TempDir::new().unwrap();
    let start = || {
        let mut relay = Command::new(env!("CARGO_BIN_EXE_sse-relay"));
        let json = format!(
            "{{\"certificate\": {:?}, \"key\": {:?}}}",
            folder.path().join("tls.crt"),
            folder.path().join("tls.key")
        );
        relay.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ]);
        relay.env("SSE_RELAY_TLS", json);
        let ended = run(&mut relay);
        assert!(!ended.status.success());
        String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
    };
    let missing = start();
    assert!(
        missing.contains("cannot read") && missing.contains("tls.crt"),
        "{missing}"
    );
    let authority = Authority::new("a");
    let pair = Pair {
        key: authority.server(FAR).key,
        ..authority.server(FAR)
    };
    pair.mount(folder.path());
    let mismatched = start();
    assert!(mismatched.contains("write both anew"), "{mismatched}");
}

#[tokio::test]
async fn clients_show_a_certificate_where_they_must_and_a_wrong_one_is_refused() {
    let believed = Authority::new("authority of clients");
    let (mine, foreign) = (
        believed.client("backend", Vec::new()),
        Authority::new("another").client("backend", Vec::new()),
    );
    let folder = TempDir::new().unwrap();
    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, &believed.pem).unwrap();
    // in TLS 1.3 a client hears of its refusal with what it reads
    let connects = async |setting: &Setting, secure: Secure| -> bool {
        let Ok(mut io) = secure.connect(setting.relay.public).await else {
            return false;
        };
        let asked = io
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        asked.is_ok() && io.read(&mut [0; 64]).await.is_ok_and(|n| n > 0)
    };
    for (asked, nobody_may) in [("required", false), ("optional", true)] {
        let tls = format!(", clientAuth: {asked}, clientCa: {}", ca.display());
        let setting = Setting::new(&tls, "").await;
        assert!(connects(&setting, setting.secure().with(&mine)).await);
        assert!(!connects(&setting, setting.secure().with(&foreign)).await);
        assert_eq!(connects(&setting, setting.secure()).await, nobody_may);
    }
}

#[tokio::test]
async fn a_stream_over_tls_that_takes_nothing_is_closed() {
    let setting = Setting::new(
        "",
        "tcp: {userTimeout: 1h}\nheartbeat: {interval: 1s}\n\
         stream: {writeTimeout: 1s, maxQueueBytes: 64Mi}",
    )
    .await;
    let to = setting.relay.public;
    let mut narrow = setting.secure().connect_narrow(to).await.unwrap();
    let get = b"GET /v1/events?channel=news HTTP/1.1\r\nHost: localhost\r\n\r\n";
    narrow.write_all(get).await.unwrap();
    assert!(narrow.read(&mut [0; 16]).await.unwrap() > 0);
    for _ in 0..20 {
        setting.publish(&"x".repeat(500_000)).await;
    }
    let reason = "sse_relay_streams_closed_total{reason=\"stalled\"}";
    eventually("it is closed", async || {
        setting.relay.sample(reason).await == 1
    })
    .await;
    eventually("nothing of it is left", async || {
        setting.relay.sample("sse_relay_connections").await == 0
    })
    .await;
}

#[test]
fn half_open_handshakes_of_as_many_files_as_there_are_do_not_stop_others() {
    const FILES: u32 = 200;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let authority = Authority::new("a");
    let folder = TempDir::new().unwrap();
    authority.server(FAR).mount(folder.path());
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let json = format!(
        "{{\"certificate\": {certificate:?}, \"key\": {key:?}, \"handshakeTimeout\": \"10m\"}}"
    );
    let relay = support::Relay::start_with_descriptors_and(FILES, &[("SSE_RELAY_TLS", &json)]);
    let to: SocketAddr = relay.public;
    runtime.block_on(async {
        let mut half_open = Vec::new();
        for n in 0..2 * FILES {
            let mut socket = TcpStream::connect(to).await.unwrap();
            if n % 2 == 0 {
                socket.write_all(&[22, 3, 1]).await.unwrap();
            }
            half_open.push(socket);
        }
        let secure = Secure::new(&authority);
        for _ in 0..10 {
            // while they still queue in front, descriptors may run out, and who is turned away comes back
            let connected = async {
                loop {
                    if let Ok(io) = secure.connect(to).await {
                        break io;
                    }
                }
            };
            let mut io = timeout(support::LIMIT, connected).await.unwrap();
            let answer = post(&mut io, "hello", "close").await;
            assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        }
    });
    let scrape = relay.scrape();
    let sum = |begin: &str| -> u32 {
        let lines = scrape.lines().filter(|line| line.starts_with(begin));
        let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap());
        values.sum()
    };
    let displaced = sum("sse_relay_tls_handshakes_total{outcome=\"displaced\"}");
    // how many found all connections taken, and were turned away instead, is a matter of who was quicker
    let turned_away = sum("sse_relay_connections_refused_total{");
    assert!(displaced > 0, "{scrape}");
    assert!(displaced + turned_away > FILES, "{scrape}");
}

#[tokio::test]
async fn certificates_are_renewed_under_load_and_not_one_stream_is_lost() {
    const STREAMS: usize = 60;
    const RENEWALS: usize = 30;
    let setting = Setting::new("", "heartbeat: {interval: 1s}").await;
    let secure = setting.secure();
    let done = Cell::new(false);
    let renew = async {
        for n in 0..RENEWALS {
            setting
                .authority
                .server(2060 + n as i32)
                .mount(setting.folder.path());
            setting.relay.send(Signal::HUP);
            let loaded = "sse_relay_certificate_reloads_total{outcome=\"loaded\"}";
            eventually("it is loaded", async || {
                setting.relay.sample(loaded).await > n as u64
            })
            .await;
        }
        done.set(true);
    };
    let publish = async {
        let mut count = 0;
        while !done.get() {
            setting.publish(&count.to_string()).await;
            count += 1;
            sleep(Duration::from_millis(2)).await;
        }
        setting.publish("last").await;
        count
    };
    let mut streams = JoinSet::new();
    for n in 0..STREAMS {
        let version = if n % 2 == 0 {
            Version::Http11
        } else {
            Version::Http2
        };
        let request = Request::new("channel=news&from=earliest").version(version);
        let mut stream = setting.subscribe(&secure, &request).await;
        streams.spawn(async move {
            let mut got = Vec::new();
            loop {
                let event = stream.next().await.expect("no stream ends");
                got.push(event.data);
                if got.last().is_some_and(|data| data == "last") {
                    return got;
                }
            }
        });
    }
    // others come and go all the time
    let come_and_go = async {
        let mut connections = 0;
        while !done.get() {
            let request = Request::new("channel=news").version(Version::Http2);
            let stream = setting.subscribe(&secure, &request).await;
            assert_eq!(stream.status, 200);
            connections += 1;
        }
        connections
    };
    let ((), count, connections) = tokio::join!(renew, publish, come_and_go);
    let mut expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    expected.push("last".to_owned());
    while let Some(got) = streams.join_next().await {
        assert_eq!(got.unwrap(), expected);
    }
    assert!(connections > 0);
    let failed = "sse_relay_certificate_reloads_total{outcome=\"failed\"}";
    assert_eq!(
        setting.relay.sample(failed).await,
        0,
        "{}",
        setting.relay.log()
    );
    assert_eq!(setting.handshakes("failed").await, 0);
}

/// The status of one request with these further lines, over HTTP/1.1.
async fn status(setting: &Setting, secure: &Secure, target: &str, lines: &str) -> String {
    let mut io = secure.connect(setting.relay.public).await.unwrap();
    let body = if target.starts_with("POST") { "x" } else { "" };
    let request = format!(
        "{target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         {lines}\r\n{body}",
        body.len()
    );
    io.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n") && !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        assert!(io.read_buf(&mut bytes).await.unwrap() > 0);
    }
    let head = String::from_utf8_lossy(&bytes);
    head.split(' ').nth(1).unwrap().to_owned()
}

/// A relay that knows the subjects `CN=backend` and `CN=both`, and the name `spiffe://here/reader`, and the authority
/// that it believes.
async fn with_certificates(asked: &str) -> (Setting, Authority, TempDir) {
    let believed = Authority::new("authority of clients");
    let folder = TempDir::new().unwrap();
    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, &believed.pem).unwrap();
    let tls = format!(", clientAuth: {asked}, clientCa: {}", ca.display());
    let rules = "auth:\n  certificates:\n  \
         - {name: backend, subject: CN=backend, publish: [news], manage: [observe, disconnect]}\n  \
         - {name: reader, san: \"spiffe://here/reader\", subscribe: [news]}\n  \
         - {name: both, subject: CN=both, publish: [news], subscribe: [news]}\n  \
         anonymous: {subscribe: [public]}";
    (Setting::new(&tls, rules).await, believed, folder)
}

const PUBLISH: &str = "POST /v1/channels/news/events";
const LISTEN: &str = "GET /v1/events?channel=news";

fn certificate(authority: &Authority, name: &str, uri: Option<&str>) -> Pair {
    let uri = uri.map(|uri| rcgen::SanType::URI(uri.try_into().unwrap()));
    authority.client(name, uri.into_iter().collect())
}

#[tokio::test]
async fn a_verified_certificate_may_do_what_its_rule_says_and_no_other() {
    let (setting, believed, _folder) = with_certificates("optional").await;
    let nobody = setting.secure();
    let backend = setting
        .secure()
        .with(&certificate(&believed, "backend", None));
    let uri = "spiffe://here/reader";
    let reader = setting
        .secure()
        .with(&certificate(&believed, "x", Some(uri)));
    let other = setting.secure().with(&certificate(
        &believed,
        "backend,O=x",
        Some("spiffe://here"),
    ));
    let wrong = "Authorization: Bearer wrong\r\n";
    for (secure, asked, lines, expected) in [
        (&backend, PUBLISH, "", "201"),
        (&backend, LISTEN, "", "403"),
        (&backend, "GET /v1/connections", "", "200"),
        (&reader, PUBLISH, "", "403"),
        (&reader, LISTEN, "", "200"),
        (&reader, "GET /v1/connections", "", "403"),
        // who is verified but known by no rule is nobody, and so is who shows nothing
        (&other, PUBLISH, "", "401"),
        (&nobody, PUBLISH, "", "401"),
        (&nobody, LISTEN, "", "401"),
        (&nobody, "GET /v1/events?channel=public", "", "200"),
        (&other, "GET /v1/events?channel=public", "", "200"),
        (&reader, "GET /v1/events?channel=public", "", "200"),
        // what is sent counts first, and a wrong token stays wrong
        (&backend, PUBLISH, wrong, "401"),
        (&reader, LISTEN, wrong, "401"),
        // a browser shows its certificate whichever page asks
        (&backend, PUBLISH, "Origin: https://evil.example\r\n", "403"),
        (&reader, LISTEN, "Sec-Fetch-Site: cross-site\r\n", "403"),
    ] {
        let found = status(&setting, secure, asked, lines).await;
        assert_eq!(found, expected, "{asked} {lines}");
    }
}

#[tokio::test]
async fn streams_of_a_certificate_are_listed_and_revoked_by_its_name_in_every_version() {
    let (setting, believed, _folder) = with_certificates("required").await;
    let backend = setting
        .secure()
        .with(&certificate(&believed, "backend", None));
    let uri = "spiffe://here/reader";
    let reader = setting
        .secure()
        .with(&certificate(&believed, "x", Some(uri)));
    let mut streams = Vec::new();
    for version in [Version::Http11, Version::Http2] {
        let request = Request::new("channel=news").version(version);
        let stream = setting.subscribe(&reader, &request).await;
        assert_eq!(stream.status, 200);
        streams.push(stream);
    }
    // a stream that follows a request on its connection
    let both = setting.secure().with(&certificate(&believed, "both", None));
    let to = setting.relay.public;
    let mut io = both.connect(to).await.unwrap();
    let answer = post(&mut io, "x", "keep-alive").await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let after = Subscriber::over(io, to, &Request::new("channel=news")).await;
    assert_eq!(after.status, 200);
    let folder = TempDir::new().unwrap();
    let pair = certificate(&believed, "backend", None);
    pair.mount(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let curl = |path: &str, body: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--cacert", &setting.ca(), "--cert", &file("tls.crt")]);
        curl.args(["--key", &file("tls.key")]).args(body);
        curl.arg(format!("https://{}{path}", setting.relay.public));
        String::from_utf8(run(&mut curl).stdout).unwrap()
    };
    let listed = curl("/v1/connections?token=reader", &[]);
    assert_eq!(listed.matches("\"certificate\"").count(), 2, "{listed}");
    let json = "Content-Type: application/json";
    let revoked = curl(
        "/v1/revocations",
        &["-H", json, "-d", "{\"token\":\"reader\"}"],
    );
    assert!(revoked.contains("\"ended\":2"), "{revoked}");
    for stream in &mut streams {
        stream.rest().await;
        assert_eq!(stream.end, Some(End::Whole));
    }
    assert_eq!(status(&setting, &reader, LISTEN, "").await, "401");
    assert_eq!(status(&setting, &backend, PUBLISH, "").await, "201");
}

#[tokio::test]
async fn a_certificate_makes_tickets_that_open_streams_with_it_and_without_it() {
    let (setting, believed, _folder) = with_certificates("optional").await;
    let reader = setting
        .secure()
        .with(&certificate(&believed, "x", Some("spiffe://here/reader")));
    let backend = setting
        .secure()
        .with(&certificate(&believed, "backend", None));
    let to = setting.relay.public;
    let mint = async || {
        let mut io = reader.connect(to).await.unwrap();
        let request = "POST /v1/tickets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                       Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        io.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        io.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 201"), "{text}");
        let (_, rest) = text.split_once("\"ticket\":\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    // a browser shows its certificate beside the ticket, which counts; so may nobody's, or another's
    for (shown, version) in [
        (&reader, Version::Http11),
        (&reader, Version::Http2),
        (&setting.secure(), Version::Http11),
        (&backend, Version::Http2),
    ] {
        let query = format!("ticket={}", mint().await);
        let request = Request::new(&*query).version(version);
        let mut stream = setting.subscribe(shown, &request).await;
        assert_eq!(stream.status, 200);
        // it reopens its own stream, and is no other client's
        let mut again = setting.subscribe(shown, &request).await;
        assert_eq!(again.status, 200);
        stream.rest().await;
        let foreign = request.header("user-agent", "another");
        let refused = setting.subscribe(shown, &foreign).await;
        assert_eq!(refused.status, 401);
        setting.publish_as(&backend, "for the reader").await;
        assert_eq!(again.next().await.unwrap().data, "for the reader");
    }
    // revoked, its tickets open nothing
    let query = format!("/v1/events?ticket={}", mint().await);
    let body = "{\"token\":\"reader\"}";
    let mut io = backend.connect(to).await.unwrap();
    let revoke = format!(
        "POST /v1/revocations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    io.write_all(revoke.as_bytes()).await.unwrap();
    let mut text = String::new();
    io.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let asked = format!("GET {query}");
    assert_eq!(status(&setting, &reader, &asked, "").await, "401");
}
