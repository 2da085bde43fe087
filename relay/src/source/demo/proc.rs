//! Reads the texts of Linux' `/proc` (man 5 proc; kernel `Documentation/filesystems/proc.rst` and
//! `Documentation/admin-guide/iostats.rst`). Pure: text in, numbers out, `None` for a text that is
//! not what the kernel documents.

use std::collections::BTreeMap;

/// Bytes of a sector in `/proc/diskstats`, whatever the disk's own sectors are.
const SECTOR: u64 = 512;
/// Disks that are not disks (memory, files, optical and floppy drives), and those that stand on
/// other disks (device mapper, RAID) and would count their bytes twice.
const NOT_DISKS: [&str; 7] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];

/// Clock ticks that one processor, or all of them, spent since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTicks {
    /// user, nice, system, idle, iowait, irq, softirq, steal. Time of guests is part of user.
    pub fields: [u64; 8],
}

/// Indexes into [`CpuTicks::fields`] of the time in which nothing was done.
pub const IDLE: [usize; 2] = [3, 4];

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cpu {
    pub all: CpuTicks,
    /// By number; some are missing where processors are offline.
    pub cores: BTreeMap<u32, CpuTicks>,
}

/// Of `/proc/stat`.
pub fn cpu(text: &str) -> Option<Cpu> {
    let (mut all, mut cores) = (None, BTreeMap::new());
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(core) = words.next().and_then(|word| word.strip_prefix("cpu")) else {
            continue;
        };
        let ticks = cpu_ticks(words)?;
        if core.is_empty() {
            all = Some(ticks);
        } else {
            cores.insert(core.parse().ok()?, ticks);
        }
    }
    Some(Cpu { all: all?, cores })
}

/// Kernels before 2.6.11 have fewer columns, which then are zero; the first four always exist.
fn cpu_ticks<'a>(words: impl Iterator<Item = &'a str>) -> Option<CpuTicks> {
    let mut ticks = CpuTicks::default();
    let mut known = 0;
    for (slot, word) in ticks.fields.iter_mut().zip(words) {
        *slot = word.parse().ok()?;
        known += 1;
    }
    (known >= 4).then_some(ticks)
}

/// In bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    pub total: u64,
    pub available: u64,
    pub swap_used: u64,
}

/// Of `/proc/meminfo`. `MemAvailable` exists since Linux 3.14.
pub fn memory(text: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    let swap = |name| bytes(name).unwrap_or(0);
    Some(Memory {
        total: bytes("MemTotal:").filter(|total| *total > 0)?,
        available: bytes("MemAvailable:")?,
        swap_used: swap("SwapTotal:").saturating_sub(swap("SwapFree:")),
    })
}

/// Bytes since the start, into the machine and out of it, or from a disk and to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bytes {
    pub inward: u64,
    pub outward: u64,
}

/// Of `/proc/net/dev`: by interface.
pub fn network(text: &str) -> Option<BTreeMap<String, Bytes>> {
    let mut lines = text.lines();
    let heads = [lines.next()?, lines.next()?];
    if !heads[0].contains("Receive") || !heads[1].contains("bytes") {
        return None;
    }
    lines.map(interface).collect()
}

fn interface(line: &str) -> Option<(String, Bytes)> {
    // An alias such as `eth0:1` has a colon of its own; the numbers have none.
    let (name, numbers) = line.rsplit_once(':')?;
    let mut numbers = numbers.split_ascii_whitespace();
    let bytes = Bytes {
        inward: numbers.next()?.parse().ok()?,
        outward: numbers.nth(7)?.parse().ok()?,
    };
    Some((name.trim().to_owned(), bytes))
}

/// Of `/proc/diskstats`: by whole disk, each byte counted once.
pub fn disks(text: &str) -> Option<BTreeMap<String, Bytes>> {
    let all: BTreeMap<&str, Bytes> = text.lines().map(disk).collect::<Option<_>>()?;
    let whole = all
        .iter()
        .filter(|(name, _)| is_disk(name) && !all.keys().any(|disk| is_partition(name, disk)));
    Some(
        whole
            .map(|(name, bytes)| ((*name).to_owned(), *bytes))
            .collect(),
    )
}

fn disk(line: &str) -> Option<(&str, Bytes)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let sectors = |index: usize| words.get(index)?.parse::<u64>().ok()?.checked_mul(SECTOR);
    let bytes = Bytes {
        inward: sectors(5)?,
        outward: sectors(9)?,
    };
    Some((words.get(2)?, bytes))
}

fn is_disk(name: &str) -> bool {
    // `nvme0c1n1` is one of several paths to `nvme0n1`.
    let path = name
        .strip_prefix("nvme")
        .is_some_and(|rest| rest.contains('c'));
    !path && !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix))
}

