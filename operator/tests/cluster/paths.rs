//! `examples/proxies/ingress-swf-monitor.yaml` through a real ingress controller, Traefik: the stream and its
//! status are the relay's, all else is the monitor's.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::gateway::make;
use super::programs::{RelayProcess, free_port};
use super::server::{PATIENCE, Process};
use super::{shared, until};

const HOST: &str = "monitor.example.com";
/// Of the token `key`.
const HASH: &str = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

fn example(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(path);
    std::fs::read_to_string(path).unwrap()
}

/// The folder of the proxies, which are fetched once.
fn proxies() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/proxies.sh");
    let output = Command::new("sh")
        .arg(script)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "there is no Traefik to test with");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A stand-in for the monitor: it says which path it was asked for.
fn monitor(address: IpAddr) {
    let listener = TcpListener::bind((address, 8000)).unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let body = format!("the monitor at {path}");
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
}

/// A request whose answer is read as it comes.
fn ask(to: (IpAddr, u16), method: &str, path: &str, more: &str) -> TcpStream {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Token key\r\n{more}\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    socket
}

fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let mut some = [0; 4096];
    while !String::from_utf8_lossy(&read).contains(text) {
        let n = socket.read(&mut some).unwrap();
        assert_ne!(n, 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&some[..n]);
    }
    String::from_utf8(read).unwrap()
}

/// The whole answer to a request.
fn answer(to: (IpAddr, u16), path: &str) -> String {
    let mut text = String::new();
    let mut socket = ask(to, "GET", path, "Connection: close\r\n");
    let _ = socket.read_to_string(&mut text);
    text
}

fn service(name: &str, address: IpAddr, port: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"type": "ExternalName", "externalName": address.to_string(), "ports": [port]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_ingress_gives_the_stream_to_the_relay_and_all_else_to_the_monitor() {
    let server = shared().await;
    let namespace = server.namespace("paths").await;
    let configuration = example("routes/swf-testbed.yaml").replace(&"0".repeat(64), HASH);
    let relay = RelayProcess::start(&configuration, &[]).await;
    monitor(relay.address);
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "paths"},
        "spec": {"controller": "traefik.io/ingress-controller"},
    });
    make(server, None, class).await;
    let ingress = example("proxies/ingress-swf-monitor.yaml");
    assert!(ingress.contains("ingressClassName: nginx"));
    let ingress = ingress.replace("ingressClassName: nginx", "ingressClassName: paths");
    let ingress: Value = serde_saphyr::from_str(&ingress).unwrap();
    for object in [
        service(
            "streams",
            relay.address,
            &json!({"name": "http", "port": 8080}),
        ),
        service("swf-monitor", relay.address, &json!({"port": 8000})),
        ingress,
    ] {
        make(server, Some(&namespace), object).await;
    }
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let traefik = [
        "env".to_owned(),
        format!("KUBECONFIG={}", server.kubeconfig().display()),
        format!("{}/traefik", proxies()),
        "--global.checknewversion=false".to_owned(),
        "--global.sendanonymoususage=false".to_owned(),
        format!("--entrypoints.web.address=127.0.0.1:{port}"),
        "--providers.kubernetesingress=true".to_owned(),
        "--providers.kubernetesingress.allowexternalnameservices=true".to_owned(),
        format!("--providers.kubernetesingress.namespaces={namespace}"),
    ];
    let log = folder.path().join("log");
    let _traefik = Process::start(&traefik, &log);
    let front = (IpAddr::from([127, 0, 0, 1]), port);
    let status = "/swf-monitor/api/messages/stream/status/";
    let told = until("Traefik knows the way", async || {
        TcpStream::connect(front).ok()?;
        let answer = answer(front, status);
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    })
    .await;
    assert!(told.contains("\"connected_clients\": 0"), "{told}");

    let path = "/swf-monitor/api/messages/stream/?msg_types=stf_gen";
    let mut stream = ask(front, "GET", path, "Accept: text/event-stream\r\n");
    read_until(&mut stream, "event: connected\n");
    for path in [
        "/swf-monitor/",
        "/swf-monitor/api/state/next-agent-id/",
        "/swf-monitor/api/systemagents/heartbeat/",
        "/swf-monitor/api/messages/streams/",
    ] {
        let told = answer(front, path);
        assert!(told.ends_with(&format!("the monitor at {path}")), "{told}");
    }
    let event = r#"{"msg_type": "stf_gen", "run_id": "r1"}"#;
    let more = format!(
        "Authorization: Bearer key\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{event}",
        event.len()
    );
    let mut publish = TcpStream::connect((relay.address, 8080)).unwrap();
    let request =
        format!("POST /v1/channels/workflow_events/events HTTP/1.1\r\nHost: {HOST}\r\n{more}");
    publish.write_all(request.as_bytes()).unwrap();
    read_until(&mut publish, "HTTP/1.1 201");
    let told = read_until(&mut stream, "queue_name");
    assert!(told.contains("event: stf_gen\n"), "{told}");
    let counted = answer(front, status);
    assert!(counted.contains("\"connected_clients\": 1"), "{counted}");
}
