//! Event streams of other servers.

use crate::{
    pulled::{check, events, sample, until, wait_for, wait_until_connected},
    servers::Server,
    support::Relay,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

fn sources(url: &str, more: Value) -> String {
    let mut stream = json!({ "url": url });
    for (key, value) in more.as_object().unwrap() {
        stream[key] = value.clone();
    }
    json!([{"name": "orders", "sse": stream}]).to_string()
}

/// The same, once each and in order.
fn assert_whole(found: &[String]) {
    for (index, found) in found.iter().enumerate() {
        assert_eq!(*found, index.to_string());
    }
}

#[test]
fn another_relay_that_is_killed_under_load_is_resumed_where_it_was_left() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let first = Relay::start(&["--data-dir", data]);
    let address = first.public;
    let url = format!("http://{address}/v1/events?channel=orders&from=earliest");
    let relay = Relay::start_with(&[("SSE_RELAY_SOURCES", &sources(&url, json!({})))], &[]);
    wait_until_connected(&relay, "orders");
    let mut upstream = first;
    let mut count = 0;
    for _ in 0..4 {
        for _ in 0..50 {
            upstream.publish("orders", &count.to_string());
            count += 1;
        }
        upstream.signal(Signal::KILL);
        drop(upstream);
        upstream = Relay::start_on(address, &["--data-dir", data]);
    }
    assert_whole(&events(&relay, "orders", count));
    assert_eq!(check(&relay)["promise"], "acknowledged");
    // what it says of the stream itself is no event
    assert_eq!(check(&relay)["dropped"], json!({}));
}

#[test]
fn a_relay_that_is_killed_under_load_goes_on_where_it_was() {
    let (upstream, log) = (Relay::start(&[]), Server::start());
    let url = format!(
        "http://{}/v1/events?channel=orders&from=earliest",
        upstream.public
    );
    let sources = sources(&url, json!({}));
    let settings = [
        ("SSE_RELAY_SOURCES", sources.as_str()),
        ("SSE_RELAY_REDIS__URL", &log.url()),
    ];
    let mut relay = Relay::start_at(None, &settings);
    let mut count = 0;
    for _ in 0..3 {
        wait_until_connected(&relay, "orders");
        for _ in 0..50 {
            upstream.publish("orders", &count.to_string());
            count += 1;
        }
        relay.signal(Signal::KILL);
        relay = Relay::start_at(None, &settings);
    }
    assert_whole(&events(&relay, "orders", count));
}

/// A server that is no relay: what it is asked for, and answers with one after the other.
struct Plain {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Plain {
    fn start(answers: Vec<&'static str>) -> Plain {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = asked.clone();
        std::thread::spawn(move || {
            let mut answers = answers.into_iter();
            let mut open = Vec::new();
            for socket in listener.incoming().flatten() {
                let mut reader = BufReader::new(socket);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap_or(0) == 0 {
                        break;
                    }
                }
                heard.lock().unwrap().push(head.to_ascii_lowercase());
                let Some(answer) = answers.next() else {
                    open.push(reader);
                    continue;
                };
                let _ = reader.get_mut().write_all(answer.as_bytes());
                if !answer.ends_with("close") {
                    open.push(reader); // it stays as it is
                }
            }
        });
        Plain { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/stream?secret=in-the-address", self.address)
    }

    fn asked(&self, number: usize) -> String {
        until("a request", || {
            self.asked.lock().unwrap().get(number).cloned()
        })
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

#[test]
fn any_server_of_event_streams_is_understood() {
    let first = format!(
        "{HEAD}: hello\n\nid: 1\nevent: new\ndata: one\n\ndata: without\n\ndata: an id\n\nid: 2\nevent: gap\ndata: x\n\nid: 3\ndata: two\n\nid: close"
    );
    let server = Plain::start(vec![
        Box::leak(first.into_boxed_str()),
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\nclose",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nclose",
    ]);
    let more = json!({"credentials": {"scheme": "Token", "tokenVariable": "THE_TOKEN"}});
    let settings = [
        ("SSE_RELAY_SOURCES", sources(&server.url(), more)),
        ("THE_TOKEN", "the-secret".to_owned()),
    ];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let relay = Relay::start_with(&settings, &[]);
    assert_eq!(
        events(&relay, "orders", 4),
        ["one", "without", "an id", "two"]
    );
    let dropped = "sse_relay_source_dropped_total{source=\"orders\",reason=\"gone\"}";
    assert_eq!(sample(&relay, dropped), 1.0, "a gap is told");
    let asked = server.asked(0);
    assert!(
        asked.contains("authorization: token the-secret\r\n"),
        "{asked}"
    );
    assert!(!asked.contains("last-event-id"), "{asked}");
    assert!(
        server.asked(1).contains("last-event-id: 3\r\n"),
        "{}",
        server.asked(1)
    );
    for reason in ["credentials", "protocol"] {
        let faults =
            format!("sse_relay_source_faults_total{{source=\"orders\",reason=\"{reason}\"}}");
        wait_for(&relay, &faults, 1.0);
    }
    let output = relay.output();
    assert!(
        !output.contains("the-secret") && !output.contains("in-the-address"),
        "{output}"
    );
}
