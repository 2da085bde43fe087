//! `serve` and `demo`: the relay itself, from its configuration to its end.

mod archive;
mod redis_log;
mod sources;

use crate::{
    audit::{Audit, AuditError},
    clock::unix_millis,
    cursor::{Epoch, EventId, UnixMillis},
    drain::{self, Drained},
    event_log::{
        EventLog, Publication, Retention,
        memory::{Clock, MAX_CHANNELS, MemoryLog, MemoryOptions},
        redis::store::StoreError,
    },
    fleet::{self, Fleet},
    http::{self, App},
    hub::Hub,
    journal::{self, JournalError, Repair},
    listener,
    redis::Events,
    reload::{self, Source},
    settings::{Live, Settings, SettingsError},
    source::{
        demo::{self, DemoError, Sampler},
        on_demand::OnDemand,
        progress::Progress,
    },
    stats::Stats,
    tls::{self, ServerTls, TlsError},
    traces::{Traces, TracesError},
    unix_listener::{self, UnixListenError},
};
use relay_config::{Config, Fsync};
use rustix::process::{Resource, getrlimit};
use sources::Opened;
use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
};

/// Why the relay does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {error}{}", remedy(.error))]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error(transparent)]
    UnixListen(#[from] UnixListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Redis(#[from] StoreError),
    #[error("{0}")]
    RedisSettings(String),
    #[error("{0}")]
    ArchiveSettings(String),
    #[error("source `{name}`: {why}")]
    Source { name: String, why: String },
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(
        "delivery thread {0} ended, and its streams with it: the process ends so that it is started anew"
    )]
    ThreadEnded(usize),
    /// What it said stands in the log.
    #[error("a task of the relay ended; the relay is not whole without it")]
    TaskEnded,
    /// What it said stands in the log.
    #[error("a part of the log ended; events would not be written or delivered any more")]
    LogEnded,
    #[error(transparent)]
    Traces(#[from] TracesError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program has the port: choose another one with --listen, or stop that program"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege: choose a higher one with --listen"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine does not have the address",
        _ => "",
    }
}

/// Where a relay that started can be reached.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

/// How often the log drops what is too old.
const SWEEP: Duration = Duration::from_secs(1);

/// Runs the relay until a signal ends it. `started` is told the addresses once it serves.
pub async fn serve(
    config: Config,
    source: Source,
    started: impl FnOnce(Addresses, &Config),
) -> Result<(), ServeError> {
    raise_open_files();
    let settings = Settings::new(config)?;
    let config = settings.config.clone();
    let openness = settings.openness;
    let audit = Audit::open(&config.audit)?;
    let listener = listen(config.listen, &config)?;
    let admin = listen(config.admin_listen, &config)?;
    let unix = config.unix_sockets.iter().map(unix_listener::open);
    let (unix, _socket_files): (Vec<_>, Vec<_>) =
        unix.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let addresses = Addresses {
        public: listener.local_addr()?,
        admin: admin.local_addr()?,
    };
    let live = Arc::new(Live::new(settings));
    let stats = Arc::<Stats>::default();
    let tls = tls(&config, &stats)?;
    let hub = Hub::new(threads(&config), stats);
    let replica = replica_id();
    let began = unix_millis();
    let opened = open_log(&config, &live, &hub, &replica, began).await?;
    let opened = archive::behind(&config, opened, &hub, &replica, began)?;
    let sampler = config.demo.enabled.then(|| sampler(&config)).transpose()?;
    let (traces, exported) = start_traces(&config, &replica, &hub.stats)?;
    let sources = Opened::new(&config)?;
    let log = OnDemand::over(opened.log, sources.demands());
    let mut app = App::new(hub, log, live, audit, replica);
    app.traces = traces;
    app.sources = sources.health();
    app.demands = sources.demands();
    let fleet = opened.fleet.as_ref().map(|(fleet, _)| fleet.clone());
    app.progress = Progress::new(fleet, config.data.dir.clone());
    if let Some((fleet, _)) = &opened.fleet {
        app = app.in_fleet(fleet.clone());
    }
    let app = Arc::new(app);
    let (stop, stopped) = watch::channel(false);
    let mut listeners = vec![OwnedFd::from(listener)];
    listeners.extend(unix);
    let mut threads = http::server::start(
        &app,
        &http::router(app.clone()),
        listeners,
        tls.as_ref(),
        &stopped,
    )?;
    // none of these ends by itself; should one, the relay is not whole any more
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_admin(app.clone(), admin)?);
    tasks.spawn(sweep(app.clone()));
    tasks.spawn(tls::watch::watch(tls.into_iter().collect())?);
    tasks.spawn(keep_keys(app.clone()));
    if let Some((fleet, events)) = opened.fleet {
        tasks.spawn(fleet::hearing::run(app.clone(), fleet.clone(), events));
        tasks.spawn(fleet::sharing::run(app.clone(), fleet.clone()));
        tasks.spawn(fleet::beating::run(app.clone(), fleet));
    }
    let hangup = signal(SignalKind::hangup())?;
    tasks.spawn(reload::watch(app.clone(), source, hangup));
    if let Some(sampler) = sampler {
        tasks.spawn(run_demo(app.clone(), sampler));
    }
    let mut sources = sources.start(&app);
    let pulling = sources.stop.clone();
    // from here on a signal means a drain
    let signals = Signals::new()?;
    let is_open = app.settings().auth.is_open();
    tracing::info!(
        event = "relay.started",
        listen = %addresses.public,
        tls = config.tls.is_some(),
        admin = %addresses.admin,
        threads = app.hub.shards(),
        open_to = if is_open { openness.as_str() } else { "credentials" },
        "{}",
        if is_open {
            "no credentials are configured: the relay is open"
        } else {
            "credentials decide who may do what"
        }
    );
    started(addresses, &config);
    tokio::select! {
        () = until_drained(&app, &stop, &pulling, signals) => {}
        // the journal stays as after a crash: what is left half done is nothing to close well
        thread = threads.one_ended() => return Err(ServeError::ThreadEnded(thread)),
        _ = tasks.join_next() => return Err(ServeError::TaskEnded),
        () = sources.one_ended() => return Err(ServeError::TaskEnded),
        () = ended(opened.ended) => return Err(ServeError::LogEnded),
        () = ended(opened.archive_ended) => return Err(ServeError::TaskEnded),
    }
    sources.stopped().await;
    if let Some(fleet) = app.control.fleet() {
        tasks.abort_all(); // a beat would say that it lives
        fleet.leave().await;
    }
    if let Err(error) = app.log.close().await {
        tracing::error!(event = "journal.failed", %error, "the journal was not closed well");
    }
    exported.finish().await;
    Ok(())
}

