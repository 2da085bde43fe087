//! This machine: its cores, its limits, and what else runs on it.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// What a reader needs to know to judge the numbers.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub kernel: String,
    pub open_files: u64,
    /// Core of the servers and core of the generator; none on a machine with one core.
    pub pinned: Option<(usize, usize)>,
}

impl Machine {
    #[must_use]
    pub fn describe(cores: &Cores) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown", |(_, name)| name.trim());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cores: cores.allowed.len(),
            processor: processor.to_owned(),
            kernel: kernel.trim().to_owned(),
            open_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            pinned: cores.pinned(),
        }
    }
}

/// Raises the soft limit of open files to the hard one; returns it.
pub fn raise_open_files() -> io::Result<u64> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// The cores that this process may use: the first is the servers', the second the generator's.
#[derive(Debug, Clone)]
pub struct Cores {
    allowed: Vec<usize>,
}

impl Cores {
    pub fn find() -> io::Result<Self> {
        let set = sched_getaffinity(None)?;
        Ok(Self {
            allowed: (0..CpuSet::MAX_CPU)
                .filter(|&core| set.is_set(core))
                .collect(),
        })
    }

    #[must_use]
    pub fn pinned(&self) -> Option<(usize, usize)> {
        (self.allowed.len() > 1).then(|| (self.allowed[0], self.allowed[1]))
    }
}

/// Keeps the calling thread, and the threads and children it starts from now on, to one core.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// CPU time that all processes together have used. Sampled by the kernel's tick and so too low: good
/// for telling quiet from busy, not for measuring.
#[must_use]
pub fn busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(1);
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is within user.
    let idle = ticks.iter().skip(3).take(2).sum::<u64>();
    let all = ticks.iter().take(8).sum::<u64>();
    ticks_to_time(all.saturating_sub(idle))
}

#[must_use]
pub fn ticks_to_time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// A machine with less than this share of one core in use is quiet.
const QUIET: f64 = 0.10;
const QUIET_SAMPLE: Duration = Duration::from_millis(500);

/// Waits until the machine is quiet, at most `patience`; the share of one core last seen in use.
#[must_use]
pub fn wait_until_quiet(patience: Duration) -> f64 {
    let started = Instant::now();
    loop {
        let (before, since) = (busy(), Instant::now());
        std::thread::sleep(QUIET_SAMPLE);
        let used = busy().saturating_sub(before).as_secs_f64() / since.elapsed().as_secs_f64();
        if used < QUIET || started.elapsed() > patience {
            return used;
        }
    }
}

/// CPU time that this process has used, its children not included.
#[must_use]
pub fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}
