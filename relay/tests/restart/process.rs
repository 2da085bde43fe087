//! The real relay, as a process that is ended in every way and started again.

use crate::http::{self, Answer};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(120);

pub struct Relay {
    process: Option<Child>,
    pub public: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
    data: PathBuf,
    settings: Vec<(&'static str, String)>,
    /// Blocks of 512 bytes that a file of it may have.
    file_limit: Option<u64>,
}

impl Relay {
    /// One that is not started yet, with a directory, ports and settings (environment variables)
    /// that survive a restart.
    pub fn new(settings: &[(&'static str, &str)]) -> Relay {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let settings = settings
            .iter()
            .map(|(key, value)| (*key, value.to_string()));
        Relay {
            process: None,
            public: free_address(),
            admin: free_address(),
            folder,
            data,
            settings: settings.collect(),
            file_limit: None,
        }
    }

    pub fn started(settings: &[(&'static str, &str)]) -> Relay {
        let mut relay = Relay::new(settings);
        relay.start();
        relay
    }

    pub fn in_directory(mut self, data: PathBuf) -> Relay {
        self.data = data;
        self
    }

    pub fn with_file_limit(mut self, blocks: u64) -> Relay {
        self.file_limit = Some(blocks);
        self
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Names of the journal's files, oldest first.
    pub fn files(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(&self.data).unwrap();
        let mut logs: Vec<PathBuf> = all
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|of| of == "sse"))
            .collect();
        logs.sort();
        logs
    }

    fn command(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_sse-relay");
        let mut command = match self.file_limit {
            None => Command::new(binary),
            Some(blocks) => {
                // the signal is ignored, so that a write past the limit is an error as on a full disk
                let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\"");
                let mut shell = Command::new("sh");
                shell.args(["-c", &script, binary]);
                shell
            }
        };
        command
            .args(["serve", "--listen", &self.public.to_string()])
            .args(["--admin-listen", &self.admin.to_string(), "--data-dir"])
            .arg(&self.data)
            .current_dir(self.folder.path())
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null());
        command
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        let log = File::create(self.log_file()).unwrap();
        let mut command = self.command();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        let started = Instant::now();
        loop {
            if let Ok(Answer { status: 200, .. }) =
                http::request(self.admin, "GET", "/readyz", "", "")
            {
                return;
            }
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() || started.elapsed() > START_LIMIT {
                panic!("not ready (ended: {ended:?}); it said:\n{}", self.output());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts another one on the same directory, which has to end by itself; what it said.
    pub fn refused_second(&self) -> (ExitStatus, String) {
        let second = Relay {
            process: None,
            public: free_address(),
            admin: free_address(),
            folder: TempDir::new().unwrap(),
            data: self.data.clone(),
            settings: self.settings.clone(),
            file_limit: None,
        };
        let output = second.command().output().unwrap();
        (
            output.status,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("relay.log")
    }

    /// What it said since it was started last.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Ends it as a crash does (SIGKILL).
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Ends it well (SIGTERM).
    pub fn terminate(&mut self) {
        let mut process = self.process.take().expect("it runs");
        kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
        let status = process.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.output());
    }

    /// Lifts the limit of its files, also after a restart.
    pub fn lift_file_limit(&mut self) {
        self.file_limit = None;
        let unlimited = Rlimit {
            current: Some(1 << 30),
            maximum: None,
        };
        prlimit(Some(self.pid()), Resource::Fsize, unlimited).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.process.as_ref().expect("it runs"))
    }

    /// Publishes an event that must be accepted, with its first word as its key; its id.
    pub fn publish(&self, channel: &str, data: &str) -> String {
        let key = data.split(' ').next().unwrap();
        let answer = http::publish(self.public, channel, data, key).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.id().to_owned()
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
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
