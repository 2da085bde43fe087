//! How long what is still missing is waited for: as long as anything comes to anybody. A machine that is
//! slow or busy fails no test by that.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Nothing came to anybody for so long.
const QUIET: Duration = Duration::from_secs(60);
/// Whatever comes.
const LONGEST: Duration = Duration::from_secs(900);

pub struct Patience {
    began: Instant,
    moved: Mutex<Instant>,
}

impl Patience {
    pub fn begin() -> Patience {
        let began = Instant::now();
        let moved = Mutex::new(began);
        Patience { began, moved }
    }

    /// Something came.
    pub fn moved(&self) {
        *self.moved.lock().unwrap() = Instant::now();
    }

    pub fn is_over(&self) -> bool {
        self.moved.lock().unwrap().elapsed() > QUIET || self.began.elapsed() > LONGEST
    }
}
