//! One server.

use super::{Certificates, free_ports, until};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// One server, with what it was started with. It is killed when it is dropped.
pub struct Server {
    program: PathBuf,
    process: Option<Child>,
    pub port: u16,
    options: Vec<String>,
    /// Options that a redis-cli needs to be let in.
    login: Vec<String>,
    folder: TempDir,
}

impl Server {
    /// A plain server that keeps nothing on disk.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// Options are those of redis.conf, name and value.
    pub fn start_with(options: &[(&str, &str)]) -> Server {
        Server::start_program("redis-server", options)
    }

    /// Another program than the redis-server in PATH.
    pub fn start_program(program: impl AsRef<Path>, options: &[(&str, &str)]) -> Server {
        let mut server = Server::prepare(program, options);
        server.run();
        server
    }

    /// A server with users: each line is one of an ACL file. `default` is off unless a line says
    /// otherwise, and `admin` with the password `admin` may do everything.
    pub fn start_with_users(users: &[&str], options: &[(&str, &str)]) -> Server {
        Server::start_program_with_users("redis-server", users, options)
    }

    pub fn start_program_with_users(
        program: &str,
        users: &[&str],
        options: &[(&str, &str)],
    ) -> Server {
        let mut server = Server::prepare(program, options);
        let file = server.folder.path().join("users.acl");
        let mut lines = vec!["user default off", "user admin on >admin ~* &* +@all"];
        lines.extend(users);
        fs::write(&file, lines.join("\n") + "\n").expect("the ACL file is written");
        server.option("aclfile", &file.display().to_string());
        server.login = ["--user", "admin", "--pass", "admin", "--no-auth-warning"]
            .map(str::to_owned)
            .to_vec();
        server.run();
        server
    }

    pub(super) fn prepare(program: impl AsRef<Path>, options: &[(&str, &str)]) -> Server {
        let [port] = free_ports();
        let mut server = Server {
            program: program.as_ref().to_owned(),
            process: None,
            port,
            options: Vec::new(),
            login: Vec::new(),
            folder: TempDir::new().expect("a directory for the server"),
        };
        for (name, value) in [
            ("save", ""),
            ("appendonly", "no"),
            ("repl-diskless-sync-delay", "0"),
        ] {
            server.option(name, value);
        }
        for (name, value) in options {
            server.option(name, value);
        }
        server
    }

    pub(super) fn option(&mut self, name: &str, value: &str) {
        self.options.push(format!("--{name}"));
        self.options.push(value.to_owned());
    }

    pub(super) fn run(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).expect("a file for the log");
        let process = Command::new(&self.program)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(&self.options)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the file opens twice"))
            .stderr(log)
            .spawn()
            .expect("redis-server is installed: scripts/install-servers.sh does that");
        self.process = Some(process);
        until("an answer of redis-server", || {
            let ended = self.process.as_mut().expect("it was started").try_wait();
            if let Ok(Some(status)) = ended {
                panic!("redis-server has ended ({status}): {}", self.log());
            }
            self.try_cli(&["PING"]).filter(|answer| answer == "PONG")
        });
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A port that speaks TLS, besides the plain one. Clients must show a certificate.
    pub fn start_with_tls(certificates: &Certificates, options: &[(&str, &str)]) -> (Server, u16) {
        let mut server = Server::prepare("redis-server", options);
        let [port] = free_ports();
        server.option("tls-port", &port.to_string());
        server.option("tls-ca-cert-file", &certificates.path("ca.pem"));
        server.option("tls-cert-file", &certificates.path("server.pem"));
        server.option("tls-key-file", &certificates.path("server.key"));
        server.run();
        (server, port)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command with redis-cli; panics if the server refuses it.
    pub fn cli(&self, command: &[&str]) -> String {
        let answer = self.try_cli(command);
        answer.unwrap_or_else(|| panic!("{command:?} is not answered"))
    }

    /// None if the server cannot be asked or refuses.
    pub fn try_cli(&self, command: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "-e"])
            .args(&self.login)
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli is installed with redis-server");
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        output.status.success().then_some(text)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The same server again, on the same port and directory.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Stops it from running, as a paused virtual machine is, until [`Server::thaw`].
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        let id = i32::try_from(process.id()).expect("an id of a process");
        let id = Pid::from_raw(id).expect("an id of a process");
        kill_process(id, signal).expect("it is ours");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `master_replid` of a server.
pub fn replication_id(server: &Server) -> String {
    let info = server.cli(&["INFO", "replication"]);
    let id = info
        .lines()
        .find_map(|line| line.strip_prefix("master_replid:"));
    id.expect("INFO tells it").trim().to_owned()
}
