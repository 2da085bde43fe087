//! The relay as a process, run by a program that counts what it does.

use super::client::Client;
use super::inside::configuration;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than a start takes under valgrind, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    /// System calls on sockets.
    Strace,
    /// Instructions of the thread that delivers, which also reads and answers publishes.
    Callgrind,
}

/// What the relay has to do.
#[derive(Clone, Copy)]
pub struct Work {
    pub streams: usize,
    pub publishes: usize,
}

pub struct Counted;

impl Counted {
    /// The count of a whole run.
    pub fn run(tool: Tool, work: Work) -> f64 {
        let folder = TempDir::new().expect("a directory");
        let counts = folder.path().join("counts");
        let public = free_address();
        let mut running = Running {
            tool,
            process: start(tool, folder.path(), &counts, public),
        };
        wait_until_started(&mut running.process, folder.path());
        let mut client = Client::new(public);
        client.open(work.streams);
        client.publish(work.publishes);
        drop(client);
        let relay = running.relay().expect("it runs");
        kill_process(relay, Signal::TERM).expect("it runs");
        running.process.wait().expect("a child ends");
        let read = |path: &Path| std::fs::read_to_string(path).expect("what was counted");
        match tool {
            Tool::Strace => system_calls(&read(&counts)),
            // the first thread that the main one starts; that one looks at files and clocks
            Tool::Callgrind => instructions(&read(&folder.path().join("counts-02"))),
        }
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

fn start(tool: Tool, folder: &Path, counts: &Path, public: SocketAddr) -> Child {
    let config = folder.join("config.yaml");
    std::fs::write(&config, configuration().to_string()).expect("a file");
    let log = std::fs::File::create(folder.join("log")).expect("a file for the output");
    let mut command = match tool {
        Tool::Strace => Command::new("strace"),
        Tool::Callgrind => Command::new("valgrind"),
    };
    match tool {
        Tool::Strace => command
            .args(["--follow-forks", "--summary-only", "--output"])
            .arg(counts),
        Tool::Callgrind => {
            let out = format!("--callgrind-out-file={}", counts.display());
            command.args(["--tool=callgrind", "--separate-threads=yes", &out])
        }
    };
    command
        .arg(env!("CARGO_BIN_EXE_sse-relay"))
        .args([
            "serve",
            "--config",
            "config.yaml",
            "--listen",
            &public.to_string(),
        ])
        .args(["--admin-listen", &free_address().to_string()])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the file opens twice"))
        .stderr(log)
        .spawn()
        .expect("scripts/install-test-tools.sh installs what counts")
}

fn wait_until_started(process: &mut Child, folder: &Path) {
    let started = Instant::now();
    let output = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    while !output().contains("relay.started") {
        let ended = process.try_wait().expect("a child has a state");
        let patient = ended.is_none() && started.elapsed() < PATIENCE;
        assert!(patient, "not ready (ended: {ended:?}): {}", output());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The program that counts, with the relay.
struct Running {
    tool: Tool,
    process: Child,
}

impl Running {
    /// strace runs the relay as its child; valgrind becomes it.
    fn relay(&self) -> Option<Pid> {
        let own = self.process.id();
        let pid = match self.tool {
            Tool::Callgrind => own,
            Tool::Strace => {
                let children = format!("/proc/{own}/task/{own}/children");
                let children = std::fs::read_to_string(children).ok()?;
                children.split_ascii_whitespace().next()?.parse().ok()?
            }
        };
        Pid::from_raw(pid.cast_signed())
    }
}

impl Drop for Running {
    /// Only a test that failed leaves something to end.
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait()
            && let Some(relay) = self.relay()
        {
            let _ = kill_process(relay, Signal::KILL);
            let _ = self.process.wait();
        }
    }
}

/// Calls on sockets. Those that wait are not among them, nor what looks after files: how often they are made
/// depends on how long a run takes, and so on how busy the machine is.
const COUNTED: [&str; 15] = [
    "accept",
    "accept4",
    "epoll_ctl",
    "getpeername",
    "getsockname",
    "getsockopt",
    "readv",
    "recvfrom",
    "recvmsg",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "writev",
];

/// The sum of the column `calls`.
fn system_calls(summary: &str) -> f64 {
    let lines = summary.lines().filter_map(|line| {
        // % time, seconds, usecs/call, calls, errors if there are any, the name
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (name, calls) = (words.last()?, words.get(3)?.parse::<f64>().ok()?);
        COUNTED.contains(name).then_some(calls)
    });
    lines.sum()
}

/// The line `summary: N`, or `totals: N`.
fn instructions(profile: &str) -> f64 {
    let total = profile.lines().find_map(|line| {
        line.strip_prefix("summary:")
            .or_else(|| line.strip_prefix("totals:"))?
            .trim()
            .parse()
            .ok()
    });
    total.expect("a callgrind profile has its sum")
}
