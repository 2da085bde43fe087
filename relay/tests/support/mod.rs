//! The real relay as a process, and HTTP as raw bytes.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

pub mod front;
#[allow(
    clippy::duplicate_mod,
    reason = "not every program has the module of Redis"
)]
mod ports;
pub mod program;

use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Everything that is waited for comes within this, or the test fails.
/// Generous, since machines are slow and busy at times.
pub const LIMIT: Duration = Duration::from_secs(90);
/// How often a relay is started anew because a port was taken that was free a moment before.
const TRIES: u32 = 5;

pub struct Relay {
    process: Child,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    folder: TempDir,
    /// Where it runs, if that is a directory of its own.
    elsewhere: Option<TempDir>,
}

impl Relay {
    pub fn start(args: &[&str]) -> Relay {
        Relay::start_with(&[], args)
    }

    /// Starts it with environment variables and options, and waits until it is ready.
    pub fn start_with(env: &[(&str, &str)], args: &[&str]) -> Relay {
        let command = Command::new(env!("CARGO_BIN_EXE_sse-relay"));
        Relay::spawn(command, env, args)
    }

    /// Starts it with so many file descriptors.
    pub fn start_with_descriptors(count: u32) -> Relay {
        Relay::start_with_descriptors_and(count, &[])
    }

    /// The same, with environment variables.
    pub fn start_with_descriptors_and(count: u32, env: &[(&str, &str)]) -> Relay {
        let mut shell = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_sse-relay");
        let script = format!("ulimit -n {count}; exec '{program}' \"$@\"");
        shell.args(["-c", &script, "sh"]);
        let env = [&[("SSE_RELAY_HTTP__THREADS", "2")], env].concat();
        Relay::spawn(shell, &env, &[])
    }

    /// Starts it with options in this directory.
    pub fn start_in(directory: &Path, args: &[&str]) -> Relay {
        let command = Command::new(env!("CARGO_BIN_EXE_sse-relay"));
        Relay::spawn_from(directory, &command, None, &[], args)
    }

    /// Starts it with options on this address.
    pub fn start_on(public: SocketAddr, args: &[&str]) -> Relay {
        let command = Command::new(env!("CARGO_BIN_EXE_sse-relay"));
        Relay::spawn_at(&command, Some(public), &[], args)
    }

    /// Starts it on an address of its own choice, or on this one.
    pub fn start_at(public: Option<SocketAddr>, env: &[(&str, &str)]) -> Relay {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_sse-relay"));
        Relay::start_program_at(program, public, env)
    }

    /// The same, of another program than this release's.
    pub fn start_program_at(
        program: &std::path::Path,
        public: Option<SocketAddr>,
        env: &[(&str, &str)],
    ) -> Relay {
        Relay::spawn_at(&Command::new(program), public, env, &[])
    }

    fn spawn(command: Command, env: &[(&str, &str)], args: &[&str]) -> Relay {
        Relay::spawn_at(&command, None, env, args)
    }

    fn spawn_at(
        command: &Command,
        public: Option<SocketAddr>,
        env: &[(&str, &str)],
        args: &[&str],
    ) -> Relay {
        let folder = TempDir::new().expect("a directory for the output");
        let directory = folder.path().to_owned();
        let mut relay = Relay::spawn_from(&directory, command, public, env, args);
        relay.elsewhere = Some(folder);
        relay
    }

    /// On this address or on any, and again on another one if somebody was faster to take it.
    fn spawn_from(
        directory: &Path,
        command: &Command,
        public: Option<SocketAddr>,
        env: &[(&str, &str)],
        args: &[&str],
    ) -> Relay {
        let mut tries = 0;
        loop {
            tries += 1;
            let (free, admin) = free_addresses();
            let public = public.unwrap_or(free);
            let mut relay = Relay::spawn_once(directory, command, (public, admin), env, args);
            match relay.wait_until_ready() {
                Ok(()) => return relay,
                Err(why) if tries < TRIES && why.contains("Address already in use") => {}
                Err(why) => panic!("{why}"),
            }
        }
    }

