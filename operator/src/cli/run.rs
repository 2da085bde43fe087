//! `run`: serves the relays of a cluster.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use kube::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;

use super::RelayImage;
use crate::controller::{self, Context, Every, Relays, Scope};
use crate::crd::Pinned;
use crate::health::{self, Shown};
use crate::lease::{Keeper, Lost, NAME};
use crate::metrics::{Leading, Metrics};
use crate::observe::{self, Asker};
use crate::prove::{self, Loopback, Patience, Prober};

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Serve the relays of this namespace only; may be given several times, or as a list with
    /// commas. All namespaces, if it is left out
    #[arg(
        long = "namespace",
        env = "WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub namespaces: Vec<String>,
    /// Address for probes and metrics
    #[arg(
        long,
        env = "LISTEN",
        default_value = "0.0.0.0:8082",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// Namespace of the Lease by which one of several operators acts; that of the operator or of
    /// the kubeconfig's context, if it is left out
    #[arg(long, env = "LEASE_NAMESPACE", value_name = "NAME")]
    pub lease_namespace: Option<String>,
    /// Name in the Lease, which no other operator has; the host's name, which is the pod's, and a
    /// random part, if it is left out
    #[arg(long, env = "LEASE_IDENTITY", value_name = "NAME")]
    pub lease_identity: Option<String>,
    /// File with certificate authorities (PEM) that are believed besides the system's when the public
    /// addresses of relays are tried. It is read at the start
    #[arg(long, env = "TRUST_FILE", value_name = "FILE")]
    pub trust_file: Option<PathBuf>,
    #[command(flatten)]
    pub image: RelayImage,
}

/// Serves until it is told to end. Ends with an error if the Lease was lost.
pub fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let client = Client::try_default()
        .await
        .context("there is no cluster to serve; set KUBECONFIG, or run it in a pod")?;
    let shown = Arc::new(Shown {
        metrics: Metrics::default(),
        relays: Relays::default(),
        ready: AtomicBool::new(false),
    });
    let listener = health::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}; choose another --listen", args.listen))?;
    tracing::info!(event = "started", listen = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"));
    tokio::select! {
        ended = health::run(listener, shown.clone()) => ended.context("probes and metrics"),
        led = lead(args, client, shown) => led,
    }
}

/// The certificates of a file; none without one.
fn authorities(file: Option<&Path>) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let read: Vec<_> = read.with_context(|| {
        format!(
            "{} holds no certificates in PEM; correct --trust-file",
            file.display()
        )
    })?;
    anyhow::ensure!(
        !read.is_empty(),
        "{} holds no certificate; correct --trust-file",
        file.display()
    );
    Ok(read)
}

async fn lead(args: Args, client: Client, shown: Arc<Shown>) -> anyhow::Result<()> {
    let own_authorities = authorities(args.trust_file.as_deref())?;
    let mut signals = Signals::new()?;
    tokio::select! {
        () = reachable(&client) => shown.ready.store(true, Ordering::Relaxed),
        () = signals.received() => return Ok(()),
    }
    let namespace = args.lease_namespace.clone();
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let me = args.lease_identity.clone().unwrap_or_else(identity);
    let keeper = Keeper::new(client.clone(), &namespace, NAME, &me);
    tracing::info!(event = "lease.waiting", %namespace, %me);
    tokio::select! {
        () = keeper.acquire() => {}
        () = signals.received() => return Ok(()),
    }
    tracing::info!(event = "lease.acquired", %me);
    shown.metrics.lead(Leading::Yes);
    let scope = match args.namespaces.is_empty() {
        true => Scope::Cluster,
        false => Scope::Namespaces(args.namespaces),
    };
    let own = Pinned {
        version: args.image.relay_version,
        repository: args.image.relay_image,
        redis_image: Some(args.image.redis_image),
    };
    let (stop, stopped) = watch::channel(false);
    let asker = Asker::new().context("there is no way to ask replicas")?;
    let prober = Prober::new(Loopback::Refused, Patience::default(), own_authorities);
    let prober = prober.context("there is no way to try the addresses of relays")?;
    let every = Every {
        observe: observe::EVERY,
        prove: prove::EVERY,
    };
    let context = Context::new(client, own, shown.clone(), asker, prober, every);
    let context = Arc::new(context);
    let controllers = controller::run(context, &scope, stopped);
    let keeping = keeper.keep();
    tokio::pin!(controllers, keeping);
    tokio::select! {
        lost = &mut keeping => return Err(stopped_by(lost)),
        () = signals.received() => {}
        () = &mut controllers => anyhow::bail!("the watches have ended; this is a fault of the operator"),
    }
    tracing::info!(event = "stopping");
    let _ = stop.send(true); // whoever has ended needs no telling
    tokio::select! {
        () = controllers => {}
        // what it does last is done under the Lease, too
        lost = keeping => return Err(stopped_by(lost)),
        () = signals.received() => tracing::warn!(event = "stopping", "a second signal: at once"),
    }
    shown.metrics.lead(Leading::No);
    keeper.give_back().await;
    Ok(())
}

/// No farewell: another operator may act already.
fn stopped_by(lost: Lost) -> anyhow::Error {
    tracing::error!(event = "lease.lost", %lost);
    lost.into()
}

/// Returns when the API server has answered.
async fn reachable(client: &Client) {
    while let Err(error) = client.apiserver_version().await {
        tracing::warn!(event = "cluster.unreachable", %error, "trying again");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// The host's name, and a random part: a container that is restarted in its pod is another one.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
    format!("{host}_{:08x}", rand::random::<u32>())
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
