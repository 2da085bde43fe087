//! The relay: publishers hand it events, browsers and programs stream them.
//!
//! - Vocabulary (pure: no async, clock or environment): [`channel`], [`event`], [`cursor`],
//!   [`frame`], [`filter`].
//! - Mechanism: [`event_log`] and its [`journal`], [`hub`], [`stats`].

pub mod channel;
pub mod cursor;
pub mod event;
pub mod event_log;
pub mod filter;
pub mod frame;
pub mod hub;
pub mod journal;
pub mod stats;
