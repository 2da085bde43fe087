//! Several relays on one Redis, behind a load balancer: whatever fails, each subscription gets what was
//! acknowledged, once and in order, or is told what is missing.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

#[path = "restart/http.rs"]
mod http;
#[path = "restart/patience.rs"]
mod patience;
#[path = "support/redis.rs"]
mod servers;
#[path = "restart/subscriber.rs"]
mod subscriber;
mod support;

#[path = "replicas/balancer.rs"]
mod balancer;
#[path = "replicas/chained.rs"]
mod chained;
#[path = "replicas/cluster.rs"]
mod cluster;
#[path = "replicas/counting.rs"]
mod counting;
#[path = "replicas/deposed.rs"]
mod deposed;
#[path = "replicas/failover.rs"]
mod failover;
#[path = "replicas/faults.rs"]
mod faults;
#[path = "replicas/findings.rs"]
mod findings;
#[path = "replicas/fleet.rs"]
mod fleet;
#[path = "replicas/many.rs"]
mod many;
#[path = "replicas/mixed.rs"]
mod mixed;
#[path = "replicas/network.rs"]
mod network;
#[path = "replicas/outage.rs"]
mod outage;
#[path = "replicas/releases.rs"]
mod releases;
#[path = "replicas/sharing.rs"]
mod sharing;
