//! Requests to a relay, each on a connection of its own.

use serde_json::{Value, json};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// What the relay said to a publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn id(&self) -> &str {
        self.body["id"].as_str().expect("the answer names the id")
    }

    /// The kind of problem that it tells of.
    pub fn problem(&self) -> &str {
        let of = self.body["type"].as_str().unwrap_or_default();
        of.trim_start_matches("urn:sse-relay:problem:")
    }
}

pub fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::Error::other("a cut answer"))
}

/// `None` unless it is whole.
fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = match body {
        "" => Value::Null,
        _ => serde_json::from_str(body).unwrap_or(Value::Null),
    };
    Some(Answer { status, body })
}

/// Publishes one event under a key, once.
pub fn publish(to: SocketAddr, channel: &str, data: &str, key: &str) -> io::Result<Answer> {
    let path = format!("/v1/channels/{channel}/events");
    let key = format!("Idempotency-Key: {key}\r\n");
    request(
        to,
        "POST",
        &path,
        &key,
        &json!({ "data": data }).to_string(),
    )
}
