//! What a log in Redis is given.

use crate::{
    clock::unix_millis,
    cursor::{Partition, UnixMillis},
    event_log::Retention,
    partition::Partitioning,
    redis::Redis,
};
use relay_config::RedisMode;
use std::{sync::Arc, time::Duration};

/// Where the time of an append comes from.
#[derive(Clone)]
pub enum Time {
    /// Redis' own clock: one clock for all replicas.
    Server,
    /// A clock that tests turn.
    Given(Arc<dyn Fn() -> UnixMillis + Send + Sync>),
}

impl Time {
    /// The time as far as this process knows it.
    pub fn now(&self) -> UnixMillis {
        match self {
            Time::Server => unix_millis(),
            Time::Given(now) => now(),
        }
    }

    /// As the scripts want it: empty for the server's.
    pub fn argument(&self) -> String {
        match self {
            Time::Server => String::new(),
            Time::Given(now) => now().to_string(),
        }
    }
}

/// Limits and names of a log in Redis. All replicas of one log must agree on them.
#[derive(Clone)]
pub struct RedisOptions {
    /// What every key begins with.
    pub prefix: String,
    /// Shares of the channels, fixed when the log begins: 1, or 8 on a Cluster.
    pub partitioning: Partitioning,
    /// Limits of a channel, by its name.
    pub retention: Arc<dyn Fn(&str) -> Retention + Send + Sync>,
    /// The greatest age among them: what is kept of channels outlives it twice.
    pub longest_age: Duration,
    /// Past so many channels of a partition new ones are refused; existing ones go on.
    pub max_channels: usize,
    /// How long an `Idempotency-Key` is remembered, and how many of a partition.
    pub idempotency_window: Duration,
    pub max_idempotency_keys: usize,
    /// Bytes of recent events that are kept in this process for clients that come back.
    pub ring_bytes: usize,
    /// How often a canary is published in each partition. Without it the log does nothing by itself,
    /// nor are its servers looked at.
    pub canary: Option<Duration>,
    /// Least time between two calls of a partition, while publishes come in a stream.
    pub publish_window: Duration,
    /// Replicas of Redis that must have a publish before it is answered, if any.
    pub replicas: Option<Replicas>,
    pub time: Time,
}

impl RedisOptions {
    /// What one partition may keep of what readers share: a quarter of its recent events, beside them.
    pub(super) fn shared_bytes(&self) -> usize {
        self.ring_bytes / 4 / self.partitioning.count()
    }
}

/// How many replicas of Redis confirm a publish.
#[derive(Clone)]
pub struct Replicas {
    /// Connections for this alone.
    pub redis: Redis,
    pub min: u32,
    /// The time they have for it.
    pub within: Duration,
}

/// How many partitions a log of this kind has.
pub fn partitioning(mode: &RedisMode) -> Partitioning {
    match mode {
        RedisMode::Cluster { .. } => {
            Partitioning::new(Partition::MAX).expect("as many as there may be")
        }
        RedisMode::Standalone { .. } | RedisMode::Sentinel { .. } => Partitioning::SINGLE,
    }
}

/// A limit as the scripts want it: empty for none. What does not fit a double exactly is none.
pub(super) fn limit(value: usize) -> String {
    match u64::try_from(value) {
        Ok(value) if value < 1 << 53 => value.to_string(),
        _ => String::new(),
    }
}

/// The same for a duration, in milliseconds.
pub(super) fn millis(duration: Duration) -> String {
    match u64::try_from(duration.as_millis()) {
        // far enough below 2^53 that a multiple of it can be added to a time
        Ok(millis) if millis < 1 << 48 => millis.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_a_script_can_count_is_no_limit() {
        assert_eq!((limit(5).as_str(), limit(usize::MAX).as_str()), ("5", ""));
        assert_eq!(millis(Duration::from_secs(2)), "2000");
        assert_eq!(millis(Duration::MAX), "");
    }
}
