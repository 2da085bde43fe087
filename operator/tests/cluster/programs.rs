//! The real relay and the real Redis, as processes of a test.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use super::server::Process;
use super::until;

/// A port of loopback that nobody uses.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A redis-server that keeps nothing.
pub struct RedisServer {
    _folder: TempDir,
    process: Option<Process>,
}

impl RedisServer {
    /// One on this port of loopback, with these options besides.
    pub fn start(port: u16, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command: Vec<String> = ["redis-server", "--save", "", "--bind", "127.0.0.1"]
            .map(str::to_owned)
            .into();
        command.extend(["--port".to_owned(), port.to_string()]);
        command.extend(["--dir".to_owned(), folder.path().display().to_string()]);
        command.extend(options.iter().map(|option| (*option).to_owned()));
        let process = Process::start(&command, &folder.path().join("log"));
        Self {
            _folder: folder,
            process: Some(process),
        }
    }

    /// Ends it at once.
    pub fn stop(&mut self) {
        self.process = None;
    }
}

/// A relay that runs with a configuration of the operator, on a loopback address of its own, where
/// its ports are those that pods have.
pub struct RelayProcess {
    _folder: TempDir,
    _process: Process,
    pub address: IpAddr,
}

impl RelayProcess {
    /// One with this configuration and these variables, that serves.
    pub async fn start(configuration: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.yaml");
        let mut written = std::fs::File::create(&file).unwrap();
        written.write_all(configuration.as_bytes()).unwrap();
        let address = own_address();
        let mut command = vec!["env".to_owned()];
        command.push(format!("SSE_RELAY_LISTEN={address}:8080"));
        command.push(format!("SSE_RELAY_ADMIN_LISTEN={address}:8081"));
        command.extend(
            variables
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        command.push(relay_program().display().to_string());
        command.extend(["serve", "--config", &file.display().to_string()].map(str::to_owned));
        let process = Process::start(&command, &folder.path().join("log"));
        let relay = Self {
            _folder: folder,
            _process: process,
            address: address.into(),
        };
        until("the relay listens", async || {
            let listens = TcpStream::connect((address, 8081)).is_ok();
            listens.then_some(())
        })
        .await;
        relay
    }
}

impl RelayProcess {
    /// Opens a stream, which lasts until it is dropped. The relay takes anybody.
    pub fn stream(&self) -> TcpStream {
        let mut stream = TcpStream::connect((self.address, 8080)).unwrap();
        let request = format!(
            "GET /v1/events?channel=a HTTP/1.1\r\nHost: {}:8080\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        stream
    }
}

impl RelayProcess {
    /// The whole answer to a request with this body of text.
    pub fn request(&self, method: &str, path: &str, body: &str) -> String {
        let mut socket = TcpStream::connect((self.address, 8080)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}:8080\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// An address of loopback that no other relay of this process has, nor most likely of any other.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [a, b] = (std::process::id() as u16).to_be_bytes();
    Ipv4Addr::new(127, a.max(1), b, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The relay's program, beside the folder of the tests' own. The tests of the workspace have made it
/// before; it is built here if these run alone and it is not there.
pub fn relay_program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().unwrap().parent().unwrap().join("sse-relay");
        if !program.exists() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--package", "sse-relay"]);
            build.current_dir(env!("CARGO_MANIFEST_DIR"));
            assert!(build.status().unwrap().success(), "the relay can be built");
        }
        program
    })
}
