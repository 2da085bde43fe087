//! The wire to Redis, against real servers.

#[path = "redis/commands.rs"]
mod commands;
#[path = "redis/connecting.rs"]
mod connecting;
#[path = "redis/preflight.rs"]
mod preflight;
#[path = "support/redis.rs"]
mod servers;
#[path = "redis/subscriptions.rs"]
mod subscriptions;
#[path = "redis/topology.rs"]
mod topology;
#[path = "redis/versions.rs"]
mod versions;

use relay_config::Redis as Settings;
use servers::{LIMIT, Server};
use sse_relay::redis::{Primary, Redis, Session, Slot};
use std::sync::Arc;

fn settings(server: &Server) -> Settings {
    Settings {
        url: Some(server.url()),
        ..Settings::default()
    }
}

fn start(settings: &Settings) -> Primary {
    let redis = Redis::start(settings).expect("the settings are right");
    redis.primary(Slot::of(b"any"))
}

async fn session(primary: &Primary) -> Arc<Session> {
    primary.wait(LIMIT).await.expect("Redis is there")
}