/// Sends spans beside all else: whatever becomes of it, the relay serves on.
struct Export(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

/// How long the last spans may take when the process ends.
const LAST_SPANS: Duration = Duration::from_secs(5);

impl Export {
    async fn finish(self) {
        if let Some((stop, task)) = self.0 {
            drop(stop);
            let _ = tokio::time::timeout(LAST_SPANS, task).await;
        }
    }
}

fn start_traces(
    config: &Config,
    replica: &str,
    stats: &Arc<Stats>,
) -> Result<(Option<Arc<Traces>>, Export), TracesError> {
    let settings = config.traces.as_ref();
    let made = settings.map(|settings| Traces::new(settings, replica, stats.clone()));
    let Some((traces, exporting)) = made.transpose()?.flatten() else {
        return Ok((None, Export(None)));
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(exporting.run(stopped));
    Ok((Some(Arc::new(traces)), Export(Some((stop, task)))))
}

/// Never ready without a writer.
async fn ended(writer: Option<oneshot::Receiver<Infallible>>) {
    match writer {
        Some(writer) => {
            let _ = writer.await; // its only word is that it is gone
        }
        None => std::future::pending().await,
    }
}

/// What ends the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Drains at the first signal, ends at once at the second.
async fn until_drained(
    app: &App,
    stop: &watch::Sender<bool>,
    pulling: &watch::Sender<bool>,
    mut signals: Signals,
) {
    signals.next().await;
    if app
        .control
        .fleet()
        .is_some_and(|fleet| !fleet.others().is_empty())
    {
        pulling.send_replace(true); // another replica pulls, which stays
    }
    tokio::select! {
        drained = drain::drain(app, stop) => match drained {
            Drained::Empty => tracing::info!(event = "drain.finished", "nothing is left"),
            Drained::TimedOut(left) => tracing::warn!(event = "drain.timeout", connections = left, "time is up; what is left is cut"),
        },
        () = signals.next() => tracing::warn!(event = "drain.cut", "second signal: ending at once"),
    }
}

fn listen(address: SocketAddr, config: &Config) -> Result<TcpListener, ServeError> {
    listener::open(address, &config.tcp).map_err(|error| ServeError::Listen {
        address,
        error: error.into(),
    })
}

/// The soft limit of open files becomes the hard one: each stream is a file.
fn raise_open_files() {
    use rustix::process::setrlimit;
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(
            event = "limits.unchanged",
            %error,
            open_files = limit.current,
            "the limit of open files stays as it is"
        );
    }
}

fn tls(config: &Config, stats: &Arc<Stats>) -> Result<Option<Arc<ServerTls>>, TlsError> {
    let open_files = getrlimit(Resource::Nofile).current;
    let tls = config.tls.as_ref().map(|settings| {
        ServerTls::new(settings, &config.http, open_files, stats.clone()).map(Arc::new)
    });
    tls.transpose()
}

fn threads(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.http.threads.unwrap_or(cores)
}

/// Short and random: it stands in the ids of connections.
fn replica_id() -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
    (0..8)
        .map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]))
        .collect()
}

