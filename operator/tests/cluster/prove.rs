//! Whether streams stream, seen from outside: a real relay behind a real nginx.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use kube::Api;
use rcgen::{CertifiedKey, KeyPair};
use serde_json::json;
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason};
use sse_relay_operator::document::PROBE_CHANNEL;
use sse_relay_operator::prove::{Loopback, Outcome, Patience, Prober, Target, Unreached};
use sse_relay_operator::tokens::Token;
use tempfile::TempDir;

use super::operator::{Operator, Served};
use super::programs::{RelayProcess, free_port};
use super::server::{Process, User};
use super::{shared, until};

/// nginx before a relay.
struct Proxy {
    _folder: TempDir,
    _process: Process,
    url: String,
}

impl Proxy {
    /// One with these directives for the way to the relay at `address`.
    async fn start(address: IpAddr, directives: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let listen = format!("listen 127.0.0.1:{port};");
        Self::serve(
            folder,
            &listen,
            &format!("http://127.0.0.1:{port}"),
            address,
            directives,
        )
        .await
    }

    /// One that shows `certificate` for localhost.
    async fn with_tls(address: IpAddr, certificate: &CertifiedKey<KeyPair>) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        std::fs::write(&cert, certificate.cert.pem()).unwrap();
        std::fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
        let listen = format!(
            "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};",
            cert.display(),
            key.display()
        );
        let plain = "proxy_http_version 1.1; proxy_buffering off;";
        Self::serve(
            folder,
            &listen,
            &format!("https://localhost:{port}"),
            address,
            plain,
        )
        .await
    }

    async fn serve(
        folder: TempDir,
        listen: &str,
        url: &str,
        address: IpAddr,
        directives: &str,
    ) -> Self {
        let at = folder.path().display();
        let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
        let text = format!(
            "daemon off; pid {at}/pid; error_log {at}/error; events {{}}\nhttp {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n server {{ {listen} location / {{ proxy_pass http://{address}:8080; {directives} }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let command = ["nginx", "-c", &file.display().to_string(), "-e", "stderr"];
        let process = Process::start(
            &command.map(str::to_owned),
            Path::new(&folder.path().join("log")),
        );
        until("nginx listens", async || {
            std::net::TcpStream::connect(("127.0.0.1", port))
                .is_ok()
                .then_some(())
        })
        .await;
        Self {
            _folder: folder,
            _process: process,
            url: url.to_owned(),
        }
    }
}

async fn relay(token: &Token) -> RelayProcess {
    let configuration = json!({ "auth": { "tokens": [{ "name": "probe", "sha256": token.hash(), "publish": [PROBE_CHANNEL], "subscribe": [PROBE_CHANNEL] }] },
        "heartbeat": { "interval": "1s" } });
    RelayProcess::start(&configuration.to_string(), &[]).await
}

fn prober(loopback: Loopback) -> Prober {
    let patience = Patience {
        answer: Duration::from_secs(20),
        stream: Duration::from_secs(5),
    };
    Prober::new(loopback, patience, Vec::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_https_is_proved_where_its_certificate_is_believed() {
    let token = Token::from_random([7; 32]);
    let relay = relay(&token).await;
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let proxy = Proxy::with_tls(relay.address, &own).await;
    let target = Target {
        url: proxy.url.clone(),
        inside: (relay.address, 8080).into(),
        token,
    };
    let stranger = prober(Loopback::Allowed);
    assert_eq!(stranger.probe(&target).await, Outcome::Untrusted);
    let patience = Patience {
        answer: Duration::from_secs(20),
        stream: Duration::from_secs(5),
    };
    let own = vec![own.cert.der().clone()];
    let friend = Prober::new(Loopback::Allowed, patience, own).unwrap();
    let streams = friend.probe(&target).await;
    assert!(matches!(streams, Outcome::Streams { .. }), "{streams:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_does_to_streams_is_seen_through_it() {
    let token = Token::from_random([7; 32]);
    let relay = relay(&token).await;
    let prober = prober(Loopback::Allowed);
    let through = async |directives: &str| {
        let proxy = Proxy::start(relay.address, directives).await;
        let target = Target {
            url: proxy.url.clone(),
            inside: (relay.address, 8080).into(),
            token: Token::from_random([7; 32]),
        };
        prober.probe(&target).await
    };
    let good = through("proxy_http_version 1.1; proxy_buffering off;").await;
    assert!(matches!(good, Outcome::Streams { .. }), "{good:?}");
    let held_back =
        "proxy_http_version 1.0; proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;";
    let held_back = through(held_back).await;
    assert!(
        matches!(held_back, Outcome::Buffered { .. }),
        "{held_back:?}"
    );
    let impatient =
        through("proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 200ms;").await;
    assert!(matches!(impatient, Outcome::Cut { .. }), "{impatient:?}");
    let elsewhere = through("return 302 https://example.com/login?ticket=x;").await;
    let to = "https://example.com/login".to_owned();
    assert_eq!(elsewhere, Outcome::Redirected { to });
    assert_eq!(
        through("return 404;").await,
        Outcome::NoStream { status: 404 }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_reaches_neither_the_operator_itself_nor_whoever_does_not_answer() {
    let token = Token::from_random([7; 32]);
    let relay = relay(&token).await;
    let at = |url: String, token: Token| Target {
        url,
        inside: (relay.address, 8080).into(),
        token,
    };
    let own = prober(Loopback::Refused);
    for url in [
        "http://127.0.0.1",
        "http://localhost",
        "http://169.254.169.254",
        "http://[::1]",
    ] {
        let outcome = own
            .probe(&at(url.to_owned(), Token::from_random([7; 32])))
            .await;
        assert_eq!(outcome, Outcome::Unreached(Unreached::Host), "{url}");
    }
    let prober = prober(Loopback::Allowed);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let outcome = prober.probe(&at(nobody.clone(), token)).await;
    assert_eq!(outcome, Outcome::Unreached(Unreached::Connection));
    let other = Token::from_random([8; 32]);
    let outcome = prober.probe(&at(nobody, other)).await;
    assert_eq!(outcome, Outcome::Inside { status: Some(401) });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_proves_that_the_public_address_streams() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("proved").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    // nobody answers for this host here
    let spec = json!({ "ingress": { "hosts": ["nobody.invalid"], "controller": "contour" }, "auth": { "anonymous": { "subscribe": ["public.**"] } } });
    let live = Served::create(&client, &namespace, "live", spec).await;
    live.deployment().await;
    live.says(
        About::StreamingVerified,
        Holds::Unknown,
        Reason::NoReplicaReady,
    )
    .await;
    let relay = RelayProcess::start(&live.configuration().await, &[]).await;
    live.pod("live-1", relay.address).await;
    // the ticket was made inside: what is missing is a way from outside
    let said = live
        .says(
            About::StreamingVerified,
            Holds::Unknown,
            Reason::UrlNotReachable,
        )
        .await;
    assert!(said.message.contains("http://nobody.invalid"), "{said:?}");

    live.patch(json!({ "spec": { "streamingCheck": { "enabled": false } } }))
        .await;
    until("nothing is said of it any more", async || {
        let conditions = live.get().await.status?.conditions;
        let told = conditions
            .iter()
            .any(|c| c.r#type == About::StreamingVerified);
        (!told).then_some(())
    })
    .await;
    until("its token is taken away", async || {
        let secrets: Api<k8s_openapi::api::core::v1::Secret> = live.api();
        let gone = secrets.get_opt("live-probe").await.unwrap().is_none();
        (gone && !live.configuration().await.contains(PROBE_CHANNEL)).then_some(())
    })
    .await;
}
