//! How many streams a route has.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many streams a route has, here and at other replicas.
#[derive(Debug, Default)]
pub struct Census {
    here: AtomicUsize,
    elsewhere: AtomicUsize,
}

impl Census {
    pub fn opened(&self) {
        self.here.fetch_add(1, Ordering::Relaxed);
    }

    pub fn closed(&self) {
        self.here.fetch_sub(1, Ordering::Relaxed);
    }

    /// Streams of this process.
    pub fn here(&self) -> usize {
        self.here.load(Ordering::Relaxed)
    }

    /// What the other replicas said last, together.
    pub fn set_elsewhere(&self, streams: usize) {
        self.elsewhere.store(streams, Ordering::Relaxed);
    }

    /// Streams of all replicas.
    pub fn everywhere(&self) -> usize {
        self.here() + self.elsewhere.load(Ordering::Relaxed)
    }
}
