//! The demo source: what this machine is doing, read from `/proc`, one event a channel and sample.
//! Something to look at before anybody publishes.

pub mod proc;
pub mod rates;

use crate::{
    channel::{ChannelName, ChannelNameError},
    event::{Attributes, Data, Event, EventError, EventType},
};
use jiff::Timestamp;
use proc::{Bytes, Cpu, Load, Memory};
use rates::Elapsed;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Where Linux shows its state.
pub const PROC: &str = "/proc";
/// Interfaces that a sample names, by name; totals count all. A node with a hundred pods has more
/// than a hundred.
const MAX_INTERFACES: usize = 32;
/// Its traffic is not the network's, so it is named but not part of the totals.
const LOOPBACK: &str = "lo";

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(
        "the demo source reads {}, which is Linux', and found nothing there; it cannot run on this system",
        .0.display()
    )]
    NoProc(PathBuf),
    #[error("`{prefix}` cannot begin the demo's channel names: {source}")]
    Prefix {
        prefix: String,
        source: ChannelNameError,
    },
    #[error("the name of this host cannot be an attribute: {0}")]
    Host(#[from] EventError),
}

/// What is sampled; each has a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Cpu,
    Memory,
    Network,
    Disk,
    Load,
}

impl Kind {
    const ALL: [Kind; 5] = [
        Kind::Cpu,
        Kind::Memory,
        Kind::Network,
        Kind::Disk,
        Kind::Load,
    ];

    fn name(self) -> &'static str {
        match self {
            Kind::Cpu => "cpu",
            Kind::Memory => "memory",
            Kind::Network => "network",
            Kind::Disk => "disk",
            Kind::Load => "load",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Kind::Cpu => "stat",
            Kind::Memory => "meminfo",
            Kind::Network => "net/dev",
            Kind::Disk => "diskstats",
            Kind::Load => "loadavg",
        }
    }
}

/// Whether the absence of a file was already told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Warned {
    No,
    Yes,
}

#[derive(Debug)]
struct Output {
    kind: Kind,
    channel: ChannelName,
    attributes: Attributes,
    warned: Warned,
}

/// What was read at one time. A part is `None` when its file is missing or not understood.
#[derive(Debug, Default)]
struct Reading {
    cpu: Option<Cpu>,
    memory: Option<Memory>,
    network: Option<BTreeMap<String, Bytes>>,
    disks: Option<BTreeMap<String, Bytes>>,
    load: Option<Load>,
}

impl Reading {
    fn take(&mut self, kind: Kind, text: &str) -> Option<()> {
        match kind {
            Kind::Cpu => self.cpu = Some(proc::cpu(text)?),
            Kind::Memory => self.memory = Some(proc::memory(text)?),
            Kind::Network => self.network = Some(proc::network(text)?),
            Kind::Disk => self.disks = Some(proc::disks(text)?),
            Kind::Load => self.load = Some(proc::load(text)?),
        }
        Some(())
    }
}

/// Reads `/proc` when asked, and remembers the reading before.
#[derive(Debug)]
pub struct Sampler {
    proc: PathBuf,
    outputs: [Output; 5],
    before: Option<(Timestamp, Reading)>,
}

impl Sampler {
    /// Of the files below `proc` ([`PROC`], unless in a test). Channels are `{prefix}.cpu`,
    /// `.memory`, `.network`, `.disk` and `.load`; each event has the attributes `host` and `kind`.
    pub fn new(proc: &Path, prefix: &str, host: &str) -> Result<Sampler, DemoError> {
        if !Kind::ALL.iter().any(|kind| proc.join(kind.file()).exists()) {
            return Err(DemoError::NoProc(proc.to_owned()));
        }
        let [cpu, memory, network, disk, load] = Kind::ALL.map(|kind| output(kind, prefix, host));
        Ok(Sampler {
            proc: proc.to_owned(),
            outputs: [cpu?, memory?, network?, disk?, load?],
            before: None,
        })
    }

