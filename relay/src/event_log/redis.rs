//! The log in Redis, which replicas share (decision record 0015).
//!
//! Each partition's keys share a slot. An append is one script there; pub/sub announces what it
//! appended, and the streams are the truth.

pub mod entry;
pub mod keys;
pub mod options;
pub mod scripts;
pub mod store;
