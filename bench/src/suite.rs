//! The suite: every scenario against the floor and the relay in turn, and the report.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::load::endpoint::{Endpoint, EndpointError};
use crate::load::generator::{LoadError, Publishing};
use crate::load::subscribers::Subscribers;
use crate::machine::{self, Cores, Machine};
use crate::measure::{self, Run, Target};
use crate::peers::{Peer, nchan, pushpin, sse_relay_server};
use crate::process::{Process, ProcessError, Readiness, Tree, free_port};
use crate::relay;
use crate::report::{ContenderResult, Results, ScenarioResult, markdown, svg};
use crate::scenario::{Contender, Log, Scenario};

#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    #[error("{}: no such relay; build it with `cargo build --release -p sse-relay`, name another \
             with --relay, or measure only the floor with --server floor", .0.display())]
    NoRelay(PathBuf),
    #[error("{path}: {error}", path = .path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Why one run gave no numbers.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is compared with the floor.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Nothing: the floor alone.
    Nothing,
    /// This program, started for each run.
    Program(PathBuf),
    /// A server that runs already; `tree` to weigh it.
    Running { base: String, tree: Option<Tree> },
}

#[derive(Debug, Clone)]
pub struct Options {
    pub scenarios: Vec<&'static Scenario>,
    pub subject: Subject,
    pub repeat: usize,
    pub quick: bool,
    pub out: PathBuf,
    /// Others, where they are installed.
    pub peers: Peers,
}

/// Whether servers of others are measured, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    Measured,
    LeftOut,
}

impl Options {
    fn log_of(&self, contender: Contender) -> PathBuf {
        let name = contender.name().replace(", ", "-");
        self.out.join(format!("{name}.log"))
    }
}

/// By how much `quick` divides the measured time.
const QUICK: f64 = 2.5;
/// After a run that others disturbed.
const MORE_ATTEMPTS: usize = 2;
const QUIET_PATIENCE: Duration = Duration::from_secs(10);
const QUICK_QUIET_PATIENCE: Duration = Duration::from_secs(2);

/// Runs everything and writes the reports; progress goes to standard error.
pub fn run(options: &Options) -> Result<Results, SuiteError> {
    if let Subject::Program(path) = &options.subject
        && !path.is_file()
    {
        return Err(SuiteError::NoRelay(path.clone()));
    }
    create(&options.out)?;
    machine::raise_open_files()?;
    let cores = Cores::find()?;
    let machine = Machine::describe(&cores);
    if let Some((_, generator)) = machine.pinned {
        machine::pin(generator)?;
    } else {
        eprintln!("only one core: server and generator share it, latencies mean little");
    }
    let server_core = machine.pinned.map(|(server, _)| server);
    let started = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_secs());
    let (repeat, quick) = (options.repeat, options.quick);
    let mut results = Results {
        machine,
        started,
        repeat,
        quick,
        scenarios: Vec::new(),
    };
    for scenario in &options.scenarios {
        let streams = scenario.load.streams();
        if streams > most_streams(results.machine.open_files) {
            eprintln!(
                "{}: left out: {streams} streams need a higher limit of open files than {}",
                scenario.id, results.machine.open_files
            );
            continue;
        }
        results
            .scenarios
            .push(run_scenario(scenario, options, server_core));
        // After each scenario, so that an interrupted suite leaves what it has.
        write_reports(&results, &options.out)?;
    }
    Ok(results)
}

fn run_scenario(scenario: &Scenario, options: &Options, core: Option<usize>) -> ScenarioResult {
    eprintln!("{}: {}", scenario.id, scenario.title);
    let compared = |contender: &&Contender| match contender {
        Contender::Floor | Contender::FloorBatched => true,
        Contender::Relay => !matches!(options.subject, Subject::Nothing),
        peer => {
            options.peers == Peers::Measured
                && matches!(options.subject, Subject::Program(_))
                && is_installed(**peer, options)
        }
    };
    let mut contenders: Vec<ContenderResult> = scenario
        .contenders
        .iter()
        .filter(compared)
        .map(|&c| ContenderResult::new(c))
        .collect();
    let repeat = repetitions(scenario, options);
    for repetition in 1..=repeat {
        for result in &mut contenders {
            if repetition > 1 && options.quick && result.contender.is_a_peer() {
                continue;
            }
            let name = result.contender.name();
            match run_undisturbed(scenario, result.contender, options, core) {
                Ok(run) => {
                    eprintln!(
                        "  {repetition}/{repeat} {name:<15} {}",
                        headline(scenario, &run)
                    );
                    result.add(run);
                }
                Err(error) => {
                    eprintln!("  {repetition}/{repeat} {name:<15} failed: {error}");
                    result.failures.push(error.to_string());
                }
            }
        }
    }
    ScenarioResult::new(scenario, contenders)
}