    /// One event for each channel of which something can be told now: rates need two samples, so
    /// the first one has memory and load only. Reads five small files of the kernel's, which takes
    /// well under a millisecond and does not wait for a disk.
    pub fn sample(&mut self, now: Timestamp) -> Vec<(ChannelName, Event)> {
        let mut reading = Reading::default();
        for output in &mut self.outputs {
            let path = self.proc.join(output.kind.file());
            // Names of interfaces are bytes to the kernel.
            let read = fs::read(&path)
                .ok()
                .and_then(|bytes| reading.take(output.kind, &String::from_utf8_lossy(&bytes)));
            output.warn_once(&path, read);
        }
        let before = self.before.as_ref().map(|(time, reading)| {
            let elapsed = now.as_millisecond() - time.as_millisecond();
            (Elapsed::of_milliseconds(elapsed), reading)
        });
        let events = self
            .outputs
            .iter()
            .filter_map(|output| {
                let data = data(output.kind, now, before, &reading)?;
                Some((output.channel.clone(), output.event(now, &data)))
            })
            .collect();
        self.before = Some((now, reading));
        events
    }
}

fn output(kind: Kind, prefix: &str, host: &str) -> Result<Output, DemoError> {
    let channel = ChannelName::parse(&format!("{prefix}.{}", kind.name())).map_err(|source| {
        DemoError::Prefix {
            prefix: prefix.to_owned(),
            source,
        }
    })?;
    let pairs = [("host", host), ("kind", kind.name())];
    Ok(Output {
        kind,
        channel,
        attributes: Attributes::new(
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())),
        )?,
        warned: Warned::No,
    })
}

impl Output {
    fn event(&self, now: Timestamp, data: &str) -> Event {
        Event {
            kind: EventType::parse("sample").expect("a plain word is a legal type"),
            data: Some(Data::text(data)),
            attributes: self.attributes.clone(),
            time: Some(now),
            ..Event::default()
        }
    }

    fn warn_once(&mut self, path: &Path, read: Option<()>) {
        if read.is_none() && self.warned == Warned::No {
            self.warned = Warned::Yes;
            tracing::warn!(
                event = "demo.unreadable",
                file = %path.display(),
                channel = %self.channel,
                "cannot read this file, or not understand it: the demo leaves its channel out"
            );
        }
    }
}

