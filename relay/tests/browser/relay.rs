//! The real relay, as a process that can be killed and started again.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const START_LIMIT: Duration = Duration::from_secs(30);

/// `sse-relay demo` on ports and with a data directory that survive a restart.
pub struct Relay {
    process: Option<Child>,
    public: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
    /// Settings, as environment variables.
    settings: Vec<(&'static str, String)>,
}

impl Relay {
    /// Starts it and waits until it is ready.
    pub async fn start() -> Self {
        Self::start_configured(Vec::new()).await
    }

    /// The same with settings, given as environment variables.
    pub async fn start_configured(settings: Vec<(&'static str, String)>) -> Self {
        let mut relay = Self {
            settings,
            process: None,
            public: free_address(),
            admin: free_address(),
            folder: TempDir::new().expect("a directory for the relay's data"),
        };
        relay.start_again().await;
        relay
    }

    /// Starts it on the same ports and data, and waits until it is ready.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        let log = File::create(self.folder.path().join("relay.log"))
            .expect("a file for the relay's output");
        let process = Command::new(env!("CARGO_BIN_EXE_sse-relay"))
            .args(["demo", "--listen", &self.public.to_string()])
            .args(["--admin-listen", &self.admin.to_string(), "--data-dir"])
            .arg(self.folder.path().join("data"))
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the file opens twice"))
            .stderr(log)
            .spawn()
            .expect("the relay's program starts");
        self.process = Some(process);
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) {
        let started = Instant::now();
        loop {
            if let Ok((200, _)) = request(self.admin, "GET", "/readyz", "").await {
                return;
            }
            let process = self.process.as_mut().expect("it was started");
            let ended = process.try_wait().expect("a child's state can be read");
            if ended.is_some() || started.elapsed() > START_LIMIT {
                panic!(
                    "the relay is not ready (ended: {ended:?}); it said:\n{}",
                    self.output()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("relay.log")).unwrap_or_default()
    }

    /// Ends it as a crash does (SIGKILL).
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("a child can be killed");
        process.wait().expect("a killed child ends");
    }

    /// The address of the dashboard.
    pub fn url(&self) -> String {
        format!("http://{}/", self.public)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.public
    }

    /// One request with a token, if it is not empty: its status, and its body.
    pub async fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let header = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let answer = request_with(self.public, method, path, &header, body).await;
        answer.expect("the relay answers")
    }

    /// Publishes an event and returns its id.
    pub async fn publish(&self, channel: &str, kind: &str, data: &str) -> String {
        let path = format!("/v1/channels/{channel}/events");
        let event = json!({"event": "order", "data": data, "attributes": {"kind": kind}});
        let (status, body) = request(self.public, "POST", &path, &event.to_string())
            .await
            .expect("the relay answers");
        assert_eq!(status, 201, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("the answer is JSON");
        answer["id"]
            .as_str()
            .expect("the answer names the id")
            .to_owned()
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

/// A loopback address that nobody listens on.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
}

/// One exchange on a connection of its own: status and body.
async fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> std::io::Result<(u16, String)> {
    request_with(to, method, path, "", body).await
}

/// The same with further lines of a head.
async fn request_with(
    to: SocketAddr,
    method: &str,
    path: &str,
    lines: &str,
    body: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(to).await?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {to}\r\n{lines}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("not an HTTP answer"))?;
    Ok((status, body.to_owned()))
}
