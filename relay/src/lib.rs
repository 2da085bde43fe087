//! The relay: publishers hand it events, browsers and programs stream them.
//!
//! - Vocabulary (pure: no async, clock or environment): [`channel`], [`event`], [`cursor`],
//!   [`partition`], [`frame`], [`filter`], [`grant`], [`subject`], [`who`], and [`sse_parser`], the encoder's inverse.
//! - Mechanism: [`event_log`] and its [`journal`], [`hub`], [`control`] over its streams, the [`fleet`] of replicas, [`listing`] of streams, [`auth`], [`audit`], [`source`], [`drain`], [`redis`], [`postgres`] and the [`archive`] in it, [`clock`], [`outgoing`] requests, [`stats`] and
//!   its [`label`]s.
//! - Edge: [`http`], [`cli`], [`metrics`], [`telemetry`].

pub mod archive;
pub mod audit;
pub mod auth;
pub mod channel;
pub mod cli;
pub mod client_address;
pub mod clock;
mod codec;
pub mod control;
pub mod cursor;
pub mod descriptors;
pub mod dialect;
pub mod drain;
mod environment;
pub mod event;
pub mod event_log;
pub mod filter;
pub mod fleet;
pub mod frame;
pub mod grant;
pub mod http;
pub mod hub;
pub mod journal;
pub mod label;
pub mod limits;
pub mod listener;
pub mod listing;
pub mod metrics;
pub mod outgoing;
pub mod partition;
pub mod postgres;
pub mod printable;
pub mod proxy_protocol;
pub mod redis;
pub mod reload;
pub mod route;
pub mod serve;
pub mod settings;
pub mod source;
pub mod sse_parser;
pub mod stats;
pub mod subject;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod unix_listener;
pub mod who;