/// The name of this host, as its kernel says.
pub fn host_name(proc: &Path) -> String {
    let text = fs::read_to_string(proc.join("sys/kernel/hostname")).unwrap_or_default();
    match text.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sample<T> {
    time: String,
    #[serde(flatten)]
    values: T,
}

#[derive(Serialize)]
struct CpuData {
    percent: f64,
    /// `null` for a processor that came online since the last sample.
    cores: Vec<Option<f64>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryData {
    total_bytes: u64,
    used_bytes: u64,
    available_bytes: u64,
    percent: f64,
    swap_used_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NetworkData<'a> {
    received_bytes_per_second: u64,
    sent_bytes_per_second: u64,
    interfaces: BTreeMap<&'a str, InterfaceData>,
}

#[derive(Serialize)]
struct InterfaceData {
    received: u64,
    sent: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiskData {
    read_bytes_per_second: u64,
    written_bytes_per_second: u64,
}

#[derive(Serialize)]
struct LoadData {
    one: f64,
    five: f64,
    fifteen: f64,
    runnable: u64,
    tasks: u64,
}

/// The reading before, and how long ago it was if rates can be told.
type Before<'a> = Option<(Option<Elapsed>, &'a Reading)>;

/// The JSON of one event; `None` when the readings cannot tell.
fn data(kind: Kind, now: Timestamp, before: Before, reading: &Reading) -> Option<String> {
    let time = format!("{now:.3}");
    match kind {
        Kind::Cpu => json(time, cpu(before?.1.cpu.as_ref()?, reading.cpu.as_ref()?)?),
        Kind::Memory => json(time, memory(reading.memory?)),
        Kind::Network => {
            let (elapsed, before) = before?;
            let rates = rates::per_second(
                before.network.as_ref()?,
                reading.network.as_ref()?,
                elapsed?,
            )?;
            json(time, network(&rates))
        }
        Kind::Disk => {
            let (elapsed, before) = before?;
            let rates =
                rates::per_second(before.disks.as_ref()?, reading.disks.as_ref()?, elapsed?)?;
            let sum = rates::sum(rates.values());
            let values = DiskData {
                read_bytes_per_second: sum.inward,
                written_bytes_per_second: sum.outward,
            };
            json(time, values)
        }
        Kind::Load => json(time, load(reading.load?)),
    }
}

fn json(time: String, values: impl Serialize) -> Option<String> {
    let sample = Sample { time, values };
    Some(serde_json::to_string(&sample).expect("samples are plain structs with string keys"))
}

fn cpu(before: &Cpu, after: &Cpu) -> Option<CpuData> {
    let core = |(number, after)| rates::busy_percent(before.cores.get(number)?, after);
    Some(CpuData {
        percent: rates::busy_percent(&before.all, &after.all)?,
        cores: after.cores.iter().map(core).collect(),
    })
}

fn memory(memory: Memory) -> MemoryData {
    let used = memory.total.saturating_sub(memory.available);
    MemoryData {
        total_bytes: memory.total,
        used_bytes: used,
        available_bytes: memory.available,
        percent: rates::percent(used, memory.total),
        swap_used_bytes: memory.swap_used,
    }
}

fn network(rates: &BTreeMap<String, Bytes>) -> NetworkData<'_> {
    let outside = rates.iter().filter(|(name, _)| *name != LOOPBACK);
    let sum = rates::sum(outside.map(|(_, bytes)| bytes));
    let one = |bytes: &Bytes| InterfaceData {
        received: bytes.inward,
        sent: bytes.outward,
    };
    NetworkData {
        received_bytes_per_second: sum.inward,
        sent_bytes_per_second: sum.outward,
        interfaces: rates
            .iter()
            .take(MAX_INTERFACES)
            .map(|(name, bytes)| (name.as_str(), one(bytes)))
            .collect(),
    }
}

fn load(load: Load) -> LoadData {
    let [one, five, fifteen] = load.averages;
    LoadData {
        one,
        five,
        fifteen,
        runnable: load.runnable,
        tasks: load.tasks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const NETWORK_HEAD: &str = "Inter-| Receive | Transmit\n face |bytes packets|bytes packets\n";

    fn machine(files: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("net")).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn write_counters(dir: &TempDir, ticks: [u64; 2], bytes: u64, sectors: u64) {
        let [user, idle] = ticks;
        let stat = format!("cpu {user} 0 0 {idle}\ncpu0 {user} 0 0 {idle}\n");
        let net = format!(
            "{NETWORK_HEAD}  lo: {bytes} 1 0 0 0 0 0 0 {bytes} 1\neth0: {bytes} 1 0 0 0 0 0 0 {} 1\n",
            bytes * 2
        );
        let disks = format!("8 0 sda 1 1 {sectors} 1 1 1 {sectors} 1\n");
        fs::write(dir.path().join("stat"), stat).unwrap();
        fs::write(dir.path().join("net/dev"), net).unwrap();
        fs::write(dir.path().join("diskstats"), disks).unwrap();
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + second * 1000).unwrap()
    }

    fn texts(events: &[(ChannelName, Event)]) -> Vec<(&str, &str)> {
        events
            .iter()
            .map(|(channel, event)| (channel.as_str(), event.data.as_ref().unwrap().as_str()))
            .collect()
    }

    #[test]
    fn two_samples_tell_everything() {
        let dir = machine(&[
            ("meminfo", "MemTotal: 1000 kB\nMemAvailable: 250 kB\n"),
            ("loadavg", "0.50 1.00 2.25 3/77 1\n"),
        ]);
        write_counters(&dir, [0, 0], 1000, 0);
        let mut sampler = Sampler::new(dir.path(), "demo", "box").unwrap();
        let first = sampler.sample(at(0));
        assert_eq!(
            texts(&first),
            [
                (
                    "demo.memory",
                    r#"{"time":"2027-01-15T08:00:00.000Z","totalBytes":1024000,"usedBytes":768000,"availableBytes":256000,"percent":75.0,"swapUsedBytes":0}"#
                ),
                (
                    "demo.load",
                    r#"{"time":"2027-01-15T08:00:00.000Z","one":0.5,"five":1.0,"fifteen":2.25,"runnable":3,"tasks":77}"#
                ),
            ]
        );
        write_counters(&dir, [25, 175], 3000, 8);
        let second = sampler.sample(at(2));
        let texts = texts(&second);
        assert_eq!(texts.len(), 5);
        assert_eq!(
            texts[0],
            (
                "demo.cpu",
                r#"{"time":"2027-01-15T08:00:02.000Z","percent":12.5,"cores":[12.5]}"#
            )
        );
        assert_eq!(
            texts[2],
            (
                "demo.network",
                r#"{"time":"2027-01-15T08:00:02.000Z","receivedBytesPerSecond":1000,"sentBytesPerSecond":2000,"interfaces":{"eth0":{"received":1000,"sent":2000},"lo":{"received":1000,"sent":1000}}}"#
            )
        );
        assert_eq!(
            texts[3],
            (
                "demo.disk",
                r#"{"time":"2027-01-15T08:00:02.000Z","readBytesPerSecond":2048,"writtenBytesPerSecond":2048}"#
            )
        );
        let (_, event) = &second[0];
        assert_eq!(event.kind.as_str(), "sample");
        assert_eq!(event.time, Some(at(2)));
        assert_eq!(event.attributes.get("host"), Some("box"));
        assert_eq!(event.attributes.get("kind"), Some("cpu"));
    }

    #[test]
    fn counters_that_went_back_and_long_pauses_tell_no_rates() {
        let dir = machine(&[]);
        write_counters(&dir, [100, 100], 5000, 50);
        let mut sampler = Sampler::new(dir.path(), "demo", "box").unwrap();
        assert!(sampler.sample(at(0)).is_empty());
        write_counters(&dir, [1, 1], 1, 1);
        assert!(sampler.sample(at(1)).is_empty(), "all counters went back");
        write_counters(&dir, [2, 2], 100_000, 100_000);
        let after_sleep = sampler.sample(at(3600));
        assert_eq!(
            texts(&after_sleep).len(),
            1,
            "only the processors' own ticks"
        );
        write_counters(&dir, [2, 2], 200_000, 200_000);
        assert!(
            sampler.sample(at(1800)).is_empty(),
            "the clock was set back"
        );
    }

    #[test]
    fn a_missing_file_takes_out_its_channel_only() {
        let dir = machine(&[("loadavg", "0 0 0 1/2 3\n"), ("meminfo", "nonsense\n")]);
        let mut sampler = Sampler::new(dir.path(), "demo", "box").unwrap();
        for second in 0..2 {
            let events = sampler.sample(at(second));
            assert_eq!(texts(&events).len(), 1);
            assert_eq!(events[0].0.as_str(), "demo.load");
        }
        let told = |output: &Output| output.warned == Warned::Yes;
        assert_eq!(sampler.outputs.iter().filter(|o| told(o)).count(), 4);
    }

    #[test]
    fn what_cannot_be_a_demo_says_why() {
        let empty = tempfile::tempdir().unwrap();
        let error = Sampler::new(empty.path(), "demo", "box").unwrap_err();
        assert!(error.to_string().contains("it cannot run on this system"));
        let dir = machine(&[("loadavg", "")]);
        let error = Sampler::new(dir.path(), "a\nb", "box").unwrap_err();
        assert!(matches!(error, DemoError::Prefix { .. }), "{error}");
        let error = Sampler::new(dir.path(), "demo", "b\0x").unwrap_err();
        assert!(matches!(error, DemoError::Host(_)), "{error}");
    }

    #[test]
    fn many_interfaces_are_counted_and_some_named() {
        let rate = Bytes {
            inward: 1,
            outward: 2,
        };
        let all = (0..100).map(|n| (format!("veth{n}"), rate)).collect();
        let data = network(&all);
        assert_eq!(data.interfaces.len(), MAX_INTERFACES);
        assert_eq!(data.received_bytes_per_second, 100);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_can_be_sampled() {
        let proc = Path::new(PROC);
        let mut sampler = Sampler::new(proc, "demo", &host_name(proc)).unwrap();
        assert!(!sampler.sample(Timestamp::now()).is_empty());
    }
}
