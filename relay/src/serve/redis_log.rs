//! The log in Redis, as the configuration wants it.

use super::ServeError;
use crate::{
    event_log::{
        Retention,
        memory::MAX_CHANNELS,
        redis::{
            RedisLog, canary,
            gate::Gate,
            options::{RedisOptions, Replicas, Time, partitioning},
        },
    },
    fleet::Fleet,
    hub::Hub,
    partition::Partitioning,
    redis::{Events, Redis},
    settings::Live,
};
use relay_config::Config;
use std::{sync::Arc, time::Duration};

/// Recent events that are kept in this process for clients that come back.
const RING_BYTES: usize = 16 << 20;

/// Of `redis.commandTimeout`, what replicas have to confirm a publish: it may have to wait for the end of
/// the question before its own, and is answered within the timeout all the same.
const ACK_SHARE: f64 = 0.4;

pub async fn open(
    config: &Config,
    live: &Arc<Live>,
    settings: &relay_config::Redis,
    hub: &Arc<Hub>,
    replica: &str,
) -> Result<(RedisLog, Arc<Fleet>, Events), ServeError> {
    let target = settings.target().map_err(|problems| wrong(&problems))?;
    let partitioning = partitioning(&target.mode);
    let redis = Redis::start(settings).map_err(|problems| wrong(&problems))?;
    let mut options = options(config, live.clone(), settings, partitioning);
    if let Some(min) = settings.min_replicas_ack {
        options.replicas = Some(Replicas {
            redis: Redis::start(settings).map_err(|problems| wrong(&problems))?,
            min,
            within: settings.command_timeout.std().mul_f64(ACK_SHARE),
        });
    }
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
    settings: &relay_config::Redis,
    partitioning: Partitioning,
) -> RedisOptions {
    let max_keys = usize::try_from(config.idempotency.max_keys).unwrap_or(usize::MAX);
    RedisOptions {
        prefix: settings.prefix.clone(),
        partitioning,
        longest_age: longest_age(config),
        max_channels: MAX_CHANNELS / partitioning.count(),
        idempotency_window: config.idempotency.window.std(),
        max_idempotency_keys: max_keys.div_ceil(partitioning.count()),
        ring_bytes: RING_BYTES,
        canary: Some(canary::EVERY),
        publish_window: settings.window().std(),
        replicas: None,
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