/// How many streams a server may have that keeps a sixteenth for other connections, and some files for
/// itself.
fn most_streams(open_files: u64) -> u64 {
    let connections = open_files.saturating_sub(500);
    connections - connections / 16
}

/// A point of a curve is compared with its neighbours, which are many. When time is short, only what has
/// a target is measured again.
fn repetitions(scenario: &Scenario, options: &Options) -> usize {
    let has_target = scenario.criteria.iter().any(|c| c.target.is_some());
    match (scenario.point, options.quick && !has_target) {
        (None, false) => options.repeat,
        _ => 1,
    }
}

fn headline(scenario: &Scenario, run: &Run) -> String {
    let value = |metric| {
        run.metrics
            .get(metric)
            .map(|value| (markdown::metric(metric), value))
    };
    let mut parts: Vec<String> = scenario
        .criteria
        .iter()
        .filter_map(|criterion| value(criterion.metric))
        .map(|(name, value)| format!("{name} {}", markdown::number(*value)))
        .collect();
    if !run.faults.none() {
        parts.push(format!("FAULTS: {}", run.faults));
    }
    if run.refused > 0 {
        parts.push(format!("{} publishes refused", run.refused));
    }
    parts.extend(run.notes.iter().cloned());
    parts.join("; ")
}

/// Runs again while others disturb, a bounded number of times; the least disturbed run counts. A run
/// with faults always counts: none may be hidden by another try.
fn run_undisturbed(
    scenario: &Scenario,
    contender: Contender,
    options: &Options,
    core: Option<usize>,
) -> Result<Run, RunError> {
    let mut best = run_once(scenario, contender, options, core)?;
    let more = if options.quick { 0 } else { MORE_ATTEMPTS };
    for _ in 0..more {
        if !best.disturbed() || !best.faults.none() {
            break;
        }
        eprintln!(
            "      others used {:.0} % of a core: again",
            best.others_percent
        );
        let run = run_once(scenario, contender, options, core)?;
        if !run.faults.none() || run.others_percent < best.others_percent {
            best = run;
        }
    }
    Ok(best)
}

fn run_once(
    scenario: &Scenario,
    contender: Contender,
    options: &Options,
    core: Option<usize>,
) -> Result<Run, RunError> {
    let patience = if options.quick {
        QUICK_QUIET_PATIENCE
    } else {
        QUIET_PATIENCE
    };
    let busy = machine::wait_until_quiet(patience);
    let log = match contender {
        Contender::Relay => scenario.log,
        _ => Log::InMemory,
    };
    let (target, processes) = start(contender, scenario, log, options, core)?;
    let shorten = if options.quick { QUICK } else { 1.0 };
    if let (Contender::Relay, Some(events)) = (contender, scenario.variant.history) {
        measure::fill(&target, events)?;
    }
    let mut run = measure::run(scenario.load, &target, shorten)?;
    drop(processes);
    run.busy_before_percent = busy * 100.0;
    Ok(run)
}

/// What serves with all that it needs, and what has its log.
type Processes = (Vec<Process>, Option<Process>);

