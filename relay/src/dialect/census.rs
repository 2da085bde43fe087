//! How many streams a route has.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many streams of this process a route has.
#[derive(Debug, Default)]
pub struct Census {
    streams: AtomicUsize,
}

impl Census {
    pub fn opened(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub fn closed(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}
