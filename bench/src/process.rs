//! A server under test: started, asked whether it is ready, weighed, stopped.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::machine::{pin, ticks_to_time};

const READY_TIMEOUT: Duration = Duration::from_secs(15);
/// Between SIGTERM and SIGKILL: the numbers are taken, a long drain would only cost time.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("could not start {program}: {error}")]
    Start { program: String, error: io::Error },
    #[error("{program} ended while starting: {status}")]
    Ended {
        program: String,
        status: std::process::ExitStatus,
    },
    #[error("{program} was not ready after {} s", READY_TIMEOUT.as_secs())]
    NotReady { program: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Becomes `program`, kept to `core`, ending when the parent does: an interrupted suite must not leave
/// servers behind. Returns only on failure.
pub fn leash(core: Option<usize>, program: &Path, arguments: &[String]) -> io::Error {
    let prepared = set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(io::Error::from)
        .and_then(|()| core.map_or(Ok(()), pin));
    match prepared {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    }
}

/// How a server says that it is ready.
#[derive(Debug, Clone)]
pub enum Readiness {
    /// It accepts connections here.
    Accepts(SocketAddr),
    /// `GET /readyz` answers 200 here.
    Readyz(SocketAddr),
    /// It accepts connections on both ports of 127.0.0.1.
    Both(u16, u16),
    /// It has made this file.
    Exists(PathBuf),
}

/// A child process, killed when dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `program`, on `core` if there is one to keep it to, and waits until it is ready. What it writes to standard
    /// error goes to the file `log`.
    pub fn start(
        program: &Path,
        arguments: &[String],
        readiness: Readiness,
        core: Option<usize>,
        log: &Path,
    ) -> Result<Self, ProcessError> {
        let name = program.display().to_string();
        let spawned = Command::new(std::env::current_exe()?)
            .arg("leash")
            .args(core.map(|core| format!("--core={core}")))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(log)?)
            .spawn();
        let child = spawned.map_err(|error| ProcessError::Start {
            program: name.clone(),
            error,
        })?;
        let mut process = Self { child };
        let started = Instant::now();
        while !readiness.holds() {
            if let Some(status) = process.child.try_wait()? {
                return Err(ProcessError::Ended {
                    program: name,
                    status,
                });
            }
            if started.elapsed() > READY_TIMEOUT {
                return Err(ProcessError::NotReady { program: name });
            }
            std::thread::sleep(POLL);
        }
        Ok(process)
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn stop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            // A process that is gone already is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
        let started = Instant::now();
        while started.elapsed() < STOP_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Readiness {
    fn holds(&self) -> bool {
        let accepts = |port: u16| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        match self {
            Readiness::Accepts(address) => TcpStream::connect(address).is_ok(),
            Readiness::Readyz(address) => readyz(*address).unwrap_or(false),
            Readiness::Both(one, other) => accepts(*one) && accepts(*other),
            Readiness::Exists(path) => path.exists(),
        }
    }
}

fn readyz(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// A process and all its descendants.
#[derive(Debug, Clone, Copy)]
pub struct Tree {
    pub root: u32,
}

/// What a tree has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuTime {
    /// User and system time, by the clock tick; children that ended included.
    ticks: Duration,
    /// The scheduler's own count for all living threads, exact to the nanosecond.
    exact: Duration,
}

impl CpuTime {
    /// The time used since `before`: the exact count, unless threads ended in between, which it
    /// would miss.
    #[must_use]
    pub fn since(self, before: Self) -> Duration {
        let ticks = self.ticks.saturating_sub(before.ticks);
        let exact = self.exact.saturating_sub(before.exact);
        let close = Duration::from_millis(50).max(ticks / 50);
        if ticks.abs_diff(exact) <= close {
            exact
        } else {
            ticks
        }
    }
}

impl Tree {
    fn processes(self) -> Vec<u32> {
        let parents = parents();
        let mut members = HashSet::from([self.root]);
        loop {
            let before = members.len();
            for (process, parent) in &parents {
                if members.contains(parent) {
                    members.insert(*process);
                }
            }
            if members.len() == before {
                return members.into_iter().collect();
            }
        }
    }

    #[must_use]
    pub fn cpu(self) -> CpuTime {
        let mut total = CpuTime::default();
        for process in self.processes() {
            // utime, stime, cutime, cstime: fields 14 to 17 of proc(5).
            let ticks = stat(process).map_or(0, |fields| {
                fields
                    .iter()
                    .skip(11)
                    .take(4)
                    .filter_map(|f| f.parse::<u64>().ok())
                    .sum()
            });
            total.ticks += ticks_to_time(ticks);
            total.exact += exact_time(process).unwrap_or_default();
        }
        total
    }

    /// Proportional set size of the tree in bytes.
    #[must_use]
    pub fn pss(self) -> u64 {
        let rollup = |process| fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok();
        let pss = |text: String| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("Pss:").map(str::to_owned))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        self.processes()
            .into_iter()
            .filter_map(rollup)
            .filter_map(pss)
            .sum::<u64>()
            * 1024
    }
}

fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, stat(process)?.get(1)?.parse().ok()?)))
        .collect()
}

/// The fields of /proc/PID/stat after the command's name, which may contain anything.
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

fn exact_time(process: u32) -> Option<Duration> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))
        .ok()?
        .flatten()
    {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        total += text.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_count_is_used_unless_it_missed_threads() {
        let time = |ticks, exact| CpuTime {
            ticks: Duration::from_millis(ticks),
            exact: Duration::from_millis(exact),
        };
        assert_eq!(
            time(1010, 1004).since(time(0, 0)),
            Duration::from_millis(1004)
        );
        assert_eq!(
            time(1010, 300).since(time(0, 0)),
            Duration::from_millis(1010)
        );
    }

    #[test]
    fn this_process_is_weighed() {
        let tree = Tree {
            root: std::process::id(),
        };
        assert!(tree.processes().contains(&std::process::id()));
        assert!(tree.pss() > 100 * 1024);
        assert!(tree.cpu().exact > Duration::ZERO || tree.cpu().ticks > Duration::ZERO);
    }
}
