//! The loop: something changed → look at that relay → say how it went, and when to look again.

mod backoff;
mod kinds;
mod life;
mod pace;
mod reconcile;
mod relays;
mod rivals;
mod told;
mod unwatched;
mod watch;

pub use life::Life;
pub use relays::{Relays, Watched};
pub(crate) use told::{tell, tell_scaled};
pub use watch::{Scope, run};

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::controller::Action;
use kube::runtime::events::{Recorder, Reporter};
use parking_lot::Mutex;

use crate::crd::Pinned;
use crate::health::Shown;
use crate::names::OPERATOR;
use crate::observe::Asker;
use crate::prove::Prober;
use crate::upgrade::Turn;
use backoff::Backoff;
use kinds::Kinds;
use rivals::Rivals;

/// How often the operator looks beyond the API server.
#[derive(Debug, Clone, Copy)]
pub struct Every {
    /// At what replicas say about themselves.
    pub observe: Duration,
    /// At whether a proof of streaming is due.
    pub prove: Duration,
}

/// What every reconcile may use.
pub struct Context {
    client: Client,
    recorder: Recorder,
    shown: Arc<Shown>,
    own: Pinned,
    backoff: Mutex<Backoff>,
    kinds: Mutex<Kinds>,
    rivals: Mutex<Rivals>,
    turn: Mutex<Turn>,
    asker: Asker,
    prober: Prober,
    every: Every,
}

impl Context {
    /// `own` is the relay that this operator brings. Replicas are asked about themselves with `asker`, and
    /// what subscribers see of them is tried with `prober`.
    #[must_use]
    pub fn new(
        client: Client,
        own: Pinned,
        shown: Arc<Shown>,
        asker: Asker,
        prober: Prober,
        every: Every,
    ) -> Self {
        let reporter = Reporter {
            controller: OPERATOR.to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            shown,
            own,
            backoff: Mutex::default(),
            kinds: Mutex::default(),
            rivals: Mutex::default(),
            turn: Mutex::default(),
            asker,
            prober,
            every,
        }
    }
}

impl Context {
    /// Forgets relays that are gone: no look tells of their end.
    fn forget_gone(&self) {
        let there = self.shown.relays.lives();
        self.backoff.lock().only(&there);
        self.kinds.lock().only(&there);
        self.rivals.lock().only(&there);
        self.turn.lock().only(&there);
    }
}

/// A relay that is as it must be is looked at again after about this time, should a watch have missed
/// something.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// A relay whose pods are on their way: pods are not watched.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// Looks again after `time`, up to a tenth earlier, so that not all relays are looked at together.
fn after(time: Duration) -> Action {
    Action::requeue(time.mul_f64(1.0 - 0.1 * rand::random::<f64>()))
}

/// Looks again after about `wait`, or as soon as a step is due that must not be tried too early.
fn soonest(wait: Duration, step: Option<Duration>) -> Action {
    match step {
        Some(step) if step < wait => Action::requeue(step + MARGIN),
        _ => after(wait),
    }
}

/// A look for a step that is due comes so much later: clocks and timers are not that exact.
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_is_due_is_never_looked_for_too_early_and_delays_no_other_look() {
        let step = Duration::from_secs(180);
        assert_eq!(
            soonest(LOOK_AGAIN, Some(step)),
            Action::requeue(step + MARGIN)
        );
        for wait in [ON_ITS_WAY, LOOK_AGAIN] {
            let late = Action::requeue(step + MARGIN);
            assert_ne!(soonest(ON_ITS_WAY, Some(step)), late);
            assert_ne!(soonest(wait, None), late);
        }
    }
}
