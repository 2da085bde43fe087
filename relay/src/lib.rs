//! The relay: publishers hand it events, browsers and programs stream them.
pub mod http;
