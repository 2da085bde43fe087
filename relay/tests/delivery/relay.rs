//! The real relay as a process, and the requests that are no streams.

use serde_json::Value;
use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longer than anything here takes on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Relay {
    /// None where it is in the test's own process.
    process: Option<Child>,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    folder: TempDir,
}

/// Status, head and body of an answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("JSON: {}", self.body))
    }
}

impl Relay {
    /// Starts it with a configuration and waits until it is ready.
    pub async fn start(yaml: &str) -> Relay {
        let public = free_address();
        Relay::start_at(yaml, public, public).await
    }

    /// On every address of the machine.
    #[allow(dead_code, reason = "not every file of tests needs it")]
    pub async fn start_everywhere(yaml: &str) -> Relay {
        let public = free_address();
        let everywhere = SocketAddr::from(([0, 0, 0, 0], public.port()));
        Relay::start_at(&format!("insecureOpen: true\n{yaml}"), everywhere, public).await
    }

    /// With the file `config.yaml` of a folder, whatever kind of file that is.
    #[allow(dead_code, reason = "not every file of tests needs it")]
    pub async fn start_in(folder: TempDir) -> Relay {
        let public = free_address();
        Relay::run(folder, public, public).await
    }

    async fn start_at(yaml: &str, listen: SocketAddr, public: SocketAddr) -> Relay {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
        Relay::run(folder, listen, public).await
    }

    async fn run(folder: TempDir, listen: SocketAddr, public: SocketAddr) -> Relay {
        let config = folder.path().join("config.yaml");
        let log = File::create(folder.path().join("relay.log")).unwrap();
        let admin = free_address();
        let process = Command::new(env!("CARGO_BIN_EXE_sse-relay"))
            .args(["serve", "--listen", &listen.to_string()])
            .args(["--admin-listen", &admin.to_string(), "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut relay = Relay {
            process: Some(process),
            public,
            admin,
            folder,
        };
        let started = Instant::now();
        loop {
            if let Ok(answer) = exchange(admin, "GET /readyz", "").await
                && answer.status == 200
            {
                return relay;
            }
            let ended = relay.process().try_wait().unwrap();
            let late = started.elapsed() > PATIENCE;
            assert!(ended.is_none() && !late, "{ended:?}:\n{}", relay.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One that runs in the test's own process.
    #[allow(dead_code, reason = "not every file of tests needs it")]
    pub fn at(public: SocketAddr, admin: SocketAddr) -> Relay {
        Relay {
            process: None,
            public,
            admin,
            folder: TempDir::new().unwrap(),
        }
    }

    fn process(&mut self) -> &mut Child {
        self.process.as_mut().expect("it has a process of its own")
    }

    /// A sample of `/metrics`, by its name and labels.
    #[allow(dead_code, reason = "not every file of tests needs it")]
    pub async fn metric(&self, sample: &str) -> f64 {
        let scrape = exchange(self.admin, "GET /metrics", "").await.unwrap();
        let mut lines = scrape.body.lines();
        let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("{sample}"))
            .trim()
            .parse()
            .unwrap()
    }

    /// What it wrote about itself so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("relay.log")).unwrap_or_default()
    }

    pub async fn get(&self, path: &str) -> Answer {
        exchange(self.public, &format!("GET {path}"), "")
            .await
            .unwrap()
    }

    /// A number of `/v1/status`, by its JSON pointer.
    pub async fn status(&self, pointer: &str) -> u64 {
        let status = self.get("/v1/status").await.json();
        let number = status.pointer(pointer).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("{pointer} in {status}"))
    }

    /// The streams that are open, as `/v1/connections` lists them.
    pub async fn connections(&self) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self
                .get(&format!("/v1/connections?limit=100{after}"))
                .await
                .json();
            all.extend(page["connections"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return all,
            }
        }
    }

    pub async fn wait_for_streams(&self, count: u64) {
        eventually("the number of streams", async || {
            self.status("/streams").await == count
        })
        .await;
    }

    /// Waits until nothing waits for any stream.
    pub async fn wait_for_rest(&self) {
        eventually("nothing waits", async || {
            self.status("/memory/queueBytes").await == 0
        })
        .await;
    }

