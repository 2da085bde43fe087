//! Real Redis servers on free loopback ports, in directories that go away with them.
#![allow(
    dead_code,
    unused_imports,
    reason = "each file of tests uses a part of it"
)]

#[path = "certificates.rs"]
mod certificates;
#[path = "redis/cluster.rs"]
mod cluster;
#[path = "ports.rs"]
#[allow(
    clippy::duplicate_mod,
    reason = "not every program has the module of relays"
)]
mod ports;
#[path = "redis/proxy.rs"]
mod proxy;
#[path = "redis/sentinels.rs"]
mod sentinels;
#[path = "redis/server.rs"]
mod server;

pub use certificates::Certificates;
pub use cluster::{Cluster, Replicas};
pub use proxy::Proxy;
pub use sentinels::{PASSWORD as SENTINEL_PASSWORD, SERVICE, Sentinels};
pub use server::{Server, replication_id};

use std::{
    env,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Everything that is waited for comes within this, or the test fails. Generous, since machines are slow
/// and busy at times.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Ports on which nobody listens.
pub fn free_ports<const N: usize>() -> [u16; N] {
    ports::free(ports::SERVERS)
}

/// Name and path of each release that is here: what is in PATH, and what
/// `scripts/install-servers.sh` brings to machines for which there are programs.
pub fn releases() -> impl Iterator<Item = (String, String)> {
    let folder = env::var("SSE_RELAY_TEST_SERVERS")
        .map(PathBuf::from)
        .unwrap_or_else(|_| {
            let cache = env::var("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.unwrap_or_else(|_| {
                PathBuf::from(env::var("HOME").expect("there is a home")).join(".cache")
            });
            cache.join("sse-relay/servers")
        });
    let names: &[&str] = if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        &["redis-6.2.5", "redis-8.2.3", "valkey-8.1.8", "valkey-9.1.2"]
    } else {
        &[]
    };
    let brought = names.iter().map(move |name| {
        let path = folder.join(name);
        assert!(
            path.exists(),
            "{name} is missing: run scripts/install-servers.sh"
        );
        ((*name).to_owned(), path.display().to_string())
    });
    brought.chain([(
        "redis-server of the system".to_owned(),
        "redis-server".to_owned(),
    )])
}

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Like [`until`], for answers that are awaited.
pub async fn until_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
