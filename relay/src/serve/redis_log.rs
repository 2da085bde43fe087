//! The log in Redis, as the configuration wants it.

use super::ServeError;
use crate::{
    event_log::{
        Retention,
        memory::MAX_CHANNELS,
        redis::{
            RedisLog, canary,
            gate::Gate,
            options::{RedisOptions, Time},
        },
    },
    fleet::Fleet,
    hub::Hub,
    partition::{Partition, Partitioning},
    redis::{Events, Redis},
    settings::Live,
};
use relay_config::{Config, RedisMode};
use std::{sync::Arc, time::Duration};

/// Recent events that are kept in this process for clients that come back.
const RING_BYTES: usize = 16 << 20;

pub async fn open(
    config: &Config,
    live: &Arc<Live>,
    settings: &relay_config::Redis,
    hub: &Arc<Hub>,
    replica: &str,
) -> Result<(RedisLog, Arc<Fleet>, Events), ServeError> {
    let target = settings.target().map_err(|problems| wrong(&problems))?;
    let partitioning = match target.mode {
        RedisMode::Cluster { .. } => Partitioning::new(Partition::MAX),
        RedisMode::Standalone { .. } | RedisMode::Sentinel { .. } => Some(Partitioning::SINGLE),
    };
    let partitioning = partitioning.expect("as many as there may be");
    let redis = Redis::start(settings).map_err(|problems| wrong(&problems))?;
    let options = options(config, live.clone(), settings.prefix.clone(), partitioning);
    let gate = Arc::new(Gate::shut());
    let (fleet, events) = Fleet::new(
        &redis,
        &settings.prefix,
        replica,
        gate.clone(),
        hub.stats.clone(),
    );
    let log = RedisLog::open_behind(gate, &redis, options, hub.clone()).await?;
    Ok((log, fleet, events))
}

fn wrong(problems: &[relay_config::Problem]) -> ServeError {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    ServeError::RedisSettings(lines.join("; "))
}

fn options(
    config: &Config,
    live: Arc<Live>,
    prefix: String,
    partitioning: Partitioning,
) -> RedisOptions {
    let max_keys = usize::try_from(config.idempotency.max_keys).unwrap_or(usize::MAX);
    RedisOptions {
        prefix,
        partitioning,
        longest_age: longest_age(config),
        max_channels: MAX_CHANNELS / partitioning.count(),
        idempotency_window: config.idempotency.window.std(),
        max_idempotency_keys: max_keys.div_ceil(partitioning.count()),
        ring_bytes: RING_BYTES,
        canary: Some(canary::EVERY),
        time: Time::Server,
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

/// Of all rules, whichever channels they are for.
fn longest_age(config: &Config) -> Duration {
    let rules = config.channels.iter();
    let ages = rules.filter_map(|rule| Some(rule.retention.as_ref()?.age?.std()));
    ages.fold(config.retention.age.std(), Duration::max)
}
