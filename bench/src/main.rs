//! `relay-bench`: see `relay-bench --help`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use relay_bench::floor::{self, Writes};
use relay_bench::load::endpoint::Endpoint;
use relay_bench::load::generator::{Generator, Plan, Publishing};
use relay_bench::load::pace::Pace;
use relay_bench::load::subscribers::Subscribers;
use relay_bench::machine;
use relay_bench::peers::pushpin;
use relay_bench::process::{self, Tree};
use relay_bench::report::{self, markdown, page};
use relay_bench::scenario::{self, SCENARIOS, Scenario};
use relay_bench::suite::{self, Options, Peers, Subject};

#[derive(Parser)]
#[command(
    about,
    version,
    after_help = "\
Examples:
  relay-bench suite                         everything, floor, relay and others in turn (about half an hour)
  relay-bench suite --quick                 the same, once and shortened (some minutes)
  relay-bench suite --scenario S1,S5,S9     only these
  relay-bench suite --without S9 --no-peers all but these, and only the relay and the floor
  relay-bench suite --server floor          the floor alone: what this machine can do
  relay-bench floor --port 9000 &
  relay-bench load --base http://127.0.0.1:9000 --streams 1000 --rate 100 --pid $!

Numbers mean something only as ratios to the floor measured in the same sitting, on a machine that
does nothing else; the report says how busy it was."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the floor: one send per stream and event, and nothing else
    Floor(FloorArguments),
    /// Load one server that runs already, and account for every event
    Load(LoadArguments),
    /// Run scenarios against the floor, the relay and others, and write a report
    Suite(SuiteArguments),
    /// Say of every request that its connection is to be held: what Pushpin asks about its streams
    #[command(hide = true)]
    Origin {
        #[arg(long)]
        port: u16,
    },
    /// Become a program that keeps to one core and ends with its parent
    #[command(hide = true)]
    Leash {
        #[arg(long)]
        core: Option<usize>,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Args)]
struct FloorArguments {
    /// Port of 127.0.0.1 to listen on
    #[arg(long)]
    port: u16,
    /// Send all that waits for a stream at once, instead of one event a send
    #[arg(long)]
    batch: bool,
}

#[derive(Args)]
struct LoadArguments {
    /// Where the server is; stands for both URLs below in the relay's own form
    #[arg(long, conflicts_with_all = ["subscribe_url", "publish_url"])]
    base: Option<String>,
    /// URL of a stream; {channel} is replaced by the channel's name
    #[arg(long, requires = "publish_url")]
    subscribe_url: Option<String>,
    /// URL that takes a POST with the event's data; {channel} as above
    #[arg(long, requires = "subscribe_url")]
    publish_url: Option<String>,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    channels: u32,
    /// Streams on each channel
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    streams: u32,
    /// Publishes per second over all channels
    #[arg(long, default_value_t = 10.0, conflicts_with = "outstanding", value_parser = positive)]
    rate: f64,
    /// Instead of a rate: keep this many events underway
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    outstanding: Option<u32>,
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    seconds: f64,
    /// Connections to publish over; with a rate each channel keeps to one of them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    publish_connections: u16,
    /// Bytes of an event's data
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(54..=1_048_576))]
    payload: u32,
    /// Process of the server: its CPU time is taken, its children's included
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Args)]
struct SuiteArguments {
    /// Once each, and shortened
    #[arg(long)]
    quick: bool,
    /// Only these, by name; S9 is all whose name begins so
    #[arg(long, value_delimiter = ',', value_parser = parse_scenario)]
    scenario: Vec<Named>,
    /// Not these
    #[arg(long, value_delimiter = ',', value_parser = parse_scenario)]
    without: Vec<Named>,
    /// Only the floor and the relay, no servers of others
    #[arg(long)]
    no_peers: bool,
    /// Write the table of verdicts into this page, between its two marks
    #[arg(long)]
    page: Option<PathBuf>,
    /// The relay's program
    #[arg(long, default_value = "target/release/sse-relay")]
    relay: PathBuf,
    /// Instead of the relay: `floor` for the floor alone, or the URL of a server that runs already
    #[arg(long, conflicts_with = "relay")]
    server: Option<String>,
    /// Process of the server that runs already
    #[arg(long, requires = "server")]
    pid: Option<u32>,
    /// Runs of each scenario and server [default: 3; quick: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeat: Option<u16>,
    /// Directory for results.json, results.md, charts and logs
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

/// The scenarios that a name means: the one of this name, or those whose names go on with a dash.
type Named = Vec<&'static Scenario>;

fn parse_scenario(id: &str) -> Result<Named, String> {
    let named = scenario::named(id);
    if named.is_empty() {
        let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.id).collect();
        return Err(format!("there are {}", known.join(", ")));
    }
    Ok(named)
}

fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let sane = value > 0.0 && value <= 1e6;
    if sane {
        Ok(value)
    } else {
        Err("must be above 0 and at most 1,000,000".to_owned())
    }
}