/// The kernel's rule: a partition is its disk's name and a number, with a `p` between them where
/// the disk's name ends with a digit. A partition without its disk (`xvda1` on some clouds) stands
/// for itself.
fn is_partition(name: &str, disk: &str) -> bool {
    let Some(rest) = name.strip_prefix(disk) else {
        return false;
    };
    let number = if disk.ends_with(|c: char| c.is_ascii_digit()) {
        rest.strip_prefix('p')
    } else {
        Some(rest)
    };
    number.is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load {
    /// Tasks that ran or waited to, averaged over 1, 5 and 15 minutes.
    pub averages: [f64; 3],
    pub runnable: u64,
    pub tasks: u64,
}

/// Of `/proc/loadavg`.
pub fn load(text: &str) -> Option<Load> {
    let mut words = text.split_ascii_whitespace();
    let mut average = || {
        let value: f64 = words.next()?.parse().ok()?;
        value.is_finite().then_some(value)
    };
    let averages = [average()?, average()?, average()?];
    let (runnable, tasks) = words.next()?.split_once('/')?;
    Some(Load {
        averages,
        runnable: runnable.parse().ok()?,
        tasks: tasks.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read_also_when_some_are_offline() {
        let text = "cpu  10 1 5 100 4 1 2 3 9 9\ncpu0 6 0 3 50 2 1 1 2 9 9\n\
                    cpu3 4 1 2 50 2 0 1 1\nintr 12 0 1\nctxt 77\n";
        let read = cpu(text).unwrap();
        assert_eq!(read.all.fields, [10, 1, 5, 100, 4, 1, 2, 3]);
        assert_eq!(read.cores.keys().collect::<Vec<_>>(), [&0, &3]);
        assert_eq!(
            cpu("cpu 1 2 3 4\n").unwrap().all.fields,
            [1, 2, 3, 4, 0, 0, 0, 0]
        );
        for bad in [
            "",
            "intr 1\n",
            "cpu 1 2 3\n",
            "cpu 1 2 x 4\n",
            "cpu0 1 2 3 4\n",
        ] {
            assert_eq!(cpu(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn memory_is_in_bytes() {
        let text = "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    400 kB\n\
                    SwapCached:  7 kB\nSwapTotal:  50 kB\nSwapFree: 20 kB\n";
        let wanted = Memory {
            total: 1_024_000,
            available: 409_600,
            swap_used: 30 * 1024,
        };
        assert_eq!(memory(text), Some(wanted));
        assert_eq!(memory("MemTotal: 1000 kB\nMemFree: 10 kB\n"), None);
        assert_eq!(memory("MemTotal: 0 kB\nMemAvailable: 0 kB\n"), None);
    }

    #[test]
    fn interfaces_are_read_with_and_without_a_space_after_the_colon() {
        let text = "Inter-|   Receive                  |  Transmit\n \
                    face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n    \
                    lo: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n\
                    eth0:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n\
                    eth0:1: 3 1 0 0 0 0 0 0 4 1 0 0 0 0 0 0\n";
        let read = network(text).unwrap();
        let of = |inward, outward| Bytes { inward, outward };
        assert_eq!(read["lo"], of(100, 200));
        assert_eq!(read["eth0"], of(7, 8));
        assert_eq!(read["eth0:1"], of(3, 4));
        assert_eq!(network("lo: 1 2 3\n"), None);
    }

    #[test]
    fn a_byte_of_a_disk_is_counted_once() {
        let line = |name: &str, read: u64, written: u64| {
            format!(" 8 0 {name} 9 9 {read} 9 9 9 {written} 9 0 9 9\n")
        };
        let text: String = [
            line("sda", 2, 4),
            line("sda1", 1, 1),
            line("sda12", 1, 3),
            line("sdaa", 3, 3),
            line("nvme0n1", 5, 6),
            line("nvme0n1p1", 5, 6),
            line("nvme0n11", 7, 7),
            line("nvme0c1n1", 5, 6),
            line("mmcblk0", 1, 1),
            line("mmcblk0p2", 1, 1),
            line("xvdb1", 8, 8),
            line("loop0", 9, 9),
            line("ram1", 9, 9),
            line("zram0", 9, 9),
            line("dm-0", 9, 9),
            line("md127", 9, 9),
            line("sr0", 9, 9),
        ]
        .concat();
        let read = disks(&text).unwrap();
        let names: Vec<&str> = read.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["mmcblk0", "nvme0n1", "nvme0n11", "sda", "sdaa", "xvdb1"]
        );
        assert_eq!(
            read["sda"],
            Bytes {
                inward: 1024,
                outward: 2048
            }
        );
        assert_eq!(disks("8 0 sda 1 2\n"), None);
        assert_eq!(disks(""), Some(BTreeMap::new()));
    }

    #[test]
    fn load_has_averages_and_tasks() {
        let read = load("0.52 1.00 12.25 3/1234 98765\n").unwrap();
        assert_eq!(read.averages, [0.52, 1.0, 12.25]);
        assert_eq!((read.runnable, read.tasks), (3, 1234));
        for bad in ["", "0.5 0.5", "0.5 0.5 NaN 1/2 3", "0.5 0.5 0.5 1 3"] {
            assert_eq!(load(bad), None, "{bad:?}");
        }
    }
}
