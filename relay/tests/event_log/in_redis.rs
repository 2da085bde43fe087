//! The log in Redis, as the suite gets it.

use crate::{
    servers::{Cluster, Server},
    subject::{Ahead, Clock, Implementation, Limits, Opened, Reopening, Together},
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sse_relay::{
    event_log::{
        EventLog, Tail,
        redis::{
            RedisLog,
            options::{RedisOptions, Time},
        },
    },
    partition::Partitioning,
    redis::Redis,
};
use std::{
    future::pending,
    sync::{Arc, LazyLock, Weak},
    time::Duration,
};
use tokio::runtime::{Builder, Handle};

/// The runtime of all logs: cases block their own.
static RUNTIME: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(pending::<()>()));
    handle
});

/// Servers for all cases that run at the same time; each case has a prefix of its own.
static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

fn shared<T>(servers: &Mutex<Weak<T>>, start: fn() -> T) -> Arc<T> {
    let mut shared = servers.lock();
    let running = shared.upgrade().unwrap_or_else(|| Arc::new(start()));
    *shared = Arc::downgrade(&running);
    running
}

enum Servers {
    Standalone(Arc<Server>),
    Cluster(Arc<Cluster>),
}

pub struct InRedis {
    servers: Servers,
    prefix: String,
}

impl InRedis {
    pub fn standalone() -> InRedis {
        InRedis::on(Servers::Standalone(shared(&SERVER, Server::start)))
    }

    /// Three primaries: what is not in one slot fails there.
    pub fn cluster() -> InRedis {
        InRedis::on(Servers::Cluster(shared(&CLUSTER, Cluster::start)))
    }

    fn on(servers: Servers) -> InRedis {
        InRedis {
            servers,
            prefix: format!("case-{:x}", rand::random::<u64>()),
        }
    }

    fn settings(&self) -> relay_config::Redis {
        let mut settings = relay_config::Redis::default();
        match &self.servers {
            Servers::Standalone(server) => settings.url = Some(server.url()),
            Servers::Cluster(cluster) => {
                settings.cluster = Some(relay_config::RedisCluster {
                    nodes: cluster.nodes(),
                });
            }
        }
        settings
    }

    fn options(&self, limits: &Limits, clock: Clock) -> RedisOptions {
        RedisOptions {
            prefix: self.prefix.clone(),
            partitioning: match self.servers {
                Servers::Standalone(_) => Partitioning::SINGLE,
                Servers::Cluster(_) => Partitioning::new(8).unwrap(),
            },
            retention: limits.retention.clone(),
            longest_age: Duration::MAX,
            max_channels: limits.max_channels,
            idempotency_window: limits.idempotency_window,
            max_idempotency_keys: limits.max_idempotency_keys,
            ring_bytes: 10_000,
            canary: None,
            replicas: None,
            publish_window: Duration::ZERO,
            time: Time::Given(Arc::new(move || clock.now())),
        }
    }
}

impl Implementation for InRedis {
    fn open(&self, limits: Limits, clock: Clock, tail: Arc<dyn Tail>) -> BoxFuture<'_, Opened> {
        let (options, settings) = (self.options(&limits, clock), self.settings());
        let opening = RUNTIME.spawn(async move {
            let redis = Redis::start(&settings).unwrap();
            let log = RedisLog::open(&redis, options, tail).await.unwrap();
            log.sweep().await;
            Arc::new(log)
        });
        Box::pin(async move {
            let log = opening.await.unwrap();
            let (settled, counted) = (log.clone(), log.clone());
            Opened {
                log,
                settle: Box::new(move || {
                    let log = settled.clone();
                    Box::pin(async move { log.catch_up().await.unwrap() })
                }),
                count: Box::new(move || {
                    let log = counted.clone();
                    Box::pin(async move { log.count().await.unwrap() })
                }),
            }
        })
    }

    fn reopening(&self) -> Reopening {
        Reopening::KeepsAll
    }

    fn ahead(&self) -> Ahead {
        Ahead::Elsewhere
    }

    fn together(&self) -> Together {
        Together::Unbounded
    }
}
