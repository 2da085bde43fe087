//! How soon a watch that failed is tried again.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// About a second, always.
///
/// All watches of a controller wait together after each failure of any of them, so when the API
/// server was away each one's failure has its own wait, one after the other. With waits that
/// grow, as is the default, minutes would pass after it is back; with these it is as many seconds
/// as there are watches, and the API server gets one request a second while it is in trouble.
#[derive(Debug, Default)]
pub struct Pace;

const WAIT: Duration = Duration::from_secs(1);

impl Iterator for Pace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(WAIT.mul_f64(0.5 + rand::random::<f64>()))
    }
}

impl Backoff for Pace {
    fn reset(&mut self) {}
}
