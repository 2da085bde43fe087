//! The relay as a process, run by strace, which counts its system calls.

use super::client::Client;
use super::inside::configuration;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than a start takes under strace, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(180);

/// Whether this machine lets a program be traced by the one that started it; some containers do not.
pub fn may_trace() -> bool {
    let traced = Command::new("strace")
        .args(["--output", "/dev/null", "true"])
        .status()
        .expect("scripts/install-test-tools.sh installs strace");
    traced.success()
}

/// What the relay has to do.
#[derive(Clone, Copy)]
pub struct Work {
    pub streams: usize,
    pub publishes: usize,
}

pub struct Counted;

impl Counted {
    /// The calls of a whole run.
    pub fn run(work: Work) -> f64 {
        let folder = TempDir::new().expect("a directory");
        let counts = folder.path().join("counts");
        let public = free_address();
        let mut running = Running(start(folder.path(), &counts, public));
        wait_until_started(&mut running.0, folder.path());
        let mut client = Client::new(public);
        client.open(work.streams);
        client.publish(work.publishes);
        drop(client);
        let relay = running.relay().expect("it runs");
        kill_process(relay, Signal::TERM).expect("it runs");
        running.0.wait().expect("a child ends");
        system_calls(&std::fs::read_to_string(&counts).expect("what was counted"))
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

fn start(folder: &Path, counts: &Path, public: SocketAddr) -> Child {
    let config = folder.join("config.yaml");
    std::fs::write(&config, configuration().to_string()).expect("a file");
    let log = std::fs::File::create(folder.join("log")).expect("a file for the output");
    Command::new("strace")
        .args(["--follow-forks", "--summary-only", "--output"])
        .arg(counts)
        .arg(env!("CARGO_BIN_EXE_sse-relay"))
        .args(["serve", "--config", "config.yaml"])
        .args(["--listen", &public.to_string()])
        .args(["--admin-listen", &free_address().to_string()])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the file opens twice"))
        .stderr(log)
        .spawn()
        .expect("scripts/install-test-tools.sh installs strace")
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

/// strace, with the relay as its child.
struct Running(Child);

impl Running {
    fn relay(&self) -> Option<Pid> {
        let own = self.0.id();
        let children = format!("/proc/{own}/task/{own}/children");
        let children = std::fs::read_to_string(children).ok()?;
        let pid: u32 = children.split_ascii_whitespace().next()?.parse().ok()?;
        Pid::from_raw(pid.cast_signed())
    }
}

impl Drop for Running {
    /// Only a test that failed leaves something to end.
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait()
            && let Some(relay) = self.relay()
        {
            let _ = kill_process(relay, Signal::KILL);
            let _ = self.0.wait();
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