    fn spawn_once(
        directory: &Path,
        command: &Command,
        (public, admin): (SocketAddr, SocketAddr),
        env: &[(&str, &str)],
        args: &[&str],
    ) -> Relay {
        let folder = TempDir::new().expect("a directory for the output");
        let log = File::create(folder.path().join("log")).expect("a file for the output");
        let process = Command::new(command.get_program())
            .args(command.get_args())
            .args(["serve", "--listen", &public.to_string()])
            .args(["--admin-listen", &admin.to_string()])
            .args(args)
            .env_remove("SSE_RELAY_PREVIOUS") // of the tests, and no setting
            .envs(env.iter().copied())
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the file opens twice"))
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Relay {
            process,
            public,
            admin,
            folder,
            elsewhere: None,
        }
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let started = Instant::now();
        // its own word: on a port that another process took in between, that one would answer
        while !self.output().contains("relay.started") {
            let ended = self.process.try_wait().expect("a child has a state");
            if ended.is_some() || started.elapsed() > LIMIT {
                let said = self.output();
                return Err(format!("not ready (ended: {ended:?}); it said:\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What it logged so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// SIGTERM, and its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.process.wait().expect("a child ends")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.public)
    }

    /// Sends bytes on a connection of their own and reads one answer.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut connection = self.connect();
        connection.send(bytes);
        connection.answer()
    }

    /// One request with a correct head.
    pub fn request(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut connection = self.connect();
        connection.send(request(method, target, headers, body));
        match method {
            "HEAD" => connection.head(),
            _ => connection.answer(),
        }
    }

    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }

    pub fn publish(&self, channel: &str, data: &str) -> String {
        let target = format!("/v1/channels/{channel}/events");
        let answer = self.request(
            "POST",
            &target,
            &["Content-Type: text/plain"],
            data.as_bytes(),
        );
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Opens a stream and reads its head.
    pub fn subscribe(&self, query: &str) -> Connection {
        self.subscribe_with_head(query).0
    }

    /// The same, with the head.
    pub fn subscribe_with_head(&self, query: &str) -> (Connection, Answer) {
        let mut connection = self.connect();
        connection.send(request("GET", &format!("/v1/events?{query}"), &[], b""));
        let head = connection.head();
        assert_eq!(head.status, 200, "{head:?}");
        (connection, head)
    }

    /// What `/metrics` shows.
    pub fn scrape(&self) -> String {
        let mut connection = Connection::to(self.admin);
        connection.send(request("GET", "/metrics", &["Connection: close"], b""));
        connection.answer().body
    }

    /// How many events the log holds.
    pub fn stored(&self) -> u64 {
        self.stored_by(&[])
    }

    /// The same, for who shows these headers.
    pub fn stored_by(&self, headers: &[&str]) -> u64 {
        let status = self.request("GET", "/v1/status", headers, b"").json();
        status["memory"]["logEvents"].as_u64().expect("a number")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two loopback addresses that nobody listens on.
fn free_addresses() -> (SocketAddr, SocketAddr) {
    let [one, other] = ports::free(ports::RELAYS);
    let address = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    (address(one), address(other))
}

/// The bytes of a request that asks to close the connection.
pub fn request(method: &str, target: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    if !target.starts_with("/v1/events") {
        head += "Connection: close\r\n";
    }
    for header in headers {
        head += &format!("{header}\r\n");
    }
    if !body.is_empty() || method == "POST" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

pub struct Connection {
    pub socket: TcpStream,
    /// Read, but not yet looked at.
    read: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The last part of the problem's type; a problem has a sentence, and its status twice.
    pub fn problem(&self) -> String {
        let content_type = self.header("content-type");
        assert_eq!(content_type, Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.len() > 10, "{self:?}");
        let kind = problem["type"].as_str().expect("a type");
        let slug = kind.strip_prefix("urn:sse-relay:problem:");
        slug.unwrap_or_else(|| panic!("{kind}")).to_owned()
    }
}

impl Connection {
    pub fn to(address: SocketAddr) -> Connection {
        let socket = TcpStream::connect(address).expect("it listens");
        socket
            .set_read_timeout(Some(LIMIT))
            .expect("a time over zero");
        socket
            .set_write_timeout(Some(LIMIT))
            .expect("a time over zero");
        Connection {
            socket,
            read: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // a relay that already answered may have closed: the answer is what counts
        let _ = self.socket.write_all(bytes.as_ref());
    }

    /// No more will be sent; still reads.
    pub fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).expect("it is open");
    }

    /// Reads more; false at the end.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.socket.read(&mut buffer) {
            Ok(n) => {
                self.read.extend_from_slice(&buffer[..n]);
                n > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}; so far {:?}", String::from_utf8_lossy(&self.read)),
        }
    }

    /// Reads until a text came, and gives everything up to its end.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let found = self
                .read
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(start) = found {
                let taken = self.read.drain(..start + text.len()).collect();
                return String::from_utf8(taken).expect("UTF-8");
            }
            if !self.more() {
                let read = String::from_utf8_lossy(&self.read);
                panic!("it ended without {text:?}, with {read:?}");
            }
        }
    }

    /// Everything until the relay closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.read)
    }

    /// The next chunk of a chunked body; empty at its end.
    pub fn chunk(&mut self) -> Vec<u8> {
        let line = self.until("\r\n");
        let length = usize::from_str_radix(line.trim_end(), 16).expect("a length");
        while self.read.len() < length + 2 {
            assert!(self.more(), "the chunk ended early");
        }
        let mut chunk: Vec<u8> = self.read.drain(..length + 2).collect();
        assert_eq!(chunk.split_off(length), b"\r\n");
        chunk
    }

    /// Chunks until a text came, and all that they held.
    pub fn body_until(&mut self, text: &str) -> String {
        let mut body = Vec::new();
        while !body.windows(text.len()).any(|part| part == text.as_bytes()) {
            let chunk = self.chunk();
            let so_far = String::from_utf8_lossy(&body);
            assert!(
                !chunk.is_empty(),
                "it ended without {text:?}, with {so_far:?}"
            );
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).expect("UTF-8")
    }

    /// Reads to the end of a chunked body, or of the connection, whichever comes first.
    pub fn end_of_body(&mut self) {
        while !self.read.ends_with(b"\r\n0\r\n\r\n") && self.more() {}
    }

    pub fn head(&mut self) -> Answer {
        let head = self.until("\r\n\r\n");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Answer {
            status: status.unwrap_or_else(|| panic!("{head:?}")),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: String::new(),
        }
    }

    /// One answer whose length is told.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a number"));
        while self.read.len() < length {
            assert!(self.more(), "the body ended early");
        }
        let body = self.read.drain(..length).collect();
        answer.body = String::from_utf8(body).expect("UTF-8");
        answer
    }
}
