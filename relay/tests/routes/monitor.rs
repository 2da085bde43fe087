//! A stand-in for swf-monitor as its agents know it: it numbers them, hears that they live, and alone knows
//! who they are.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The key of its one user.
pub const KEY: &str = "0123abcd";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Monitor {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub authorization: String,
    pub body: String,
}

impl Monitor {
    pub fn start() -> Monitor {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let monitor = Monitor {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let seen = monitor.seen.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || answer(socket, &seen));
            }
        });
        monitor
    }

    /// Its status, by which the relay asks who sends a request.
    pub fn status_url(&self) -> String {
        format!(
            "http://{}/swf-monitor/api/messages/stream/status/",
            self.address
        )
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The last heartbeat of an agent, once there is one.
    pub fn heartbeat_of(&self, agent: &str) -> Value {
        let started = Instant::now();
        loop {
            let seen = self.seen();
            let beats = seen
                .iter()
                .filter(|one| one.line.contains("/api/systemagents/heartbeat/"));
            let mut beats = beats.map(|one| serde_json::from_str::<Value>(&one.body).unwrap());
            if let Some(beat) = beats.find(|beat| beat["instance_name"] == agent) {
                return beat;
            }
            assert!(started.elapsed() < PATIENCE, "no heartbeat: {seen:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn answer(mut socket: TcpStream, all: &Mutex<Vec<Seen>>) {
    let Some(seen) = read(&socket) else {
        return; // a connection that was not used
    };
    let knows = seen.authorization == format!("Token {KEY}");
    let (status, body) = match seen.line.split(' ').nth(1).unwrap_or_default() {
        path if path.ends_with("/api/state/next-agent-id/") => {
            ("200 OK", r#"{"status": "success", "agent_id": 17}"#)
        }
        _ if !knows => ("403 Forbidden", r#"{"detail": "Invalid token."}"#),
        path if path.ends_with("/api/systemagents/heartbeat/") => {
            ("201 Created", r#"{"status": "ok"}"#)
        }
        path if path.ends_with("/status/") => ("200 OK", r#"{"connected_clients": 0}"#),
        _ => ("404 Not Found", "{}"),
    };
    all.lock().unwrap().push(seen);
    let length = body.len();
    let _ = write!(
        socket,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
}

fn read(socket: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(socket);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header = |wanted: &str| {
        let found = head.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case(wanted).then(|| value.to_owned())
        });
        found.unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Seen {
        line: head[0].clone(),
        authorization: header("authorization"),
        body: String::from_utf8(body).ok()?,
    })
}
