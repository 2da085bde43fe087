//! A relay that serves one of the files of `examples/routes/`.

use crate::support::{Answer, Connection, Relay, request};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a changed file may take to be read.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Example {
    pub relay: Relay,
    folder: TempDir,
}

/// The file as it is.
pub fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/routes");
    std::fs::read_to_string(path.join(name)).unwrap()
}

impl Example {
    /// With a publisher, who is known by the token `publisher`, and more in the section `auth`.
    pub fn start(yaml: &str, auth: Value) -> Example {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("relay.yaml");
        std::fs::write(&file, yaml).unwrap();
        let mut auth = auth;
        let publisher = json!({
            "name": "publisher",
            "sha256": sse_relay::auth::hash_of("publisher"),
            "publish": ["**"],
            "manage": ["direct", "observe"],
        });
        match &mut auth["tokens"] {
            Value::Array(tokens) => tokens.push(publisher),
            none => *none = json!([publisher]),
        }
        let env = [
            ("SSE_RELAY_CONFIG", file.to_str().unwrap()),
            ("SSE_RELAY_AUTH", &auth.to_string()),
            ("SSE_RELAY_HTTP__THREADS", "2"),
        ];
        Example {
            relay: Relay::start_with(&env, &[]),
            folder,
        }
    }

    /// With the file and nothing else.
    pub fn start_as_it_is(yaml: &str) -> Example {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("relay.yaml");
        std::fs::write(&file, yaml).unwrap();
        let env = [("SSE_RELAY_CONFIG", file.to_str().unwrap())];
        Example {
            relay: Relay::start_with(&env, &[]),
            folder,
        }
    }

    /// Puts another configuration in place of its own, and waits until that is in force.
    pub fn rewrite(&self, yaml: &str) {
        std::fs::write(self.folder.path().join("relay.yaml"), yaml).unwrap();
        let applied = "sse_relay_config_reloads_total{outcome=\"applied\"} ";
        let is_applied = || {
            let scraped = self.relay.scrape();
            let mut lines = scraped.lines();
            let count = lines.find_map(|line| line.strip_prefix(applied));
            count.is_some_and(|count| count != "0")
        };
        let deadline = Instant::now() + PATIENCE;
        while !is_applied() {
            assert!(Instant::now() < deadline, "{}", self.relay.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Opens a stream and reads the head of its answer.
    pub fn open(&self, target: &str, headers: &[&str]) -> (Connection, Answer) {
        let mut connection = self.relay.connect();
        let head = request("GET", target, headers, b"");
        let text = String::from_utf8(head).unwrap();
        connection.send(text.replace("Connection: close\r\n", ""));
        let head = connection.head();
        (connection, head)
    }

    /// The same, which must be a stream.
    pub fn stream(&self, target: &str, headers: &[&str]) -> Connection {
        let (connection, head) = self.open(target, headers);
        assert_eq!(head.status, 200, "{head:?}");
        connection
    }

    /// Publishes an event that is given as JSON.
    pub fn publish(&self, channel: &str, event: &Value) {
        self.post(
            &format!("/v1/channels/{channel}/events"),
            "application/json",
            &event.to_string(),
        );
    }

    /// Publishes these bytes as an event's data.
    pub fn publish_data(&self, channel: &str, data: &str) {
        self.post(
            &format!("/v1/channels/{channel}/events"),
            "text/plain",
            data,
        );
    }

    pub fn post(&self, target: &str, content_type: &str, body: &str) -> Answer {
        let headers = [
            "Authorization: Bearer publisher",
            &format!("Content-Type: {content_type}"),
        ];
        let answer = self
            .relay
            .request("POST", target, &headers, body.as_bytes());
        assert!(answer.status < 300, "{answer:?}");
        answer
    }
}

/// The value of the last field of a name in some blocks.
pub fn last<'b>(blocks: &'b str, name: &str) -> &'b str {
    let lines = blocks.lines().rev();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values
        .next()
        .unwrap_or_else(|| panic!("no {name} in {blocks:?}"))
}

/// What varies from run to run, by the same name: ids, times and clients.
pub fn without_ids(blocks: &str) -> String {
    let lines = blocks.split_inclusive('\n');
    lines.filter(|line| !line.starts_with("id: ")).collect()
}

/// Blocks until a text came in one, without heartbeats, which come when they are due.
pub fn events_until(stream: &mut Connection, text: &str) -> String {
    let mut events = String::new();
    while !events.contains(text) {
        let blocks = stream.body_until("\n\n");
        let blocks = blocks.split_inclusive("\n\n");
        events.extend(blocks.filter(|block| !block.contains("event: heartbeat\n")));
    }
    events
}
