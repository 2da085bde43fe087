//! Message brokers as sources, each against the real one: whatever is killed, broker or relay, what was
//! confirmed to its sender becomes an event once; whatever a broker refuses is told, and stops nothing
//! else.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "brokers/amqp.rs"]
mod amqp;
#[path = "support/broker.rs"]
mod broker;
#[path = "brokers/faults.rs"]
mod faults;
#[path = "brokers/producer.rs"]
mod producer;
#[path = "brokers/pulled.rs"]
mod pulled;
#[path = "brokers/rabbitmq.rs"]
mod rabbitmq;
#[path = "support/redis.rs"]
mod redis;
#[path = "brokers/stomp.rs"]
mod stomp;
#[path = "brokers/takeover.rs"]
mod takeover;
#[path = "brokers/trouble.rs"]
mod trouble;
