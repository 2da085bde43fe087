//! The files of `examples/proxies/`, by the servers that they are for, in front of the relay with a route of
//! another system and of an application that has the other paths.

#![allow(clippy::unwrap_used)]

#[path = "forward/application.rs"]
mod application;
#[path = "routes/example.rs"]
#[allow(dead_code, reason = "the tests of routes use more of it")]
mod example;
#[path = "fronts/proxy.rs"]
mod proxy;
mod support;

use application::{Application, Reply};
use example::{Example, last, text};
use proxy::Proxy;
use serde_json::json;
use std::{
    process::Command,
    time::{Duration, Instant},
};
use support::{Answer, Connection, LIMIT, front::Front, program::Program, request};

const STREAM: &str = "/dashboard/api/events";

/// A relay and an application behind a proxy.
struct Site {
    example: Example,
    _application: Application,
    front: Front,
}

impl Site {
    /// With heartbeats so often, and a proxy that gives up silent streams after so many seconds.
    fn start(proxy: Proxy, heartbeat: &str, idle: u32) -> Site {
        let yaml =
            text("sai-dashboard.yaml").replace("interval: 30s", &format!("interval: {heartbeat}"));
        let yaml = yaml + "\nproxies: {trusted: [127.0.0.1]}\n";
        let example = Example::start(&yaml, json!({"anonymous": {"subscribe": ["sai"]}}));
        let application = Application::start(Reply::Json(json!({"page": "x".repeat(2000)})));
        let front = proxy.start(example.relay.public, application.address(), idle);
        Site {
            example,
            _application: application,
            front,
        }
    }

    /// Opens a stream as a browser does, and reads its first blocks.
    fn open(&self, headers: &[&str]) -> (Connection, Answer, String) {
        let mut connection = Connection::to(self.front.address);
        let head = request("GET", STREAM, headers, b"");
        let head = String::from_utf8(head).unwrap();
        connection.send(head.replace("Connection: close\r\n", ""));
        let head = connection.head();
        assert_eq!(head.status, 200, "{head:?} {}", self.front.output());
        let greeting = connection.body_until("real-time updates\"}\n\n");
        (connection, head, greeting)
    }

    fn publish(&self, data: &str) {
        self.example
            .publish("sai", &json!({"event": "execution:new", "data": data}));
    }

    /// The addresses of the open streams.
    fn listed(&self) -> Vec<String> {
        let publisher = ["Authorization: Bearer publisher"];
        let relay = &self.example.relay;
        let answer = relay.request("GET", "/v1/connections", &publisher, b"");
        let answer = answer.json();
        let connections = answer["connections"].as_array().unwrap().iter();
        connections
            .map(|one| one["remoteAddr"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn events_reach_a_client_one_by_one_and_unpacked(proxy: Proxy) {
    let site = Site::start(proxy, "1s", 30);
    let (mut stream, head, _) = site.open(&["Accept-Encoding: gzip, deflate, br"]);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert_eq!(head.header("content-encoding"), None, "{head:?}");
    for n in 0..5 {
        site.publish(&format!("small {n}"));
        // the next one is published only when this one is there: nothing is held back
        stream.body_until(&format!("data: small {n}\n"));
    }
    let mut page = Connection::to(site.front.address);
    page.send(request("GET", "/page", &["Accept-Encoding: gzip"], b""));
    let page = page.head();
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(
        page.header("content-encoding"),
        Some("gzip"),
        "pages are packed: {page:?}"
    );
}

fn heartbeats_keep_a_stream_and_silence_ends_it(proxy: Proxy) {
    // far apart, so that a busy machine does not make a heartbeat late enough
    let site = Site::start(proxy, "1s", 8);
    let (mut stream, ..) = site.open(&[]);
    for _ in 0..10 {
        stream.body_until("event: heartbeat\n");
    }
    drop(site);
    let site = Site::start(proxy, "10m", 5);
    let (mut stream, ..) = site.open(&[]);
    stream.end_of_body(); // which is the proxy's doing
    drop(stream);
    until(|| site.listed().is_empty());
}

fn the_relay_knows_its_clients_and_believes_no_one_else(proxy: Proxy) {
    let site = Site::start(proxy, "1s", 30);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--no-buffer", "--interface", "127.0.0.2"])
        .args(["--header", "X-Forwarded-For: 192.0.2.9"])
        .args(["--header", "Forwarded: for=192.0.2.8"])
        .arg(format!("http://{}{STREAM}", site.front.address));
    let client = Program::start(&mut curl);
    client.until("real-time updates");
    assert_eq!(site.listed(), ["127.0.0.2"]);
    drop(client);
    until(|| site.listed().is_empty());
}

fn a_client_comes_back_where_it_was(proxy: Proxy) {
    let site = Site::start(proxy, "1s", 30);
    let (mut stream, ..) = site.open(&[]);
    site.publish("first");
    let blocks = stream.body_until("data: first\n");
    let id = last(&blocks, "id").to_owned();
    drop(stream);
    until(|| site.listed().is_empty());
    site.publish("second");
    site.publish("third");
    let (mut stream, _, greeting) = site.open(&[&format!("Last-Event-ID: {id}")]);
    let blocks = match greeting.contains("data: third\n") {
        true => greeting, // it came with the first blocks
        false => greeting + &stream.body_until("data: third\n"),
    };
    assert!(!blocks.contains("data: first\n"), "{blocks}");
    assert!(blocks.contains("data: second\n"), "{blocks}");
}

/// Asks again until it is so.
fn until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < LIMIT, "it never came to that");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The same for each proxy, each as a test of its own.
macro_rules! each {
    ($($name:ident: $proxy:expr;)*) => {$(
        mod $name {
            use super::Proxy;

            #[test]
            fn events_reach_a_client_one_by_one_and_unpacked() {
                super::events_reach_a_client_one_by_one_and_unpacked($proxy);
            }

            #[test]
            fn heartbeats_keep_a_stream_and_silence_ends_it() {
                super::heartbeats_keep_a_stream_and_silence_ends_it($proxy);
            }

            #[test]
            fn the_relay_knows_its_clients_and_believes_no_one_else() {
                super::the_relay_knows_its_clients_and_believes_no_one_else($proxy);
            }

            #[test]
            fn a_client_comes_back_where_it_was() {
                super::a_client_comes_back_where_it_was($proxy);
            }
        }
    )*};
}

each! {
    nginx: Proxy::Nginx;
    caddy: Proxy::Caddy;
    haproxy: Proxy::Haproxy;
    apache: Proxy::Apache;
}