/// The log, and what tells when the thread that writes its file, or a task that brings its events from
/// Redis, has ended.
struct OpenLog {
    log: Arc<dyn EventLog>,
    ended: Option<oneshot::Receiver<Infallible>>,
    archive_ended: Option<oneshot::Receiver<Infallible>>,
    /// With the log in Redis: the other replicas, and what they say.
    fleet: Option<(Arc<Fleet>, Events)>,
}

async fn open_log(
    config: &Config,
    live: &Arc<Live>,
    hub: &Arc<Hub>,
    replica: &str,
    began: UnixMillis,
) -> Result<OpenLog, ServeError> {
    if let Some(settings) = &config.redis {
        let (log, fleet, events) = redis_log::open(config, live, settings, hub, replica).await?;
        return Ok(OpenLog {
            ended: log.task_ended(),
            log: Arc::new(log),
            archive_ended: None,
            fleet: Some((fleet, events)),
        });
    }
    let options = log_options(config, live.clone());
    let epoch = Epoch::from_random(rand::random());
    let Some(dir) = config.data.dir.clone() else {
        let tail = hub.clone();
        let log = match &config.archive {
            Some(_) => MemoryLog::after(EventId::before(began), options, epoch, tail),
            None => MemoryLog::new(options, epoch, tail),
        };
        return Ok(OpenLog {
            log: Arc::new(log),
            ended: None,
            archive_ended: None,
            fleet: None,
        });
    };
    let file = journal::Options {
        dir,
        fsync: match config.data.fsync {
            Fsync::Always => journal::Fsync::Always,
            Fsync::Interval => journal::Fsync::Interval(config.data.fsync_interval.std()),
            Fsync::Never => journal::Fsync::Never,
        },
        compact_at: config.data.compact_at.get(),
        repair: Repair::Refuse,
    };
    let (log, opened) = MemoryLog::open(options, file, epoch, hub.clone())?;
    tracing::info!(
        event = "journal.opened",
        events = opened.events,
        channels = opened.channels,
        tail = opened.tail.as_str(),
        "history of earlier runs is back"
    );
    Ok(OpenLog {
        ended: log.writer_ended(),
        log: Arc::new(log),
        archive_ended: None,
        fleet: None,
    })
}

fn log_options(config: &Config, live: Arc<Live>) -> MemoryOptions {
    let clock: Clock = Arc::new(unix_millis);
    MemoryOptions {
        max_bytes: config.max_log_bytes.as_usize(),
        max_channels: MAX_CHANNELS,
        idempotency_window: config.idempotency.window.std(),
        max_idempotency_keys: usize::try_from(config.idempotency.max_keys).unwrap_or(usize::MAX),
        clock,
        retention: Arc::new(move |channel| {
            let retention = live.settings().config.effective(channel).retention;
            Retention {
                events: usize::try_from(retention.events).unwrap_or(usize::MAX),
                age: retention.age.std(),
                bytes: retention.bytes.as_usize(),
            }
        }),
    }
}

fn serve_admin(
    app: Arc<App>,
    listener: TcpListener,
) -> io::Result<impl Future<Output = ()> + Send> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(async move {
        if let Err(error) = axum::serve(listener, http::admin::router(app)).await {
            tracing::error!(event = "admin.failed", %error, "the admin port is not served any more");
        }
    })
}

/// Keeps the published keys of issuers fresh, of whatever issuers are configured.
async fn keep_keys(app: Arc<App>) {
    let mut changes = app.live.changes();
    loop {
        let auth = changes.borrow_and_update().auth.clone();
        tokio::select! {
            () = auth.keep_keys(app.hub.stats.clone()) => {}
            changed = changes.changed() => if changed.is_err() {
                return; // the process ends
            },
        }
    }
}

async fn sweep(app: Arc<App>) {
    let mut every = tokio::time::interval(SWEEP);
    loop {
        every.tick().await;
        app.log.sweep().await;
        app.control.sweep(unix_millis());
        app.audit.flush();
    }
}

fn sampler(config: &Config) -> Result<Sampler, DemoError> {
    let proc = Path::new(demo::PROC);
    Sampler::new(proc, &config.demo.prefix, &demo::host_name(proc))
}

/// Publishes this machine's figures, as any publisher would, until the process ends.
async fn run_demo(app: Arc<App>, mut sampler: Sampler) {
    let mut every = tokio::time::interval(app.config().demo.interval.std());
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        for (channel, event) in sampler.sample(jiff::Timestamp::now()) {
            let publication = Publication {
                channel,
                events: vec![event],
                idempotency: None,
                fence: None,
            };
            match app.log.append(publication).await {
                Ok(_) => app.hub.stats.published.add(1),
                Err(error) => {
                    tracing::warn!(event = "demo.failed", %error, "a sample was not published")
                }
            }
        }
    }
}
