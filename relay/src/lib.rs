//! The relay: publishers hand it events, browsers and programs stream them.
//!
//! Vocabulary (pure): [`channel`], [`event`], [`cursor`], [`frame`], [`filter`].

pub mod channel;
pub mod cli;
pub mod cursor;
pub mod event;
pub mod filter;
pub mod frame;
pub mod source;
pub mod sse_parser;