/// A Redis that keeps nothing, and where it listens.
fn start_redis(options: &Options, core: Option<usize>) -> Result<(Process, String), RunError> {
    let port = free_port()?;
    let arguments = [
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ];
    let arguments = [&arguments[..], &["--appendonly", "no"]].concat();
    let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    let listens = Readiness::Accepts(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let log = options.out.join("redis.log");
    let program = Path::new("redis-server"); // make bench installs it
    let process = Process::start(program, &arguments, listens, core, &log)?;
    Ok((process, format!("redis://127.0.0.1:{port}")))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn start(
    contender: Contender,
    scenario: &Scenario,
    log: Log,
    options: &Options,
    core: Option<usize>,
) -> Result<(Target, Processes), RunError> {
    match (contender, &options.subject) {
        (Contender::Floor | Contender::FloorBatched, _) => start_floor(contender, options, core),
        (Contender::Nchan | Contender::Pushpin | Contender::SseRelayServer, _) => {
            start_peer(contender, options, core)
        }
        (Contender::Relay, Subject::Running { base, tree }) => {
            let target = target(base, *tree, Publishing::default(), Subscribers::default())?;
            Ok((target, (Vec::new(), None)))
        }
        (Contender::Relay, Subject::Program(program)) => {
            start_relay(program, scenario, log, options, core)
        }
        (Contender::Relay, Subject::Nothing) => {
            Err(io::Error::from(io::ErrorKind::NotFound).into())
        }
    }
}

fn start_floor(
    contender: Contender,
    options: &Options,
    core: Option<usize>,
) -> Result<(Target, Processes), RunError> {
    let port = free_port()?;
    let mut arguments = vec!["floor".to_owned(), "--port".to_owned(), port.to_string()];
    if contender == Contender::FloorBatched {
        arguments.push("--batch".to_owned());
    }
    let ready = Readiness::Accepts(local(port));
    let log = options.log_of(contender);
    let process = Process::start(&std::env::current_exe()?, &arguments, ready, core, &log)?;
    let tree = Tree { root: process.id() };
    let base = format!("http://{}", local(port));
    let target = target(
        &base,
        Some(tree),
        Publishing::default(),
        Subscribers::default(),
    )?;
    Ok((target, (vec![process], None)))
}

fn start_relay(
    program: &Path,
    scenario: &Scenario,
    log_in: Log,
    options: &Options,
    core: Option<usize>,
) -> Result<(Target, Processes), RunError> {
    let redis = match log_in {
        Log::InMemory => None,
        Log::InRedis => Some(start_redis(options, core)?),
    };
    let (port, admin) = (free_port()?, local(free_port()?));
    let variant = &scenario.variant;
    let config = relay::write_configuration(&options.out.join("relay"), variant)?;
    let words = [
        "serve".to_owned(),
        format!("--config={}", config.display()),
        format!("--listen={}", local(port)),
        format!("--admin-listen={admin}"),
    ];
    let mut arguments = words.to_vec();
    arguments.extend(redis.iter().map(|(_, url)| format!("--redis-url={url}")));
    let ready = Readiness::Readyz(admin);
    let log = options.log_of(Contender::Relay);
    let process = Process::start(program, &arguments, ready, core, &log)?;
    let tree = Tree { root: process.id() };
    let redis = redis.map(|(redis, _)| redis);
    let base = format!("http://{}", local(port));
    let (publishing, subscribers) = (relay::publishing(variant), relay::subscribers(variant));
    let mut target = target(&base, Some(tree), publishing, subscribers)?;
    target.redis = redis.as_ref().map(|redis| Tree { root: redis.id() });
    Ok((target, (vec![process], redis)))
}

fn start_peer(
    contender: Contender,
    options: &Options,
    core: Option<usize>,
) -> Result<(Target, Processes), RunError> {
    let folder = options.out.join(contender.name().to_lowercase());
    let peer = prepare(contender, &std::path::absolute(&folder)?)?;
    let Some(peer) = peer else {
        return Err(io::Error::from(io::ErrorKind::NotFound).into());
    };
    let mut processes = Vec::new();
    for start in peer.starts {
        let log = options.log_of(contender);
        let (program, arguments) = (&start.program, &start.arguments);
        processes.push(Process::start(
            program,
            arguments,
            start.readiness,
            core,
            &log,
        )?);
    }
    // the last one is what serves
    let tree = processes.last().map(|process| Tree { root: process.id() });
    let target = Target {
        subscribe: peer.subscribe.parse()?,
        publish: peer.publish.parse()?,
        publishing: peer.publishing,
        subscribers: Subscribers::default(),
        tree,
        redis: None,
    };
    Ok((target, (processes, None)))
}

fn is_installed(contender: Contender, options: &Options) -> bool {
    let folder = options.out.join(contender.name().to_lowercase());
    let prepared = std::path::absolute(&folder).and_then(|folder| prepare(contender, &folder));
    matches!(prepared, Ok(Some(_)))
}

fn prepare(contender: Contender, folder: &Path) -> io::Result<Option<Peer>> {
    match contender {
        Contender::Nchan => nchan::prepare(folder),
        Contender::Pushpin => pushpin::prepare(folder),
        Contender::SseRelayServer => sse_relay_server::prepare(),
        Contender::Floor | Contender::FloorBatched | Contender::Relay => Ok(None),
    }
}

fn target(
    base: &str,
    tree: Option<Tree>,
    publishing: Publishing,
    subscribers: Subscribers,
) -> Result<Target, EndpointError> {
    let base = base.trim_end_matches('/');
    let subscribe: Endpoint = format!("{base}/v1/events?channel={{channel}}").parse()?;
    let publish: Endpoint = format!("{base}/v1/channels/{{channel}}/events").parse()?;
    Ok(Target {
        subscribe,
        publish,
        publishing,
        subscribers,
        tree,
        redis: None,
    })
}

fn write_reports(results: &Results, out: &Path) -> Result<(), SuiteError> {
    write(
        &out.join("results.json"),
        &serde_json::to_string_pretty(results)?,
    )?;
    write(&out.join("results.md"), &markdown::render(results))?;
    for svg::Chart { file, svg } in svg::charts(results) {
        write(&out.join(file), &svg)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), SuiteError> {
    fs::write(path, text).map_err(|error| SuiteError::Write {
        path: path.to_owned(),
        error,
    })
}

fn create(path: &Path) -> Result<(), SuiteError> {
    fs::create_dir_all(path).map_err(|error| SuiteError::Write {
        path: path.to_owned(),
        error,
    })
}
