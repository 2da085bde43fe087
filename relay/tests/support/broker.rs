//! Real message brokers on free loopback ports, in directories that go away with them.

#[path = "broker/activemq.rs"]
mod activemq;
#[path = "broker/artemis.rs"]
mod artemis;
#[path = "broker/process.rs"]
mod process;
#[path = "broker/rabbitmq.rs"]
mod rabbitmq;

pub use crate::redis::Certificates;

use crate::redis::free_ports;
use process::Process;
use std::{
    env, fs,
    io::Write,
    net::TcpStream,
    path::PathBuf,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Everything that is waited for comes within this, or the test fails. Brokers take their time on a busy
/// machine.
pub const LIMIT: Duration = Duration::from_secs(240);

/// Who the relay and the tests are to a broker.
pub const USER: &str = "relay";
pub const PASSWORD: &str = "s:ecret\\1";

/// Which broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Rabbitmq,
    Activemq,
    Artemis,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Rabbitmq => "rabbitmq",
            Kind::Activemq => "activemq",
            Kind::Artemis => "artemis",
        }
    }
}

/// One broker, with what it keeps on disk. It is killed when it is dropped.
pub struct Broker {
    pub at: At,
    certificates: Option<Certificates>,
    processes: Vec<Process>,
    folder: TempDir,
}

/// Which broker, and where.
#[derive(Clone, Copy)]
pub struct At {
    pub kind: Kind,
    pub ports: Ports,
}

/// Where a broker listens. RabbitMQ speaks another AMQP than the others, and no STOMP here.
#[derive(Clone, Copy)]
pub struct Ports {
    pub amqp: u16,
    pub amqps: u16,
    pub stomp: u16,
    pub stomps: u16,
    /// For those that need more.
    other: [u16; 2],
}

impl Broker {
    /// None where it cannot be installed, which is then told by name.
    pub fn start(kind: Kind) -> Option<Broker> {
        Broker::prepare(kind, None)
    }

    /// One that speaks TLS besides.
    pub fn start_with_tls(kind: Kind, certificates: Certificates) -> Option<Broker> {
        Broker::prepare(kind, Some(certificates))
    }

    fn prepare(kind: Kind, certificates: Option<Certificates>) -> Option<Broker> {
        is_here(kind).then(|| {
            let [amqp, amqps, stomp, stomps, one, other] = free_ports();
            let ports = Ports {
                amqp,
                amqps,
                stomp,
                stomps,
                other: [one, other],
            };
            let mut broker = Broker {
                at: At { kind, ports },
                certificates,
                processes: Vec::new(),
                folder: TempDir::new().expect("a directory for the broker"),
            };
            broker.run();
            broker
        })
    }

    fn run(&mut self) {
        self.processes = match self.at.kind {
            Kind::Rabbitmq => rabbitmq::start(self),
            Kind::Activemq => activemq::start(self),
            Kind::Artemis => artemis::start(self),
        };
        let ports = match self.at.kind {
            Kind::Rabbitmq => vec![self.at.ports.amqp],
            Kind::Activemq | Kind::Artemis => vec![self.at.ports.amqp, self.at.ports.stomp],
        };
        for port in ports {
            let kind = self.at.kind;
            until(&format!("{kind:?} on its port"), || {
                if let Some(ended) = self.processes.iter_mut().find_map(Process::ended) {
                    panic!("{kind:?} has ended: {ended}");
                }
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
    }

    /// kill -9, of all its processes.
    pub fn kill(&mut self) {
        self.processes.clear();
    }

    /// The same broker again, on the same ports and with what it has on disk.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Stops it from running, as a paused virtual machine is, until [`Broker::thaw`].
    pub fn freeze(&self) {
        self.processes.iter().for_each(Process::freeze);
    }

    pub fn thaw(&self) {
        self.processes.iter().for_each(Process::thaw);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in &self.processes {
                eprintln!("{:?} said: {}", self.at.kind, process.output());
            }
        }
    }
}

/// Whether there is such a broker on this machine. `scripts/install-brokers.sh` brings it, or notes
/// that it cannot, which is an error where CI runs.
fn is_here(kind: Kind) -> bool {
    let name = kind.name();
    let noted = servers().join(format!("{name}.missing"));
    let Ok(why) = fs::read_to_string(&noted) else {
        return true;
    };
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    assert_ne!(
        env::var("CI").as_deref(),
        Ok("true"),
        "{name} must be here: {why}"
    );
    // past the harness, which shows nothing of tests that succeed
    let line = format!("not run: {test}: {name} could not be installed: {why}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("it is open");
    false
}

/// Where `scripts/install-brokers.sh` puts them.
fn servers() -> PathBuf {
    if let Ok(folder) = env::var("SSE_RELAY_TEST_SERVERS") {
        return folder.into();
    }
    let cache = env::var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|_| {
        PathBuf::from(env::var("HOME").expect("there is a home")).join(".cache")
    });
    cache.join("sse-relay/servers")
}

/// What a Java of a broker is started with: little memory, quick to begin, only warnings.
fn java(kind: Kind) -> Vec<String> {
    let jars = servers().join(kind.name());
    assert!(
        jars.is_dir(),
        "{} is missing: run scripts/install-brokers.sh",
        jars.display()
    );
    let options = [
        "java",
        "-Xmx160m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
    ];
    let mut options: Vec<_> = options.map(str::to_owned).to_vec();
    options.push(format!("{}/*", jars.display()));
    options
}

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}