fn main() -> ExitCode {
    run(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("relay-bench: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Floor(arguments) => serve_floor(&arguments),
        Command::Load(arguments) => load(&arguments),
        Command::Suite(arguments) => run_suite(arguments),
        Command::Origin { port } => {
            pushpin::serve_origin(port)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Leash {
            core,
            program,
            arguments,
        } => {
            let error = process::leash(core, &program, &arguments);
            Err(error).with_context(|| program.display().to_string())
        }
    }
}

fn serve_floor(arguments: &FloorArguments) -> anyhow::Result<ExitCode> {
    machine::raise_open_files()?;
    let writes = if arguments.batch {
        Writes::Batched
    } else {
        Writes::Single
    };
    floor::serve(arguments.port, writes)?;
    Ok(ExitCode::SUCCESS)
}

fn load(arguments: &LoadArguments) -> anyhow::Result<ExitCode> {
    machine::raise_open_files()?;
    let (subscribe, publish) = endpoints(arguments)?;
    let mut generator = Generator::new(Plan {
        subscribe,
        publish,
        channels: arguments.channels,
        streams_per_channel: arguments.streams,
        stopped_readers: 0,
        publish_connections: usize::from(arguments.publish_connections),
        publishing: Publishing::default(),
        subscribers: Subscribers::default(),
        payload: arguments.payload as usize,
        patience: relay_bench::measure::PATIENCE,
    })?;
    let opening = generator.open()?;
    eprintln!("streams open after {:.3} s", opening.as_secs_f64());
    let tree = arguments.pid.map(|root| Tree { root });
    let before = tree.map(Tree::cpu);
    let time = Duration::from_secs_f64(arguments.seconds);
    generator.start(match arguments.outstanding {
        Some(outstanding) => Pace::Closed { outstanding, time },
        None => {
            let events = (arguments.rate * arguments.seconds).ceil() as u32;
            Pace::Open {
                rate: arguments.rate,
                events,
            }
        }
    });
    generator.finish()?;
    let cpu = tree
        .zip(before)
        .map(|(tree, before)| tree.cpu().since(before));
    generator.run_for(Duration::from_millis(200))?;
    let outcome = generator.outcome();
    println!("{}", serde_json::to_string_pretty(&outcome)?);
    if let Some(cpu) = cpu.filter(|_| outcome.delivered > 0) {
        let each = cpu.as_secs_f64() * 1e6 / outcome.delivered as f64;
        eprintln!(
            "server: {:.3} s of CPU, {each:.2} µs per delivered event",
            cpu.as_secs_f64()
        );
    }
    eprintln!("faults: {}", outcome.faults);
    Ok(if outcome.faults.none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn endpoints(arguments: &LoadArguments) -> anyhow::Result<(Endpoint, Endpoint)> {
    let LoadArguments {
        base,
        subscribe_url,
        publish_url,
        ..
    } = arguments;
    let (subscribe, publish) = match (base, subscribe_url, publish_url) {
        (Some(base), _, _) => (
            format!("{base}/v1/events?channel={{channel}}"),
            format!("{base}/v1/channels/{{channel}}/events"),
        ),
        (None, Some(subscribe), Some(publish)) => (subscribe.clone(), publish.clone()),
        _ => bail!("say --base, or --subscribe-url and --publish-url"),
    };
    Ok((subscribe.parse()?, publish.parse()?))
}

fn run_suite(arguments: SuiteArguments) -> anyhow::Result<ExitCode> {
    let subject = match arguments.server.as_deref() {
        None => Subject::Program(arguments.relay),
        Some("floor") => Subject::Nothing,
        Some(base) => {
            let tree = arguments.pid.map(|root| Tree { root });
            Subject::Running {
                base: base.to_owned(),
                tree,
            }
        }
    };
    let mut scenarios: Vec<_> = arguments.scenario.into_iter().flatten().collect();
    if scenarios.is_empty() {
        scenarios = SCENARIOS.iter().collect();
    }
    let without: Vec<_> = arguments.without.iter().flatten().map(|s| s.id).collect();
    scenarios.retain(|scenario| !without.contains(&scenario.id));
    let repeat = arguments
        .repeat
        .map_or(if arguments.quick { 1 } else { 3 }, usize::from);
    let options = Options {
        scenarios,
        subject,
        repeat,
        quick: arguments.quick,
        out: arguments.out,
        peers: if arguments.no_peers {
            Peers::LeftOut
        } else {
            Peers::Measured
        },
    };
    let results = suite::run(&options).context("the suite could not run")?;
    let mut table = String::new();
    markdown::verdicts(&mut table, &results);
    markdown::curves(&mut table, &results);
    println!("{table}");
    println!("written to {}", options.out.display());
    if let Some(page) = &arguments.page {
        page::write_into(page, &results).with_context(|| page.display().to_string())?;
        println!("and into {}", page.display());
    }
    let all = &results.scenarios;
    let flat = report::curves(&results)
        .iter()
        .all(|curve| curve.met != Some(false));
    Ok(if !all.iter().all(|scenario| scenario.sound()) {
        ExitCode::from(FAULTS)
    } else if !flat || !all.iter().all(|scenario| scenario.met()) {
        ExitCode::from(TARGETS_MISSED)
    } else {
        ExitCode::SUCCESS
    })
}

/// The relay lost or refused something, or a run of it failed.
const FAULTS: u8 = 2;
/// All went well, but slower than it should.
const TARGETS_MISSED: u8 = 3;
