//! `check`: whether a cluster has what the operator needs, and one acts there.

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::crd::SseRelay;
use crate::lease::NAME;

/// How long an operator that was just installed may take to get its Lease.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Look in this namespace only; may be given several times, or as a list with commas
    #[arg(
        long = "namespace",
        env = "WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub namespaces: Vec<String>,
    /// Namespace of the operators' Lease
    #[arg(long, env = "LEASE_NAMESPACE", value_name = "NAME")]
    pub lease_namespace: Option<String>,
}

/// Says what was found; an error if something is missing.
pub fn check(args: &Args) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(look(args))
}

async fn look(args: &Args) -> anyhow::Result<String> {
    let client = Client::try_default()
        .await
        .context("there is no cluster to look at; set KUBECONFIG")?;
    let mut relays = 0;
    let some = ListParams::default().limit(500);
    for namespace in &args.namespaces {
        let api: Api<SseRelay> = Api::namespaced(client.clone(), namespace);
        relays += api.list_metadata(&some).await.context(CANNOT)?.items.len();
    }
    if args.namespaces.is_empty() {
        let api: Api<SseRelay> = Api::all(client.clone());
        relays = api.list_metadata(&some).await.context(CANNOT)?.items.len();
    }
    let namespace = args.lease_namespace.as_deref();
    let namespace = namespace.unwrap_or_else(|| client.default_namespace());
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let Ok(holder) = tokio::time::timeout(PATIENCE, holder(&leases)).await else {
        bail!("no operator holds the Lease {NAME} in {namespace}; look at its pods");
    };
    Ok(format!(
        "SseRelay is served, {relays} relays are visible, and {} acts\n",
        holder.context("the Lease cannot be read")?
    ))
}

const CANNOT: &str =
    "SseRelay is not served, or may not be listed; install the definition and the chart's roles";

async fn holder(leases: &Api<Lease>) -> Result<String, kube::Error> {
    loop {
        let lease = leases.get_opt(NAME).await?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        match holder.filter(|holder| !holder.is_empty()) {
            Some(holder) => return Ok(holder),
            None => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}
