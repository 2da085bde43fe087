//! The operator: an `SseRelay` becomes everything that runs a relay well on Kubernetes.
//!
//! A reconcile is five calls: [`resolve`] reads what the resource refers to, [`validate`] and
//! [`desired`] are pure and say what must be there, `apply` makes it so, and `status` (pure) says
//! how it went. This crate shares only `relay-config` with the relay.

pub mod apply;
pub mod cli;
pub mod controller;
pub mod controller_profile;
pub mod crd;
pub mod desired;
pub mod document;
pub mod gateway_profile;
pub mod health;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod prove;
pub mod references;
pub mod resolve;
pub mod rotation;
pub mod scaling;
pub mod sizing;
pub mod status;
pub mod tokens;
pub mod unknown;
pub mod upgrade;
pub mod validate;
