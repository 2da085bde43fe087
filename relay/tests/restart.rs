//! Restarts of the real relay with `--data-dir`: whatever ends it, every acknowledged event comes to
//! a subscriber that returns, once and in order, or a gap says what is missing.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

mod restart {
    mod epochs;
    mod faults;
    pub mod http;
    pub mod load;
    pub mod patience;
    pub mod process;
    mod scarcity;
    mod storage;
    pub mod subscriber;
}

use restart::{http, load, patience, process, subscriber};
