//! Leaving: no new work, finishing the old.
//!
//! Not ready → everything served while others learn it → connections told to close, streams closed
//! spread over the window → the end, as soon as none is left.

use crate::http::{App, Phase};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often it is looked whether anything is left.
const LOOK: Duration = Duration::from_millis(50);

/// How a drain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    Empty,
    /// Time was up, and so many connections were left.
    TimedOut(usize),
}

/// Drains the process. `stop` tells connections that are no streams to end after their request.
pub async fn drain(app: &App, stop: &watch::Sender<bool>) -> Drained {
    let config = app.config();
    let times = &config.drain;
    let deadline = Instant::now() + times.timeout.std();
    app.enter(Phase::Announced);
    tracing::info!(
        event = "drain.started",
        streams = app.hub.stats.streams(),
        "not ready any more; everything is still served"
    );
    tokio::time::sleep(times.propagation.std()).await;
    app.enter(Phase::Draining);
    tracing::info!(
        event = "drain.closing",
        streams = app.hub.stats.streams(),
        "streams are sent away, spread over the window"
    );
    let _ = stop.send(true); // nobody to tell is fine
    app.hub.drain(times.window.std());
    loop {
        let left = app.hub.connections();
        if left == 0 {
            return Drained::Empty;
        }
        if Instant::now() >= deadline {
            return Drained::TimedOut(left);
        }
        tokio::time::sleep(LOOK).await;
    }
}
