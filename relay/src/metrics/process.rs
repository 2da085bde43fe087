//! What the process itself takes, under the names that Prometheus' clients have for it.

use super::exposition::Metric;
use std::{fs, path::Path};

/// What could be read; the rest is absent from the scrape.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    open_files: Option<u64>,
    max_files: Option<u64>,
    stat: Option<Stat>,
    boot_time: Option<u64>,
    unit: Units,
}

/// In what the kernel counts.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Units {
    ticks_per_second: u64,
    page_bytes: u64,
}

impl Usage {
    pub fn read() -> Usage {
        let text = |path: &str| fs::read_to_string(path).ok();
        Usage {
            open_files: open_files(Path::new("/proc/self/fd")),
            max_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            stat: text("/proc/self/stat").as_deref().and_then(stat),
            boot_time: text("/proc/stat").as_deref().and_then(boot_time),
            unit: Units {
                ticks_per_second: rustix::param::clock_ticks_per_second(),
                page_bytes: rustix::param::page_size() as u64,
            },
        }
    }
}

/// Linux says the number as the directory's size since 6.2; before, its entries are counted, of which
/// one is the counting itself.
fn open_files(fds: &Path) -> Option<u64> {
    match fs::metadata(fds).ok()?.len() {
        0 => (fs::read_dir(fds).ok()?.count() as u64).checked_sub(1),
        files => Some(files),
    }
}

/// Of `/proc/self/stat` (man 5 proc).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stat {
    user_ticks: u64,
    system_ticks: u64,
    /// Since the machine's start.
    started_ticks: u64,
    resident_pages: u64,
}

fn stat(text: &str) -> Option<Stat> {
    // the second field is the program's name in parentheses, which may hold anything
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // numbered as in the manual: the first one here is the third
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some(Stat {
        user_ticks: field(14)?,
        system_ticks: field(15)?,
        started_ticks: field(22)?,
        resident_pages: field(24)?,
    })
}

/// Of `/proc/stat`: when the machine started, in seconds of Unix time.
fn boot_time(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    value.trim().parse().ok()
}

pub fn metrics(usage: &Usage) -> Vec<Metric> {
    let Usage {
        open_files,
        max_files,
        stat,
        boot_time,
        unit,
    } = *usage;
    let seconds = |ticks: u64| ticks as f64 / unit.ticks_per_second as f64;
    let started = stat.zip(boot_time);
    [
        open_files
            .map(|files| Metric::gauge("process_open_fds", "File descriptors in use.", files)),
        max_files.map(|files| {
            Metric::gauge(
                "process_max_fds",
                "File descriptors that may be in use.",
                files,
            )
        }),
        stat.map(|stat| {
            Metric::gauge(
                "process_resident_memory_bytes",
                "Memory that the process holds.",
                stat.resident_pages * unit.page_bytes,
            )
        }),
        stat.map(|stat| {
            Metric::total(
                "process_cpu_seconds",
                "Processor time, of the program and of the kernel for it.",
                seconds(stat.user_ticks + stat.system_ticks),
            )
        }),
        started.map(|(stat, boot)| {
            Metric::gauge(
                "process_start_time_seconds",
                "When the process started, in Unix time.",
                boot as f64 + seconds(stat.started_ticks),
            )
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Format, exposition};

    const STAT: &str =
        "4711 (a ) b) S 1 4711 4711 0 -1 4194560 1 0 0 0 250 150 0 0 20 0 3 0 1200 9000 512 1844";

    #[test]
    fn figures_are_in_bytes_seconds_and_unix_time() {
        let usage = Usage {
            open_files: Some(7),
            max_files: None,
            stat: stat(STAT),
            boot_time: boot_time("cpu  1 2\nbtime 1700000000\nprocesses 9\n"),
            unit: Units {
                ticks_per_second: 100,
                page_bytes: 4096,
            },
        };
        let text = exposition::write(&metrics(&usage), Format::Prometheus);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "process_open_fds 7",
                "process_resident_memory_bytes 2097152",
                "process_cpu_seconds_total 4.0",
                "process_start_time_seconds 1700000012.0",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        assert_eq!(stat(""), None);
        assert_eq!(stat("1 (x) S 1"), None);
        assert_eq!(boot_time("cpu 1"), None);
        assert_eq!(open_files(Path::new("/no/such/directory")), None);
        assert!(metrics(&Usage::default()).is_empty());
    }

    #[test]
    fn this_process_has_open_files() {
        let files = open_files(Path::new("/proc/self/fd")).unwrap();
        assert!((3..100_000).contains(&files), "{files}");
    }
}