    pub fn signal(&self) {
        self.send(rustix::process::Signal::TERM);
    }

    pub fn send(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.process.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// A sample of `/metrics` that is a whole number.
    #[allow(dead_code, reason = "not every file of tests needs it")]
    pub async fn sample(&self, name: &str) -> u64 {
        self.metric(name).await as u64
    }

    /// Where its configuration is.
    #[allow(dead_code, reason = "not every file of tests needs it")]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Writes another configuration in the place of its own.
    #[allow(dead_code, reason = "not every file of tests needs it")]
    pub fn rewrite(&self, yaml: &str) {
        let fresh = self.folder().join("config.new");
        std::fs::write(&fresh, yaml).unwrap();
        std::fs::rename(fresh, self.folder().join("config.yaml")).unwrap();
    }

    pub async fn exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process().try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it ends:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Polls a condition until it holds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// One exchange on a connection of its own. `request` is method and path, perhaps more header lines.
pub async fn exchange(to: SocketAddr, request: &str, body: &str) -> std::io::Result<Answer> {
    let (line, headers) = request.split_once("\r\n").unwrap_or((request, ""));
    let headers = if headers.is_empty() {
        String::new()
    } else {
        format!("{headers}\r\n")
    };
    let mut socket = TcpStream::connect(to).await?;
    let text = format!(
        "{line} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(text.as_bytes()).await?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await?;
    answer(&String::from_utf8_lossy(&bytes))
}

fn answer(text: &str) -> std::io::Result<Answer> {
    let broken = || std::io::Error::other(format!("no HTTP answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(broken)?,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

/// One event to be published.
#[derive(Clone, Debug)]
pub struct Event {
    pub data: String,
    pub attributes: Vec<(&'static str, String)>,
    pub end: bool,
}

impl Event {
    pub fn new(data: impl Into<String>) -> Event {
        Event {
            data: data.into(),
            attributes: Vec::new(),
            end: false,
        }
    }

    pub fn with(mut self, attribute: &'static str, value: impl Into<String>) -> Event {
        self.attributes.push((attribute, value.into()));
        self
    }

    pub fn last(mut self) -> Event {
        self.end = true;
        self
    }

    fn json(&self) -> Value {
        let attributes: serde_json::Map<String, Value> = self
            .attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect();
        let mut event = serde_json::json!({"data": self.data, "attributes": attributes});
        if self.end {
            event["end"] = true.into();
        }
        event
    }
}

/// Publishes on one connection that is kept.
pub struct Publisher {
    socket: TcpStream,
    address: SocketAddr,
}

impl Publisher {
    pub async fn new(relay: &Relay) -> Publisher {
        Publisher {
            socket: TcpStream::connect(relay.public).await.unwrap(),
            address: relay.public,
        }
    }

    pub async fn publish(&mut self, channel: &str, event: Event) -> String {
        let mut ids = self.publish_all(channel, &[event]).await;
        ids.remove(0)
    }

    /// All in one request; their ids.
    pub async fn publish_all(&mut self, channel: &str, events: &[Event]) -> Vec<String> {
        let body: String = events
            .iter()
            .map(|event| format!("{}\n", event.json()))
            .collect();
        let answer = self.post(channel, &body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let results = answer.json();
        let results = results["results"].as_array().unwrap();
        results
            .iter()
            .map(|result| result["id"].as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn post(&mut self, channel: &str, body: &str) -> Answer {
        let head = format!(
            "POST /v1/channels/{channel}/events HTTP/1.1\r\nHost: {}\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let whole = [head.as_bytes(), body.as_bytes()].concat();
        self.socket.write_all(&whole).await.unwrap();
        let mut bytes = Vec::new();
        loop {
            let n = self.socket.read_buf(&mut bytes).await.unwrap();
            assert_ne!(n, 0, "an answer: {}", String::from_utf8_lossy(&bytes));
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Ok(answer) = answer(&text)
                && let Some((_, rest)) = answer.head.split_once("content-length: ")
            {
                let length = rest.split("\r\n").next().unwrap();
                if answer.body.len() >= length.parse::<usize>().unwrap() {
                    return answer;
                }
            }
        }
    }
}
